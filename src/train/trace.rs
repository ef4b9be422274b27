//! Notes the bits of every update for the ledger.
//!
//! On the CPU every tensor's gradient and value is digested at every step, where it lies in memory. On a GPU that would wait
//! for each step: there the terms are gathered on the device and read when the log is, and tensors are digested with
//! checkpoints.

use super::device::{Backend, Place};
use super::layout::Layout;
use crate::history::At;
use crate::record::Entry;

/// Entries that have not been asked for yet.
pub struct Trace {
    digests_tensors: bool,
    entries: Vec<Entry>,
    /// Terms, in the order of the losses, and norm of each entry, one after the other.
    measured: Vec<f32>,
}

impl Trace {
    pub fn new(place: &Place) -> Trace {
        Trace { digests_tensors: place.backend == Backend::Flex, entries: vec![], measured: vec![] }
    }

    /// Paths of the tensors that every entry digests.
    pub fn tensors(&self, layout: &Layout) -> Vec<String> {
        let all = layout.parameters().iter().filter(|_| self.digests_tensors);
        all.map(|parameter| parameter.path.clone()).collect()
    }

    /// Whether tensors are digested at every step.
    pub fn digests_tensors(&self) -> bool {
        self.digests_tensors
    }

    /// Takes what was measured at updates: their terms, in the order of the losses, and the gradient's norm.
    pub fn measured(&mut self, values: &[f32]) {
        self.measured.extend(values);
    }

    /// Notes an update; what is measured at it comes by [`Trace::measured`], before or after.
    pub fn note(&mut self, at: &At, batch: u64, gradients: Vec<u64>, values: Vec<u64>) {
        let terms = at.weights.keys().map(|&loss| (loss, 0.0)).collect();
        let (rate, weights) = (at.rate, at.weights.clone());
        self.entries.push(Entry { step: at.step, batch, rate, weights, terms, gradients, gradient_norm: 0.0, values });
    }

    /// The entries since this was last asked; all that was measured at them is here.
    pub fn take(&mut self) -> Vec<Entry> {
        let mut values = std::mem::take(&mut self.measured).into_iter();
        let mut entries = std::mem::take(&mut self.entries);
        for entry in &mut entries {
            entry.terms.values_mut().zip(values.by_ref()).for_each(|(term, value)| *term = value);
            entry.gradient_norm = values.next().unwrap_or(f32::NAN);
        }
        entries
    }
}
