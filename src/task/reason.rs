//! Why spectra of a file cannot be used, counted: nothing is passed over in silence.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::mgf::Entry;

/// Why a spectrum cannot be used, the gravest first. A spectrum has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    Truncated,
    TooManyPeaks,
    BadPeaks,
    Contradiction,
    NoPrecursor,
    NoCharge,
    UnusableCharge,
    ChargeTooHigh,
    NoLabel,
    EmptyLabel,
    SeveralPeptides,
    UnreadableLabel,
    UnknownResidue,
    UnknownModification,
    ImpossibleModification,
    UndeclaredModification,
    TooShort,
    TooLong,
    PrecursorMismatch,
    TooFewPeaks,
}

impl Reason {
    /// What people read; stable.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Truncated => "no `END IONS`",
            Reason::TooManyPeaks => "more than a million peaks",
            Reason::BadPeaks => "lines that are not peaks",
            Reason::Contradiction => "contradictory headers",
            Reason::NoPrecursor => "no precursor m/z",
            Reason::NoCharge => "no charge",
            Reason::UnusableCharge => "unusable charge",
            Reason::ChargeTooHigh => "charge too high",
            Reason::NoLabel => "no label",
            Reason::EmptyLabel => "empty label",
            Reason::SeveralPeptides => "more than one peptide",
            Reason::UnreadableLabel => "unreadable label",
            Reason::UnknownResidue => "unknown residue",
            Reason::UnknownModification => "unknown modification",
            Reason::ImpossibleModification => "modification in an impossible place",
            Reason::UndeclaredModification => "undeclared modification",
            Reason::TooShort => "peptide too short",
            Reason::TooLong => "peptide too long",
            Reason::PrecursorMismatch => "label does not match the precursor",
            Reason::TooFewPeaks => "too few peaks",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often a reason was met, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub spectra: u64,
    /// Index of the first such spectrum in its file, from 0.
    pub first_index: usize,
    /// Line of its `BEGIN IONS`, from 1.
    pub first_line: usize,
}

/// Unusable spectra by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally {
    pub reasons: BTreeMap<Reason, Counted>,
}

impl Tally {
    pub fn add(&mut self, reason: Reason, entry: &Entry) {
        let first = Counted { spectra: 0, first_index: entry.index, first_line: entry.line };
        self.reasons.entry(reason).or_insert(first).spectra += 1;
    }

    /// Spectra with this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons.get(&reason).map_or(0, |counted| counted.spectra)
    }

    /// All unusable spectra.
    pub fn total(&self) -> u64 {
        self.reasons.values().map(|counted| counted.spectra).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::mgf::Reader;

    #[test]
    fn a_tally_keeps_the_first_example_and_its_form() {
        let text = "BEGIN IONS\nEND IONS\n".repeat(3);
        let entries: Vec<_> = Reader::new(text.as_bytes()).map(|entry| entry.unwrap()).collect();
        let mut tally = Tally::default();
        tally.add(Reason::NoLabel, &entries[1]);
        tally.add(Reason::NoLabel, &entries[2]);
        tally.add(Reason::Truncated, &entries[2]);
        assert_eq!((tally.of(Reason::NoLabel), tally.of(Reason::TooLong), tally.total()), (2, 0, 3));
        let json = serde_json::to_string(&tally).unwrap();
        let expected = r#"{"Truncated":{"spectra":1,"first_index":2,"first_line":5},"NoLabel":{"spectra":2,"first_index":1,"first_line":3}}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
    }
}
