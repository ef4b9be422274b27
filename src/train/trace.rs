//! Notes the bits of every update for the ledger.
//!
//! On the CPU every tensor's gradient and value is digested at every step, where it lies in memory. On a GPU that would wait
//! for each step: there the terms are gathered on the device and read when the log is, and tensors are digested with
//! checkpoints.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::device::{Backend, Place};
use super::layout::{Layout, read_vector};
use crate::execute::Failure;
use crate::history::At;
use crate::record::Entry;
use crate::task::loss::Loss;

/// Entries that have not been asked for yet.
pub struct Trace {
    digests_tensors: bool,
    entries: Vec<Entry>,
    /// Terms and norm of the last entries, still on the device.
    waiting: Vec<Tensor<1>>,
}

impl Trace {
    pub fn new(place: &Place) -> Trace {
        Trace { digests_tensors: place.backend == Backend::Flex, entries: vec![], waiting: vec![] }
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

    /// Notes an update. `measured` are its terms, in the order of the losses, and the gradient's norm.
    pub fn note(&mut self, at: &At, batch: u64, measured: Tensor<1>, gradients: Vec<u64>, values: Vec<u64>) {
        let terms = at.weights.keys().map(|&loss| (loss, 0.0)).collect();
        let (rate, weights) = (at.rate, at.weights.clone());
        self.entries.push(Entry { step: at.step, batch, rate, weights, terms, gradients, gradient_norm: 0.0, values });
        self.waiting.push(measured);
    }

    /// The entries since this was last asked, with one reading from the device.
    pub fn take(&mut self) -> Result<Vec<Entry>, Failure> {
        let mut entries = std::mem::take(&mut self.entries);
        if entries.is_empty() {
            return Ok(entries);
        }
        let values = read_vector(Tensor::cat(std::mem::take(&mut self.waiting), 0))?;
        let mut values = values.into_iter();
        for entry in &mut entries {
            let losses: Vec<Loss> = entry.terms.keys().copied().collect();
            entry.terms = losses.into_iter().zip(values.by_ref()).collect::<BTreeMap<_, _>>();
            entry.gradient_norm = values.next().unwrap_or(f32::NAN);
        }
        Ok(entries)
    }
}
