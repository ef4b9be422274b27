//! `runner compare`: how the leaves of an experiment did. Also the table at the end of `run`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::context::{Context, Ready};
use super::terminal::style;
use super::{Fault, print, print_json};
use crate::history::{History, Id};
use crate::lineage::Leaf;
use crate::plan::{Material, PreparedSet};
use crate::record::{MetricsRow, Probe};
use crate::report::{Asked, Comparison, LeafRecords, SetFacts, Settled, rule_change, ruling};
use crate::spec::{Branch, CurriculumChoice, Decide, Experiment, Name, parse};
use crate::store::{Found, Inventory, Store, StoreError};
use crate::task::baseline::Baseline;
use crate::task::sampler::{Drawer, Sampler};
use crate::task::tokens::Token;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file, or its name
    experiment: PathBuf,
    /// The whole comparison as JSON
    #[arg(long)]
    json: bool,
    /// Every number of it as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let ready = context.ready(&args.experiment)?;
    let comparison = comparison(&context, &ready)?;
    match (args.json, args.csv) {
        (true, _) => print_json(&comparison)?,
        (_, true) => print(&crate::report::csv(&comparison))?,
        _ => print(&written(&comparison, &ready))?,
    }
    inconclusive(&comparison)
}

/// Whether a rule was to decide and cannot yet.
fn inconclusive(comparison: &Comparison) -> Result<(), Fault> {
    match (comparison.conclusion.settled, &comparison.conclusion.rule) {
        (Settled::Inconclusive, Some(rule)) => Err(Fault::Inconclusive(format!("the rule `{rule}` cannot decide yet"))),
        _ => Ok(()),
    }
}

/// Prints the comparison.
pub(crate) fn show(context: &Context, ready: &Ready, json: bool) -> Result<(), Fault> {
    match json {
        true => print_json(&comparison(context, ready)?),
        false => print(&text(context, ready)?),
    }
}

pub(crate) fn text(context: &Context, ready: &Ready) -> Result<String, Fault> {
    Ok(written(&comparison(context, ready)?, ready))
}

fn written(comparison: &Comparison, ready: &Ready) -> String {
    crate::report::text(comparison, ready.resolved().question.as_deref(), style())
}

/// Everything that is known of an experiment's leaves, and the comparison made of it.
pub(crate) struct Gathered<'a> {
    pub comparison: Comparison,
    /// In the order of the file.
    pub leaves: Vec<LeafRecords<'a>>,
    pub sets: Vec<SetFacts>,
}

/// The comparison of an experiment's leaves.
pub(crate) fn comparison(context: &Context, ready: &Ready) -> Result<Comparison, Fault> {
    let inventory = context.inventory();
    Ok(gather(context, ready, &inventory)?.comparison)
}

/// Reads all that is recorded of an experiment's leaves and compares them.
pub(crate) fn gather<'a>(context: &Context, ready: &'a Ready, inventory: &'a Inventory) -> Result<Gathered<'a>, Fault> {
    let (material, _) = context.read_material(ready)?;
    let resolved = ready.resolved();
    let prepared = material.sets.get(&ready.name).map_or(&[][..], Vec::as_slice);
    let sampler = resolved.leaves.first().and_then(|leaf| material.samplers.get(&Material::root_id(&leaf.history)));
    let sets: Vec<SetFacts> = prepared.iter().filter_map(|set| Some(set_facts(set, sampler?))).collect();
    let mut shared = SharedRows { is_asked_again: resolved.leaves.len() > 1, ..SharedRows::default() };
    let record = |leaf| records(context, inventory, ready, leaf, &mut shared);
    let leaves: Vec<LeafRecords<'_>> = resolved.leaves.iter().map(record).collect::<Result<_, _>>()?;
    let frozen = frozen_rule(context, &ready.name);
    let now = resolved.decide.as_ref();
    let asked = Asked {
        experiment: ready.name.as_str(),
        reference: resolved.reference.as_str(),
        rule: ruling(frozen.as_ref().map(Option::as_ref), now),
        rule_change: frozen.as_ref().and_then(|frozen| rule_change(frozen.as_ref(), now)),
    };
    Ok(Gathered { comparison: crate::report::compare(&asked, &leaves, &sets), leaves, sets })
}

/// The rule that stood when training began, from the saved file; nothing where training has not begun.
pub(crate) fn frozen_rule(context: &Context, name: &Name) -> Option<Option<Decide>> {
    let saved: Experiment = parse(&context.store.saved_text(name)?).ok()?;
    Some(saved.decide)
}

/// What a branch follows, as people call it.
fn curriculum(ready: &Ready, leaf: &Leaf) -> String {
    let experiment = &ready.loaded.library.experiments[&ready.name].value;
    let branches = experiment.all_branches();
    let Some(Branch { curriculum, change, .. }) = branches.iter().find(|branch| branch.name == leaf.key.branch) else {
        return String::new();
    };
    let (times, by) = experiment.clock.unwrap_or((1, 1));
    let followed = match curriculum {
        CurriculumChoice::File(name) => format!("`{name}`"),
        CurriculumChoice::Inherit => "of its parent".into(),
        CurriculumChoice::Moved { of, loss, to } => format!("`{of}` with {loss} from {}", to.saturating_mul(times) / by.max(1)),
        CurriculumChoice::Inline(_) => "of its own".into(),
    };
    if change.is_some() { format!("{followed} and a change") } else { followed }
}

/// What can be had on a set without looking at a spectrum.
fn set_facts(set: &PreparedSet, sampler: &Sampler) -> SetFacts {
    let vocabulary = sampler.vocabulary();
    let longest = sampler.model().longest_peptide();
    let peptides = || set.spectra.iter().map(|spectrum| spectrum.peptide.as_slice());
    let commonest = Baseline::fit(vocabulary, longest, peptides()).score(peptides()).commonest_accuracy;
    let pools = sampler.drawers().filter_map(|drawer| match drawer {
        Drawer::Pool { pool, .. } => Some(pool.spectra()),
        Drawer::Synthetic(_) => None,
    });
    let trained: Vec<&[Token]> = pools.flatten().map(|spectrum| spectrum.peptide.as_slice()).collect();
    let frequency = || Baseline::fit(vocabulary, longest, trained.iter().copied()).score(peptides()).cross_entropy;
    SetFacts {
        name: set.name.to_string(),
        digest: set.digest.clone(),
        commonest_residue: commonest,
        frequency_cross_entropy: (!trained.is_empty()).then(frequency),
    }
}

/// Everything recorded along a leaf's lineage.
fn records<'a>(
    context: &Context,
    inventory: &'a Inventory,
    ready: &Ready,
    leaf: &'a Leaf,
    shared: &mut SharedRows,
) -> Result<LeafRecords<'a>, Fault> {
    let line = context.store.lineage(inventory, &leaf.history)?;
    let own = leaf.own_from();
    let evaluated = ids(&leaf.history, inventory.evaluations.iter().map(|found| found.step));
    let probed = ids(&leaf.history, inventory.probes.iter().map(|probe| probe.step));
    let mut probes: BTreeMap<u64, Vec<&Probe>> = BTreeMap::new();
    for probe in inventory.probes.iter().filter(|probe| probed.contains(&probe.id)) {
        probes.entry(probe.step).or_default().push(probe);
    }
    let at_fork = line.iter().rfind(|found| found.manifest.step == own);
    let numerics = line.last().map(|found| format!("{:?}", found.manifest.numerics)).unwrap_or_default();
    Ok(LeafRecords {
        key: leaf.key.clone(),
        curriculum: curriculum(ready, leaf),
        history: &leaf.history,
        own_from: own,
        turns: leaf.turns(),
        written_weights: leaf.written_weights(),
        rows: shared.joined(&context.store, leaf, &line)?,
        evaluations: inventory.evaluations.iter().filter(|found| evaluated.contains(&found.id)).collect(),
        probes,
        pairing: format!("{}{numerics}", at_fork.map_or("", |found| &found.manifest.tensors)),
    })
}

/// Names of a history's states at those of the steps that it reaches.
fn ids(history: &History, steps: impl Iterator<Item = u64>) -> BTreeSet<Id> {
    let steps: BTreeSet<u64> = steps.filter(|&step| step <= history.end()).collect();
    history.ids(steps).into_iter().collect()
}

/// Rows of segments that do not lie in the folder of one leaf: all that grew from a trunk have them, and reading a long trunk
/// takes longer than a leaf.
#[derive(Default)]
struct SharedRows {
    known: BTreeMap<Id, Vec<MetricsRow>>,
    /// Whether there are several leaves at all.
    is_asked_again: bool,
}

impl SharedRows {
    /// Rows of metrics joined along a leaf's lineage.
    fn joined(&mut self, store: &Store, leaf: &Leaf, line: &[&Found]) -> Result<Vec<MetricsRow>, StoreError> {
        let own = store.leaf_folder(&leaf.key);
        let mut joined = Vec::new();
        for found in line {
            if found.path.parent() == Some(&own) || !self.is_asked_again {
                joined.extend(store.rows(found)?);
                continue;
            }
            match self.known.entry(found.manifest.id) {
                Entry::Occupied(known) => joined.extend_from_slice(known.get()),
                Entry::Vacant(free) => joined.extend_from_slice(free.insert(store.rows(found)?)),
            }
        }
        Ok(joined)
    }
}

/// Rows of metrics joined along a lineage: no gaps, no repeats, whatever cuts there were.
pub(crate) fn joined_rows(store: &Store, line: &[&Found]) -> Result<Vec<MetricsRow>, StoreError> {
    let rows: Vec<Vec<MetricsRow>> = line.iter().map(|found| store.rows(found)).collect::<Result<_, _>>()?;
    Ok(rows.concat())
}
