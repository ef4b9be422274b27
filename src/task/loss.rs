//! The terms of the training loss, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A term of the loss. The names are those of the RON files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Loss {
    /// Deep-supervised cross-entropy of the tokens.
    CrossEntropy,
    /// 1 minus the share of the spectrum's intensity that the expected b and y ions explain.
    Spectrum,
    /// Smooth L1 distance of the expected peptide mass from the precursor's, in units of 110 Da.
    Precursor,
}

impl Loss {
    pub const ALL: [Loss; 3] = [Loss::CrossEntropy, Loss::Spectrum, Loss::Precursor];

    pub fn name(self) -> &'static str {
        match self {
            Loss::CrossEntropy => "CrossEntropy",
            Loss::Spectrum => "Spectrum",
            Loss::Precursor => "Precursor",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
