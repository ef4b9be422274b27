//! Where an experiment starts: fresh weights, a checkpoint of another experiment, or weights from a file.

use serde::{Deserialize, Serialize};

use super::findings::{Findings, Place};
use super::reference::Reference;
use super::source::Source;
use super::training::{Model, Training};

/// Where training starts. Only a root names a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Parent {
    /// Fresh weights.
    Scratch(Scratch),
    /// A checkpoint of another experiment: `"experiment/branch#seed@step"`.
    Checkpoint(Reference),
    /// Weights from a file; optimizer and running average start afresh.
    Imported(Imported),
}

/// A root with fresh weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scratch {
    /// Keys every random number. Left out together with `seeds` at the top level.
    #[serde(default)]
    pub seed: Option<u64>,
    pub model: Model,
    pub data: Source,
    pub training: Training,
}

/// A root whose weights come from a safetensors file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Path of the safetensors file, relative to the folder that holds `experiments/`.
    pub file: String,
    /// blake3 of the tensors in hexadecimal; written into saved files.
    #[serde(default)]
    pub digest: Option<String>,
    /// Absolute step the weights are taken to be at.
    pub step: u64,
    #[serde(default)]
    pub seed: Option<u64>,
    pub model: Model,
    pub data: Source,
    pub training: Training,
}

impl Parent {
    pub(super) fn check(&self, at: &Place, findings: &mut Findings) {
        let (model, data, training) = match self {
            Parent::Scratch(root) => (&root.model, &root.data, &root.training),
            Parent::Imported(root) => (&root.model, &root.data, &root.training),
            Parent::Checkpoint(_) => return,
        };
        model.check(&at.field("model"), findings);
        data.check(&at.field("data"), findings);
        training.check(&at.field("training"), findings);
    }
}
