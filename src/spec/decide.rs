//! The rule by which an experiment is decided, written down before anything is trained.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::findings::{Findings, Place};

/// What decides between the branches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// `set/metric`: the validation set and the metric on it.
    pub metric: String,
    /// The smallest difference to the reference that matters, in the metric's own unit: a share, so 0.01 is 1 of 100.
    pub at_least: f64,
}

impl Decide {
    /// The validation set and the metric.
    pub fn parts(&self) -> (&str, &str) {
        self.metric.split_once('/').unwrap_or((&self.metric, ""))
    }

    /// Reports every rule the decision breaks on its own.
    pub(super) fn check(&self, branches: usize, at: &Place, findings: &mut Findings) {
        if !(self.at_least > 0.0 && self.at_least <= 1.0) {
            findings.add(
                &at.field("at_least"),
                format!("`at_least` is {}", self.at_least),
                "write the smallest difference that matters, above 0 and up to 1: `0.01` is 1 of 100",
            );
        }
        if branches < 2 {
            findings.add(at, "`decide` stands where there is one branch", "leave it out: there is nothing to decide between");
        }
    }
}

/// As it is said in a conclusion: `hard/peptide_precision, at least 0.01`.
impl fmt::Display for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at least {}", self.metric, self.at_least)
    }
}
