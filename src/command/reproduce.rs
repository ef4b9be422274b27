//! `runner reproduce`: trains a run's histories again elsewhere, and says whether they came to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::{Context, Ready};
use super::diagnostics::Diagnostics;
use super::progress::{Progress, Stages};
use super::recorded::{Side, Source, changed_data};
use super::run::{Work, default_jobs, open};
use super::signals::Stop;
use super::{Fault, note, print, print_json};
use crate::execute::{Events, Executor, Outcome};
use crate::history::Change;
use crate::plan::{Existing, Plan};
use crate::record::RunRecord;
use crate::report::{Evidence, LeafEnds, Repeated, Reproduction, Verdict, judge, parting, relative, rows_parting, worst};
use crate::store::{RealDisk, Store};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run by its name or folder, or the file saved in it
    run: PathBuf,
    /// Folder to train in; it stays [default: `runs/.reproduced/<run>`, removed where the run is identical]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Where to train: `auto`, `cpu`, `cuda` or `cuda:1`
    #[arg(long, default_value = "auto")]
    device: String,
    /// Segments trained at once [default: one for each core on a CPU, one on a GPU]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Largest relative difference of a logged term of the loss, or of an evaluation's cross-entropy, that counts as `within`;
    /// only where machine or build are not the recorded ones
    #[arg(long, value_name = "SHARE", default_value_t = WITHIN)]
    within: f64,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

const WITHIN: f64 = 0.01;

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    Source::find(&context, &args.run)?;
    let executor = open(&args.device)?;
    let stop = Stop::listen()?;
    let progress = Progress::new(Stages::default());
    let job = Repeat {
        context: &context,
        run: &args.run,
        into: args.into.as_deref(),
        executor: &*executor,
        jobs: args.jobs.unwrap_or_else(|| default_jobs(&executor.numerics())),
        within: args.within,
        stop: &|| stop.asked(),
        events: &progress,
    };
    let answer = job.carry_out()?;
    match args.json {
        true => print_json(&answer)?,
        false => print(&answer.to_string())?,
    }
    match answer.verdict {
        Verdict::Differs => Err(Fault::Unproved(format!("`{}` was not reproduced", answer.evidence.run))),
        Verdict::Identical | Verdict::Within => Ok(()),
    }
}

/// A run to be trained again.
struct Repeat<'a> {
    context: &'a Context,
    run: &'a Path,
    into: Option<&'a Path>,
    executor: &'a dyn Executor,
    jobs: usize,
    within: f64,
    stop: &'a (dyn Fn() -> bool + Sync),
    events: &'a dyn Events,
}

impl Repeat<'_> {
    fn carry_out(&self) -> Result<Reproduction, Fault> {
        let source = Source::find(self.context, self.run)?;
        let ready = match self.context.ready(source.file()) {
            Ok(ready) => ready,
            Err(Fault::Files(diagnostics)) => return self.without_data(&source, diagnostics),
            Err(fault) => return Err(fault),
        };
        let contradictions = source.contradictions(&ready)?;
        if !contradictions.is_empty() {
            let evidence = Evidence { run: ready.name.to_string(), contradictions, ..Evidence::default() };
            return Ok(judge(evidence, self.within));
        }
        let folder = match self.into {
            Some(folder) => folder.join("runs"),
            None => self.context.store.root().join(".reproduced").join(ready.name.as_str()),
        };
        let target = Context {
            project: self.context.project.clone(),
            store: Store::new(std::path::absolute(&folder).unwrap_or(folder), Arc::new(RealDisk)),
            versions: self.context.versions.clone(),
            from_recorded: false,
            believes: false,
        };
        let work = Work {
            context: &target,
            ready: &ready,
            executor: self.executor,
            jobs: self.jobs,
            stop: self.stop,
            events: self.events,
        };
        let outcome = work.carry_out()?;
        if outcome.interrupted {
            return Err(Fault::Interrupted);
        }
        let answer = judge(evidence(&source, &target.store, &ready, outcome)?, self.within);
        if answer.verdict == Verdict::Identical && self.into.is_none() {
            // Nothing of it is new. What cannot be removed is no reason to hide the answer.
            if let Err(error) = target.store.remove_all() {
                note(&format!("warning: {error}"));
            }
        }
        Ok(answer)
    }

    /// The file names data that are not the recorded ones any more: the first batch that would differ is found without
    /// training.
    fn without_data(&self, source: &Source, diagnostics: Box<Diagnostics>) -> Result<Reproduction, Fault> {
        let Some((run, contradictions)) = changed_data(self.context, source)? else { return Err(Fault::Files(diagnostics)) };
        Ok(judge(Evidence { run, contradictions, ..Evidence::default() }, self.within))
    }
}

/// Compares what was recorded with what has been trained.
fn evidence(source: &Source, target: &Store, ready: &Ready, outcome: Outcome) -> Result<Evidence, Fault> {
    let inventory = target.inventory();
    let repeated = Side { store: target, inventory: &inventory };
    let mut evidence = Evidence { run: ready.name.to_string(), remarks: outcome.failures, ..Evidence::default() };
    evidence.leaves = source.ends(ready).into_iter().map(|end| repeated.leaf_ends(end)).collect();
    if let Source::Run { store, inventory, .. } = source {
        let recorded = Side { store, inventory };
        compare_stretches(&recorded, &repeated, ready, &mut evidence)?;
        compare_evaluations(&recorded, &repeated, ready, &mut evidence);
        let record = |store: &Store| store.run_record(&ready.name).ok().flatten();
        evidence.provenance = provenance_changes(record(store), record(target));
    } else {
        evidence.stretches = source.numerics_only(ready, &inventory);
    }
    Ok(evidence)
}

/// Compares each stretch of the tree once, whoever shares it.
fn compare_stretches(recorded: &Side, repeated: &Side, ready: &Ready, evidence: &mut Evidence) -> Result<(), Fault> {
    let plan = Plan::new(&ready.resolution.experiments, &ready.name, &Existing::default(), &BTreeMap::new());
    for (index, node) in plan.tree.nodes.iter().enumerate() {
        let history = plan.members[node.first].history.cut(node.step);
        let (a, b) = (recorded.pieces(&history, node.from)?, repeated.pieces(&history, node.from)?);
        let (Some(last), Some(other)) = (a.last(), b.last()) else { continue };
        let name = plan.owners[index].to_string();
        let (before, now) = (&last.manifest.numerics, &other.manifest.numerics);
        let (numerics, promise) = (differences(&before.named(), &now.named()), before.promise(now));
        let (rows, other_rows) = (recorded.rows(&a)?, repeated.rows(&b)?);
        let (mut updates, mut found) = (0, None);
        let mut ledgers = 0;
        // Both sides may have been cut at other steps: pieces that overlap are compared.
        for piece in &a {
            let Some(ledger) = recorded.store.ledger(piece)? else { continue };
            for other in b.iter().filter(|other| overlaps(&ledger, other)) {
                let Some(other) = repeated.store.ledger(other)? else { continue };
                ledgers += 1;
                updates += ledger.to().min(other.to()) - ledger.from().max(other.from());
                found = found.or_else(|| parting(&ledger, &other));
            }
        }
        if ledgers == 0 {
            updates = rows.len() as u64;
            found = rows_parting(&rows, &other_rows);
        }
        let larger = worst(&name, &rows, &other_rows);
        evidence.worst = [evidence.worst.take(), larger].into_iter().flatten().max_by(|a, b| a.relative.total_cmp(&b.relative));
        evidence.stretches.push(Repeated { name, updates, parting: found, numerics, promise });
    }
    Ok(())
}

fn overlaps(ledger: &crate::record::Ledger, other: &crate::store::Found) -> bool {
    let from = other.manifest.parent.as_ref().map_or(0, |parent| parent.step);
    from < ledger.to() && ledger.from() < other.manifest.step
}

fn compare_evaluations(recorded: &Side, repeated: &Side, ready: &Ready, evidence: &mut Evidence) {
    let mut ids = BTreeSet::new();
    for leaf in &ready.resolved().leaves {
        let steps: BTreeSet<u64> = recorded.inventory.evaluations.iter().map(|found| found.step).collect();
        ids.extend(leaf.history.ids(steps.into_iter().filter(|&step| step <= leaf.history.end())));
    }
    for known in recorded.inventory.evaluations.iter().filter(|known| ids.contains(&known.id)) {
        let same = |other: &&crate::record::Evaluation| {
            (other.id, &other.set_digest, other.weights) == (known.id, &known.set_digest, known.weights)
        };
        let Some(other) = repeated.inventory.evaluations.iter().find(same) else { continue };
        evidence.evaluations += 1;
        if other.scores.agrees(&known.scores) && other.tensors == known.tensors {
            continue;
        }
        let name = format!("{} at step {} ({})", known.set, known.step, known.id.short());
        let difference = relative(known.scores.cross_entropy, other.scores.cross_entropy);
        if evidence.worst.as_ref().is_none_or(|worst| worst.relative < difference) {
            evidence.worst = Some(crate::report::Worst { relative: difference, place: format!("cross-entropy on {name}") });
        }
        evidence.other_evaluations.push(name);
    }
}

/// In what the last attempts of two runs differ, the times left out.
fn provenance_changes(recorded: Option<RunRecord>, repeated: Option<RunRecord>) -> Vec<Change> {
    let last = |record: Option<RunRecord>| record.and_then(|record| record.attempts.into_iter().next_back());
    let (Some(recorded), Some(repeated)) = (last(recorded), last(repeated)) else { return vec![] };
    differences(&recorded.provenance, &repeated.provenance)
}

/// The entries of two maps that differ.
pub(super) fn differences(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let value = |map: &BTreeMap<String, String>, name: &String| map.get(name).cloned().unwrap_or_else(|| "not recorded".into());
    let pairs = names.into_iter().map(|name| Change { setting: name.clone(), from: value(a, name), to: value(b, name) });
    pairs.filter(|change| change.from != change.to).collect()
}

impl Side<'_> {
    /// What a leaf that was recorded came to here.
    fn leaf_ends(&self, end: super::recorded::End) -> LeafEnds {
        let repeated = self.inventory.checkpoints.get(&end.id).map(|found| found.manifest.tensors.clone());
        LeafEnds { leaf: end.leaf, step: end.step, recorded: end.tensors, repeated }
    }
}

/// Reproduces a run with a given executor: what `runner reproduce` does, for tests.
///
/// # Errors
/// The message a person would read.
pub fn reproduce_with(
    directory: &Path,
    run: &Path,
    into: Option<&Path>,
    executor: &dyn Executor,
    events: &dyn Events,
) -> Result<Reproduction, String> {
    let context = Context::open(Some(directory)).map_err(Fault::into_text)?;
    let job = Repeat { context: &context, run, into, executor, jobs: 1, within: WITHIN, stop: &|| false, events };
    job.carry_out().map_err(Fault::into_text)
}
