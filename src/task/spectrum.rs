//! A tandem mass spectrum with its precursor and, where known, its peptide; and the ions a peptide should show.

use super::mass;
use super::tokens::{Token, Vocabulary};

/// One peak: m/z and an intensity in any unit, never negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    pub mz: f64,
    pub intensity: f64,
}

/// A spectrum ready for the model: peaks sorted by m/z, intensities relative to the highest peak (1).
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    pub precursor_mz: f64,
    pub charge: u8,
    pub peaks: Vec<Peak>,
    /// The true peptide as residue and modification tokens, without start and end.
    pub peptide: Vec<Token>,
}

impl Spectrum {
    /// Neutral mass of the precursor, Da.
    pub fn neutral_mass(&self) -> f64 {
        mass::neutral(self.precursor_mz, self.charge)
    }
}

/// A fragment ion's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    B,
    Y,
}

/// m/z of the b and y ions of a peptide at fragment charges 1..=`max_charge`:
/// b_k = (sum of the first k masses + z * proton) / z, y_k = (sum of the others + water + z * proton) / z, k = 1 .. L-1.
/// No bond breaks after an N-terminal modification.
pub fn fragments(vocabulary: &Vocabulary, peptide: &[Token], max_charge: u8) -> Vec<(Series, f64)> {
    let total: f64 = peptide.iter().map(|&token| vocabulary.mass(token)).sum();
    let mut prefix = 0.0;
    let mut ions = Vec::with_capacity(peptide.len() * 2 * usize::from(max_charge));
    for &token in &peptide[..peptide.len().saturating_sub(1)] {
        prefix += vocabulary.mass(token);
        if vocabulary.is_n_terminal(token) {
            continue;
        }
        for charge in 1..=max_charge {
            ions.push((Series::B, mass::mz(prefix, charge)));
            ions.push((Series::Y, mass::mz(total - prefix + mass::WATER, charge)));
        }
    }
    ions
}

/// Share of the spectrum's intensity that the peptide's b and y ions (charges 1 and 2) explain, each peak counted by
/// exp(-((m/z - nearest ion) / sigma)^2 / 2): 1 minus the spectrum loss of a perfect answer.
pub fn explained(vocabulary: &Vocabulary, spectrum: &Spectrum, sigma: f64) -> f64 {
    let ions = fragments(vocabulary, &spectrum.peptide, 2);
    let coverage = |peak: &Peak| {
        ions.iter().map(|(_, mz)| (-0.5 * ((peak.mz - mz) / sigma).powi(2)).exp()).fold(0.0, f64::max) * peak.intensity
    };
    let total: f64 = spectrum.peaks.iter().map(|peak| peak.intensity).sum();
    if total > 0.0 { spectrum.peaks.iter().map(coverage).sum::<f64>() / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::tokens::Modification;

    fn tokens(vocabulary: &Vocabulary, letters: &str) -> Vec<Token> {
        letters.chars().map(|letter| vocabulary.residue(letter, None).unwrap()).collect()
    }

    #[test]
    fn peptidek_has_its_published_ions() {
        let vocabulary = Vocabulary::new(&[]);
        let ions = fragments(&vocabulary, &tokens(&vocabulary, "PEPTIDEK"), 1);
        let near = |mz: f64| ions.iter().any(|(_, ion)| (ion - mz).abs() < 1e-3);
        for mz in [147.1128, 276.1554, 391.1823, 504.2664, 98.0600, 227.1026] {
            assert!(near(mz), "no ion at {mz}");
        }
        assert_eq!(ions.len(), 14);
    }

    #[test]
    fn nothing_breaks_after_an_n_terminal_modification() {
        let vocabulary = Vocabulary::new(&[Modification::Acetyl]);
        let mut peptide = tokens(&vocabulary, "PEK");
        peptide.insert(0, vocabulary.n_terminal(Modification::Acetyl).unwrap());
        assert_eq!(fragments(&vocabulary, &peptide, 1).len(), 4);
    }
}
