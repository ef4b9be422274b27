//! What a plan is carried out with: sources ready to draw from, validation spectra, imported weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::history::{History, Id};
use crate::record::Tensors;
use crate::spec::Name;
use crate::task::sampler::Sampler;
use crate::task::spectrum::Spectrum;

/// A validation set with its spectra.
#[derive(Clone, Debug)]
pub struct PreparedSet {
    pub name: Name,
    /// blake3 over the spectra.
    pub digest: String,
    pub spectra: Arc<[Spectrum]>,
}

/// Everything that training and evaluating read.
#[derive(Debug, Default)]
pub struct Material {
    /// By the name of the root.
    pub samplers: BTreeMap<Id, Arc<Sampler>>,
    /// By experiment.
    pub sets: BTreeMap<Name, Vec<PreparedSet>>,
    /// Imported weights by the digest of their tensors.
    pub imported: BTreeMap<String, Tensors>,
}

impl PreparedSet {
    pub fn new(name: Name, spectra: Vec<Spectrum>) -> PreparedSet {
        let mut hasher = blake3::Hasher::new();
        for spectrum in &spectra {
            hasher.update(&spectrum.precursor_mz.to_bits().to_le_bytes()).update(&[spectrum.charge]);
            hasher.update(&(spectrum.peptide.len() as u64).to_le_bytes()).update(&spectrum.peptide);
            hasher.update(&(spectrum.peaks.len() as u64).to_le_bytes());
            for peak in &spectrum.peaks {
                hasher.update(&peak.mz.to_bits().to_le_bytes()).update(&peak.intensity.to_bits().to_le_bytes());
            }
        }
        PreparedSet { name, digest: hasher.finalize().to_hex().to_string(), spectra: spectra.into() }
    }
}

impl Material {
    /// The name under which a history's root keeps its sampler.
    pub fn root_id(history: &History) -> Id {
        history.cut(history.start()).id()
    }

    /// Names and digests of every experiment's sets, as a plan wants them.
    pub fn set_digests(&self) -> BTreeMap<Name, Vec<(Name, String)>> {
        let digests = |sets: &Vec<PreparedSet>| sets.iter().map(|set| (set.name.clone(), set.digest.clone())).collect();
        self.sets.iter().map(|(experiment, sets)| (experiment.clone(), digests(sets))).collect()
    }
}
