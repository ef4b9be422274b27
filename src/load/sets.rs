//! Validation sets: drawn by rule, or chosen from files.

use std::collections::BinaryHeap;

use super::material::Maker;
use crate::history::{self, Root};
use crate::lineage::{Set, SetSource};
use crate::task::noise;
use crate::task::random::{Purpose, stream};
use crate::task::spectrum::Spectrum;
use crate::task::split;
use crate::task::synthetic;
use crate::task::tokens::Vocabulary;

impl Maker<'_> {
    /// The spectra of a set, in its order.
    pub fn set(&mut self, set: &Set, root: &Root) -> Result<Vec<Spectrum>, String> {
        let model = root.model.recursive();
        let vocabulary = model.vocabulary();
        match &set.source {
            SetSource::Synthetic { .. } => Ok(synthetic_set(set, &vocabulary)),
            SetSource::Files { files, length, preprocessing } => {
                let share = held_out_share(&root.data);
                let mut lowest = Lowest::new(set.spectra as usize);
                for (path, digest) in files {
                    self.usable(path, digest, preprocessing, model, &vocabulary, &(length.0..=length.1), &mut |spectrum| {
                        if split::held_out(&split::bare(&vocabulary, &spectrum.peptide), share, 0) {
                            lowest.offer(spectrum);
                        }
                    })?;
                }
                match lowest.is_empty() {
                    true => Err(format!(
                        "no usable spectrum is held out (share {share}); raise `held_out`, or `runner inspect` the file"
                    )),
                    false => Ok(lowest.into_spectra()),
                }
            }
        }
    }
}

fn synthetic_set(set: &Set, vocabulary: &Vocabulary) -> Vec<Spectrum> {
    let SetSource::Synthetic { synthetic, difficulty, seed } = &set.source else { return vec![] };
    let draw = |slot: u64| {
        let mut random = stream(*seed, Purpose::Validation, 0, slot);
        let mut spectrum = synthetic::draw(synthetic, vocabulary, difficulty.length, &mut random);
        noise::apply(&mut spectrum, difficulty, &mut random);
        spectrum
    };
    (0..u64::from(set.spectra)).map(draw).collect()
}

/// The share of peptides that no training source uses: the smallest of the files', 1 where none is trained on.
fn held_out_share(source: &history::Source) -> f64 {
    match source {
        history::Source::Synthetic { .. } => 1.0,
        history::Source::Files(files) => files.held_out,
        history::Source::Mixture(parts) => parts.iter().map(|(_, part)| held_out_share(part)).fold(1.0, f64::min),
    }
}

/// A sample that does not depend on the order of the files: the spectra whose content hashes lowest, in that order. Holds no
/// more than are wanted, however many are offered.
struct Lowest {
    most: usize,
    /// Of equal contents the one offered first counts as lower.
    kept: BinaryHeap<Offered>,
    offered: usize,
}

struct Offered {
    rank: ([u8; 32], usize),
    spectrum: Spectrum,
}

impl Lowest {
    fn new(most: usize) -> Lowest {
        Lowest { most, kept: BinaryHeap::new(), offered: 0 }
    }

    fn offer(&mut self, spectrum: Spectrum) {
        let rank = (content(&spectrum), self.offered);
        self.offered += 1;
        if self.kept.len() < self.most || self.kept.peek().is_some_and(|highest| rank < highest.rank) {
            self.kept.push(Offered { rank, spectrum });
            if self.kept.len() > self.most {
                self.kept.pop();
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.offered == 0
    }

    fn into_spectra(self) -> Vec<Spectrum> {
        self.kept.into_sorted_vec().into_iter().map(|offered| offered.spectrum).collect()
    }
}

fn content(spectrum: &Spectrum) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&spectrum.precursor_mz.to_bits().to_le_bytes()).update(&spectrum.peptide);
    spectrum.peaks.iter().for_each(|peak| {
        hasher.update(&peak.mz.to_bits().to_le_bytes()).update(&peak.intensity.to_bits().to_le_bytes());
    });
    *hasher.finalize().as_bytes()
}

impl PartialEq for Offered {
    fn eq(&self, other: &Offered) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Offered {}

impl PartialOrd for Offered {
    fn partial_cmp(&self, other: &Offered) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Offered {
    fn cmp(&self, other: &Offered) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::spectrum::Peak;

    #[test]
    fn a_sample_holds_the_lowest_hashes_whatever_the_order() {
        let spectrum = |n: u64| Spectrum {
            precursor_mz: n as f64,
            charge: 2,
            peaks: vec![Peak { mz: 100.0, intensity: 1.0 }],
            peptide: vec![],
        };
        let sample = |order: &[u64]| {
            let mut lowest = Lowest::new(10);
            for &n in order {
                lowest.offer(spectrum(n));
                assert!(lowest.kept.len() <= 10, "never more than wanted");
            }
            lowest.into_spectra()
        };
        let rising: Vec<u64> = (0..200).collect();
        let falling: Vec<u64> = (0..200).rev().collect();
        assert_eq!(sample(&rising), sample(&falling));
        let mut all: Vec<Spectrum> = rising.iter().map(|&n| spectrum(n)).collect();
        all.sort_by_key(content);
        assert_eq!(sample(&rising), all[..10]);
    }
}
