//! What exists under `runs/`: every checkpoint of every experiment by its name, every evaluation, and every probe.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Store, StoreError};
use crate::history::{EVALUATOR, History, Id, PROBE};
use crate::record::{Evaluation, Manifest, Probe, Probes};

/// A checkpoint on disk, as its manifest claims it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub path: PathBuf,
    pub manifest: Manifest,
    /// False where the tensors have been thinned out.
    pub has_tensors: bool,
}

/// All of `runs/`, by what things are and not by where they lie.
#[derive(Debug, Default)]
pub struct Inventory {
    pub checkpoints: BTreeMap<Id, Found>,
    pub evaluations: Vec<Evaluation>,
    pub probes: Vec<Probe>,
    /// What could not be read, for people to see; never used.
    pub damaged: Vec<(PathBuf, String)>,
}

impl Inventory {
    /// A checkpoint whose ancestors are not all there has a history that cannot be shown: it is not used.
    fn set_orphans_aside(&mut self) {
        let mut whole: BTreeMap<Id, bool> = BTreeMap::new();
        for &id in self.checkpoints.keys() {
            let (mut line, mut next) = (Vec::new(), Some(id));
            let is_whole = loop {
                let Some(id) = next else { break true };
                if let Some(&known) = whole.get(&id) {
                    break known;
                }
                let Some(found) = self.checkpoints.get(&id) else { break false };
                // A step that does not fall would go round for ever.
                let parent = found.manifest.parent.as_ref().filter(|parent| parent.step < found.manifest.step);
                line.push(id);
                next = parent.map(|parent| parent.id);
            };
            whole.extend(line.into_iter().map(|id| (id, is_whole)));
        }
        let orphans = self.checkpoints.extract_if(.., |id, _| !whole[id]);
        let orphans = orphans.map(|(_, found)| {
            let parent =
                found.manifest.parent.map_or_else(String::new, |parent| format!("{}-{}", parent.step, parent.id.short()));
            let what = format!(
                "it grew from `{parent}`, which is missing or damaged, as something before it may be; put it back, or run again"
            );
            (found.path, what)
        });
        self.damaged.extend(orphans);
    }
}

impl Store {
    /// Reads all manifests. Digests are checked when a checkpoint is used.
    pub fn inventory(&self) -> Inventory {
        let mut inventory = Inventory::default();
        let walk = WalkDir::new(&self.root).min_depth(1).max_depth(6).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(is_data).filter_map(Result::ok) {
            if entry.file_type().is_symlink() {
                inventory.damaged.push((entry.path().into(), "it is a link, and links are not followed here".into()));
            } else if entry.file_type().is_dir() && is_checkpoint(&entry) {
                self.note_checkpoint(&mut inventory, entry.path());
            } else if entry.file_type().is_file() && in_folder(entry.path(), "probes") {
                match self.read_sealed::<Probes>(entry.path()) {
                    Ok(probes) if probes.version != PROBE => {}
                    Ok(probes) => inventory.probes.extend(probes.probes),
                    Err(error) => inventory.damaged.push((entry.path().into(), error.to_string())),
                }
            } else if entry.file_type().is_file() && in_folder(entry.path(), "evaluations") {
                match self.read_sealed::<Evaluation>(entry.path()) {
                    // What another evaluator computed does not compare with what this one does.
                    Ok(evaluation) if evaluation.evaluator != EVALUATOR => {}
                    Ok(evaluation) => inventory.evaluations.push(evaluation),
                    Err(error) => inventory.damaged.push((entry.path().into(), error.to_string())),
                }
            }
        }
        inventory.set_orphans_aside();
        inventory
    }

    /// Steps of which a leaf's folder may hold checkpoints, by the names in it.
    pub fn steps(&self, folder: &Path) -> BTreeSet<u64> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let step = |name: &str| name.split_once('-').filter(|(_, id)| id.len() == 8)?.0.parse().ok();
        entries.filter_map(|entry| step(&entry.file_name().to_string_lossy())).collect()
    }

    /// The checkpoint of a name in a leaf's folder, if it is there and says so.
    pub fn find(&self, folder: &Path, step: u64, id: Id) -> Option<Found> {
        let path = folder.join(format!("{step}-{}", id.short()));
        let manifest = self.read_manifest(&path).ok().filter(|manifest| manifest.id == id)?;
        let has_tensors = has_tensors(&path);
        Some(Found { path, manifest, has_tensors })
    }

    fn note_checkpoint(&self, inventory: &mut Inventory, path: &Path) {
        let manifest = match self.read_manifest(path) {
            Ok(manifest) => manifest,
            Err(error) => return inventory.damaged.push((path.into(), error.to_string())),
        };
        if path.file_name().is_none_or(|name| name.to_string_lossy() != format!("{}-{}", manifest.step, manifest.id.short())) {
            let what = "its manifest is another checkpoint's".to_owned();
            return inventory.damaged.push((path.into(), what));
        }
        let found = Found { path: path.into(), manifest, has_tensors: has_tensors(path) };
        let known = inventory.checkpoints.entry(found.manifest.id).or_insert_with(|| found.clone());
        if found.has_tensors && !known.has_tensors {
            *known = found;
        }
    }

    /// The checkpoints of a history from its root to the deepest one that exists.
    pub fn lineage<'a>(&self, inventory: &'a Inventory, history: &History) -> Result<Vec<&'a Found>, StoreError> {
        let steps = inventory.checkpoints.values().map(|found| found.manifest.step);
        let steps: BTreeSet<u64> = steps.filter(|&step| step <= history.end()).collect();
        let deepest = history.ids(steps).into_iter().rfind(|id| inventory.checkpoints.contains_key(id));
        deepest.map_or_else(|| Ok(vec![]), |deepest| self.ancestry(inventory, deepest))
    }

    /// The checkpoints from the root's first segment down to this one.
    pub fn ancestry<'a>(&self, inventory: &'a Inventory, id: Id) -> Result<Vec<&'a Found>, StoreError> {
        let mut line = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            let missing = || {
                let what = format!("it began from {}, which is missing or damaged", id.short());
                let child = line.last().map_or(self.root.as_path(), |child: &&Found| &child.path);
                self.damaged(child, what)
            };
            let found = inventory.checkpoints.get(&id).ok_or_else(missing)?;
            if line.len() > 1_000_000 {
                return Err(self.damaged(&found.path, "its ancestry has no end"));
            }
            line.push(found);
            next = found.manifest.parent.as_ref().map(|parent| parent.id);
        }
        line.reverse();
        Ok(line)
    }
}

fn has_tensors(checkpoint: &Path) -> bool {
    checkpoint.join("tensors").join("MANIFEST.json").exists()
}

/// Hidden folders are unfinished, and `lost-` and `damaged-` ones are never data. Links are not followed.
fn is_data(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    !(name.starts_with('.')
        || entry.file_type().is_dir() && ["lost-", "damaged-"].iter().any(|prefix| name.starts_with(prefix)))
}

/// `<step>-<id8>` in the folder of a leaf, or of what leaves share.
fn is_checkpoint(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_name = |(step, id): (&str, &str)| {
        step.bytes().all(|b| b.is_ascii_digit()) && id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit())
    };
    entry.depth() >= 3 && name.split_once('-').is_some_and(is_name)
}

fn in_folder(path: &Path, folder: &str) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|name| name == folder)
        && path.extension().is_some_and(|ending| ending == "json")
}
