//! Randomness as a function: every use has a stream of its own, keyed by what it is for, never a state that moves on.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What a stream of random numbers is for. The numbers are part of every drawn stream: never reuse or reorder them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Which peptide a training sample shows; for files, which spectrum.
    Sample = 1,
    /// Noise laid over a training sample.
    Noise = 2,
    /// Initial weights; `slot` is the tensor's index.
    Weights = 3,
    /// Dropout masks; the elements are counted on the device.
    Dropout = 4,
    /// Validation samples; `step` is 0.
    Validation = 5,
    /// Which source of a mixture a training sample comes from.
    Mixture = 6,
}

/// The stream of (seed, purpose, step, slot). Equal keys give equal numbers on every machine; any other key is independent.
pub fn stream(seed: u64, purpose: Purpose, step: u64, slot: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, step, slot]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn every_part_of_the_key_matters_and_the_numbers_stay() {
        let first = |seed, purpose, step, slot| stream(seed, purpose, step, slot).next_u64();
        let reference = first(1, Purpose::Sample, 2, 3);
        assert_eq!(reference, first(1, Purpose::Sample, 2, 3));
        for other in [
            first(2, Purpose::Sample, 2, 3),
            first(1, Purpose::Noise, 2, 3),
            first(1, Purpose::Sample, 3, 3),
            first(1, Purpose::Sample, 2, 4),
        ] {
            assert_ne!(reference, other);
        }
        assert_eq!(reference, 14_483_171_256_779_454_040, "the stream changed: every training sample changes with it");
    }
}
