//! Files for TensorBoard, and what they are made from besides checkpoints: the clock, and the segments in training.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use walkdir::{DirEntry, WalkDir};

use super::checkpoint::{METRICS, TIMING};
use super::{Found, Store, StoreError};
use crate::lineage::LeafKey;
use crate::record::{MetricsRow, Timing};
use crate::spec::InRun;

/// TensorBoard asks for `tfevents` in the name; the number would be a time, and ours is always the same file.
const EVENTS: &str = "events.out.tfevents.0000000000.runner";

/// A segment that is being trained now, as far as it has been written since its last checkpoint.
#[derive(Clone, Debug)]
pub struct Growing {
    /// The folder of the leaf, or of what leaves share, that it is trained for.
    pub folder: PathBuf,
    /// The step it goes on from.
    pub from: u64,
    /// First digits of the name of the checkpoint at the segment's end.
    pub end: String,
    pub rows: Vec<MetricsRow>,
    pub timing: Vec<Timing>,
}

/// What was done to bring a file up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was what it should be.
    Same,
    /// It was the beginning of what it should be.
    Continued,
    /// It was not there, or something else.
    Rewritten,
}

impl Store {
    /// The rows of a segment, proved by the manifest.
    pub fn rows(&self, found: &Found) -> Result<Vec<MetricsRow>, StoreError> {
        self.rows_every(found, 0, 1)
    }

    /// The first of a segment's rows and every so many-th after it, by their number; the others are proved and not parsed.
    pub fn rows_every(&self, found: &Found, first: usize, every: usize) -> Result<Vec<MetricsRow>, StoreError> {
        let bytes = self.metrics(found)?;
        let damaged = |error: serde_json::Error| self.damaged(&found.path.join(METRICS), error.to_string());
        let some = written(&bytes).skip(first).step_by(every);
        some.map(|line| serde_json::from_slice(line).map_err(damaged)).collect()
    }

    /// How many rows a segment has, proved by the manifest.
    pub fn row_count(&self, found: &Found) -> Result<usize, StoreError> {
        Ok(written(&self.metrics(found)?).count())
    }

    /// The clock of a segment, as far as it can be read: nothing proves it.
    pub fn timing(&self, found: &Found) -> Vec<Timing> {
        lines(&self.read(&found.path.join(TIMING)).unwrap_or_default())
    }

    /// The segments that are being trained now; where locks do not work, all that may be.
    ///
    /// A checkpoint takes over what a segment has written, and then the segment begins to write anew. So who looks here
    /// first and for checkpoints afterwards misses nothing.
    pub fn growing(&self) -> Result<Vec<Growing>, StoreError> {
        let mut found = Vec::new();
        let walk = WalkDir::new(&self.root).min_depth(1).max_depth(4).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| entry.file_name() != ".trash").filter_map(Result::ok) {
            let Some((from, owner)) = live(&entry) else { continue };
            if self.lock(&owner)?.is_none_or(|lock| !lock.is_real()) {
                found.push(self.grown(entry.path(), from, &owner));
            }
        }
        Ok(found)
    }

    fn grown(&self, live: &Path, from: u64, owner: &str) -> Growing {
        let mut rows: Vec<MetricsRow> = lines(&self.read(&live.join(METRICS)).unwrap_or_default());
        let timing: Vec<Timing> = lines(&self.read(&live.join(TIMING)).unwrap_or_default());
        // Both files grow together, the clock second. What it does not cover yet comes with the next look.
        let covered = timing.last().map_or(from, |last| last.step);
        rows.retain(|row| row.step < covered);
        Growing {
            folder: live.parent().unwrap_or(live).to_path_buf(),
            from,
            // Where locks do not work, the process stands behind the name.
            end: owner.split('.').next().unwrap_or(owner).to_owned(),
            rows,
            timing,
        }
    }

    /// The file of a leaf: `<run>/tensorboard/<branch>/[seed-<n>/]`, or below another folder `<run>/<branch>/[seed-<n>/]`.
    pub fn board_file(&self, leaf: &LeafKey, into: Option<&Path>) -> PathBuf {
        let run = match into {
            Some(folder) => folder.join(leaf.experiment.as_str()),
            None => self.in_run(&leaf.experiment, InRun::Boards),
        };
        let branch = run.join(leaf.branch.as_str());
        leaf.seed.map_or(branch.clone(), |seed| branch.join(format!("seed-{seed}"))).join(EVENTS)
    }

    /// Makes a file hold these bytes. Where it holds their beginning the rest is added, so that whoever follows it goes on;
    /// anything else is replaced by one rename.
    pub fn keep_board(&self, file: &Path, right: &[u8]) -> Result<Kept, StoreError> {
        match self.read(file) {
            Ok(there) if there == right => Ok(Kept::Same),
            Ok(there) if right.starts_with(&there) => {
                self.disk.append(file, &right[there.len()..]).map_err(|error| self.io(file, error))?;
                Ok(Kept::Continued)
            }
            _ => {
                let folder = file.parent().unwrap_or(&self.root);
                self.disk.create_folder(folder).map_err(|error| self.io(folder, error))?;
                self.replace(file, right)?;
                Ok(Kept::Rewritten)
            }
        }
    }
}

fn written(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// The values of all whole lines; one that is still being written, or makes no sense, is left out.
fn lines<T: DeserializeOwned>(bytes: &[u8]) -> Vec<T> {
    let whole = bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    whole.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Step and lock of a live folder: `.live-<step>-<lock>`.
fn live(entry: &DirEntry) -> Option<(u64, String)> {
    let name = entry.file_name().to_str()?;
    let (from, owner) = name.strip_prefix(".live-")?.split_once('-')?;
    entry.file_type().is_dir().then_some(())?;
    Some((from.parse().ok()?, owner.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::RealDisk;

    #[test]
    fn a_file_is_continued_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("runs"), Arc::new(RealDisk));
        let file = folder.path().join("runs/a/tensorboard/b/events");
        let kept = |right: &[u8]| {
            let kept = store.keep_board(&file, right).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), right);
            kept
        };
        assert_eq!(kept(b"one"), Kept::Rewritten);
        assert_eq!(kept(b"one"), Kept::Same);
        assert_eq!(kept(b"one two"), Kept::Continued);
        assert_eq!(kept(b"one three"), Kept::Rewritten);
        assert_eq!(kept(b"on"), Kept::Rewritten, "what was lost is taken away");
        let names: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
    }

    #[test]
    fn half_a_line_is_not_read() {
        let text = b"{\"step\":1,\"time\":\"t\",\"elapsed_seconds\":0.5,\"seconds_per_step\":0.5}\nnonsense\n{\"step\":2";
        let read: Vec<Timing> = lines(text);
        assert_eq!(read.iter().map(|line| line.step).collect::<Vec<_>>(), [1]);
    }
}
