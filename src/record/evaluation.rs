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
    /// How each spectrum was answered; none in records of before this was written down.
    #[serde(default, skip_serializing_if = "Outcomes::is_empty")]
    pub outcomes: Outcomes,
}

/// How the spectra of a set were answered, in the set's order. Written as one line: the number of right residues of each
/// spectrum, and a `+` where the whole peptide is right: `8+ 3 0 10+`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Outcomes(pub Vec<Outcome>);

/// How one spectrum was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Residues that match (Casanovo's rule).
    pub right: u16,
    /// Whether all of the peptide matches.
    pub full: bool,
}

impl Evaluation {
    /// The record's name: what was evaluated, on what, by what.
    pub fn key(&self) -> String {
        let text = format!("{}:{}:{:?}:{}", self.tensors, self.set_digest, self.weights, self.evaluator);
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }
}

impl Scores {
    /// Whether two scores say the same, as far as both say it: older records say nothing of single spectra.
    pub fn agrees(&self, other: &Scores) -> bool {
        let both_say = !self.outcomes.is_empty() && !other.outcomes.is_empty();
        let same = (self.cross_entropy, &self.summary) == (other.cross_entropy, &other.summary);
        same && (!both_say || self.outcomes == other.outcomes)
    }
}

/// Right residues, and whether the whole peptide is right, as the counting of metrics gives them.
impl From<(u64, bool)> for Outcome {
    fn from((right, full): (u64, bool)) -> Outcome {
        Outcome { right: u16::try_from(right).unwrap_or(u16::MAX), full }
    }
}

impl Outcomes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Outcome> for Outcomes {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Outcomes {
        Outcomes(outcomes.into_iter().collect())
    }
}

impl From<Outcomes> for String {
    fn from(outcomes: Outcomes) -> String {
        let word = |outcome: &Outcome| format!("{}{}", outcome.right, if outcome.full { "+" } else { "" });
        outcomes.0.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

impl TryFrom<String> for Outcomes {
    type Error = String;

    fn try_from(text: String) -> Result<Outcomes, String> {
        text.split_whitespace().map(outcome).collect()
    }
}

fn outcome(word: &str) -> Result<Outcome, String> {
    let (digits, full) = word.strip_suffix('+').map_or((word, false), |digits| (digits, true));
    let right: Result<u16, _> = digits.parse();
    right.map(|right| Outcome { right, full }).map_err(|_| format!("`{}` is no outcome of a spectrum", word.escape_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::metrics::Counts;

    fn scores(outcomes: &str) -> Scores {
        let outcomes = Outcomes::try_from(outcomes.to_owned()).unwrap();
        Scores { cross_entropy: 1.0, summary: Counts::default().summary(), outcomes }
    }

    #[test]
    fn outcomes_are_one_line_and_read_back() {
        let found = scores("8+ 3 0 10+");
        assert_eq!(found.outcomes.0[0], Outcome { right: 8, full: true });
        assert_eq!(found.outcomes.0[1], Outcome { right: 3, full: false });
        let json = serde_json::to_string(&found).unwrap();
        assert!(json.ends_with(r#""outcomes":"8+ 3 0 10+"}"#), "{json}");
        assert_eq!(serde_json::from_str::<Scores>(&json).unwrap(), found);
        assert!(Outcomes::try_from("8 x".to_owned()).unwrap_err().contains("`x`"));
    }

    #[test]
    fn records_without_outcomes_still_read_and_agree() {
        let old = scores("");
        let json = serde_json::to_string(&old).unwrap();
        assert!(!json.contains("outcomes"), "{json}");
        assert_eq!(serde_json::from_str::<Scores>(&json).unwrap(), old);
        assert!(old.agrees(&scores("1 2")) && scores("1 2").agrees(&old) && scores("1").agrees(&scores("1")));
        assert!(!scores("1 2").agrees(&scores("1 3")));
    }
}
