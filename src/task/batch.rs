//! A batch of spectra as flat arrays, padded to the model's sizes: what crosses to the device.

use super::model::Recursive;
use super::spectrum::{Peak, Spectrum};
use super::tokens::{END, PAD, Vocabulary};

/// Samples of one step (or of a validation set), row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number of spectra B.
    pub size: usize,
    /// Number of peaks P a row is padded to.
    pub peaks: usize,
    /// Number of tokens L a row is padded to.
    pub length: usize,
    /// m/z of the peaks, `[B, P]`, 0 for padding.
    pub mz: Vec<f32>,
    /// Intensities relative to the highest peak, `[B, P]`, 0 for padding.
    pub intensity: Vec<f32>,
    /// 1 for a peak, 0 for padding, `[B, P]`.
    pub is_peak: Vec<f32>,
    /// Neutral mass of the precursor in Da, `[B]`.
    pub neutral_mass: Vec<f32>,
    /// Precursor charge, `[B]`.
    pub charge: Vec<i32>,
    /// True tokens, then the end token, then padding, `[B, L]`.
    pub tokens: Vec<i32>,
    /// Number of true tokens without the end token, `[B]`.
    pub lengths: Vec<usize>,
    /// 1 where a bond breaks after this token (every true token but the last and N-terminal modifications), `[B, L]`.
    pub cleavable: Vec<f32>,
}

impl Batch {
    /// Packs spectra: of those with more than the model's peaks the most intense are kept. Every peptide must fit.
    pub fn pack(model: &Recursive, vocabulary: &Vocabulary, spectra: &[Spectrum]) -> Batch {
        let (peaks, length) = (model.peaks as usize, model.length as usize);
        let mut batch = Batch {
            size: spectra.len(),
            peaks,
            length,
            mz: Vec::with_capacity(spectra.len() * peaks),
            intensity: Vec::with_capacity(spectra.len() * peaks),
            is_peak: Vec::with_capacity(spectra.len() * peaks),
            neutral_mass: Vec::with_capacity(spectra.len()),
            charge: Vec::with_capacity(spectra.len()),
            tokens: Vec::with_capacity(spectra.len() * length),
            lengths: Vec::with_capacity(spectra.len()),
            cleavable: Vec::with_capacity(spectra.len() * length),
        };
        for spectrum in spectra {
            batch.push(vocabulary, spectrum);
        }
        batch
    }

    fn push(&mut self, vocabulary: &Vocabulary, spectrum: &Spectrum) {
        let padding = |count: usize, most: usize| std::iter::repeat_n(0.0, most - count);
        let kept = most_intense(&spectrum.peaks, self.peaks);
        self.mz.extend(kept.iter().map(|peak| peak.mz as f32).chain(padding(kept.len(), self.peaks)));
        self.intensity.extend(kept.iter().map(|peak| peak.intensity as f32).chain(padding(kept.len(), self.peaks)));
        self.is_peak.extend(kept.iter().map(|_| 1.0).chain(padding(kept.len(), self.peaks)));
        self.neutral_mass.push(spectrum.neutral_mass() as f32);
        self.charge.push(i32::from(spectrum.charge));
        let peptide = &spectrum.peptide;
        let end = std::iter::once(i32::from(END));
        let pad = std::iter::repeat_n(i32::from(PAD), self.length - peptide.len() - 1);
        self.tokens.extend(peptide.iter().map(|&token| i32::from(token)).chain(end).chain(pad));
        let breaks = |(place, &token): (usize, &u8)| {
            if place + 1 < peptide.len() && !vocabulary.is_n_terminal(token) { 1.0 } else { 0.0 }
        };
        self.cleavable.extend(peptide.iter().enumerate().map(breaks).chain(padding(peptide.len(), self.length)));
        self.lengths.push(peptide.len());
    }

    /// Rows `from..to` as a batch of their own.
    pub fn rows(&self, from: usize, to: usize) -> Batch {
        let (p, l) = (self.peaks, self.length);
        Batch {
            size: to - from,
            peaks: p,
            length: l,
            mz: self.mz[from * p..to * p].to_vec(),
            intensity: self.intensity[from * p..to * p].to_vec(),
            is_peak: self.is_peak[from * p..to * p].to_vec(),
            neutral_mass: self.neutral_mass[from..to].to_vec(),
            charge: self.charge[from..to].to_vec(),
            tokens: self.tokens[from * l..to * l].to_vec(),
            lengths: self.lengths[from..to].to_vec(),
            cleavable: self.cleavable[from * l..to * l].to_vec(),
        }
    }
}

/// The `most` most intense peaks, again in order of m/z; of equal intensities the lighter peak stays.
fn most_intense(peaks: &[Peak], most: usize) -> Vec<Peak> {
    let mut kept = peaks.to_vec();
    if kept.len() > most {
        kept.sort_by(|a, b| b.intensity.total_cmp(&a.intensity).then(a.mz.total_cmp(&b.mz)));
        kept.truncate(most);
        kept.sort_by(|a, b| a.mz.total_cmp(&b.mz));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Recursive {
        Recursive {
            hidden: 16,
            heads: 2,
            encoder_layers: 1,
            decoder_layers: 1,
            supervision_steps: 1,
            latent_steps: 1,
            peaks: 3,
            length: 5,
            modifications: vec![],
        }
    }

    #[test]
    fn rows_are_padded_and_the_most_intense_peaks_stay() {
        let peaks = [(100.0, 0.1), (200.0, 1.0), (300.0, 0.5), (400.0, 0.2)];
        let spectrum = Spectrum {
            precursor_mz: 500.0,
            charge: 2,
            peaks: peaks.map(|(mz, intensity)| Peak { mz, intensity }).to_vec(),
            peptide: vec![4, 5, 6],
        };
        let batch = Batch::pack(&model(), &model().vocabulary(), &[spectrum.clone(), spectrum]);
        assert_eq!(batch.mz[..3], [200.0, 300.0, 400.0]);
        assert_eq!(batch.tokens[..5], [4, 5, 6, 2, 0]);
        assert_eq!(batch.cleavable[..5], [1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(batch.lengths, [3, 3]);
        assert_eq!(batch.rows(1, 2), batch.rows(0, 1));
    }
}
