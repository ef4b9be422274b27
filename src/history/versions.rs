//! Versions of the parts of our code whose mathematics a history depends on.
//!
//! Raise a number when what the part computes changes: checkpoints that used it get another name, all others keep theirs.

use serde::{Deserialize, Serialize};

use crate::task::loss::Loss;

/// Version of what evaluations compute; part of an evaluation's key, not of a checkpoint's name.
pub const EVALUATOR: u32 = 1;

/// The current version of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions;

impl Versions {
    /// The recursive network: initial weights, forward pass, dropout masks.
    pub const MODEL: u32 = 1;
    /// Synthetic spectra.
    pub const SYNTHETIC: u32 = 1;
    /// Reading, labelling, preprocessing, splitting and drawing from files.
    pub const FILES: u32 = 1;
    /// Noise laid over spectra.
    pub const NOISE: u32 = 1;
    /// AdamW, clipping, accumulation, running averages.
    pub const OPTIMIZER: u32 = 1;

    pub const fn loss(loss: Loss) -> u32 {
        match loss {
            Loss::CrossEntropy => 1,
            Loss::Spectrum => 1,
            Loss::Precursor => 1,
        }
    }
}
