//! Versions of the parts of our code whose mathematics a history depends on.
//!
//! Raise a number when what the part computes changes: checkpoints that used it get another name, all others keep theirs.

use super::root::Source;
use super::span::History;
use crate::task::loss::Loss;

/// Version of what evaluations compute; part of an evaluation's key, not of a checkpoint's name.
pub const EVALUATOR: u32 = 1;
/// Version of what probes of the loss measure; part of a probe's key.
pub const PROBE: u32 = 1;

/// The version of each part: what this program computes, or what a history was trained with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The recursive network: initial weights, forward pass, dropout masks.
    pub model: u32,
    /// Synthetic spectra.
    pub synthetic: u32,
    /// Reading, labelling, preprocessing, splitting and drawing from files.
    pub files: u32,
    /// Noise laid over spectra.
    pub noise: u32,
    /// AdamW, clipping, accumulation, running averages.
    pub optimizer: u32,
    pub cross_entropy: u32,
    pub spectrum: u32,
    pub precursor: u32,
}

impl Versions {
    /// What this program computes.
    pub const CURRENT: Versions =
        Versions { model: 2, synthetic: 1, files: 1, noise: 1, optimizer: 2, cross_entropy: 1, spectrum: 2, precursor: 2 };

    pub fn loss(&self, loss: Loss) -> u32 {
        match loss {
            Loss::CrossEntropy => self.cross_entropy,
            Loss::Spectrum => self.spectrum,
            Loss::Precursor => self.precursor,
        }
    }

    fn loss_mut(&mut self, loss: Loss) -> &mut u32 {
        match loss {
            Loss::CrossEntropy => &mut self.cross_entropy,
            Loss::Spectrum => &mut self.spectrum,
            Loss::Precursor => &mut self.precursor,
        }
    }

    /// The versions that a history was trained with from a step on. Parts that it does not use there are as in `otherwise`;
    /// of several versions of a part the last.
    pub fn of(history: &History, from: u64, otherwise: &Versions) -> Versions {
        let mut versions = otherwise.clone();
        versions.model = history.root().model_version;
        versions.note_source(&history.root().data);
        for settings in history.settings_from(from) {
            versions.optimizer = settings.optimizer_version;
            if !settings.difficulty.is_clean() {
                versions.noise = settings.noise_version;
            }
            for (&loss, term) in &settings.losses {
                *versions.loss_mut(loss) = term.version;
            }
        }
        versions
    }

    fn note_source(&mut self, source: &Source) {
        match source {
            Source::Synthetic { version, .. } => self.synthetic = *version,
            Source::Files(files) => self.files = files.version,
            Source::Mixture(parts) => parts.iter().for_each(|(_, part)| self.note_source(part)),
        }
    }

    /// The parts in which two programs differ: name, version here, version there.
    pub fn differences(&self, other: &Versions) -> Vec<(&'static str, u32, u32)> {
        self.named().into_iter().zip(other.named()).filter(|(a, b)| a != b).map(|(a, b)| (a.0, a.1, b.1)).collect()
    }

    fn named(&self) -> [(&'static str, u32); 8] {
        [
            ("model", self.model),
            ("synthetic spectra", self.synthetic),
            ("spectra of files", self.files),
            ("noise", self.noise),
            ("optimizer", self.optimizer),
            (Loss::CrossEntropy.name(), self.cross_entropy),
            (Loss::Spectrum.name(), self.spectrum),
            (Loss::Precursor.name(), self.precursor),
        ]
    }
}
