//! What exists under `runs/`: every checkpoint of every experiment by its name, every evaluation, and every probe.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::survey::{self, Part, Wanted};
use super::{Store, StoreError};
use crate::history::{History, Id};
use crate::record::{Evaluation, Manifest, Probe};

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
    /// Adds what lies in a run's folder. Of equal checkpoints the first one counts that has its tensors.
    fn add(&mut self, part: Part) {
        for found in part.checkpoints {
            match self.checkpoints.entry(found.manifest.id) {
                Entry::Vacant(free) => {
                    free.insert(found);
                }
                Entry::Occupied(mut known) if found.has_tensors && !known.get().has_tensors => {
                    known.insert(found);
                }
                Entry::Occupied(_) => {}
            }
        }
        self.evaluations.extend(part.evaluations);
        self.probes.extend(part.probes);
        self.damaged.extend(part.damaged);
    }

    /// A checkpoint whose ancestors are not all there has a history that cannot be shown: it is not used.
    fn set_orphans_aside(&mut self) {
        let line = |id| {
            let manifest = &self.checkpoints.get(&id)?.manifest;
            Some((manifest.step, manifest.parent.as_ref().map(|parent| (parent.id, parent.step))))
        };
        let whole = whole_lines(self.checkpoints.keys().copied(), line);
        let orphans = self.checkpoints.extract_if(.., |id, _| !whole[id]);
        let orphans =
            orphans.map(|(_, found)| (found.path, orphaned(found.manifest.parent.map(|parent| (parent.id, parent.step)))));
        self.damaged.extend(orphans);
    }
}

/// Of each checkpoint, whether all its ancestors are there. `line` gives the step of one that is there, and the name and step
/// of its parent.
pub(super) fn whole_lines(
    ids: impl Iterator<Item = Id>,
    line: impl Fn(Id) -> Option<(u64, Option<(Id, u64)>)>,
) -> BTreeMap<Id, bool> {
    let mut whole: BTreeMap<Id, bool> = BTreeMap::new();
    for id in ids {
        let (mut passed, mut next) = (Vec::new(), Some(id));
        let is_whole = loop {
            let Some(id) = next else { break true };
            if let Some(&known) = whole.get(&id) {
                break known;
            }
            let Some((step, parent)) = line(id) else { break false };
            passed.push(id);
            // A step that does not fall would go round for ever.
            next = parent.filter(|(_, parent)| *parent < step).map(|(id, _)| id);
        };
        whole.extend(passed.into_iter().map(|id| (id, is_whole)));
    }
    whole
}

/// Why a checkpoint whose lineage has a hole is not used.
pub(super) fn orphaned(parent: Option<(Id, u64)>) -> String {
    let parent = parent.map_or_else(String::new, |(id, step)| format!("{step}-{}", id.short()));
    format!("it grew from `{parent}`, which is missing or damaged, as something before it may be; put it back, or run again")
}

impl Store {
    /// Reads all manifests and evaluations. Digests are checked when a checkpoint is used.
    pub fn inventory(&self) -> Inventory {
        let mut inventory = Inventory::default();
        for (_, part) in survey::runs(self, |run| survey::run(self, Wanted::Data, run)) {
            inventory.add(part);
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

    /// The checkpoints of a history from its root to the deepest one that exists.
    pub fn lineage<'a>(&self, inventory: &'a Inventory, history: &History) -> Result<Vec<&'a Found>, StoreError> {
        let steps = inventory.checkpoints.values().map(|found| found.manifest.step);
        let steps: BTreeSet<u64> = steps.filter(|&step| step <= history.end()).collect();
        // Mostly it is the last of them, or nearly: the others need no names.
        let deepest = history.named(steps.into_iter().rev()).find(|id| inventory.checkpoints.contains_key(id));
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

pub(super) fn has_tensors(checkpoint: &Path) -> bool {
    checkpoint.join("tensors").join("MANIFEST.json").exists()
}
