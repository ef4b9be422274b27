//! What can be had without looking at a spectrum: the figures any network has to beat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics::joined;
use super::tokens::{FIRST_RESIDUE, Token, Vocabulary};

/// How often tokens and lengths occur in the peptides it was fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline<'a> {
    vocabulary: &'a Vocabulary,
    /// By token.
    tokens: Vec<u64>,
    /// Peptides by number of tokens.
    lengths: BTreeMap<usize, u64>,
    /// Longest peptide that can occur, in tokens.
    longest: usize,
}

/// How a baseline does on a set of peptides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Peptides it was tried on.
    pub peptides: u64,
    /// Share of tokens that are the commonest one (I = L): the accuracy of always answering it, at the true length.
    pub commonest_accuracy: f64,
    /// Mean of -ln p over all tokens and end tokens, nats, where tokens are drawn by their frequency and the length by its
    /// own (I and L apart, as cross-entropy has them).
    pub cross_entropy: f64,
}

impl<'a> Baseline<'a> {
    /// Counts tokens and lengths of the peptides (without end tokens). `longest` is the most tokens a peptide can have.
    pub fn fit<'p>(vocabulary: &'a Vocabulary, longest: u32, peptides: impl IntoIterator<Item = &'p [Token]>) -> Baseline<'a> {
        let longest = longest.max(1) as usize;
        let mut fitted = Baseline { vocabulary, tokens: vec![0; vocabulary.len()], lengths: BTreeMap::new(), longest };
        for peptide in peptides {
            for &token in peptide {
                if let Some(count) = fitted.tokens.get_mut(usize::from(token)) {
                    *count += 1;
                }
            }
            *fitted.lengths.entry(peptide.len().min(longest)).or_default() += 1;
        }
        fitted
    }

    /// The commonest token, I counted as L; of equals the first in the vocabulary.
    pub fn commonest(&self) -> Token {
        let mut counts = vec![0; self.tokens.len()];
        for (token, &count) in self.tokens.iter().enumerate() {
            counts[usize::from(joined(self.vocabulary, token as Token))] += count;
        }
        let first = (usize::from(FIRST_RESIDUE)..counts.len()).rev().max_by_key(|&token| counts[token]);
        first.map_or(FIRST_RESIDUE, |token| token as Token)
    }

    /// Tries the baseline on peptides: others than those it was fitted on, or the figures flatter it.
    pub fn score<'p>(&self, peptides: impl IntoIterator<Item = &'p [Token]>) -> Score {
        let commonest = self.commonest();
        let (mut count, mut tokens, mut right, mut nats) = (0_u64, 0_u64, 0_u64, 0.0);
        for peptide in peptides {
            count += 1;
            tokens += peptide.len() as u64;
            right += peptide.iter().filter(|token| joined(self.vocabulary, **token) == commonest).count() as u64;
            nats -= self.length_chance(peptide.len()).ln();
            nats -= peptide.iter().map(|token| self.token_chance(*token).ln()).sum::<f64>();
        }
        Score {
            peptides: count,
            commonest_accuracy: right as f64 / tokens.max(1) as f64,
            cross_entropy: nats / (tokens + count).max(1) as f64,
        }
    }

    /// Share of a token among all, each of which is counted once more than seen, so that none is impossible.
    fn token_chance(&self, token: Token) -> f64 {
        let kinds = self.tokens.len() - usize::from(FIRST_RESIDUE);
        let seen = self.tokens.get(usize::from(token)).copied().unwrap_or(0);
        (seen + 1) as f64 / (self.tokens.iter().sum::<u64>() + kinds as u64) as f64
    }

    /// Share of a number of tokens among 1..=longest, each counted once more than seen; longer ones count as the longest.
    fn length_chance(&self, length: usize) -> f64 {
        let seen = self.lengths.get(&length.min(self.longest)).copied().unwrap_or(0);
        (seen + 1) as f64 / (self.lengths.values().sum::<u64>() + self.longest as u64) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::label::parse;

    fn peptides(vocabulary: &Vocabulary, texts: &[&str]) -> Vec<Vec<Token>> {
        texts.iter().map(|text| parse(text, vocabulary).unwrap()).collect()
    }

    #[test]
    fn the_commonest_residue_has_i_and_l_joined() {
        let vocabulary = Vocabulary::new(&[]);
        let train = peptides(&vocabulary, &["AAAIILLGG"]);
        let fitted = Baseline::fit(&vocabulary, 10, train.iter().map(Vec::as_slice));
        assert_eq!(Some(fitted.commonest()), vocabulary.residue('L', None));
        let held_out = peptides(&vocabulary, &["ILAG", "KL"]);
        assert_eq!(fitted.score(held_out.iter().map(Vec::as_slice)).commonest_accuracy, 0.5);
    }

    #[test]
    fn cross_entropy_is_that_of_the_frequencies() {
        let vocabulary = Vocabulary::new(&[]);
        let nothing = Baseline::fit(&vocabulary, 8, []);
        let one = peptides(&vocabulary, &["PEK"]);
        let uniform = nothing.score(one.iter().map(Vec::as_slice)).cross_entropy;
        assert!((uniform - (3.0 * 20.0_f64.ln() + 8.0_f64.ln()) / 4.0).abs() < 1e-12);
        let many = peptides(&vocabulary, &["GGG"; 10_000]);
        let fitted = Baseline::fit(&vocabulary, 8, many.iter().map(Vec::as_slice));
        assert!(fitted.score(many.iter().map(Vec::as_slice)).cross_entropy < 1e-3);
        let unseen = fitted.score(one.iter().map(Vec::as_slice)).cross_entropy;
        assert!(unseen > 5.0 && unseen.is_finite());
        let odd = fitted.score([&[][..], &[0, 255, 7, 7, 7, 7, 7, 7, 7, 7, 7][..]]);
        assert!(odd.cross_entropy.is_finite());
    }
}
