//! Draws training samples: sample `slot` of step s is a function of (seed, s, slot) alone, so a batch of 384 contains the
//! batch of 192, and no loader has a position that could go stale.

use std::sync::Arc;

use rand::RngExt;

use super::batch::Batch;
use super::difficulty::Difficulty;
use super::model::Recursive;
use super::noise;
use super::random::{Purpose, stream};
use super::spectrum::Spectrum;
use super::synthetic::{self, Synthetic};
use super::tokens::Vocabulary;

/// A model's training sources, ready to draw from.
#[derive(Clone, Debug)]
pub struct Sampler {
    model: Recursive,
    vocabulary: Vocabulary,
    /// Sources with the cumulative share up to and including each; the last is 1.
    sources: Vec<(f64, Drawer)>,
}

/// One source to draw from.
#[derive(Clone, Debug)]
pub enum Drawer {
    Synthetic(Synthetic),
    /// Spectra of files, and whether noise touches them.
    Pool {
        pool: Arc<Pool>,
        noise: bool,
    },
}

/// Usable training spectra of files, shortest peptide first, so that a range of lengths is a range of places.
#[derive(Debug)]
pub struct Pool {
    spectra: Vec<Spectrum>,
}

impl Pool {
    /// Takes spectra in the order of their files; the order of equal lengths stays.
    pub fn new(mut spectra: Vec<Spectrum>) -> Pool {
        spectra.sort_by_key(|spectrum| spectrum.peptide.len());
        Pool { spectra }
    }

    /// Spectra whose peptides have a length within the range, in tokens.
    pub fn within(&self, length: (u32, u32)) -> &[Spectrum] {
        let from = self.spectra.partition_point(|s| s.peptide.len() < length.0 as usize);
        let to = self.spectra.partition_point(|s| s.peptide.len() <= length.1 as usize);
        &self.spectra[from..to.max(from)]
    }

    pub fn spectra(&self) -> &[Spectrum] {
        &self.spectra
    }
}

impl Sampler {
    /// Sources with their shares, of any sum.
    pub fn new(model: &Recursive, sources: Vec<(f64, Drawer)>) -> Sampler {
        let sum: f64 = sources.iter().map(|(share, _)| share).sum();
        let mut below = 0.0;
        let cumulative = sources.into_iter().map(|(share, drawer)| {
            below += share / sum;
            (below, drawer)
        });
        Sampler { model: model.clone(), vocabulary: model.vocabulary(), sources: cumulative.collect() }
    }

    pub fn model(&self) -> &Recursive {
        &self.model
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    pub fn drawers(&self) -> impl Iterator<Item = &Drawer> {
        self.sources.iter().map(|(_, drawer)| drawer)
    }

    /// Says which source has no spectrum of the lengths a difficulty asks for.
    pub fn check(&self, difficulty: &Difficulty) -> Result<(), String> {
        for drawer in self.drawers() {
            let (shortest, longest) = difficulty.length;
            let empty = match drawer {
                Drawer::Synthetic(source) => longest < *source.length.start() || shortest > *source.length.end(),
                Drawer::Pool { pool, .. } => pool.within(difficulty.length).is_empty(),
            };
            if empty {
                return Err(format!("no spectrum of the source has a peptide of {shortest} to {longest} residues"));
            }
        }
        Ok(())
    }

    /// Draws one sample. `difficulty` must have passed [`Sampler::check`].
    pub fn draw(&self, seed: u64, step: u64, slot: u64, difficulty: &Difficulty) -> Spectrum {
        let drawer = match &self.sources[..] {
            [(_, only)] => only,
            several => {
                let share: f64 = stream(seed, Purpose::Mixture, step, slot).random();
                several.iter().find(|(below, _)| share < *below).map_or(&several[several.len() - 1].1, |(_, drawer)| drawer)
            }
        };
        let mut random = stream(seed, Purpose::Sample, step, slot);
        let (mut spectrum, noisy) = match drawer {
            Drawer::Synthetic(source) => {
                let length = (difficulty.length.0.max(*source.length.start()), difficulty.length.1.min(*source.length.end()));
                (synthetic::draw(source, &self.vocabulary, length, &mut random), true)
            }
            Drawer::Pool { pool, noise } => {
                let eligible = pool.within(difficulty.length);
                (eligible[random.random_range(0..eligible.len())].clone(), *noise)
            }
        };
        if noisy {
            noise::apply(&mut spectrum, difficulty, &mut stream(seed, Purpose::Noise, step, slot));
        }
        spectrum
    }

    /// The batch of one step.
    pub fn batch(&self, seed: u64, step: u64, size: usize, difficulty: &Difficulty) -> Batch {
        let spectra: Vec<_> = (0..size as u64).map(|slot| self.draw(seed, step, slot, difficulty)).collect();
        Batch::pack(&self.model, &self.vocabulary, &spectra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler() -> Sampler {
        let model = Recursive {
            hidden: 16,
            heads: 2,
            encoder_layers: 1,
            decoder_layers: 1,
            supervision_steps: 1,
            latent_steps: 1,
            peaks: 20,
            length: 12,
            modifications: vec![],
        };
        let synthetic = Synthetic { length: 7..=11, fragment_charges: 1 };
        let pool: Vec<_> = (0..50)
            .map(|slot| {
                let mut random = stream(9, Purpose::Validation, 0, slot);
                synthetic::draw(&synthetic, &model.vocabulary(), (7, 11), &mut random)
            })
            .collect();
        let pool = Drawer::Pool { pool: Arc::new(Pool::new(pool)), noise: false };
        Sampler::new(&model, vec![(3.0, Drawer::Synthetic(synthetic)), (1.0, pool)])
    }

    #[test]
    fn a_larger_batch_contains_the_smaller() {
        let (sampler, difficulty) = (sampler(), Difficulty { noise_peaks: 3, ..Difficulty::clean((7, 9)) });
        let large = sampler.batch(1, 5, 16, &difficulty);
        assert_eq!(large.rows(0, 8), sampler.batch(1, 5, 8, &difficulty));
        assert_ne!(large, sampler.batch(1, 6, 16, &difficulty));
        assert_ne!(large, sampler.batch(2, 5, 16, &difficulty));
    }

    #[test]
    fn shares_and_lengths_hold() {
        let (sampler, difficulty) = (sampler(), Difficulty::clean((8, 9)));
        let drawn: Vec<_> = (0..2000).map(|slot| sampler.draw(1, 0, slot, &difficulty)).collect();
        assert!(drawn.iter().all(|spectrum| (8..=9).contains(&spectrum.peptide.len())));
        let Some(Drawer::Pool { pool, .. }) = sampler.drawers().nth(1) else { panic!("the second source is a pool") };
        let from_pool = drawn.iter().filter(|spectrum| pool.spectra().contains(spectrum)).count();
        assert!((440..560).contains(&from_pool), "{from_pool} of 2000");
    }

    #[test]
    fn a_range_without_spectra_is_said() {
        assert!(sampler().check(&Difficulty::clean((7, 9))).is_ok());
        assert!(sampler().check(&Difficulty::clean((2, 3))).unwrap_err().contains("2 to 3"));
    }
}
