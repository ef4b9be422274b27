//! Makes the sources and the validation sets that a resolution names: synthetic ones by rule, others from their files.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::data::{import_tensors, open_spectra};
use crate::history::{self, FileSource, Origin, Root};
use crate::lineage::{Resolution, Resolved, Set, SetSource};
use crate::plan::{Material, PreparedSet};
use crate::spec::{Experiment, Name, Parent, Source};
use crate::task::mgf::Reader;
use crate::task::model::Recursive;
use crate::task::noise;
use crate::task::preprocess::{Preprocessing, prepare};
use crate::task::random::{Purpose, stream};
use crate::task::reason::Tally;
use crate::task::sampler::{Drawer, Pool, Sampler};
use crate::task::spectrum::Spectrum;
use crate::task::split;
use crate::task::synthetic;
use crate::task::tokens::Vocabulary;

/// Which spectra of a file were used, for people to see.
#[derive(Debug)]
pub struct Reading {
    pub file: String,
    pub usable: usize,
    pub unusable: Tally,
}

/// Reads and draws everything the experiments need.
pub fn material(
    root: &Path,
    library: &BTreeMap<Name, Experiment>,
    resolution: &Resolution,
) -> Result<(Material, Vec<Reading>), String> {
    let mut maker = Maker { root, files: digests(library), material: Material::default(), readings: Vec::new() };
    for resolved in resolution.experiments.values() {
        maker.experiment(resolved, library)?;
    }
    Ok((maker.material, maker.readings))
}

struct Maker<'a> {
    root: &'a Path,
    /// Paths of training files by their position in each experiment's sources, as written.
    files: BTreeMap<Name, Vec<(String, Option<String>)>>,
    material: Material,
    readings: Vec<Reading>,
}

/// Files of every root, in the order in which its source names them.
fn digests(library: &BTreeMap<Name, Experiment>) -> BTreeMap<Name, Vec<(String, Option<String>)>> {
    let files = |experiment: &Experiment| -> Vec<(String, Option<String>)> {
        let source = match &experiment.parent {
            Parent::Scratch(root) => &root.data,
            Parent::Imported(root) => &root.data,
            Parent::Checkpoint(_) => return vec![],
        };
        let mgf = source.parts().into_iter().filter_map(|(_, part)| if let Source::Mgf(mgf) = part { Some(mgf) } else { None });
        mgf.flat_map(|mgf| mgf.files.iter().enumerate().map(|(i, file)| (file.clone(), mgf.digests.get(i).cloned()))).collect()
    };
    library.iter().map(|(name, experiment)| (name.clone(), files(experiment))).collect()
}

impl Maker<'_> {
    fn experiment(&mut self, resolved: &Resolved, library: &BTreeMap<Name, Experiment>) -> Result<(), String> {
        let Some(leaf) = resolved.leaves.first() else { return Ok(()) };
        let root = leaf.history.root().clone();
        if leaf.fork.is_none() {
            for leaf in &resolved.leaves {
                self.root_material(&resolved.name, Material::root_id(&leaf.history), leaf.history.root(), library)?;
            }
        }
        let mut sets = Vec::new();
        for set in &resolved.validation {
            let spectra = self
                .set(set, &root)
                .map_err(|error| format!("validation set `{}` of `{}`: {error}", set.name, resolved.name))?;
            sets.push(PreparedSet::new(set.name.clone(), spectra));
        }
        self.material.sets.insert(resolved.name.clone(), sets);
        Ok(())
    }

    fn root_material(
        &mut self,
        name: &Name,
        id: history::Id,
        root: &Root,
        library: &BTreeMap<Name, Experiment>,
    ) -> Result<(), String> {
        if self.material.samplers.contains_key(&id) {
            return Ok(());
        }
        let model = root.model.recursive();
        let mut files = self.files.get(name).cloned().unwrap_or_default().into_iter();
        let drawers = self.drawers(&root.data, model, &mut files)?;
        self.material.samplers.insert(id, Arc::new(Sampler::new(model, drawers)));
        if let (Origin::Imported { digest, .. }, Some(Parent::Imported(imported))) =
            (&root.origin, library.get(name).map(|e| &e.parent))
        {
            let (found, tensors) =
                import_tensors(self.root, &imported.file).map_err(|error| format!("`{}`: {error}", imported.file))?;
            if found != *digest {
                return Err(format!("`{}` changed while it was read", imported.file));
            }
            self.material.imported.insert(found, tensors);
        }
        Ok(())
    }

    fn drawers(
        &mut self,
        source: &history::Source,
        model: &Recursive,
        files: &mut impl Iterator<Item = (String, Option<String>)>,
    ) -> Result<Vec<(f64, Drawer)>, String> {
        Ok(match source {
            history::Source::Synthetic { synthetic, .. } => vec![(1.0, Drawer::Synthetic(synthetic.clone()))],
            history::Source::Files(source) => {
                let paths: Vec<_> = files.take(source.digests.len()).collect();
                vec![(1.0, Drawer::Pool { pool: Arc::new(self.pool(source, model, &paths)?), noise: source.noise })]
            }
            history::Source::Mixture(parts) => {
                let mut drawers = Vec::new();
                for (share, part) in parts {
                    drawers.extend(self.drawers(part, model, files)?.into_iter().map(|(_, drawer)| (*share, drawer)));
                }
                drawers
            }
        })
    }

    /// The training side of a file source.
    fn pool(&mut self, source: &FileSource, model: &Recursive, paths: &[(String, Option<String>)]) -> Result<Pool, String> {
        let vocabulary = model.vocabulary();
        let mut spectra = Vec::new();
        for ((path, _), digest) in paths.iter().zip(&source.digests) {
            let lengths = 1..=model.longest_peptide();
            let usable = self.usable(path, Some(digest), &source.preprocessing, model, &vocabulary, &lengths)?;
            spectra.extend(
                usable.into_iter().filter(|s| !split::held_out(&split::bare(&vocabulary, &s.peptide), source.held_out, 0)),
            );
        }
        match spectra.is_empty() {
            true => Err(format!("no spectrum of {paths:?} can be trained on; `runner inspect FILE` says why")),
            false => Ok(Pool::new(spectra)),
        }
    }

    /// The usable spectra of one file; the others are counted by reason.
    fn usable(
        &mut self,
        path: &str,
        digest: Option<&str>,
        preprocessing: &Preprocessing,
        model: &Recursive,
        vocabulary: &Vocabulary,
        lengths: &RangeInclusive<u32>,
    ) -> Result<Vec<Spectrum>, String> {
        let file = open_spectra(self.root, path, digest).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
        let mut unusable = Tally::default();
        let mut usable = Vec::new();
        for entry in Reader::new(file) {
            let entry = entry.map_err(|error| format!("`{path}`: {error}"))?;
            match prepare(&entry, preprocessing, vocabulary, model.longest_peptide(), lengths) {
                Ok(spectrum) => usable.push(spectrum),
                Err(reason) => unusable.add(reason, &entry),
            }
        }
        if !self.readings.iter().any(|reading| reading.file == path) {
            self.readings.push(Reading { file: path.into(), usable: usable.len(), unusable });
        }
        Ok(usable)
    }

    fn set(&mut self, set: &Set, root: &Root) -> Result<Vec<Spectrum>, String> {
        let model = root.model.recursive();
        let vocabulary = model.vocabulary();
        match &set.source {
            SetSource::Synthetic { synthetic, difficulty, seed } => {
                let draw = |slot: u64| {
                    let mut random = stream(*seed, Purpose::Validation, 0, slot);
                    let mut spectrum = synthetic::draw(synthetic, &vocabulary, difficulty.length, &mut random);
                    noise::apply(&mut spectrum, difficulty, &mut random);
                    spectrum
                };
                Ok((0..u64::from(set.spectra)).map(draw).collect())
            }
            SetSource::Files { paths, length, preprocessing } => {
                let share = held_out_share(&root.data);
                let mut spectra = Vec::new();
                for path in paths {
                    let usable = self.usable(path, None, preprocessing, model, &vocabulary, &(length.0..=length.1))?;
                    spectra.extend(
                        usable.into_iter().filter(|s| split::held_out(&split::bare(&vocabulary, &s.peptide), share, 0)),
                    );
                }
                match spectra.is_empty() {
                    true => Err(format!(
                        "no usable spectrum is held out (share {share}); raise `held_out`, or `runner inspect` the file"
                    )),
                    false => Ok(lowest_hashes(spectra, set.spectra as usize)),
                }
            }
        }
    }
}

/// The share of peptides that no training source uses: the smallest of the files', 1 where none is trained on.
fn held_out_share(source: &history::Source) -> f64 {
    match source {
        history::Source::Synthetic { .. } => 1.0,
        history::Source::Files(files) => files.held_out,
        history::Source::Mixture(parts) => parts.iter().map(|(_, part)| held_out_share(part)).fold(1.0, f64::min),
    }
}

/// A sample that does not depend on the order of the files: the spectra whose content hashes lowest, in that order.
fn lowest_hashes(spectra: Vec<Spectrum>, most: usize) -> Vec<Spectrum> {
    let hash = |spectrum: &Spectrum| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&spectrum.precursor_mz.to_bits().to_le_bytes()).update(&spectrum.peptide);
        spectrum.peaks.iter().for_each(|peak| {
            hasher.update(&peak.mz.to_bits().to_le_bytes()).update(&peak.intensity.to_bits().to_le_bytes());
        });
        *hasher.finalize().as_bytes()
    };
    let mut hashed: Vec<_> = spectra.into_iter().map(|spectrum| (hash(&spectrum), spectrum)).collect();
    hashed.sort_by_key(|(hash, _)| *hash);
    hashed.into_iter().take(most).map(|(_, spectrum)| spectrum).collect()
}
