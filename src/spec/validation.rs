//! Validation sets: fixed spectra that every leaf is evaluated on.

use serde::{Deserialize, Serialize};

use super::curriculum::{StageData, check_length};
use super::findings::{Findings, Place};
use super::name::Name;
use super::source::{MgfSet, check_files, check_preprocessing, check_synthetic};
use crate::task::synthetic::Synthetic;

/// A fixed set of spectra.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    pub name: Name,
    pub data: ValidationData,
    /// Most spectra of the set; of a file those with the lowest hash.
    #[serde(default = "default_spectra")]
    pub spectra: u32,
}

/// More spectra in a validation set than this are taken for a slip.
const MOST_SPECTRA: u32 = 1_000_000;

fn default_spectra() -> u32 {
    256
}

/// Where a validation set comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ValidationData {
    /// Drawn by rule from a seed of its own, with noise as a stage has it.
    Synthetic {
        source: Synthetic,
        #[serde(default)]
        noise: StageData,
        #[serde(default)]
        seed: u64,
    },
    /// Held-out peptides of annotated files.
    Mgf(MgfSet),
}

impl Validation {
    pub(super) fn check(&self, at: &Place, findings: &mut Findings) {
        findings.positive(&at.field("spectra"), u64::from(self.spectra), "`spectra`");
        if self.spectra > MOST_SPECTRA {
            let message = format!("{} spectra to evaluate on", self.spectra);
            findings.add(&at.field("spectra"), message, format!("write at most {MOST_SPECTRA}"));
        }
        match &self.data {
            ValidationData::Synthetic { source, noise, .. } => {
                check_synthetic(source, &at.field("data").field("source"), findings);
                noise.check(&at.field("data").field("noise"), findings);
            }
            ValidationData::Mgf(set) => {
                check_files(&set.files, &set.digests, &at.field("data"), findings);
                check_preprocessing(&set.preprocessing, &at.field("data").field("preprocessing"), findings);
                if let Some(length) = &set.length {
                    check_length(length, &at.field("data").field("length"), findings);
                }
            }
        }
    }
}
