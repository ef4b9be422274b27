//! Noise laid over a spectrum, in the order of the reference: leave peaks out, press peaks down, shift masses, vary
//! intensities, add peaks.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Normal};

use super::difficulty::Difficulty;
use super::spectrum::{Peak, Spectrum};

/// Lowest m/z of an added peak.
const LOWEST_MZ: f64 = 50.0;

/// Lays the noise of `difficulty` over `spectrum`, or leaves it clean with the chance of `clean_share`.
/// Intensities stay relative to a highest peak near 1; peaks come out sorted by m/z.
pub fn apply(spectrum: &mut Spectrum, difficulty: &Difficulty, random: &mut impl Rng) {
    if difficulty.is_clean() || random.random::<f64>() < difficulty.clean_share {
        return;
    }
    let kept = |_: &Peak| random.random::<f64>() >= difficulty.peak_dropout;
    spectrum.peaks.retain(kept);
    for peak in &mut spectrum.peaks {
        if random.random::<f64>() < difficulty.signal_suppression {
            peak.intensity = peak.intensity.min(random.random_range(0.0..0.05));
        }
    }
    let shift = Normal::new(1.0, difficulty.mass_error_ppm * 1e-6).expect("a checked deviation");
    let vary = Normal::new(1.0, difficulty.intensity_variation).expect("a checked deviation");
    spectrum.precursor_mz *= shift.sample(random);
    for peak in &mut spectrum.peaks {
        peak.mz *= shift.sample(random);
        peak.intensity = (peak.intensity * vary.sample(random)).max(0.0);
    }
    let highest_mz = spectrum.neutral_mass().max(LOWEST_MZ + 1.0);
    let tiers = [(difficulty.noise_peaks, 0.0..1.0), (difficulty.grass_peaks, 0.0..0.1), (difficulty.spike_peaks, 0.2..1.0)];
    for (count, intensities) in tiers {
        for _ in 0..count {
            let mz = random.random_range(LOWEST_MZ..highest_mz);
            spectrum.peaks.push(Peak { mz, intensity: random.random_range(intensities.clone()) });
        }
    }
    spectrum.peaks.sort_by(|a, b| a.mz.total_cmp(&b.mz));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::random::{Purpose, stream};

    fn spectrum() -> Spectrum {
        let peaks = (0..1000).map(|i| Peak { mz: 100.0 + f64::from(i), intensity: 0.5 }).collect();
        Spectrum { precursor_mz: 800.0, charge: 2, peaks, peptide: vec![4; 10] }
    }

    fn noisy(difficulty: &Difficulty) -> Spectrum {
        let mut spectrum = spectrum();
        apply(&mut spectrum, difficulty, &mut stream(1, Purpose::Noise, 0, 0));
        spectrum
    }

    #[test]
    fn clean_stays_clean() {
        let clean = Difficulty::clean((7, 10));
        assert_eq!(noisy(&clean), spectrum());
        assert_eq!(noisy(&Difficulty { clean_share: 1.0, noise_peaks: 9, ..clean }), spectrum());
    }

    #[test]
    fn each_kind_of_noise_does_what_it_says() {
        let clean = Difficulty::clean((7, 10));
        let dropped = noisy(&Difficulty { peak_dropout: 0.3, ..clean.clone() }).peaks.len();
        assert!((650..750).contains(&dropped), "{dropped} of 1000 left");
        assert_eq!(noisy(&Difficulty { noise_peaks: 7, ..clean.clone() }).peaks.len(), 1007);
        let pressed = noisy(&Difficulty { signal_suppression: 0.2, ..clean.clone() });
        let low = pressed.peaks.iter().filter(|peak| peak.intensity < 0.05).count();
        assert!((150..250).contains(&low), "{low} of 1000 pressed");
        let shifted = noisy(&Difficulty { mass_error_ppm: 10.0, ..clean.clone() });
        let ppm = |(a, b): (&Peak, &Peak)| ((a.mz / b.mz - 1.0) * 1e6).powi(2);
        let deviation = (shifted.peaks.iter().zip(&spectrum().peaks).map(ppm).sum::<f64>() / 1000.0).sqrt();
        assert!((deviation - 10.0).abs() < 1.0, "{deviation} ppm");
        let spikes = noisy(&Difficulty { spike_peaks: 50, ..clean });
        let added: Vec<_> = spikes.peaks.iter().filter(|peak| peak.intensity != 0.5).collect();
        assert!(added.len() == 50 && added.iter().all(|peak| peak.intensity >= 0.2));
    }
}
