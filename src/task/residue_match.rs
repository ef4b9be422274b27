//! Which residues of a predicted peptide are right, by the rule the field uses (Casanovo's), so that figures compare.

use super::tokens::{END, Token, Vocabulary};

/// Prefixes whose masses differ by less are aligned, Da.
const PREFIX_TOLERANCE: f64 = 0.5;
/// Aligned residues whose masses differ by less are a match, Da.
const RESIDUE_TOLERANCE: f64 = 0.1;

/// The tokens before the first end token: what the model itself takes for its peptide.
pub fn until_end(tokens: &[Token]) -> &[Token] {
    let end = tokens.iter().position(|&token| token == END).unwrap_or(tokens.len());
    &tokens[..end]
}

/// The matches of two peptides (without end tokens), one place for each token of the longer one; where both are equally
/// right all the way, all places are true.
///
/// Both are walked by cumulative mass: a pair of tokens whose prefixes agree within 0.5 Da is aligned, and a match if the
/// two masses agree within 0.1 Da (so I = L); otherwise the lighter prefix moves on. If that leaves a place without a match,
/// the same is done from the other end down to the first such place. Tokens of N-terminal modifications count like residues.
pub fn aa_match(vocabulary: &Vocabulary, predicted: &[Token], truth: &[Token]) -> Vec<bool> {
    let masses = |tokens: &[Token]| -> Vec<f64> { tokens.iter().map(|&token| mass(vocabulary, token)).collect() };
    let (predicted, truth) = (masses(predicted), masses(truth));
    let longer = predicted.len().max(truth.len());
    let mut matches = vec![false; longer];
    for (places, matched) in walk(&predicted, &truth, false) {
        matches[places.0.max(places.1)] = matched;
    }
    let Some(first_miss) = matches.iter().position(|matched| !matched) else { return matches };
    for (places, matched) in walk(&predicted, &truth, true) {
        if places.0.min(places.1) < first_miss {
            break;
        }
        matches[places.0.max(places.1)] = matched;
    }
    matches
}

/// Mass of a token in Da; 0 for one the vocabulary does not have.
fn mass(vocabulary: &Vocabulary, token: Token) -> f64 {
    vocabulary.entries().get(usize::from(token)).map_or(0.0, |entry| entry.mass)
}

/// Aligned pairs of places with whether they match, from the left or from the right.
fn walk(a: &[f64], b: &[f64], from_right: bool) -> Vec<((usize, usize), bool)> {
    let place = |step: usize, length: usize| if from_right { length - 1 - step } else { step };
    let (mut i, mut j) = (0, 0);
    let (mut before_a, mut before_b) = (0.0, 0.0);
    let mut aligned = Vec::with_capacity(a.len().min(b.len()));
    while i < a.len() && j < b.len() {
        let (at_a, at_b) = (place(i, a.len()), place(j, b.len()));
        let (up_to_a, up_to_b) = (before_a + a[at_a], before_b + b[at_b]);
        let same = f64::abs(up_to_a - up_to_b) < PREFIX_TOLERANCE;
        if same {
            aligned.push(((at_a, at_b), f64::abs(a[at_a] - b[at_b]) < RESIDUE_TOLERANCE));
        }
        if same || up_to_b > up_to_a {
            (i, before_a) = (i + 1, up_to_a);
        }
        if same || up_to_b <= up_to_a {
            (j, before_b) = (j + 1, up_to_b);
        }
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::label::parse;
    use crate::task::tokens::{Modification, PAD};

    fn matched(predicted: &str, truth: &str) -> String {
        let vocabulary = Vocabulary::new(&Modification::ALL);
        let tokens = |text: &str| if text.is_empty() { vec![] } else { parse(text, &vocabulary).unwrap() };
        let matches = aa_match(&vocabulary, &tokens(predicted), &tokens(truth));
        matches.iter().map(|matched| if *matched { '1' } else { '0' }).collect()
    }

    #[test]
    fn matches_by_mass_from_both_ends() {
        for (predicted, truth, expected) in [
            ("PEPTIDEK", "PEPTIDEK", "11111111"),
            ("PEPTLDEK", "PEPTIDEK", "11111111"),
            // Two residues swapped: the outer ones match from both sides.
            ("PETPIDEK", "PEPTIDEK", "11001111"),
            ("EPPTIDEK", "PEPTIDEK", "00111111"),
            ("PEPTIDKE", "PEPTIDEK", "11111100"),
            // G + G weighs as much as N; the shorter one's places follow the longer one's.
            ("PEGGTIDEK", "PENTIDEK", "110011111"),
            ("PENTIDEK", "PEGGTIDEK", "110011111"),
            // A wrong mass in the middle: the right end matches only from the right.
            ("PEWTIDEK", "PEGTIDEK", "11011111"),
            ("PEPTIDE", "PEPTIDEK", "11111110"),
            ("PEPT", "PEPTIDEK", "11110000"),
            // One G too few: the one there is counts once, not from both ends.
            ("AGK", "AGGK", "1101"),
            ("", "PEK", "000"),
            ("WWWW", "GGGG", "0000"),
            ("[Acetyl]-PEK", "[Acetyl]-PEK", "1111"),
            ("PEK", "[Acetyl]-PEK", "0111"),
            // Within 0.1 Da: F is M[Oxidation], K is Q.
            ("AFK", "AM[Oxidation]Q", "111"),
        ] {
            assert_eq!(matched(predicted, truth), expected, "{predicted} for {truth}");
        }
    }

    #[test]
    fn the_first_end_token_ends_the_peptide() {
        assert_eq!(until_end(&[4, 5, END, 6, END]), [4, 5]);
        assert!(until_end(&[END]).is_empty());
        assert_eq!(until_end(&[4, 5, PAD]), [4, 5, PAD]);
    }

    #[test]
    fn tokens_without_mass_match_no_residue() {
        let vocabulary = Vocabulary::new(&[]);
        assert_eq!(aa_match(&vocabulary, &[PAD, 255, 4], &[4]), [false, false, true]);
        assert!(aa_match(&vocabulary, &[], &[]).is_empty());
    }
}
