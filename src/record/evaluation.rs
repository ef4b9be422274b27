//! Evaluations: what weights scored on a fixed set.

use serde::{Deserialize, Serialize};

use crate::history::Id;
use crate::task::metrics::Summary;

/// Which weights were evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// As the optimizer left them.
    Raw,
    /// Their running average.
    Averaged,
}

/// `evaluations/<key>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub format: u32,
    /// Name of the checkpoint whose weights these are, whether or not it was saved.
    pub id: Id,
    pub step: u64,
    pub weights: Weights,
    /// Digest of the evaluated tensors.
    pub tensors: String,
    /// Name of the set in the experiment that made the record; for people.
    pub set: String,
    /// Digest of the set's spectra.
    pub set_digest: String,
    pub evaluator: u32,
    pub scores: Scores,
}

/// What weights scored on a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean cross-entropy of the last supervised pass, nats a token (true tokens and end tokens).
    pub cross_entropy: f64,
    pub summary: Summary,
}

impl Evaluation {
    /// The record's name: what was evaluated, on what, by what.
    pub fn key(&self) -> String {
        let text = format!("{}:{}:{:?}:{}", self.tensors, self.set_digest, self.weights, self.evaluator);
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }
}
