//! Spectra drawn by rule: uniform peptides with their b and y ions.

use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::mass;
use super::spectrum::{Peak, Series, Spectrum, fragments};
use super::tokens::{FIRST_RESIDUE, Token, Vocabulary};

/// What is written about a synthetic source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// Shortest and longest peptide the source makes, in residues.
    pub length: RangeInclusive<u32>,
    /// Highest charge of the fragment ions: 1, or 2 as in HCD spectra.
    #[serde(default = "one")]
    pub fragment_charges: u8,
}

fn one() -> u8 {
    1
}

/// Precursor charges and their shares.
const CHARGES: [(u8, f64); 3] = [(2, 0.70), (3, 0.25), (4, 0.05)];
/// No ion is weaker than this, relative to the Beta draw's range of 0 to 1.
const INTENSITY_FLOOR: f64 = 0.01;

/// Draws one clean spectrum: length uniform in `length`, residues uniform over the twenty, charges 2, 3, 4 at 0.7, 0.25,
/// 0.05; y ions of intensity Beta(2, 2), b ions Beta(2, 5). Peaks are sorted by m/z and relative to the highest.
pub fn draw(source: &Synthetic, vocabulary: &Vocabulary, length: (u32, u32), random: &mut impl Rng) -> Spectrum {
    let residues = random.random_range(length.0..=length.1);
    let residue = |random: &mut _| FIRST_RESIDUE + RngExt::random_range(random, 0..mass::RESIDUES.len() as Token);
    let peptide: Vec<Token> = (0..residues).map(|_| residue(random)).collect();
    let share: f64 = random.random();
    let mut below = 0.0;
    let charge = CHARGES.iter().find(|(_, part)| {
        below += part;
        share < below
    });
    let charge = charge.map_or(CHARGES[0].0, |(charge, _)| *charge);
    let beta_y = Beta::new(2.0, 2.0).expect("fixed parameters");
    let beta_b = Beta::new(2.0, 5.0).expect("fixed parameters");
    let mut peaks: Vec<Peak> = fragments(vocabulary, &peptide, source.fragment_charges)
        .into_iter()
        .map(|(series, mz)| {
            let drawn: f64 = match series {
                Series::B => beta_b.sample(random),
                Series::Y => beta_y.sample(random),
            };
            Peak { mz, intensity: drawn.max(INTENSITY_FLOOR) }
        })
        .collect();
    let highest = peaks.iter().map(|peak| peak.intensity).fold(f64::MIN_POSITIVE, f64::max);
    peaks.iter_mut().for_each(|peak| peak.intensity /= highest);
    peaks.sort_by(|a, b| a.mz.total_cmp(&b.mz));
    let precursor_mz = mass::mz(vocabulary.peptide_mass(&peptide), charge);
    Spectrum { precursor_mz, charge, peaks, peptide }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::random::{Purpose, stream};
    use crate::task::spectrum::explained;

    #[test]
    fn a_clean_spectrum_is_fully_explained_by_its_peptide() {
        let vocabulary = Vocabulary::new(&[]);
        let source = Synthetic { length: 7..=18, fragment_charges: 2 };
        for slot in 0..200 {
            let spectrum = draw(&source, &vocabulary, (7, 18), &mut stream(1, Purpose::Sample, 0, slot));
            assert!((7..=18).contains(&spectrum.peptide.len()));
            assert!((2..=4).contains(&spectrum.charge));
            assert!(explained(&vocabulary, &spectrum, 0.2) > 0.9999);
            assert!((spectrum.neutral_mass() - vocabulary.peptide_mass(&spectrum.peptide)).abs() < 1e-6);
        }
    }

    #[test]
    fn lengths_and_charges_have_their_shares() {
        let vocabulary = Vocabulary::new(&[]);
        let source = Synthetic { length: 7..=10, fragment_charges: 1 };
        let spectra: Vec<_> =
            (0..4000).map(|slot| draw(&source, &vocabulary, (7, 10), &mut stream(2, Purpose::Sample, 0, slot))).collect();
        let share = |counted: usize| counted as f64 / 4000.0;
        for length in 7..=10 {
            let found = share(spectra.iter().filter(|s| s.peptide.len() == length).count());
            assert!((found - 0.25).abs() < 0.03, "length {length}: {found}");
        }
        for (charge, expected) in CHARGES {
            let found = share(spectra.iter().filter(|s| s.charge == charge).count());
            assert!((found - expected).abs() < 0.03, "charge {charge}: {found}");
        }
    }
}
