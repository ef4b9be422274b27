//! Probes the loss around the edges of stages, on the first spectra of each validation set: while training passes there, and
//! later from the tensors of checkpoints that are kept.

use std::sync::PoisonError;

use super::run::{Job, Shared, Subject};
use super::segment::Trouble;
use crate::history::{Id, PROBE};
use crate::plan::PreparedSet;
use crate::record::{FORMAT, Probe, Probed, Probes};
use crate::spec::Name;

/// Spectra of a set that are looked at: the same ones before and after, so that few are enough.
const SPECTRA: usize = 64;

impl Job<'_> {
    /// Probes a state on the sets that an experiment has; nothing where the state is known on all of them, or where there are
    /// none.
    ///
    /// # Errors
    /// `Err(None)` where it was stopped before the last set.
    pub(super) fn probe(&self, what: &Subject<'_>, shared: &Shared) -> Result<Option<Probe>, Option<Trouble>> {
        let Subject { experiment, id, step, history, state } = *what;
        let sets = self.material.sets.get(experiment).map_or(&[][..], Vec::as_slice);
        let known = |set: &&PreparedSet| {
            !shared.probed.lock().unwrap_or_else(PoisonError::into_inner).contains(&(id, set.digest.clone()))
        };
        let missing: Vec<&PreparedSet> = sets.iter().filter(known).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        // Where a history ends no settings are in force any more: those of its last update are.
        let in_force = step.min(history.end().saturating_sub(1));
        let (root, supervision) = (history.root(), history.at(in_force).supervision);
        let mut probed = Vec::with_capacity(missing.len());
        for set in missing {
            let spectra = &set.spectra[..set.spectra.len().min(SPECTRA)];
            let terms = self.executor.terms(root, supervision, &state.model, spectra, self.stop);
            let mut terms = terms.map_err(|failure| Some(Trouble::Failed(failure)))?.ok_or(None)?;
            terms.retain(|_, value| value.is_finite());
            let (name, digest, spectra) = (set.name.to_string(), set.digest.clone(), spectra.len() as u64);
            probed.push(Probed { set: name, set_digest: digest, spectra, terms });
        }
        let mut all = shared.probed.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(probed.iter().map(|probed| (id, probed.set_digest.clone())));
        Ok(Some(Probe { id, step, sets: probed }))
    }

    /// Probes a state that is a checkpoint, and keeps the probe at once; false where it was stopped.
    pub(super) fn probe_and_keep(&self, what: &Subject<'_>, shared: &Shared) -> Result<bool, Trouble> {
        match self.probe(what, shared) {
            Ok(probe) => self.keep_probes(what.experiment, what.id, probe.into_iter().collect()).map(|()| true),
            Err(None) => Ok(false),
            Err(Some(trouble)) => Err(trouble),
        }
    }

    /// Keeps the probes of the updates up to a checkpoint.
    pub(super) fn keep_probes(&self, experiment: &Name, id: Id, probes: Vec<Probe>) -> Result<(), Trouble> {
        if probes.is_empty() {
            return Ok(());
        }
        let record = Probes { format: FORMAT, version: PROBE, id, probes };
        self.store.save_probes(experiment, &record).map_err(Trouble::Store)
    }
}
