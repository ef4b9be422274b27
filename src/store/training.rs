//! What is being trained now, by any process: live folders whose lock is held.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Store, StoreError};

impl Store {
    /// Folders in which a segment is being trained now; where locks do not work, all in which one may be.
    pub fn in_training(&self) -> Result<BTreeSet<PathBuf>, StoreError> {
        let mut folders = BTreeSet::new();
        let walk = WalkDir::new(&self.root).min_depth(2).max_depth(4).into_iter().filter_map(Result::ok);
        for (entry, owner) in walk.filter_map(|entry| owner(&entry).map(|owner| (entry, owner))) {
            if self.lock(&owner)?.is_none_or(|lock| !lock.is_real()) {
                folders.extend(entry.path().parent().map(Path::to_path_buf));
            }
        }
        Ok(folders)
    }
}

/// The lock that a live folder names: `.live-<step>-<lock>`.
fn owner(entry: &DirEntry) -> Option<String> {
    let name = entry.file_name().to_str()?;
    let (_, owner) = name.strip_prefix(".live-")?.split_once('-')?;
    entry.file_type().is_dir().then(|| owner.to_owned())
}
