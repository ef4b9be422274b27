//! How right predicted peptides are: counts over a set of spectra and the figures made of them.

use serde::{Deserialize, Serialize};

use super::residue_match::{aa_match, until_end};
use super::tokens::{Token, Vocabulary};

/// A mass error within this is a hit, parts per million.
const MASS_HIT_PPM: f64 = 20.0;

/// Length buckets by the true peptide's residues: name and longest.
const BUCKETS: [(&str, usize); 5] = [("1-6", 6), ("7-10", 10), ("11-14", 14), ("15-18", 18), ("19+", usize::MAX)];

/// The answer to one spectrum and what it should have been.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Tokens as the model wrote them; the first end token ends the peptide.
    pub predicted: &'a [Token],
    /// The true peptide, without end token.
    pub truth: &'a [Token],
    /// Measured neutral mass of the precursor, Da.
    pub neutral_mass: f64,
    /// How sure the model is, where it says so; numbers that are not finite count as not said.
    pub score: Option<f64>,
}

/// Metrics by which checkpoints can be chosen and leaves compared, higher is better: shares of [`Figures`].
pub const NAMES: [&str; 6] =
    ["token_accuracy", "peptide_precision", "residue_precision", "residue_recall", "length_accuracy", "within_20_ppm"];

impl Figures {
    /// The figure of that name, one of [`NAMES`].
    pub fn named(&self, name: &str) -> Option<f64> {
        Some(match name {
            "token_accuracy" => self.token_accuracy,
            "peptide_precision" => self.peptide_precision,
            "residue_precision" => self.residue_precision,
            "residue_recall" => self.residue_recall,
            "length_accuracy" => self.length_accuracy,
            "within_20_ppm" => self.within_20_ppm,
            _ => return None,
        })
    }
}

/// Running counts over answers, in the order given.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    all: Group,
    by_length: [Group; BUCKETS.len()],
}

/// Figures over a set of spectra. Shares are 0 where there is nothing to share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub all: Figures,
    /// One for each length bucket, also where it is empty.
    pub by_length: Vec<Bucket>,
}

/// Figures of the spectra whose true peptide has so many residues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// `7-10`, `19+`.
    pub residues: String,
    pub figures: Figures,
}

/// What is said about a group of spectra. "Tokens" are residues and N-terminal modifications.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub spectra: u64,
    /// True tokens the model has at the very same place (I = L); places it does not have are wrong.
    pub token_accuracy: f64,
    /// Matches (Casanovo's rule) by predicted tokens.
    pub residue_precision: f64,
    /// Matches by true tokens.
    pub residue_recall: f64,
    /// Spectra whose tokens all match.
    pub peptide_precision: f64,
    /// Spectra whose predicted peptide has the right number of tokens.
    pub length_accuracy: f64,
    /// Median of (predicted mass - measured mass) / measured mass, parts per million; of two middle values the mean.
    pub mass_error_ppm: Option<f64>,
    /// Spectra whose predicted peptide weighs within 20 ppm of the measured mass.
    pub within_20_ppm: f64,
    /// Mean of the scores that were said.
    pub mean_score: Option<f64>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    spectra: u64,
    predicted: u64,
    truth: u64,
    matched: u64,
    equal: u64,
    full: u64,
    right_length: u64,
    errors_ppm: Vec<f64>,
    scores: Vec<f64>,
}

/// What one answer adds to its groups.
struct Judged {
    predicted: u64,
    truth: u64,
    matched: u64,
    equal: u64,
    full: bool,
    error_ppm: f64,
    score: Option<f64>,
}

impl Counts {
    /// Adds an answer, and gives its right residues and whether the whole peptide is right.
    pub fn add(&mut self, vocabulary: &Vocabulary, answer: Answer<'_>) -> (u64, bool) {
        let judged = judge(vocabulary, answer);
        let residues = answer.truth.iter().filter(|token| residue(vocabulary, **token).is_some()).count();
        let bucket = BUCKETS.iter().position(|(_, longest)| residues <= *longest).unwrap_or(BUCKETS.len() - 1);
        self.all.add(&judged);
        self.by_length[bucket].add(&judged);
        (judged.matched, judged.full)
    }

    pub fn summary(&self) -> Summary {
        let bucket =
            |((name, _), group): (&(&str, usize), &Group)| Bucket { residues: (*name).to_string(), figures: group.figures() };
        Summary { all: self.all.figures(), by_length: BUCKETS.iter().zip(&self.by_length).map(bucket).collect() }
    }
}

fn judge(vocabulary: &Vocabulary, answer: Answer<'_>) -> Judged {
    let predicted = until_end(answer.predicted);
    let matches = aa_match(vocabulary, predicted, answer.truth);
    let equal = predicted.iter().zip(answer.truth).filter(|(a, b)| joined(vocabulary, **a) == joined(vocabulary, **b));
    let known: Vec<Token> = predicted.iter().copied().filter(|token| usize::from(*token) < vocabulary.len()).collect();
    Judged {
        predicted: predicted.len() as u64,
        truth: answer.truth.len() as u64,
        matched: matches.iter().filter(|matched| **matched).count() as u64,
        equal: equal.count() as u64,
        full: !matches.is_empty() && matches.iter().all(|matched| *matched),
        error_ppm: (vocabulary.peptide_mass(&known) / answer.neutral_mass - 1.0) * 1e6,
        score: answer.score.filter(|score| score.is_finite()),
    }
}

impl Group {
    fn add(&mut self, judged: &Judged) {
        self.spectra += 1;
        self.predicted += judged.predicted;
        self.truth += judged.truth;
        self.matched += judged.matched;
        self.equal += judged.equal;
        self.full += u64::from(judged.full);
        self.right_length += u64::from(judged.predicted == judged.truth);
        self.errors_ppm.push(judged.error_ppm);
        self.scores.extend(judged.score);
    }

    fn figures(&self) -> Figures {
        let near = self.errors_ppm.iter().filter(|error| error.abs() <= MASS_HIT_PPM).count() as u64;
        Figures {
            spectra: self.spectra,
            token_accuracy: share(self.equal, self.truth),
            residue_precision: share(self.matched, self.predicted),
            residue_recall: share(self.matched, self.truth),
            peptide_precision: share(self.full, self.spectra),
            length_accuracy: share(self.right_length, self.spectra),
            mass_error_ppm: median(&self.errors_ppm),
            within_20_ppm: share(near, self.spectra),
            mean_score: mean(&self.scores),
        }
    }
}

/// The token, with I given as L.
pub(super) fn joined(vocabulary: &Vocabulary, token: Token) -> Token {
    match residue(vocabulary, token) {
        Some('I') => vocabulary.residue('L', None).unwrap_or(token),
        _ => token,
    }
}

fn residue(vocabulary: &Vocabulary, token: Token) -> Option<char> {
    vocabulary.entries().get(usize::from(token)).and_then(|entry| entry.residue)
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::label::parse;
    use crate::task::tokens::{END, Modification};

    /// Answers as (predicted, true, score); the measured mass is that of the true peptide.
    fn summary(answers: &[(&str, &str, Option<f64>)]) -> Summary {
        let vocabulary = Vocabulary::new(&Modification::ALL);
        let tokens = |text: &str| if text.is_empty() { vec![] } else { parse(text, &vocabulary).unwrap() };
        let mut counts = Counts::default();
        for (predicted, truth, score) in answers {
            let (mut predicted, truth) = (tokens(predicted), tokens(truth));
            predicted.extend([END, 5, 5]);
            let neutral_mass = vocabulary.peptide_mass(&truth);
            counts.add(&vocabulary, Answer { predicted: &predicted, truth: &truth, neutral_mass, score: *score });
        }
        counts.summary()
    }

    #[test]
    fn a_right_answer_is_right_in_every_way() {
        let all = summary(&[("PEPTLDEK", "PEPTIDEK", Some(0.5))]).all;
        let expected = Figures {
            spectra: 1,
            token_accuracy: 1.0,
            residue_precision: 1.0,
            residue_recall: 1.0,
            peptide_precision: 1.0,
            length_accuracy: 1.0,
            mass_error_ppm: all.mass_error_ppm,
            within_20_ppm: 1.0,
            mean_score: Some(0.5),
        };
        assert_eq!(all, expected);
        assert!(all.mass_error_ppm.unwrap().abs() < 1e-6);
    }

    #[test]
    fn figures_are_shares_of_what_they_say() {
        let all = summary(&[
            ("PEPTIDEK", "PEPTIDEK", Some(1.0)),
            ("PEGGTIDEK", "PENTIDEK", Some(0.0)),
            ("PEPT", "PEPTIDEK", Some(f64::NAN)),
            ("", "PEPTIDEK", None),
        ])
        .all;
        assert_eq!(all.token_accuracy, (8 + 2 + 4) as f64 / 32.0);
        assert_eq!(all.residue_precision, (8 + 7 + 4) as f64 / 21.0);
        assert_eq!(all.residue_recall, 19.0 / 32.0);
        assert_eq!((all.peptide_precision, all.length_accuracy), (0.25, 0.25));
        assert_eq!((all.within_20_ppm, all.mean_score), (0.5, Some(0.5)));
        let error = all.mass_error_ppm.unwrap();
        assert!((-300_000.0..-200_000.0).contains(&error), "{error}");
    }

    /// Eight answers whose figures Casanovo's own tests state for its rule.
    #[test]
    fn figures_agree_with_published_ones() {
        let predicted = ["SPEIK", "SPAEL", "SPAEKL", "ASPEKL", "SPEKL", "SPELQ", "PSEKL", "SPEK"];
        let all = summary(&predicted.map(|predicted| (predicted, "SPELK", None))).all;
        assert_eq!(all.peptide_precision, 2.0 / 8.0);
        assert_eq!((all.residue_recall, all.residue_precision), (26.0 / 40.0, 26.0 / 41.0));
    }

    #[test]
    fn lengths_are_those_of_the_true_residues() {
        let long = "A".repeat(19);
        let found = summary(&[("PEK", "[Acetyl]-PEPTDK", None), ("G", "PEPTIDEK", None), (&long, &long, None)]);
        let spectra: Vec<_> = found.by_length.iter().map(|b| (b.residues.as_str(), b.figures.spectra)).collect();
        assert_eq!(spectra, [("1-6", 1), ("7-10", 1), ("11-14", 0), ("15-18", 0), ("19+", 1)]);
        assert_eq!(found.by_length[4].figures.peptide_precision, 1.0);
    }

    #[test]
    fn summaries_read_back_and_odd_input_is_no_panic() {
        let vocabulary = Vocabulary::new(&[]);
        let mut counts = Counts::default();
        counts.add(&vocabulary, Answer { predicted: &[255, 0, 1], truth: &[], neutral_mass: 0.0, score: None });
        for found in [counts.summary(), Counts::default().summary(), summary(&[("PEK", "PEPTIDEK", Some(0.1))])] {
            let json = serde_json::to_string(&found).unwrap();
            assert!(json.starts_with(r#"{"all":{"spectra":"#), "{json}");
            assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), found);
        }
    }
}
