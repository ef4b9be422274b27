//! Makes the sources and the validation sets that a resolution names: synthetic ones by rule, others from their files.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::data::{import_tensors, open_spectra};
use super::digests::Digests;
use crate::history::{self, FileSource, Id, Origin, Root, digest_text};
use crate::lineage::{Library, Resolution, Resolved, Set, SetSource};
use crate::plan::{Material, PreparedSet};
use crate::spec::{Experiment, Name, Parent, Source};
use crate::task::mgf::Reader;
use crate::task::model::Recursive;
use crate::task::preprocess::{Preprocessing, prepare};
use crate::task::reason::Tally;
use crate::task::sampler::{Drawer, Pool, Sampler};
use crate::task::spectrum::Spectrum;
use crate::task::split;
use crate::task::tokens::Vocabulary;

/// Which spectra of a file were used, for people to see.
#[derive(Debug)]
pub struct Reading {
    pub file: String,
    pub usable: usize,
    pub unusable: Tally,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = self.unusable.reasons.iter().map(|(reason, counted)| format!("{} {reason}", counted.spectra));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        write!(f, "{}: {} usable spectra", self.file, self.usable)?;
        if reasons.is_empty() { Ok(()) } else { write!(f, "; not usable: {reasons}") }
    }
}

/// Reads and draws everything the experiments need.
pub fn material(
    root: &Path,
    library: &BTreeMap<Name, Experiment>,
    resolution: &Resolution,
) -> Result<(Material, Vec<Reading>), String> {
    material_with(root, library, resolution, &mut Digests::default())
}

/// The same, where digests of the data may have been made already.
pub fn material_with(
    root: &Path,
    library: &BTreeMap<Name, Experiment>,
    resolution: &Resolution,
    digests: &mut Digests,
) -> Result<(Material, Vec<Reading>), String> {
    let mut maker = Maker::new(root, library, digests);
    for resolved in resolution.experiments.values() {
        maker.experiment(resolved, library)?;
    }
    Ok((maker.material, maker.readings))
}

/// What a plan wants to know of the data.
#[derive(Debug, Default)]
pub struct Planned {
    /// Digests of every experiment's validation sets.
    pub sets: BTreeMap<Name, Vec<(Name, String)>>,
    /// What people are told of the files, a line each.
    pub told: Vec<String>,
}

/// What a plan wants to know of the data, read only where it is not known already.
pub fn planned(root: &Path, library: &Library, resolution: &Resolution, digests: &mut Digests) -> Result<Planned, String> {
    let experiments = library.experiments.iter().map(|(name, known)| (name.clone(), known.value.clone())).collect();
    let mut planned = Planned::default();
    let mut drawn: BTreeMap<String, String> = BTreeMap::new();
    for resolved in resolution.experiments.values() {
        let Some(leaf) = resolved.leaves.first() else { continue };
        if leaf.fork.is_none() {
            for leaf in resolved.leaves.iter().filter(|leaf| has_files(&leaf.history.root().data)) {
                let id = Material::root_id(&leaf.history);
                let make = |maker: &mut Maker<'_>| maker.root_material(&resolved.name, id, leaf.history.root(), &experiments);
                planned.tell(told(root, &experiments, digests, &id.hex(), make)?);
            }
        }
        let mut sets = Vec::new();
        for set in &resolved.validation {
            let key = set_key(set, Material::root_id(&leaf.history));
            let digest = match drawn.get(&key) {
                Some(digest) => digest.clone(),
                None => {
                    let (digest, lines) = set_digest(root, &experiments, digests, (resolved, set, &key))?;
                    planned.tell(lines);
                    digest
                }
            };
            sets.push((set.name.clone(), digest.clone()));
            drawn.insert(key, digest);
        }
        planned.sets.insert(resolved.name.clone(), sets);
    }
    Ok(planned)
}

impl Planned {
    /// Every file is told of once.
    fn tell(&mut self, lines: Vec<String>) {
        let file = |line: &str| line.rsplit_once(": ").map(|(file, _)| file.to_owned());
        for line in lines {
            if !self.told.iter().any(|known| known == &line || file(known) == file(&line)) {
                self.told.push(line);
            }
        }
    }
}

/// What people are told of the files that `make` reads; it is not asked where that is known.
fn told(
    root: &Path,
    library: &BTreeMap<Name, Experiment>,
    digests: &mut Digests,
    key: &str,
    make: impl FnOnce(&mut Maker<'_>) -> Result<(), String>,
) -> Result<Vec<String>, String> {
    if let Some(known) = digests.source(key) {
        return Ok(known);
    }
    let mut maker = Maker::new(root, library, digests);
    make(&mut maker)?;
    let lines: Vec<String> = maker.readings.iter().map(ToString::to_string).collect();
    digests.note_source(key, &lines);
    Ok(lines)
}

/// The digest of a validation set, and what people are told of its files. Drawing a synthetic one is quicker than looking
/// it up would be worth.
fn set_digest(
    root: &Path,
    library: &BTreeMap<Name, Experiment>,
    digests: &mut Digests,
    (resolved, set, key): (&Resolved, &Set, &str),
) -> Result<(String, Vec<String>), String> {
    if let (Some(digest), Some(lines)) = (digests.set(key), digests.source(key)) {
        return Ok((digest, lines));
    }
    let mut digest = String::new();
    let mut maker = Maker::new(root, library, digests);
    let leaf = &resolved.leaves[0];
    digest += &maker.prepared(resolved, set, leaf.history.root(), Material::root_id(&leaf.history))?.digest;
    let lines: Vec<String> = maker.readings.iter().map(ToString::to_string).collect();
    if matches!(set.source, SetSource::Files { .. }) {
        digests.note_set(key, &digest);
        digests.note_source(key, &lines);
    }
    Ok((digest, lines))
}

/// Names all that makes a set: the root, which holds the model and the share that is held out, and its own source with the
/// digests of its files.
fn set_key(set: &Set, root: Id) -> String {
    digest_text(format!("{root} {:?} {}", set.source, set.spectra).as_bytes())
}

fn has_files(source: &history::Source) -> bool {
    match source {
        history::Source::Synthetic { .. } => false,
        history::Source::Files(_) => true,
        history::Source::Mixture(parts) => parts.iter().any(|(_, part)| has_files(part)),
    }
}

/// Makes what experiments need, each thing once.
pub(super) struct Maker<'a> {
    root: &'a Path,
    /// Paths of training files by their position in each experiment's sources, as written.
    files: BTreeMap<Name, Vec<(String, Option<String>)>>,
    digests: &'a mut Digests,
    material: Material,
    /// Sets by all that makes them.
    sets: BTreeMap<String, PreparedSet>,
    readings: Vec<Reading>,
}

/// Files of every root, in the order in which its source names them.
fn files(library: &BTreeMap<Name, Experiment>) -> BTreeMap<Name, Vec<(String, Option<String>)>> {
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

impl<'a> Maker<'a> {
    fn new(root: &'a Path, library: &BTreeMap<Name, Experiment>, digests: &'a mut Digests) -> Maker<'a> {
        let (material, sets, readings) = (Material::default(), BTreeMap::new(), Vec::new());
        Maker { root, files: files(library), digests, material, sets, readings }
    }

    fn experiment(&mut self, resolved: &Resolved, library: &BTreeMap<Name, Experiment>) -> Result<(), String> {
        let Some(leaf) = resolved.leaves.first() else { return Ok(()) };
        if leaf.fork.is_none() {
            for leaf in &resolved.leaves {
                self.root_material(&resolved.name, Material::root_id(&leaf.history), leaf.history.root(), library)?;
            }
        }
        let (root, id) = (leaf.history.root(), Material::root_id(&leaf.history));
        let sets = resolved.validation.iter().map(|set| self.prepared(resolved, set, root, id)).collect::<Result<_, _>>()?;
        self.material.sets.insert(resolved.name.clone(), sets);
        Ok(())
    }

    /// A set with its spectra; experiments that inherit one share them.
    fn prepared(&mut self, resolved: &Resolved, set: &Set, root: &Root, id: Id) -> Result<PreparedSet, String> {
        let key = set_key(set, id);
        if let Some(known) = self.sets.get(&key) {
            return Ok(PreparedSet { name: set.name.clone(), ..known.clone() });
        }
        let spectra = self.set(set, root);
        let spectra = spectra.map_err(|error| format!("validation set `{}` of `{}`: {error}", set.name, resolved.name))?;
        let prepared = PreparedSet::new(set.name.clone(), spectra);
        self.sets.insert(key, prepared.clone());
        Ok(prepared)
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
            self.usable(path, digest, &source.preprocessing, model, &vocabulary, &lengths, &mut |spectrum| {
                if !split::held_out(&split::bare(&vocabulary, &spectrum.peptide), source.held_out, 0) {
                    spectra.push(spectrum);
                }
            })?;
        }
        match spectra.is_empty() {
            true => Err(format!("no spectrum of {paths:?} can be trained on; `runner inspect FILE` says why")),
            false => Ok(Pool::new(spectra)),
        }
    }

    /// Gives the usable spectra of one file to `take`, one after the other; the others are counted by reason.
    #[allow(clippy::too_many_arguments, reason = "what makes a spectrum usable is many things")]
    pub(super) fn usable(
        &mut self,
        path: &str,
        digest: &str,
        preprocessing: &Preprocessing,
        model: &Recursive,
        vocabulary: &Vocabulary,
        lengths: &RangeInclusive<u32>,
        take: &mut dyn FnMut(Spectrum),
    ) -> Result<(), String> {
        let unreadable = |error| format!("`{path}` cannot be read: {error}");
        let mut file = open_spectra(self.root, path, Some(digest), self.digests).map_err(unreadable)?;
        let mut reading = Reading { file: path.into(), usable: 0, unusable: Tally::default() };
        for entry in Reader::new(&mut file) {
            let entry = entry.map_err(|error| format!("`{path}`: {error}"))?;
            match prepare(&entry, preprocessing, vocabulary, model.longest_peptide(), lengths) {
                Ok(spectrum) => {
                    reading.usable += 1;
                    take(spectrum);
                }
                Err(reason) => reading.unusable.add(reason, &entry),
            }
        }
        // What was read must be what was named: somebody may have written to the file since.
        if file.get_ref().digest() != digest {
            self.digests.forget(file.get_ref().path());
            return Err(format!("`{path}` changed while it was read; run the command again"));
        }
        if !self.readings.iter().any(|known| known.file == path) {
            self.readings.push(reading);
        }
        Ok(())
    }
}
