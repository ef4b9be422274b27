//! `runner verify`: whether what a run has on disk is what its records claim, and on demand whether it can be trained again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;

use super::context::{Context, Ready};
use super::recorded::{Side, Source, other_batch, other_history};
use super::run::open;
use super::signals::Stop;
use super::{Fault, print, print_json};
use crate::execute::{Executor, retrain};
use crate::history::{History, Id, Origin};
use crate::plan::Material;
use crate::record::{Ledger, MetricsRow, Promise, State};
use crate::report::{self, Spot, Verification, parting};
use crate::spec::InRun;
use crate::store::{Found, StoreError, state_digest};
use crate::task::random::{Purpose, stream};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run by its name or folder
    run: PathBuf,
    /// Draw every batch again and compare it with the ledger's
    #[arg(long)]
    batches: bool,
    /// Train this many random segments again, from checkpoint to checkpoint, and compare bits
    #[arg(long, value_name = "K", default_value_t = 0)]
    spot: usize,
    /// Which segments are chosen
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to train them: `auto`, `cpu`, `cuda` or `cuda:1`
    #[arg(long, default_value = "auto")]
    device: String,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let executor = if args.spot > 0 { Some(open(&args.device)?) } else { None };
    let stop = Stop::listen()?;
    let job = Job {
        context: &context,
        batches: args.batches,
        spots: executor.as_deref().map(|executor| (executor, args.spot, args.seed)),
        stop: &|| stop.asked(),
    };
    let answer = job.verify(&args.run)?;
    match args.json {
        true => print_json(&answer)?,
        false => print(&answer.to_string())?,
    }
    match answer.is_sound() {
        true => Ok(()),
        false => Err(Fault::Unproved(format!("`{}` is not what its records claim", answer.run))),
    }
}

struct Job<'a> {
    context: &'a Context,
    batches: bool,
    /// What trains, how many segments, chosen by which seed.
    spots: Option<(&'a dyn Executor, usize, u64)>,
    stop: &'a dyn Fn() -> bool,
}

/// A checkpoint with what its manifest proves.
struct Proved<'a> {
    found: &'a Found,
    history: History,
    ledger: Option<Ledger>,
}

impl Job<'_> {
    fn verify(&self, run: &Path) -> Result<Verification, Fault> {
        let source = Source::find(self.context, run)?;
        let Source::Run { file, name, store, inventory } = &source else {
            return Err(Fault::Arguments("a saved file alone holds nothing to verify: give the run's folder".into()));
        };
        let side = Side { store, inventory };
        let folder = store.run_folder(name);
        let mut answer = Verification { run: name.to_string(), ..Verification::default() };
        let damaged = inventory.damaged.iter().filter(|(path, _)| path.starts_with(&folder));
        answer.problems.extend(damaged.map(|(path, why)| said(store.shown(path), why)));
        let mut proved = Vec::new();
        for found in with_ancestors(&side, &folder, &mut answer) {
            if (self.stop)() {
                return Err(Fault::Abandoned("a verification"));
            }
            proved.extend(check(&side, found, &mut answer));
        }
        check_evaluations(&side, &folder, &mut answer)?;
        match self.context.ready(file) {
            Ok(ready) => self.with_file(&side, &ready, &proved, &mut answer)?,
            Err(Fault::Files(diagnostics)) => answer.problems.push(format!("the saved file cannot be used:\n{diagnostics}")),
            Err(fault) => return Err(fault),
        }
        Ok(answer)
    }

    /// What needs the saved file: its histories, its data, and training.
    fn with_file(&self, side: &Side, ready: &Ready, proved: &[Proved], answer: &mut Verification) -> Result<(), Fault> {
        for leaf in &ready.resolved().leaves {
            answer.problems.extend(other_history(side.store, side.inventory, leaf)?);
            if !side.inventory.checkpoints.contains_key(&leaf.history.id()) {
                answer.remarks.push(format!("`{}` has not come to step {}", leaf.key.local(), leaf.history.end()));
            }
        }
        if !self.batches && self.spots.is_none() {
            return Ok(());
        }
        let material = self.context.material(ready)?;
        if self.batches {
            answer.batches = Some(draw_again(side, proved, &material, answer));
        }
        if let Some((executor, count, seed)) = self.spots {
            for spot in self.train_again(side, proved, &material, executor, count, seed)? {
                if !spot.equal && spot.promise == Promise::Bits {
                    answer.problems.push(format!("{} was trained again and came to other bits", spot.segment));
                }
                answer.spots.push(spot);
            }
        }
        Ok(())
    }

    fn train_again(
        &self,
        side: &Side,
        proved: &[Proved],
        material: &Material,
        executor: &dyn Executor,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Spot>, Fault> {
        let parent = |found: &Found| found.manifest.parent.as_ref().map(|parent| parent.id);
        let can_start = |piece: &&Proved| match parent(piece.found) {
            Some(id) => side.inventory.checkpoints.get(&id).is_some_and(|parent| parent.has_tensors),
            None => true,
        };
        let mut chosen: Vec<&Proved> = proved.iter().filter(can_start).collect();
        chosen.shuffle(&mut stream(seed, Purpose::Validation, 0, 0));
        let numerics = executor.numerics();
        let mut spots = Vec::new();
        for piece in chosen.into_iter().take(count) {
            let manifest = &piece.found.manifest;
            let (from, state) = start(side, piece, material)?;
            let root = Material::root_id(&piece.history);
            let sampler = material.samplers.get(&root).ok_or_else(|| Fault::World("its data were not made".into()))?;
            let repeated = retrain(executor, &piece.history, from, state, sampler, self.stop);
            let Some(repeated) = repeated.map_err(|failure| Fault::World(failure.to_string()))? else {
                return Err(Fault::Abandoned("a verification"));
            };
            let digest = state_digest(&repeated.state).map_err(Fault::World)?;
            let parting = piece.ledger.as_ref().and_then(|ledger| parting(ledger, &repeated.ledger));
            spots.push(Spot {
                segment: side.store.shown(&piece.found.path),
                from,
                to: manifest.step,
                equal: parting.is_none() && digest == manifest.tensors,
                parting,
                promise: manifest.numerics.promise(&numerics),
            });
        }
        Ok(spots)
    }
}

/// Where a segment starts, and the state there.
fn start(side: &Side, piece: &Proved, material: &Material) -> Result<(u64, Option<State>), Fault> {
    if let Some(parent) = &piece.found.manifest.parent {
        let found = &side.inventory.checkpoints[&parent.id];
        return Ok((parent.step, Some(side.store.state(found)?)));
    }
    let imported = match &piece.history.root().origin {
        Origin::Initial => None,
        Origin::Imported { digest, .. } => {
            let model = material.imported.get(digest).cloned();
            Some(State {
                model: model.ok_or_else(|| Fault::World("imported weights were not read".into()))?,
                ..State::default()
            })
        }
    };
    Ok((piece.history.start(), imported))
}

fn said(place: String, why: impl std::fmt::Display) -> String {
    let why = why.to_string();
    // Errors of the store name the place themselves.
    if why.contains(&place) { why } else { format!("`{place}`: {why}") }
}

/// The checkpoints in a run's folder, and everything they descend from, each once.
fn with_ancestors<'a>(side: &Side<'a>, folder: &Path, answer: &mut Verification) -> Vec<&'a Found> {
    let mut wanted: Vec<Id> = Vec::new();
    let own = side.inventory.checkpoints.values().filter(|found| found.path.starts_with(folder));
    wanted.extend(own.map(|found| found.manifest.id));
    let mut seen: BTreeSet<Id> = wanted.iter().copied().collect();
    let mut all = Vec::new();
    while let Some(id) = wanted.pop() {
        let Some(found) = side.inventory.checkpoints.get(&id) else { continue };
        all.push(found);
        if let Some(parent) = found.manifest.parent.as_ref().filter(|parent| seen.insert(parent.id)) {
            if !side.inventory.checkpoints.contains_key(&parent.id) {
                let text = format!("it began from step {}, {}, which is not there any more", parent.step, parent.id.short());
                answer.problems.push(said(side.store.shown(&found.path), text));
            }
            wanted.push(parent.id);
        }
    }
    all.sort_by_key(|found| (found.manifest.step, found.path.clone()));
    all
}

/// Checks one checkpoint: files, history, lineage, ledger, metrics, tensors.
fn check<'a>(side: &Side, found: &'a Found, answer: &mut Verification) -> Option<Proved<'a>> {
    let place = side.store.shown(&found.path);
    let mut problems = Vec::new();
    let mut note = |error: StoreError| problems.push(error.to_string());
    answer.checkpoints += 1;
    let history = side.store.history(found).map_err(&mut note).ok();
    let rows = side.rows(&[found]).map_err(&mut note).ok();
    let ledger = side.store.ledger(found).map_err(&mut note);
    answer.without_ledger += usize::from(matches!(ledger, Ok(None)));
    let ledger = ledger.ok().flatten();
    let state = match found.has_tensors {
        true => side.store.state(found).map_err(&mut note).ok(),
        false => None,
    };
    answer.with_tensors += usize::from(found.has_tensors);
    answer.updates += ledger.as_ref().map_or(0, |ledger| ledger.to() - ledger.from());
    if let (Some(history), Some(rows)) = (&history, &rows) {
        let segment = segment(side, found, history, rows, ledger.as_ref(), state.as_ref(), &mut problems);
        problems.extend(segment.problems());
    }
    answer.problems.extend(problems.into_iter().map(|problem| said(place.clone(), problem)));
    Some(Proved { found, history: history?, ledger })
}

fn segment<'a>(
    side: &Side,
    found: &Found,
    history: &'a History,
    rows: &'a [MetricsRow],
    ledger: Option<&'a Ledger>,
    state: Option<&'a State>,
    problems: &mut Vec<String>,
) -> report::Segment<'a> {
    let (from, chain) = match &found.manifest.parent {
        None => (history.start(), Some(Ledger::first_chain(Material::root_id(history)))),
        Some(parent) => {
            if history.cut(parent.step).id() != parent.id {
                problems.push("the checkpoint it began from is not on its history".into());
            }
            let known = side.inventory.checkpoints.get(&parent.id);
            if known.is_some_and(|known| known.manifest.tensors != parent.tensors) {
                problems.push(format!("it began from other tensors than step {} has now", parent.step));
            }
            // A damaged one is a problem of its own.
            let before = known.and_then(|known| side.store.ledger(known).ok());
            // Where the parent keeps no ledger, the chain begins anew.
            let chain = before.map(|ledger| ledger.map_or_else(|| Ledger::first_chain(parent.id), |l| l.last_chain()));
            (parent.step, chain)
        }
    };
    report::Segment { from, history, rows, ledger, chain, state }
}

/// Checks a run's evaluations: their names, and that they are of the tensors they say.
fn check_evaluations(side: &Side, folder: &Path, answer: &mut Verification) -> Result<(), Fault> {
    let entries = std::fs::read_dir(folder.join(InRun::Evaluations.name())).into_iter().flatten().filter_map(Result::ok);
    let keys: BTreeSet<String> =
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned())).collect();
    for evaluation in side.inventory.evaluations.iter().filter(|known| keys.contains(&known.key())) {
        answer.evaluations += 1;
        let Some(found) = side.inventory.checkpoints.get(&evaluation.id).filter(|found| found.has_tensors) else { continue };
        let averaged = evaluation.weights == crate::record::Weights::Averaged;
        match side.store.weights_digest(found, averaged) {
            Ok(digest) if digest == evaluation.tensors => {}
            Ok(_) => answer.problems.push(format!(
                "evaluation `{}` on `{}` is of other tensors than `{}` has",
                evaluation.key(),
                evaluation.set,
                side.store.shown(&found.path)
            )),
            Err(error) => answer.problems.push(error.to_string()),
        }
    }
    let known: BTreeSet<String> = side.inventory.evaluations.iter().map(crate::record::Evaluation::key).collect();
    for key in keys.iter().filter(|key| !known.contains(*key)) {
        answer.problems.push(format!("evaluation `{key}.json` is not what its name says, or of another evaluator"));
    }
    Ok(())
}

/// Draws every recorded batch again; how many.
fn draw_again(side: &Side, proved: &[Proved], material: &Material, answer: &mut Verification) -> u64 {
    let mut drawn = 0;
    for piece in proved {
        let Some(ledger) = &piece.ledger else { continue };
        drawn += ledger.to() - ledger.from();
        if let Some(step) = other_batch(ledger, &piece.history, material) {
            let text =
                format!("the batch of step {step} is not the one that is drawn now: data, or the code that draws, changed");
            answer.problems.push(said(side.store.shown(&piece.found.path), text));
        }
    }
    drawn
}

/// Verifies a run with a given executor for the spots: what `runner verify` does, for tests.
///
/// # Errors
/// The message a person would read.
pub fn verify_with(directory: &Path, run: &Path, executor: &dyn Executor, spots: usize) -> Result<Verification, String> {
    let context = Context::open(Some(directory)).map_err(Fault::into_text)?;
    let job = Job { context: &context, batches: true, spots: Some((executor, spots, 1)), stop: &|| false };
    job.verify(run).map_err(Fault::into_text)
}
