//! What a run recorded, as `reproduce` and `verify` look at it: from its folder, or from its saved file alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Fault;
use super::compare::joined_rows;
use super::context::{Context, Ready};
use super::reproduce::differences;
use crate::history::{Change, FirstDifference, History, Id};
use crate::lineage::{DataFile, Leaf};
use crate::load::material;
use crate::plan::Material;
use crate::record::{Column, Ledger, MetricsRow, Numerics, Promise, batch_digest};
use crate::report::Repeated;
use crate::spec::{self, Experiment, InRun, Name, Parent, Recorded, ValidationData};
use crate::store::{Found, Inventory, RealDisk, Store, StoreError};

/// Where the record of a run is.
pub(crate) enum Source {
    /// Its folder, with ledgers and metrics.
    Run { file: PathBuf, name: Name, store: Store, inventory: Inventory },
    /// A saved file without the folder it was saved in.
    File { file: PathBuf, recorded: Recorded },
}

/// The end of a leaf as it was recorded.
pub(crate) struct End {
    pub leaf: String,
    pub step: u64,
    pub id: Id,
    pub tensors: String,
}

/// A store with what is in it.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub store: &'a Store,
    pub inventory: &'a Inventory,
}

impl Side<'_> {
    /// The checkpoints of a history past a step, in order, as far as they go.
    pub fn pieces(&self, history: &History, from: u64) -> Result<Vec<&Found>, StoreError> {
        let line = self.store.lineage(self.inventory, history)?;
        Ok(line.into_iter().filter(|found| found.manifest.step > from).collect())
    }

    /// The logged rows of checkpoints, joined.
    pub fn rows(&self, pieces: &[&Found]) -> Result<Vec<MetricsRow>, StoreError> {
        joined_rows(self.store, pieces)
    }
}

impl Source {
    /// A run by its name, by its folder (of this project or another), or a saved file.
    pub fn find(context: &Context, run: &Path) -> Result<Source, Fault> {
        let named = run.to_str().and_then(|text| Name::try_from(text).ok()).map(|name| context.store.run_folder(&name));
        let folder = [named, Some(run.to_path_buf())].into_iter().flatten().find(|folder| folder.is_dir());
        let file = match folder {
            Some(folder) => {
                let folder = std::path::absolute(&folder).unwrap_or(folder);
                folder.join(format!("{}.ron", folder.file_name().unwrap_or_default().to_string_lossy()))
            }
            None => std::path::absolute(run).unwrap_or_else(|_| run.to_path_buf()),
        };
        if !file.is_file() {
            let runs: Vec<String> = context.store.runs().iter().map(ToString::to_string).collect();
            let known =
                if runs.is_empty() { "there are no runs".into() } else { format!("the runs are `{}`", runs.join("`, `")) };
            return Err(Fault::Arguments(format!("`{}` is neither a run nor the file saved in one; {known}", run.display())));
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        let name = file.file_stem().and_then(|stem| Name::try_from(stem.to_string_lossy().into_owned()).ok());
        if let Some(name) = name.filter(|name| folder.file_name().is_some_and(|own| own == name.as_str()) && is_run(folder)) {
            let store = Store::new(folder.parent().unwrap_or(folder), Arc::new(RealDisk));
            let inventory = store.inventory();
            return Ok(Source::Run { file, name, store, inventory });
        }
        let (loaded, name) = match context.project.load(&file) {
            Ok(loaded) => loaded,
            Err(loaded) => return Err(Fault::Files(Box::new(super::diagnostics::Diagnostics::new(*loaded)))),
        };
        match loaded.library.experiments[&name].value.library.recorded.clone() {
            Some(recorded) => Ok(Source::File { file, recorded }),
            None => Err(Fault::Arguments(format!(
                "`{}` holds no results to compare with: give the file that is saved in a run which has come to its end, or the run's folder",
                run.display()
            ))),
        }
    }

    pub fn file(&self) -> &Path {
        match self {
            Source::Run { file, .. } | Source::File { file, .. } => file,
        }
    }

    /// The ends of the leaves that have been recorded.
    pub fn ends(&self, ready: &Ready) -> Vec<End> {
        let end = |leaf: &Leaf| {
            let (name, id, step) = (leaf.key.local(), leaf.history.id(), leaf.history.end());
            let tensors = match self {
                Source::Run { inventory, .. } => inventory.checkpoints.get(&id)?.manifest.tensors.clone(),
                Source::File { recorded, .. } => recorded.leaves.get(&name)?.tensors.clone(),
            };
            Some(End { leaf: name, step, id, tensors })
        };
        ready.resolved().leaves.iter().filter_map(end).collect()
    }

    /// Where the histories that the file gives are not those that were recorded.
    pub fn contradictions(&self, ready: &Ready) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        for leaf in &ready.resolved().leaves {
            found.extend(match self {
                Source::Run { store, inventory, .. } => other_history(store, inventory, leaf)?,
                Source::File { recorded, .. } => recorded.leaves.get(&leaf.key.local()).and_then(|end| {
                    (end.id != leaf.history.id().hex()).then(|| {
                        format!(
                            "`{}`: this runner gives the file another history than was recorded: the file was edited, or a part's version was raised since",
                            leaf.key.local()
                        )
                    })
                }),
            });
        }
        Ok(found)
    }

    /// All that a file alone says of the numerics.
    pub fn numerics_only(&self, ready: &Ready, inventory: &Inventory) -> Vec<Repeated> {
        let Source::File { recorded, .. } = self else { return vec![] };
        let ends = ready.resolved().leaves.iter().filter_map(|leaf| inventory.checkpoints.get(&leaf.history.id()));
        let compared = |found: &Found| -> (Vec<Change>, Promise) {
            let now = &found.manifest.numerics;
            match recorded.numerics.is_empty() {
                true => (vec![], Promise::Bits),
                false => {
                    (differences(&recorded.numerics, &now.named()), Numerics::of_names(recorded.numerics.clone()).promise(now))
                }
            }
        };
        let stretch = |found: &Found| {
            let (numerics, promise) = compared(found);
            Repeated { name: ready.name.to_string(), updates: 0, parting: None, numerics, promise }
        };
        ends.take(1).map(stretch).collect()
    }
}

/// A folder that `run` has written into.
fn is_run(folder: &Path) -> bool {
    folder.join(InRun::Record.name()).is_file()
}

/// Where the deepest checkpoint in a leaf's folder leaves the history that the file gives the leaf.
pub(crate) fn other_history(store: &Store, inventory: &Inventory, leaf: &Leaf) -> Result<Option<String>, Fault> {
    let folder = store.leaf_folder(&leaf.key);
    let own = inventory.checkpoints.values().filter(|found| found.path.parent() == Some(&folder));
    let Some(deepest) = own.max_by_key(|found| found.manifest.step) else { return Ok(None) };
    let recorded = store.history(deepest)?;
    if recorded.common_step(&leaf.history).is_some_and(|step| step >= recorded.end().min(leaf.history.end())) {
        return Ok(None);
    }
    let what = FirstDifference::between(&recorded, &leaf.history);
    Ok(Some(format!("`{}`: the recorded history and the file's are not the same: {what}", leaf.key.local())))
}

/// If nothing but the content of data files keeps a saved file from being read: which files, and the first batch that they
/// would change. The run's name comes first.
pub(crate) fn changed_data(context: &Context, source: &Source) -> Result<Option<(String, Vec<String>)>, Fault> {
    let Ok((mut loaded, name)) = context.project.load(source.file()) else { return Ok(None) };
    if !loaded.problems.is_empty() {
        return Ok(None);
    }
    let mut changed = Vec::new();
    for known in loaded.library.experiments.values_mut() {
        for (path, digest) in forget_digests(&mut known.value) {
            match loaded.library.data.get(&path) {
                Some(DataFile::Digest(now)) if *now != digest => changed.push(format!(
                    "`{path}` is not the recorded file: its blake3 is {}.., recorded was {}..",
                    &now[..8],
                    digest.get(..8).unwrap_or(&digest)
                )),
                _ => {}
            }
        }
    }
    let resolution = loaded.resolve(std::slice::from_ref(&name));
    if changed.is_empty() || !loaded.problems.is_empty() {
        return Ok(None);
    }
    changed.dedup();
    let experiments = loaded.library.experiments.iter().map(|(name, known)| (name.clone(), known.value.clone())).collect();
    let (material, _) = material(&context.project.root, &experiments, &resolution).map_err(Fault::World)?;
    if let (Source::Run { store, inventory, .. }, Some(resolved)) = (source, resolution.experiments.get(&name)) {
        let mut first: Option<(u64, String)> = None;
        for leaf in &resolved.leaves {
            if let Some(step) = first_other_batch(&Side { store, inventory }, leaf, &material)?
                && first.as_ref().is_none_or(|(known, _)| step < *known)
            {
                first = Some((step, leaf.key.local()));
            }
        }
        let text = match first {
            Some((step, leaf)) => format!("; the first batch that it changes is that of step {step} of `{leaf}`"),
            None => "; no batch that was recorded changes with it".into(),
        };
        changed[0] += &text;
    }
    Ok(Some((name.to_string(), changed)))
}

/// Takes the recorded digests out of an experiment, and gives them by path.
fn forget_digests(experiment: &mut Experiment) -> Vec<(String, String)> {
    fn of(source: &mut spec::Source, found: &mut Vec<(String, String)>) {
        match source {
            spec::Source::Synthetic(_) => {}
            spec::Source::Mgf(mgf) => {
                found.extend(mgf.files.iter().cloned().zip(std::mem::take(&mut mgf.digests)));
            }
            spec::Source::Mixture(parts) => parts.iter_mut().for_each(|part| of(&mut part.data, found)),
        }
    }
    let mut found = Vec::new();
    match &mut experiment.parent {
        Parent::Scratch(root) => of(&mut root.data, &mut found),
        Parent::Imported(root) => of(&mut root.data, &mut found),
        Parent::Checkpoint(_) => {}
    }
    for set in &mut experiment.validation {
        if let ValidationData::Mgf(files) = &mut set.data {
            found.extend(files.files.iter().cloned().zip(std::mem::take(&mut files.digests)));
        }
    }
    found
}

/// The first update of a leaf's recorded lineage whose batch is not the one that is drawn now.
fn first_other_batch(side: &Side, leaf: &Leaf, material: &Material) -> Result<Option<u64>, Fault> {
    let folder = side.store.leaf_folder(&leaf.key);
    let own = side.inventory.checkpoints.values().filter(|found| found.path.parent() == Some(&folder));
    let Some(deepest) = own.max_by_key(|found| found.manifest.step) else { return Ok(None) };
    for found in side.store.ancestry(side.inventory, deepest.manifest.id)? {
        let Some(ledger) = side.store.ledger(found)? else { continue };
        if let Some(step) = other_batch(&ledger, &leaf.history, material) {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// The first update of a ledger whose batch is not the one that is drawn for the history now.
pub(crate) fn other_batch(ledger: &Ledger, history: &History, material: &Material) -> Option<u64> {
    let sampler = material.samplers.get(&Material::root_id(history))?;
    let column = ledger.columns().iter().position(|column| *column == Column::Batch)?;
    (ledger.from()..ledger.to().min(history.end())).find(|&step| {
        let at = history.at(step);
        let batch = sampler.batch(at.seed, at.step, at.batch, &at.difficulty);
        ledger.row(step).is_some_and(|row| row[column] != batch_digest(&batch))
    })
}
