//! Begins a segment: the deepest checkpoint there is, what is due there, and all that training goes on with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::events::Event;
use super::executor::{Failure, Start};
use super::run::{Job, Shared, Subject, lock_name};
use super::training::{Begin, Training};
use crate::history::Origin;
use crate::plan::{Material, Owner, Segment};
use crate::record::{Ledger, State};
use crate::store::{Found, Lock, StoreError};

/// How a segment ended without trouble.
#[derive(Debug)]
pub(super) enum End {
    Reached,
    /// Stopped by a signal; the checkpoint at this step is saved.
    Interrupted(u64),
}

/// Why a segment did not reach its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Failed(Failure),
    #[error(transparent)]
    Store(StoreError),
    #[error("{1}")]
    DamagedStart(Box<Found>, StoreError),
}

impl Trouble {
    /// A checkpoint that cannot be read. Only a damaged one may be put aside.
    pub fn reading(found: &Found, error: StoreError) -> Trouble {
        if error.is_damage() { Trouble::DamagedStart(Box::new(found.clone()), error) } else { Trouble::Store(error) }
    }
}

impl Job<'_> {
    /// Trains a segment under its lock.
    pub(super) fn train(&self, index: usize, lock: &Lock, shared: &Shared) -> Result<End, Trouble> {
        let segment = &self.plan.segments[index];
        let folder = self.folder(&segment.owner);
        let (from, start) = self.start(segment, &folder, shared);
        if from == segment.to() {
            return Ok(End::Reached);
        }
        let state = self.state(segment, start.as_ref())?;
        if let Some(state) = &state {
            let what = subject(segment, from, state);
            if segment.evaluate.contains(&from) && !self.evaluate(Some(segment), &what, shared)? {
                return Ok(End::Interrupted(from));
            }
            // Kept at once: whoever else starts here counts on it.
            if segment.probe.contains(&from) && !self.probe_and_keep(&what, shared)? {
                return Ok(End::Interrupted(from));
            }
        }
        let sampler = self.material.samplers.get(&Material::root_id(&segment.history)).cloned();
        let sampler = sampler.ok_or_else(|| Trouble::Failed(Failure::NoSpectrum("the root's source was not made".into())))?;
        for settings in segment.history.settings_from(from) {
            sampler.check(&settings.difficulty).map_err(|message| Trouble::Failed(Failure::NoSpectrum(message)))?;
        }
        let ledger = segment.ledger.then(|| self.first_chain(segment, start.as_ref())).transpose()?;
        let begin = Start { history: &segment.history, step: from, state, sampler, ledger: segment.ledger };
        let trainee = self.executor.start(begin).map_err(Trouble::Failed)?;
        let ledger = ledger.map(|chain| Ledger::new(from, chain, &trainee.traced()));
        let live = self.store.live(&folder, from, &lock_name(segment), lock).map_err(Trouble::Store)?;
        self.events.on(Event::Started { segment, index, from });
        if start.as_ref().is_some_and(|found| found.manifest.numerics != self.executor.numerics()) {
            let text =
                format!("{}: starts from a checkpoint of another machine or build; its bits repeat only there", segment.owner);
            self.events.on(Event::Warning(text));
        }
        Training::new(self, index, shared, Begin { from, start: start.as_ref(), folder, ledger, live }).work(trainee)
    }

    fn folder(&self, owner: &Owner) -> PathBuf {
        match owner {
            Owner::Leaf(key) => self.store.leaf_folder(key),
            Owner::Shared(experiment) => self.store.shared_folder(experiment),
        }
    }

    /// The deepest checkpoint there is now, wherever it was cut: another process may have gone further since the plan was
    /// made.
    fn start(&self, segment: &Segment, folder: &Path, shared: &Shared) -> (u64, Option<Found>) {
        let steps: BTreeSet<u64> = self.store.steps(folder).range(segment.from + 1..=segment.to()).copied().collect();
        let ids = segment.history.ids(steps.iter().copied());
        let mut deepest = None;
        for (step, id) in steps.into_iter().zip(ids) {
            let Some(found) = self.store.find(folder, step, id) else { continue };
            // What grew from something that is not there any more has no history to show.
            if found.manifest.parent.as_ref().is_some_and(|parent| shared.found(parent.id).is_none()) {
                continue;
            }
            let is_new = shared.found(id).is_none();
            shared.note(found.clone());
            if found.has_tensors || step == segment.to() && is_new {
                deepest = Some((step, Some(found)));
            }
        }
        deepest.unwrap_or_else(|| (segment.from, segment.start.and_then(|id| shared.found(id))))
    }

    /// What the first row of a segment's ledger is chained to.
    fn first_chain(&self, segment: &Segment, start: Option<&Found>) -> Result<u64, Trouble> {
        let Some(found) = start else { return Ok(Ledger::first_chain(Material::root_id(&segment.history))) };
        let ledger = self.store.ledger(found).map_err(|error| Trouble::reading(found, error))?;
        Ok(ledger.map_or_else(|| Ledger::first_chain(found.manifest.id), |ledger| ledger.last_chain()))
    }

    /// The state to start from: a checkpoint's, imported weights, or nothing for fresh ones.
    fn state(&self, segment: &Segment, start: Option<&Found>) -> Result<Option<State>, Trouble> {
        if let Some(found) = start {
            let damaged = |error| Trouble::reading(found, error);
            self.store.history(found).map_err(damaged)?;
            return self.store.state(found).map(Some).map_err(damaged);
        }
        match &segment.history.root().origin {
            Origin::Initial => Ok(None),
            Origin::Imported { digest, .. } => {
                let model = self.material.imported.get(digest).cloned();
                let model =
                    model.ok_or_else(|| Trouble::Failed(Failure::Misfit("the imported weights were not read".into())))?;
                Ok(Some(State { model, ..State::default() }))
            }
        }
    }
}

/// A state at a step of a segment, as something is measured of it.
pub(super) fn subject<'a>(segment: &'a Segment, step: u64, state: &'a State) -> Subject<'a> {
    let (experiment, history) = (segment.owner.experiment(), &segment.history);
    Subject { experiment, id: history.ids([step])[0], step, history, state }
}
