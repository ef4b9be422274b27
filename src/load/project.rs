//! The folder that holds `experiments/`, `curricula/` and `runs/`, and what is read from it for a question.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::data::{data_file, tensor_file};
use super::digests::Digests;
use super::text::{Diagnosis, TextFile};
use crate::lineage::{Fault, FileOrigin, Known, Library, Resolution, resolve};
use crate::spec::{Curriculum, CurriculumChoice, Experiment, Name, Parent, Place, Source, ValidationData};

/// A project's folder.
#[derive(Clone, Debug)]
pub struct Project {
    pub root: PathBuf,
}

/// Files that have been read, and everything wrong with them.
#[derive(Debug, Default)]
pub struct Loaded {
    pub library: Library,
    /// Texts by shown path.
    pub texts: BTreeMap<String, TextFile>,
    pub problems: Vec<Diagnosis>,
}

impl Project {
    /// The given folder; without one, the nearest folder from here upwards that has `experiments` or `curricula`, else here.
    pub fn find(given: Option<&Path>) -> Result<Project, String> {
        let here = std::env::current_dir().map_err(|error| format!("the current folder cannot be found: {error}"))?;
        if let Some(given) = given {
            let root = here.join(given);
            return match root.is_dir() {
                true => Ok(Project { root }),
                false => Err(format!("`{}` is not a folder", given.display())),
            };
        }
        let has_files = |folder: &&Path| folder.join("experiments").is_dir() || folder.join("curricula").is_dir();
        let root = here.ancestors().find(has_files).unwrap_or(&here).to_path_buf();
        Ok(Project { root })
    }

    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Everything in `experiments/` and `curricula/`, and the digests of all data.
    pub fn load_all(&self) -> (Loaded, Vec<Name>) {
        self.load_all_with(&mut Digests::default())
    }

    /// The same, with digests of data that may be known already.
    pub fn load_all_with(&self, digests: &mut Digests) -> (Loaded, Vec<Name>) {
        let mut loader = Loader::new(self);
        let names: Vec<String> = loader.loaded.library.experiment_names.clone();
        let mut targets = Vec::new();
        for stem in names {
            match Name::try_from(stem.as_str()) {
                Ok(name) => {
                    loader.experiment(&name);
                    targets.push(name);
                }
                Err(message) => loader.bad_name("experiments", &stem, message),
            }
        }
        for stem in loader.loaded.library.curriculum_names.clone() {
            match Name::try_from(stem.as_str()) {
                Ok(name) => loader.curriculum(&name),
                Err(message) => loader.bad_name("curricula", &stem, message),
            }
        }
        targets.retain(|name| loader.loaded.library.experiments.contains_key(name));
        (loader.finish(digests), targets)
    }

    /// One experiment, given as a path or as the name of a file in `experiments/`, with its curricula and ancestors.
    pub fn load(&self, target: &Path) -> Result<(Loaded, Name), Box<Loaded>> {
        self.load_with(target, &mut Digests::default())
    }

    /// The same, with digests of data that may be known already.
    pub fn load_with(&self, target: &Path, digests: &mut Digests) -> Result<(Loaded, Name), Box<Loaded>> {
        let mut loader = Loader::new(self);
        match loader.target(target) {
            Ok(name) if loader.loaded.library.experiments.contains_key(&name) => Ok((loader.finish(digests), name)),
            Ok(_) => Err(Box::new(loader.finish(digests))),
            Err(problem) => {
                loader.loaded.problems.push(problem);
                Err(Box::new(loader.finish(digests)))
            }
        }
    }

    /// Path as people know it: relative to the project where it lies inside.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

impl Loaded {
    /// Checks the targets as far as that goes without the data files that are absent: each of these is a problem that says so,
    /// and everything else is checked as if they were there.
    pub fn check(&mut self, targets: &[Name]) {
        self.resolve(targets);
        if self.problems.iter().any(|problem| problem.absent_data) {
            self.library.supposes_data = true;
            self.resolve(targets);
            self.library.supposes_data = false;
        }
    }

    /// Resolves the targets; faults among files join the other problems.
    pub fn resolve(&mut self, targets: &[Name]) -> Resolution {
        let mut resolution = resolve(&self.library, targets);
        let faults = std::mem::take(&mut resolution.faults);
        self.problems.extend(faults.into_iter().map(|fault| diagnosis(&self.texts, fault)));
        resolution
    }
}

fn diagnosis(texts: &BTreeMap<String, TextFile>, fault: Fault) -> Diagnosis {
    let span = texts.get(&fault.file).map_or(0..0, |text| text.outline.span(&fault.place));
    Diagnosis { file: fault.file, span, message: fault.message, help: fault.help, absent_data: fault.absent_data }
}

struct Loader<'a> {
    project: &'a Project,
    loaded: Loaded,
    /// Experiments whose curricula and parents have not been read yet; a list, as lineages may be long.
    pending: Vec<Name>,
}

impl Loader<'_> {
    fn new(project: &Project) -> Loader<'_> {
        let mut loaded = Loaded::default();
        loaded.library.experiment_names = stems(&project.root.join("experiments"));
        loaded.library.curriculum_names = stems(&project.root.join("curricula"));
        Loader { project, loaded, pending: Vec::new() }
    }

    fn finish(mut self, digests: &mut Digests) -> Loaded {
        self.settle();
        self.read_data(digests);
        self.loaded
    }

    /// Reads the experiment a person named, and what it needs.
    fn target(&mut self, target: &Path) -> Result<Name, Diagnosis> {
        let shown = target.display().to_string();
        let problem = |message: String, help: String| {
            let (file, help) = (shown.clone(), Some(help));
            Diagnosis { file, span: 0..0, message, help, absent_data: false }
        };
        let here = std::env::current_dir().unwrap_or_default().join(target);
        let inside = self.project.root.join(target);
        let named = self.project.root.join("experiments").join(format!("{shown}.ron"));
        let found = [here, inside, named].into_iter().find(|path| path.is_file());
        let Some(path) = found else {
            let known = &self.loaded.library.experiment_names;
            let help = match crate::spec::closest(&shown, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `experiments/{near}.ron`?"),
                None => format!("`experiments/` holds {} files; `runner check` reads them all", known.len()),
            };
            return Err(problem("there is no such experiment file".into(), help));
        };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = Name::try_from(stem).map_err(|message| problem(message, "rename the file".into()))?;
        let saved = path.starts_with(self.project.runs());
        self.experiment_file(&name, &path, !saved);
        Ok(name)
    }

    fn experiment(&mut self, name: &Name) {
        let path = self.project.root.join("experiments").join(format!("{name}.ron"));
        if !self.knows_experiment(name) && path.exists() {
            self.experiment_file(name, &path, true);
        }
    }

    fn knows_experiment(&self, name: &Name) -> bool {
        self.loaded.library.experiments.contains_key(name) || self.loaded.library.unreadable_experiments.contains(name)
    }

    fn experiment_file(&mut self, name: &Name, path: &Path, capped: bool) {
        let shown = self.project.shown(path);
        match read(path, &shown, capped, Experiment::check) {
            Ok((text, experiment)) => {
                self.loaded.texts.insert(shown.clone(), text);
                self.add_experiment(name, experiment, FileOrigin { file: shown, at: Place::root() });
            }
            Err((text, problems)) => {
                self.loaded.texts.extend(text.map(|text| (shown, text)));
                self.loaded.problems.extend(problems);
                self.loaded.library.unreadable_experiments.push(name.clone());
            }
        }
    }

    /// Adds an experiment; what it carries itself comes before what the folders hold.
    fn add_experiment(&mut self, name: &Name, experiment: Experiment, origin: FileOrigin) {
        let library = Place::root().field("library");
        for (inner, carried) in &experiment.library.curricula {
            let at = library.field("curricula").field(inner.as_str());
            let known = Known { value: carried.clone(), origin: FileOrigin { file: origin.file.clone(), at } };
            self.loaded.library.curricula.entry(inner.clone()).or_insert(known);
        }
        for (inner, carried) in &experiment.library.experiments {
            let at = library.field("experiments").field(inner.as_str());
            let known = Known { value: carried.clone(), origin: FileOrigin { file: origin.file.clone(), at } };
            self.loaded.library.experiments.entry(inner.clone()).or_insert(known);
        }
        self.pending.extend(experiment.library.experiments.keys().cloned());
        self.pending.push(name.clone());
        self.loaded.library.experiments.insert(name.clone(), Known { value: experiment, origin });
    }

    fn settle(&mut self) {
        while let Some(name) = self.pending.pop() {
            self.needs(&name);
        }
    }

    /// Reads the curricula and the parent that an experiment names.
    fn needs(&mut self, name: &Name) {
        let experiment = &self.loaded.library.experiments[name].value;
        let curricula: BTreeSet<Name> = experiment
            .all_branches()
            .into_iter()
            .filter_map(|branch| match branch.curriculum {
                CurriculumChoice::File(name) | CurriculumChoice::Moved { of: name, .. } => Some(name),
                _ => None,
            })
            .collect();
        let parent = match &experiment.parent {
            Parent::Checkpoint(reference) => Some(reference.experiment.clone()),
            _ => None,
        };
        for curriculum in &curricula {
            self.curriculum(curriculum);
        }
        if let Some(parent) = parent {
            self.experiment(&parent);
        }
    }

    fn curriculum(&mut self, name: &Name) {
        let library = &self.loaded.library;
        let path = self.project.root.join("curricula").join(format!("{name}.ron"));
        if library.curricula.contains_key(name) || library.unreadable_curricula.contains(name) || !path.exists() {
            return;
        }
        let shown = self.project.shown(&path);
        match read(&path, &shown, true, Curriculum::check) {
            Ok((text, value)) => {
                let origin = FileOrigin { file: shown.clone(), at: Place::root() };
                self.loaded.texts.insert(shown, text);
                self.loaded.library.curricula.insert(name.clone(), Known { value, origin });
            }
            Err((text, problems)) => {
                self.loaded.texts.extend(text.map(|text| (shown, text)));
                self.loaded.problems.extend(problems);
                self.loaded.library.unreadable_curricula.push(name.clone());
            }
        }
    }

    fn bad_name(&mut self, folder: &str, stem: &str, message: String) {
        let file = format!("{folder}/{stem}.ron");
        let help = Some("rename the file".into());
        self.loaded.problems.push(Diagnosis { file, span: 0..0, message, help, absent_data: false });
    }

    /// Digests of all data files, and shapes of all imported tensors, that the experiments name.
    fn read_data(&mut self, digests: &mut Digests) {
        let mut wanted: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut tensors: BTreeSet<String> = BTreeSet::new();
        for known in self.loaded.library.experiments.values() {
            for (path, digest) in data_paths(&known.value) {
                wanted.entry(path).or_insert(digest);
            }
            if let Parent::Imported(imported) = &known.value.parent {
                tensors.insert(imported.file.clone());
            }
        }
        let root = &self.project.root;
        let library = &mut self.loaded.library;
        for (path, recorded) in wanted {
            let file = data_file(root, &path, recorded.as_deref(), digests);
            library.data.insert(path, file);
        }
        for path in tensors {
            let file = tensor_file(root, &path, digests);
            library.tensors.insert(path, file);
        }
    }
}

type Unread = (Option<TextFile>, Vec<Diagnosis>);

fn read<T: serde::de::DeserializeOwned>(
    path: &Path,
    shown: &str,
    capped: bool,
    check: fn(&T, &Place, &mut crate::spec::Findings),
) -> Result<(TextFile, T), Unread> {
    let mut text = TextFile::read(path, shown, capped).map_err(|problem| (None, vec![problem]))?;
    match text.value(check) {
        Ok(value) => Ok((text, value)),
        Err(problems) => Err((Some(text), problems)),
    }
}

/// Data files an experiment names, with their recorded digests.
fn data_paths(experiment: &Experiment) -> Vec<(String, Option<String>)> {
    let mut paths = Vec::new();
    let mut add = |files: &[String], digests: &[String]| {
        paths.extend(files.iter().enumerate().map(|(index, file)| (file.clone(), digests.get(index).cloned())));
    };
    let source = match &experiment.parent {
        Parent::Scratch(root) => Some(&root.data),
        Parent::Imported(root) => Some(&root.data),
        Parent::Checkpoint(_) => None,
    };
    for (_, part) in source.into_iter().flat_map(Source::parts) {
        if let Source::Mgf(mgf) = part {
            add(&mgf.files, &mgf.digests);
        }
    }
    for set in &experiment.validation {
        if let ValidationData::Mgf(files) = &set.data {
            add(&files.files, &files.digests);
        }
    }
    paths
}

/// Names of the RON files in a folder, without their ending, sorted.
fn stems(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "ron"));
    let mut stems: Vec<String> = files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    stems.sort();
    stems
}
