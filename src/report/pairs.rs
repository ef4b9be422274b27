//! The same spectra under a branch and under the reference, of one seed: which only one of them gets right.
//!
//! This says how the two trained networks differ on these very spectra. It says nothing of what training again would give:
//! for that the seeds are the unit.

use serde::Serialize;

use crate::record::Outcomes;

/// Spectra by who gets the whole peptide right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    pub seed: Option<u64>,
    pub spectra: u64,
    pub both: u64,
    pub only_branch: u64,
    pub only_reference: u64,
    pub neither: u64,
    /// Spectra on which the branch has more right residues than the reference, and fewer.
    pub more_residues: u64,
    pub fewer_residues: u64,
    /// Share of right peptides, the branch's less the reference's.
    pub difference: f64,
    /// Two-sided 95 % for that difference, for these two networks on spectra like these.
    pub interval: (f64, f64),
}

/// 0.975 quantile of the normal distribution.
const Z: f64 = 1.959_963_985;

impl Pair {
    /// Compares spectrum by spectrum; nothing where one of the records says nothing of single spectra.
    pub fn of(seed: Option<u64>, branch: &Outcomes, reference: &Outcomes) -> Option<Pair> {
        let (branch, reference) = (&branch.0, &reference.0);
        if branch.is_empty() || branch.len() != reference.len() {
            return None;
        }
        let pairs = || branch.iter().zip(reference);
        let full = |own: bool, other: bool| pairs().filter(|(a, b)| (a.full, b.full) == (own, other)).count() as u64;
        let (only_branch, only_reference) = (full(true, false), full(false, true));
        let spectra = branch.len() as u64;
        Some(Pair {
            seed,
            spectra,
            both: full(true, true),
            only_branch,
            only_reference,
            neither: full(false, false),
            more_residues: pairs().filter(|(a, b)| a.right > b.right).count() as u64,
            fewer_residues: pairs().filter(|(a, b)| a.right < b.right).count() as u64,
            difference: (only_branch as f64 - only_reference as f64) / spectra as f64,
            interval: interval(only_branch as f64, only_reference as f64, spectra as f64),
        })
    }
}

/// Interval of the difference of two paired shares, from the pairs in which they differ (McNemar's): that of Wald with half a
/// pair added to each of the four cells (Agresti and Min, "Simple improved confidence intervals for comparing matched
/// proportions", Statistics in Medicine 24, 2005).
fn interval(only_branch: f64, only_reference: f64, spectra: f64) -> (f64, f64) {
    let (b, c, n) = (only_branch + 0.5, only_reference + 0.5, spectra + 2.0);
    let middle = (b - c) / n;
    let width = Z * (b + c - (b - c).powi(2) / n).sqrt() / n;
    ((middle - width).max(-1.0), (middle + width).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(text: &str) -> Outcomes {
        Outcomes::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn spectra_are_counted_by_who_is_right() {
        let pair = Pair::of(Some(1), &outcomes("8+ 7+ 3 9+ 0"), &outcomes("8+ 2 5 9+ 0")).unwrap();
        assert_eq!((pair.both, pair.only_branch, pair.only_reference, pair.neither), (2, 1, 0, 2));
        assert_eq!((pair.more_residues, pair.fewer_residues, pair.spectra), (1, 1, 5));
        assert_eq!(pair.difference, 0.2);
        assert!(pair.interval.0 < 0.0 && pair.interval.1 > 0.2, "{:?}", pair.interval);
        assert_eq!(Pair::of(None, &outcomes(""), &outcomes("1")), None);
        assert_eq!(Pair::of(None, &outcomes("1 2"), &outcomes("1")), None);
    }

    /// 1600 people asked twice (Agresti, "Categorical Data Analysis"): 86 against 150 of 1600, a difference of -0.04.
    #[test]
    fn the_interval_is_the_published_one() {
        let (low, high) = interval(86.0, 150.0, 1600.0);
        assert!((low + 0.0587).abs() < 5e-4 && (high + 0.0212).abs() < 5e-4, "{low} to {high}");
    }
}
