//! Measures what is missing of checkpoints that are kept: from their tensors, without training.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::events::Event;
use super::run::{Job, Outcome, Shared, Subject};
use super::segment::Trouble;
use crate::history::Id;
use crate::plan::Missing;
use crate::spec::Name;

/// A checkpoint whose tensors are read once, whatever is missing of it.
struct Kept<'a> {
    of: &'a Missing,
    evaluate: bool,
    probe: bool,
}

impl Kept<'_> {
    /// What is to be made, as people read it.
    fn words(&self) -> &'static str {
        match (self.evaluate, self.probe) {
            (true, true) => "evaluation and probe",
            (true, false) => "evaluation",
            (false, _) => "probe",
        }
    }
}

impl Job<'_> {
    /// Makes the plan's missing evaluations and probes.
    pub(super) fn measure_missing(&self, shared: &Shared, outcome: &Mutex<Outcome>) {
        let mut by_checkpoint: BTreeMap<(Id, &Name), Kept<'_>> = BTreeMap::new();
        let evaluations = self.plan.evaluations.iter().map(|missing| (missing, true));
        for (missing, evaluate) in evaluations.chain(self.plan.probes.iter().map(|missing| (missing, false))) {
            let new = Kept { of: missing, evaluate: false, probe: false };
            let kept = by_checkpoint.entry((missing.id, &missing.experiment)).or_insert(new);
            kept.evaluate |= evaluate;
            kept.probe |= !evaluate;
        }
        let list: Vec<_> = by_checkpoint.into_values().collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, list.len().max(1)) {
                scope.spawn(|| {
                    while let Some(kept) = list.get(next.fetch_add(1, Ordering::SeqCst)).filter(|_| !(self.stop)()) {
                        if let Err(trouble) = self.measure(kept, shared) {
                            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                            let why = self.explain(trouble, &mut outcome.plan_again);
                            let message = format!("{} of {}@{}: {why}", kept.words(), kept.of.experiment, kept.of.step);
                            self.events.on(Event::Warning(message.clone()));
                            outcome.failures.push(message);
                        }
                    }
                });
            }
        });
    }

    fn measure(&self, kept: &Kept<'_>, shared: &Shared) -> Result<(), Trouble> {
        // Training went on meanwhile, and may have taken the tensors.
        let Some(found) = shared.found(kept.of.id).filter(|found| found.has_tensors) else { return Ok(()) };
        let damaged = |error| Trouble::reading(&found, error);
        let state = self.store.state(&found).map_err(damaged)?;
        let history = self.store.history(&found).map_err(damaged)?;
        let Missing { experiment, id, step, .. } = kept.of;
        let what = Subject { experiment, id: *id, step: *step, history: &history, state: &state };
        if kept.evaluate && !self.evaluate(None, &what, shared)? {
            return Ok(());
        }
        if kept.probe {
            self.probe_and_keep(&what, shared)?;
        }
        Ok(())
    }
}
