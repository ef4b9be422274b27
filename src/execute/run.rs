//! Carries a plan out: several segments at once where their starts exist, then the evaluations and probes that are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::board::{Board, Next};
use super::events::{Event, Events};
use super::executor::{Executor, Failure};
use super::segment::{End, Trouble};
use crate::history::{EVALUATOR, History, Id};
use crate::plan::{Footprint, Material, Plan, PreparedSet, Segment, is_out_of_memory};
use crate::record::{Evaluation, FORMAT, Probe, State, Weights};
use crate::spec::Name;
use crate::store::{Found, Inventory, Lock, Store, StoreError, tensors_digest};

/// A plan and everything it is carried out with.
pub struct Job<'a> {
    pub plan: &'a Plan,
    pub store: &'a Store,
    pub executor: &'a dyn Executor,
    pub material: &'a Material,
    /// Metric by which each experiment chooses its best checkpoints.
    pub best: BTreeMap<Name, (Name, String)>,
    /// Checkpoints that other experiments' files fork from: never thinned.
    pub planned_parents: BTreeSet<Id>,
    /// Segments that are trained at once.
    pub jobs: usize,
    /// Asked often: whether to save and stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    pub events: &'a dyn Events,
}

/// How carrying out a plan ended.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    pub steps_trained: u64,
    /// One line for each leaf, evaluation or probe that could not be finished.
    pub failures: Vec<String>,
    pub interrupted: bool,
    /// A damaged checkpoint was put aside: planning again may find another way.
    pub plan_again: bool,
}

/// What the threads share.
pub(super) struct Shared {
    pub found: Mutex<BTreeMap<Id, Found>>,
    pub evaluations: Mutex<BTreeMap<(Id, String), Evaluation>>,
    /// States that have been probed, with the digests of the sets.
    pub probed: Mutex<BTreeSet<(Id, String)>>,
    pub steps: AtomicU64,
}

impl Shared {
    fn new(inventory: Inventory) -> Shared {
        let keyed =
            inventory.evaluations.into_iter().map(|evaluation| ((evaluation.id, evaluation.set_digest.clone()), evaluation));
        let on = |probe: &Probe| probe.sets.iter().map(|probed| (probe.id, probed.set_digest.clone())).collect::<Vec<_>>();
        Shared {
            probed: Mutex::new(inventory.probes.iter().flat_map(on).collect()),
            found: Mutex::new(inventory.checkpoints),
            evaluations: Mutex::new(keyed.collect()),
            steps: AtomicU64::new(0),
        }
    }

    pub fn found(&self, id: Id) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub fn note(&self, found: Found) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(found.manifest.id, found);
    }
}

/// Carries out the plan as far as possible: a leaf that fails does not stop the others.
pub fn run(job: &Job<'_>, inventory: Inventory) -> Outcome {
    let available: Vec<Id> =
        inventory.checkpoints.values().filter(|found| found.has_tensors).map(|found| found.manifest.id).collect();
    let shared = Shared::new(inventory);
    let board = Board::new(job.plan.segments.len(), available);
    let outcome = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..job.jobs.clamp(1, job.plan.segments.len().max(1)) {
            scope.spawn(|| {
                loop {
                    match board.take(&job.plan.segments, &|index| job.claim(index), job.stop) {
                        Next::Train(index, claim) => board.done(job.attempt(index, claim, &shared, &outcome)),
                        Next::Elsewhere(index) => job.events.on(Event::Waiting { segment: &job.plan.segments[index] }),
                        Next::Nothing => return,
                    }
                }
            });
        }
    });
    if !(job.stop)() {
        job.measure_missing(&shared, &outcome);
    }
    let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.steps_trained = shared.steps.load(Ordering::Relaxed);
    outcome.interrupted |= (job.stop)();
    outcome
}

impl Job<'_> {
    /// The lock of a segment; nothing where another process has it.
    fn claim(&self, index: usize) -> Option<Claim> {
        self.store.lock(&lock_name(&self.plan.segments[index])).transpose()
    }

    /// Trains one segment and keeps the books; the name of its end where it was reached.
    fn attempt(&self, index: usize, claim: Claim, shared: &Shared, outcome: &Mutex<Outcome>) -> Option<Id> {
        let segment = &self.plan.segments[index];
        // A panic in one leaf must not take the others with it.
        let result = caught(|| {
            let lock = claim.map_err(Trouble::Store)?;
            self.train(index, &lock, shared)
        });
        let result = result.unwrap_or_else(|failure| Err(Trouble::Failed(failure)));
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(End::Reached) => {
                self.events.on(Event::Finished { segment, index });
                return Some(segment.end());
            }
            Ok(End::Interrupted(step)) => {
                outcome.interrupted = true;
                self.events.on(Event::Interrupted { segment, index, step });
            }
            Err(trouble) => {
                let message = format!("{}: {}", segment.owner, self.explain(trouble, &mut outcome.plan_again));
                let message = self.with_way_out(message, segment);
                self.events.on(Event::Failed { segment, index, message: &message });
                outcome.failures.push(message);
            }
        }
        None
    }

    /// A damaged checkpoint is put aside, so that the next plan goes on from the one before it.
    pub(super) fn explain(&self, trouble: Trouble, plan_again: &mut bool) -> String {
        match trouble {
            Trouble::DamagedStart(found, error) => {
                *plan_again = true;
                if !found.path.exists() {
                    // Another leaf that starts from it was faster.
                    return format!("{error}; it has been put aside");
                }
                match self.store.put_aside(&found.path) {
                    Ok(aside) => format!("{error}; it was put aside as `{}`", self.store.shown(&aside)),
                    Err(other) => {
                        *plan_again = false;
                        format!("{error}; and it cannot be put aside: {other}")
                    }
                }
            }
            Trouble::Store(error @ StoreError::Overtaken { .. }) => {
                *plan_again = true;
                error.to_string()
            }
            other => other.to_string(),
        }
    }

    /// A device whose memory was full gets, before the words it said so in, what the segment needs and what would fit.
    fn with_way_out(&self, message: String, segment: &Segment) -> String {
        if !is_out_of_memory(&message) {
            return message;
        }
        match Footprint::largest([(&segment.history, segment.from)], self.executor.numerics().machine()) {
            Some(footprint) => format!("{}: {}\n{message}", segment.owner, footprint.exhausted()),
            None => message,
        }
    }

    /// Evaluates weights on every set of an experiment that has not seen them, and keeps the records; false where it was
    /// stopped before the last.
    pub(super) fn evaluate(&self, segment: Option<&Segment>, what: &Subject<'_>, shared: &Shared) -> Result<bool, Trouble> {
        let sets = self.material.sets.get(what.experiment).map_or(&[][..], Vec::as_slice);
        let known = |set: &PreparedSet| {
            shared.evaluations.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&(what.id, set.digest.clone()))
        };
        let missing: Vec<&PreparedSet> = sets.iter().filter(|set| !known(set)).collect();
        if missing.is_empty() {
            return Ok(true);
        }
        let (weights, tensors) = match what.state.ema.is_empty() {
            true => (Weights::Raw, &what.state.model),
            false => (Weights::Averaged, &what.state.ema),
        };
        let digest = tensors_digest(tensors).map_err(|message| Trouble::Failed(Failure::Misfit(message)))?;
        for set in missing {
            let scores =
                self.executor.evaluate(what.history.root(), tensors, &set.spectra, self.stop).map_err(Trouble::Failed)?;
            let Some(scores) = scores else { return Ok(false) };
            let evaluation = Evaluation {
                format: FORMAT,
                id: what.id,
                step: what.step,
                weights,
                tensors: digest.clone(),
                set: set.name.to_string(),
                set_digest: set.digest.clone(),
                evaluator: EVALUATOR,
                scores,
            };
            self.store.save_evaluation(what.experiment, &evaluation).map_err(Trouble::Store)?;
            self.events.on(Event::Evaluated { segment, step: what.step, set: &set.name, scores: &evaluation.scores });
            let key = (what.id, set.digest.clone());
            shared.evaluations.lock().unwrap_or_else(PoisonError::into_inner).insert(key, evaluation);
        }
        Ok(true)
    }
}

/// The right to train a segment, or why it cannot be had.
type Claim = Result<Lock, StoreError>;

/// Name of the lock that keeps others from training a segment.
pub(super) fn lock_name(segment: &Segment) -> String {
    segment.end().short()
}

/// A state of which something is measured on an experiment's sets.
pub(super) struct Subject<'a> {
    pub experiment: &'a Name,
    pub id: Id,
    pub step: u64,
    /// A history that goes through the state, or ends in it.
    pub history: &'a History,
    pub state: &'a State,
}

/// Does some training, whose panics become failures: a device may have no other way to say that its memory is full.
pub fn caught<T>(training: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(training)).map_err(|panic| Failure::Device(panic_text(&*panic)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("training panicked: {}", text.unwrap_or_else(|| "no message".into()))
}
