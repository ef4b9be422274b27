//! From an entry of a file to a spectrum the model can be trained on, or the one reason why not.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::label::{LabelError, parse};
use super::mass;
use super::mgf::{Charge, Entry, What};
use super::reason::Reason;
use super::spectrum::{Peak, Spectrum};
use super::tokens::{Token, Vocabulary};

/// How measured spectra are made ready. Every field may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocessing {
    /// Lowest and highest m/z of a peak.
    pub mz: (f64, f64),
    /// Peaks this near to the precursor's m/z are left out, in units of m/z; 0: none is.
    pub precursor_window: f64,
    /// Whether intensities are replaced by their square roots.
    pub square_root: bool,
    /// Peaks below this share of the highest one (after the root) are left out, 0 to 1.
    pub floor: f64,
    /// Number of peaks kept, the most intense ones (of equals the lighter).
    pub most_peaks: u32,
    /// Fewest peaks, after all of the above, of a usable spectrum.
    pub fewest_peaks: u32,
    /// Highest precursor charge.
    pub max_charge: u8,
    /// How far the label's mass may be from the precursor's, parts per million; 0: not looked at.
    pub precursor_tolerance_ppm: f64,
    /// Number of the isotope that may have been picked as the precursor: 1 allows a mass 1.003 Da too high. The precursor
    /// stays as measured, for a model must cope with it.
    pub isotopes: u8,
}

impl Default for Preprocessing {
    fn default() -> Preprocessing {
        Preprocessing {
            mz: (50.0, 2500.0),
            precursor_window: 2.0,
            square_root: true,
            floor: 0.01,
            most_peaks: 150,
            fewest_peaks: 20,
            max_charge: 10,
            precursor_tolerance_ppm: 50.0,
            isotopes: 1,
        }
    }
}

impl Preprocessing {
    /// What is wrong with the settings themselves, where something is.
    pub fn check(&self) -> Result<(), String> {
        let (low, high) = self.mz;
        let rules = [
            (low >= 0.0 && low < high && high.is_finite(), "`mz` must be two numbers, the lower one first"),
            (at_least_zero(self.precursor_window), "`precursor_window` must be 0 (off) or more"),
            ((0.0..1.0).contains(&self.floor), "`floor` must be at least 0 and below 1"),
            (self.most_peaks >= self.fewest_peaks, "`most_peaks` must not be below `fewest_peaks`"),
            (self.most_peaks >= 1, "`most_peaks` must be at least 1"),
            (self.max_charge >= 1, "`max_charge` must be at least 1"),
            (at_least_zero(self.precursor_tolerance_ppm), "`precursor_tolerance_ppm` must be 0 (off) or more"),
        ];
        rules.iter().try_for_each(|(kept, rule)| if *kept { Ok(()) } else { Err((*rule).to_string()) })
    }
}

impl Preprocessing {
    /// Every setting by name, as a number: what a history hashes.
    pub fn values(&self) -> [(&'static str, f64); 10] {
        [
            ("lowest mz", self.mz.0),
            ("highest mz", self.mz.1),
            ("precursor window", self.precursor_window),
            ("square root", f64::from(u8::from(self.square_root))),
            ("floor", self.floor),
            ("most peaks", f64::from(self.most_peaks)),
            ("fewest peaks", f64::from(self.fewest_peaks)),
            ("max charge", f64::from(self.max_charge)),
            ("precursor tolerance ppm", self.precursor_tolerance_ppm),
            ("isotopes", f64::from(self.isotopes)),
        ]
    }
}

fn at_least_zero(value: f64) -> bool {
    value >= 0.0 && value.is_finite()
}

/// Makes a labelled spectrum ready for a model that knows `vocabulary` and writes at most `longest` tokens (without the end
/// token); peptides are of `residues` residues. The reason is the first of these that applies: the entry is damaged, its
/// precursor, its charge, its label, the label's mass, its peaks.
pub fn prepare(
    entry: &Entry,
    preprocessing: &Preprocessing,
    vocabulary: &Vocabulary,
    longest: u32,
    residues: &RangeInclusive<u32>,
) -> Result<Spectrum, Reason> {
    let (precursor_mz, charge) = precursor(entry, preprocessing)?;
    let peptide = parse(entry.label.as_deref().ok_or(Reason::NoLabel)?, vocabulary).map_err(|error| Reason::from(&error))?;
    fits(&peptide, vocabulary, longest, residues)?;
    if !agrees(mass::neutral(precursor_mz, charge), vocabulary.peptide_mass(&peptide), preprocessing) {
        return Err(Reason::PrecursorMismatch);
    }
    let peaks = peaks(&entry.peaks, precursor_mz, preprocessing)?;
    Ok(Spectrum { precursor_mz, charge, peaks, peptide })
}

/// Makes a spectrum ready whose label is not asked for: its peptide is left empty.
pub fn prepare_unlabelled(entry: &Entry, preprocessing: &Preprocessing) -> Result<Spectrum, Reason> {
    let (precursor_mz, charge) = precursor(entry, preprocessing)?;
    let peaks = peaks(&entry.peaks, precursor_mz, preprocessing)?;
    Ok(Spectrum { precursor_mz, charge, peaks, peptide: Vec::new() })
}

impl From<&LabelError> for Reason {
    fn from(error: &LabelError) -> Reason {
        match error {
            LabelError::Empty => Reason::EmptyLabel,
            LabelError::SeveralPeptides => Reason::SeveralPeptides,
            LabelError::Unreadable(_) => Reason::UnreadableLabel,
            LabelError::UnknownResidue(_) => Reason::UnknownResidue,
            LabelError::UnknownModification(_) => Reason::UnknownModification,
            LabelError::Impossible { .. } => Reason::ImpossibleModification,
            LabelError::Undeclared(_) => Reason::UndeclaredModification,
        }
    }
}

/// m/z and charge of the precursor of an undamaged entry.
fn precursor(entry: &Entry, preprocessing: &Preprocessing) -> Result<(f64, u8), Reason> {
    let damage = entry.faults.iter().map(|fault| match fault.what {
        What::NotEnded => Reason::Truncated,
        What::TooManyPeaks => Reason::TooManyPeaks,
        What::NotAPeak | What::LineTooLong => Reason::BadPeaks,
        What::Contradiction(_) => Reason::Contradiction,
        What::BadPrecursor => Reason::NoPrecursor,
    });
    // The gravest, whatever the order of the lines.
    damage.min().map_or(Ok(()), Err)?;
    let mz = entry.pepmass.ok_or(Reason::NoPrecursor)?;
    match &entry.charge {
        Charge::Missing => Err(Reason::NoCharge),
        Charge::Unusable(_) => Err(Reason::UnusableCharge),
        Charge::Known(charge) if *charge > preprocessing.max_charge => Err(Reason::ChargeTooHigh),
        Charge::Known(charge) => Ok((mz, *charge)),
    }
}

fn fits(peptide: &[Token], vocabulary: &Vocabulary, longest: u32, residues: &RangeInclusive<u32>) -> Result<(), Reason> {
    let count = peptide.iter().filter(|token| !vocabulary.is_n_terminal(**token)).count();
    if count < *residues.start() as usize {
        Err(Reason::TooShort)
    } else if count > *residues.end() as usize || peptide.len() > longest as usize {
        Err(Reason::TooLong)
    } else {
        Ok(())
    }
}

/// Whether two neutral masses (Da) agree within the tolerance, the measured one perhaps some isotopes up.
fn agrees(measured: f64, label: f64, preprocessing: &Preprocessing) -> bool {
    let tolerance = preprocessing.precursor_tolerance_ppm;
    let ppm = |isotope| (measured - f64::from(isotope) * mass::ISOTOPE - label).abs() / label * 1e6;
    tolerance == 0.0 || (0..=preprocessing.isotopes).any(|isotope| ppm(isotope) <= tolerance)
}

/// Peaks ready for the model, sorted by m/z, the highest 1: those of equal m/z are added up, those out of range, near the
/// precursor or of no intensity left out, the rest rooted, cut off below the floor and thinned to the most intense.
fn peaks(measured: &[Peak], precursor_mz: f64, preprocessing: &Preprocessing) -> Result<Vec<Peak>, Reason> {
    let (low, high) = preprocessing.mz;
    let window = preprocessing.precursor_window;
    let kept = |peak: &Peak| {
        let near = window > 0.0 && (peak.mz - precursor_mz).abs() <= window;
        peak.intensity > 0.0 && (low..=high).contains(&peak.mz) && !near
    };
    let mut peaks: Vec<Peak> = measured.iter().copied().filter(kept).collect();
    peaks.sort_by(|a, b| a.mz.total_cmp(&b.mz));
    peaks.dedup_by(|next, peak| {
        let same = next.mz == peak.mz;
        if same {
            peak.intensity += next.intensity;
        }
        same
    });
    let highest = peaks.iter().map(|peak| peak.intensity).fold(0.0, f64::max);
    for peak in &mut peaks {
        let relative = peak.intensity / highest;
        peak.intensity = if preprocessing.square_root { relative.sqrt() } else { relative };
    }
    peaks.retain(|peak| peak.intensity > 0.0 && peak.intensity >= preprocessing.floor);
    if peaks.len() > preprocessing.most_peaks as usize {
        peaks.sort_by(|a, b| b.intensity.total_cmp(&a.intensity).then(a.mz.total_cmp(&b.mz)));
        peaks.truncate(preprocessing.most_peaks as usize);
        peaks.sort_by(|a, b| a.mz.total_cmp(&b.mz));
    }
    let enough = !peaks.is_empty() && peaks.len() >= preprocessing.fewest_peaks as usize;
    if enough { Ok(peaks) } else { Err(Reason::TooFewPeaks) }
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
