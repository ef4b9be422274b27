//! How hard the training spectra are made: a setting of each stage.

use serde::{Deserialize, Serialize};

/// Lengths and noise in force at one step. The neutral value of every field is "off".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difficulty {
    /// Shortest and longest peptide, in residues.
    pub length: (u32, u32),
    /// Share of the samples that get no noise at all, 0 to 1.
    pub clean_share: f64,
    /// Noise peaks a sample, uniform in m/z, intensity uniform in 0 to 1 of the base peak.
    pub noise_peaks: u32,
    /// Noise peaks a sample of intensity 0 to 0.1 ("grass").
    pub grass_peaks: u32,
    /// Noise peaks a sample of intensity 0.2 to 1 ("spikes").
    pub spike_peaks: u32,
    /// Chance that a real peak is left out.
    pub peak_dropout: f64,
    /// Chance that a real peak is pressed below 0.05 of the base peak.
    pub signal_suppression: f64,
    /// Standard deviation of the relative m/z error of fragments and precursor, parts per million.
    pub mass_error_ppm: f64,
    /// Standard deviation of the factor on each intensity.
    pub intensity_variation: f64,
}

impl Difficulty {
    /// Clean spectra of these lengths.
    pub fn clean(length: (u32, u32)) -> Difficulty {
        Difficulty {
            length,
            clean_share: 0.0,
            noise_peaks: 0,
            grass_peaks: 0,
            spike_peaks: 0,
            peak_dropout: 0.0,
            signal_suppression: 0.0,
            mass_error_ppm: 0.0,
            intensity_variation: 0.0,
        }
    }

    /// Whether every sample stays as it is.
    pub fn is_clean(&self) -> bool {
        self.clean_share >= 1.0 || Difficulty { clean_share: 0.0, ..self.clone() } == Difficulty::clean(self.length)
    }

    /// One form for all ways of writing the same thing: without noise, the share without noise says nothing.
    #[must_use]
    pub fn canonical(self) -> Difficulty {
        if self.is_clean() { Difficulty::clean(self.length) } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_has_one_form() {
        let clean = Difficulty::clean((7, 10));
        assert_eq!(Difficulty { clean_share: 0.5, ..clean.clone() }.canonical(), clean);
        assert_eq!(Difficulty { clean_share: 1.0, noise_peaks: 5, ..clean.clone() }.canonical(), clean);
        let noisy = Difficulty { clean_share: 0.5, noise_peaks: 5, ..clean };
        assert_eq!(noisy.clone().canonical(), noisy);
    }
}
