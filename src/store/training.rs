//! What is being trained now, by any process: live folders whose lock is held.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Store, StoreError};

/// Locks that are held for a moment and say nothing about training.
const SHORT: [&str; 2] = ["probe-", "record-"];

impl Store {
    /// Folders in which a segment is being trained now. Changes nothing on disk.
    pub fn in_training(&self) -> Result<BTreeSet<PathBuf>, StoreError> {
        let held = self.held_locks()?;
        let walk = WalkDir::new(&self.root).min_depth(2).max_depth(4).into_iter().filter_map(Result::ok);
        let live = walk.filter(|entry| owner(entry).is_some_and(|owner| held.contains(&owner)));
        Ok(live.filter_map(|entry| entry.path().parent().map(Path::to_path_buf)).collect())
    }

    /// Names of the locks that somebody holds.
    fn held_locks(&self) -> Result<BTreeSet<String>, StoreError> {
        let entries = fs::read_dir(self.root.join(".locks")).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".lock")?.to_owned()));
        let mut held = BTreeSet::new();
        for name in names.filter(|name| !SHORT.iter().any(|prefix| name.starts_with(prefix))) {
            if self.lock(&name)?.is_none() {
                held.insert(name);
            }
        }
        Ok(held)
    }
}

/// The lock that a live folder names: `.live-<step>-<lock>`.
fn owner(entry: &DirEntry) -> Option<String> {
    let name = entry.file_name().to_str()?;
    let (_, owner) = name.strip_prefix(".live-")?.split_once('-')?;
    entry.file_type().is_dir().then(|| owner.to_owned())
}
