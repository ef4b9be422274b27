//! `runner compare`: how the leaves of an experiment did. Also the table at the end of `run`.

use std::path::{Path, PathBuf};

use super::context::{Context, Ready};
use super::diagnostics::counted;
use super::{Fault, print, print_json};
use crate::lineage::Leaf;
use crate::plan::{Material, PreparedSet};
use crate::record::{Evaluation, MetricsRow, Weights};
use crate::report::{BranchScores, Comparison, LeafRecords, SetFacts, Spread, Table};
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
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let ready = context.ready(&args.experiment)?;
    show(&context, &ready, args.json)
}

/// Prints the comparison.
pub(crate) fn show(context: &Context, ready: &Ready, json: bool) -> Result<(), Fault> {
    match json {
        true => print_json(&comparison(context, ready)?),
        false => print(&text(context, ready)?),
    }
}

pub(crate) fn text(context: &Context, ready: &Ready) -> Result<String, Fault> {
    Ok(render(&comparison(context, ready)?, ready.resolved().question.as_deref()))
}

fn comparison(context: &Context, ready: &Ready) -> Result<Comparison, Fault> {
    let inventory = context.store.inventory();
    let material = context.material(ready)?;
    let resolved = ready.resolved();
    let prepared = material.sets.get(&ready.name).map_or(&[][..], Vec::as_slice);
    let sampler = resolved.leaves.first().and_then(|leaf| material.samplers.get(&Material::root_id(&leaf.history)));
    let sets: Vec<SetFacts> = prepared.iter().filter_map(|set| Some(set_facts(set, sampler?))).collect();
    let leaves: Vec<LeafRecords<'_>> =
        resolved.leaves.iter().map(|leaf| records(context, &inventory, leaf)).collect::<Result<_, _>>()?;
    Ok(crate::report::compare(ready.name.as_str(), resolved.reference.as_str(), &leaves, &sets))
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
fn records<'a>(context: &Context, inventory: &'a Inventory, leaf: &'a Leaf) -> Result<LeafRecords<'a>, Fault> {
    let line = context.store.lineage(inventory, &leaf.history)?;
    let own = leaf.own_from();
    let evaluations: Vec<&Evaluation> = {
        let steps: std::collections::BTreeSet<u64> = inventory.evaluations.iter().map(|found| found.step).collect();
        let within: Vec<u64> = steps.into_iter().filter(|&step| step <= leaf.history.end()).collect();
        let ids = leaf.history.ids(within);
        inventory.evaluations.iter().filter(|found| ids.contains(&found.id)).collect()
    };
    let at_fork = line.iter().rfind(|found| found.manifest.step == own);
    let numerics = line.last().map(|found| format!("{:?}", found.manifest.numerics)).unwrap_or_default();
    let stage_starts = leaf.stages.iter().map(|stage| stage.from).filter(|from| (own + 1..leaf.history.end()).contains(from));
    Ok(LeafRecords {
        key: leaf.key.clone(),
        history: &leaf.history,
        own_from: own,
        stage_starts: stage_starts.collect(),
        rows: joined_rows(&context.store, &line)?,
        evaluations,
        pairing: format!("{}{numerics}", at_fork.map_or("", |found| &found.manifest.tensors)),
    })
}

/// Rows of metrics joined along a lineage: no gaps, no repeats, whatever cuts there were.
pub(crate) fn joined_rows(store: &Store, line: &[&Found]) -> Result<Vec<MetricsRow>, StoreError> {
    let mut rows = Vec::new();
    for found in line {
        let bytes = store.metrics(found)?;
        let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        for line in lines {
            let row = serde_json::from_slice(line).map_err(|error| StoreError::Damaged {
                path: store.shown(&found.path.join("metrics.jsonl")),
                what: error.to_string(),
            })?;
            rows.push(row);
        }
    }
    Ok(rows)
}

fn render(comparison: &Comparison, question: Option<&str>) -> String {
    let mut out = format!("\n{}", comparison.experiment);
    if let Some(question) = question {
        out += &format!(": {question}");
    }
    out.push('\n');
    let step = comparison.step.map_or("no common step".to_owned(), |step| format!("step {step}"));
    let seeds = counted(comparison.seeds, if comparison.seeds == 1 { "replicate" } else { "seed" });
    out += &format!("at {step}, {seeds}; mean ± deviation over the seeds\n");
    for set in &comparison.sets {
        let weights = match set.weights {
            Weights::Raw => "raw weights",
            Weights::Averaged => "averaged weights",
        };
        let commonest = set.commonest_residue * 100.0;
        out += &format!("\n{} ({} spectra, {weights})\n", set.set, set.spectra);
        out += &format!("  without looking: {commonest:.1} % of the tokens by always answering the commonest residue");
        if let Some(frequency) = set.frequency_cross_entropy {
            out += &format!(", cross-entropy {frequency:.3} by the frequencies of residues and lengths in training");
        }
        out.push('\n');
        let against = format!("tokens vs {}", comparison.reference);
        let mut table =
            Table::new(["branch", "token accuracy", "peptides", "within 20 ppm", "median ppm", "cross-entropy", &against]);
        set.branches.iter().for_each(|branch| table.row(score_row(branch, &comparison.reference)));
        out += &indented(&table);
        out += &indented(&by_length(&set.branches));
    }
    if comparison.jumps.iter().any(|jump| jump.total.is_finite()) {
        out += "\njump of the loss at each stage edge (mean of the logged steps after it minus before it)\n";
        let mut table = Table::new(["branch", "step", "weighted sum", "raw terms", "switched", "logged steps"]);
        for jump in &comparison.jumps {
            let terms = jump.terms.iter().map(|(loss, value)| format!("{loss} {value:+.4}")).collect::<Vec<_>>().join(", ");
            let switched = jump.switched.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            table.row([
                jump.branch.clone(),
                jump.step.to_string(),
                format!("{:+.4}", jump.total),
                terms,
                switched,
                format!("{} each side", jump.window),
            ]);
        }
        out += &indented(&table);
    }
    if !comparison.settings_that_differ.is_empty() {
        out += &format!("\nthe branches differ in: {}\n", comparison.settings_that_differ.join(", "));
    }
    comparison.remarks.iter().for_each(|remark| out += &format!("note: {remark}\n"));
    out
}

fn score_row(branch: &BranchScores, reference: &str) -> Vec<String> {
    let metric = |name: &str| branch.metrics.get(name);
    let share = |name: &str| metric(name).map_or("-".to_owned(), |spread| percent(spread, false));
    let number = |name: &str| metric(name).map_or("-".to_owned(), plain);
    let difference = match &branch.difference {
        Some(difference) => percent(difference, true),
        None if branch.branch == reference => "reference".into(),
        None => "not paired".into(),
    };
    vec![
        branch.branch.clone(),
        share("token_accuracy"),
        share("peptide_precision"),
        share("within_20_ppm"),
        number("mass_error_ppm"),
        number("cross_entropy"),
        difference,
    ]
}

fn percent(spread: &Spread, signed: bool) -> String {
    let mean = if signed { format!("{:+.1}", spread.mean * 100.0) } else { format!("{:.1}", spread.mean * 100.0) };
    spread.deviation.map_or(format!("{mean} %"), |deviation| format!("{mean} ± {:.1} %", deviation * 100.0))
}

fn plain(spread: &Spread) -> String {
    let precision = if spread.mean.abs() >= 100.0 { 0 } else { 3 };
    let mean = format!("{:.precision$}", spread.mean);
    spread.deviation.map_or(mean.clone(), |deviation| format!("{mean} ± {deviation:.precision$}"))
}

fn by_length(branches: &[BranchScores]) -> Table {
    let mut names: Vec<&String> = branches.iter().flat_map(|branch| branch.by_length.keys()).collect();
    names.sort_by_key(|name| name.split(['-', '+']).next().and_then(|start| start.parse::<u32>().ok()));
    names.dedup();
    let heading = ["token accuracy by length".to_owned()].into_iter().chain(names.iter().map(|name| (*name).clone()));
    let mut table = Table::new(heading);
    for branch in branches {
        let cell =
            |name: &&String| branch.by_length.get(*name).map_or("-".to_owned(), |value| format!("{:.1} %", value * 100.0));
        table.row([branch.branch.clone()].into_iter().chain(names.iter().map(cell)));
    }
    table
}

fn indented(table: &Table) -> String {
    table.to_string().lines().map(|line| format!("  {line}\n")).collect()
}
