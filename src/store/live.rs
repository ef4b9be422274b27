//! The segment that is being trained: its metrics can be followed while they are written, and what an interrupted attempt
//! leaves stays, never read as data, until its steps are trained again and agree.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::{METRICS, TIMING};
use super::{Lock, Store, StoreError, inside};

/// Why an attempt failed for good, beside what it measured.
const FAILURE: &str = "failure.json";

/// Folders of what is being trained, before their step and the name of their lock.
const LIVE: &str = ".live-";

/// The growing metrics of a segment since its last checkpoint.
pub struct Live {
    folder: PathBuf,
    name: String,
    store: Store,
}

/// The last that can be seen of a segment in training: its lines of metrics and timing, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The last checkpoint's step.
    pub from: u64,
    pub row: Option<Vec<u8>>,
    pub timing: Option<Vec<u8>>,
}

/// What an interrupted attempt left: rows of metrics that were never saved with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub folder: PathBuf,
    /// Step at which the attempt began.
    pub from: u64,
    pub metrics: Vec<u8>,
    /// The attempt failed by itself: it stays as evidence.
    pub has_failed: bool,
}

impl Store {
    /// Starts following a piece of training that begins at `from`. `name` is that of the lock the caller holds; whatever an
    /// attempt that is not alive any more left here is lost. Where locks do not work it cannot be told who is alive: then
    /// every attempt has a folder of its own.
    pub fn live(&self, leaf: &Path, from: u64, name: &str, lock: &Lock) -> Result<Live, StoreError> {
        let own = format!("{name}.{}.{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], "");
        let name = if lock.is_real() { name } else { &own };
        self.collect_lost(leaf, name)?;
        let folder = leaf.join(format!("{LIVE}{from}-{name}"));
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        Ok(Live { folder, name: name.into(), store: self.clone() })
    }

    /// Renames what dead attempts left. An attempt is dead if its lock is the caller's, or nobody's.
    fn collect_lost(&self, leaf: &Path, held: &str) -> Result<(), StoreError> {
        let entries = fs::read_dir(leaf).into_iter().flatten().filter_map(Result::ok);
        for left in entries.map(|entry| entry.path()) {
            let name = left.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some((from, owner)) = name.strip_prefix(LIVE).and_then(|rest| rest.split_once('-')) else { continue };
            if owner != held {
                let Some(_lock) = self.lock(owner)?.filter(Lock::is_real) else { continue };
                // Its owner may have ended, and tidied up, since the folder was listed.
                if left.exists() {
                    self.lose(leaf, &left, from)?;
                }
            } else {
                self.lose(leaf, &left, from)?;
            }
        }
        Ok(())
    }

    fn lose(&self, leaf: &Path, left: &Path, from: &str) -> Result<(), StoreError> {
        if self.read(&left.join(METRICS)).unwrap_or_default().is_empty() && !left.join(FAILURE).exists() {
            return self.disk.remove_folder(left).map_err(|error| self.io(left, error));
        }
        let to = (0..).map(|n| leaf.join(format!("lost-{from}-{n}"))).find(|to| !to.exists()).expect("some number is free");
        self.disk.rename(left, &to).map_err(|error| self.io(left, error))
    }

    /// What is being trained in a leaf's folder, as far as its live files go; the deepest where an old one was left.
    pub fn watch(&self, leaf: &Path) -> Option<Watched> {
        let entries = fs::read_dir(leaf).into_iter().flatten().filter_map(Result::ok);
        let live = entries.filter_map(|entry| {
            let from: u64 = entry.file_name().to_str()?.strip_prefix(LIVE)?.split_once('-')?.0.parse().ok()?;
            Some((from, entry.path()))
        });
        let (from, folder) = live.max()?;
        let last = |name: &str| inside::read_last_line(&self.root, &folder.join(name)).ok().flatten();
        Some(Watched { from, row: last(METRICS), timing: last(TIMING) })
    }

    /// What interrupted attempts have left in a leaf's folder.
    pub fn lost(&self, leaf: &Path) -> Vec<Lost> {
        let entries = fs::read_dir(leaf).into_iter().flatten().filter_map(Result::ok);
        let parse = |path: PathBuf| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let from = name.strip_prefix("lost-")?.split_once('-')?.0.parse().ok()?;
            let metrics = self.read(&path.join(METRICS)).unwrap_or_default();
            let has_failed = path.join(FAILURE).exists();
            Some(Lost { folder: path, from, metrics, has_failed })
        };
        let mut lost: Vec<Lost> = entries.filter_map(|entry| parse(entry.path())).collect();
        lost.sort_by(|a, b| a.folder.cmp(&b.folder));
        lost
    }

    /// Removes what an interrupted attempt left, once its steps have been trained again and agree.
    pub fn forget(&self, lost: &Lost) -> Result<(), StoreError> {
        self.disk.remove_folder(&lost.folder).map_err(|error| self.io(&lost.folder, error))
    }
}

impl Live {
    /// Adds lines to the metrics and the timing.
    pub fn append(&self, metrics: &[u8], timing: &[u8]) -> Result<(), StoreError> {
        for (name, bytes) in [(METRICS, metrics), (TIMING, timing)] {
            let path = self.folder.join(name);
            self.store.disk.append(&path, bytes).map_err(|error| self.store.io(&path, error))?;
        }
        Ok(())
    }

    /// Everything so far has been saved with a checkpoint: what can be followed begins anew at this step.
    pub fn saved(&mut self, step: u64) -> Result<(), StoreError> {
        let next = self.folder.with_file_name(format!("{LIVE}{step}-{}", self.name));
        self.store.disk.create_folder(&next).map_err(|error| self.store.io(&next, error))?;
        let before = std::mem::replace(&mut self.folder, next);
        self.store.disk.remove_folder(&before).map_err(|error| self.store.io(&before, error))
    }

    /// Nothing is left to follow.
    pub fn finish(self) -> Result<(), StoreError> {
        self.store.disk.remove_folder(&self.folder).map_err(|error| self.store.io(&self.folder, error))
    }

    /// The attempt failed: what it measured stays as lost. With `failure`, the reason stays beside it for good.
    pub fn keep(self, failure: Option<&str>) -> Result<(), StoreError> {
        if let Some(message) = failure {
            let record = serde_json::json!({ "format": crate::record::FORMAT, "failure": message });
            self.store.write(&self.folder.join(FAILURE), &super::checkpoint::json(&record))?;
        }
        let leaf = self.folder.parent().unwrap_or(&self.folder).to_path_buf();
        self.store.collect_lost(&leaf, &self.name)
    }
}
