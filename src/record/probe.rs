//! Probes: what the terms of the loss are on fixed spectra around the edges of stages, whatever their weights are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::Id;
use crate::task::loss::Loss;

/// `probes/<key>.json`: the probes of the updates between two checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    pub format: u32,
    /// Version of what a probe measures.
    pub version: u32,
    /// Name of the checkpoint up to which these probes were made.
    pub id: Id,
    pub probes: Vec<Probe>,
}

/// The terms of one state on the first spectra of each validation set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Name of the state, whether or not it was saved.
    pub id: Id,
    pub step: u64,
    pub sets: Vec<Probed>,
}

/// Raw terms on a part of one set, of the weights as the optimizer left them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// Name of the set in the experiment that made the record; for people.
    pub set: String,
    pub set_digest: String,
    /// How many of the set's spectra, counted from its first.
    pub spectra: u64,
    /// Every loss that could be computed, whether or not it was trained; what is not finite is left out.
    pub terms: BTreeMap<Loss, f64>,
}

impl Probes {
    /// The record's name: which updates, on which sets, by what.
    pub fn key(&self) -> String {
        let mut text = format!("{}:{}", self.id, self.version);
        for probe in &self.probes {
            text.push_str(&format!(";{}", probe.step));
            probe.sets.iter().for_each(|probed| text.push_str(&format!(":{}:{}", probed.set_digest, probed.spectra)));
        }
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }
}

impl Probe {
    /// What was measured on a set.
    pub fn on(&self, digest: &str) -> Option<&Probed> {
        self.sets.iter().find(|probed| probed.set_digest == digest)
    }
}
