//! What a list of runs says of one, and how the run looked then: saves going through what has not changed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::run::Status;
use crate::history::Id;

/// A line of `runs/.cache/runs.jsonl`. Nothing is lost with it, and nothing but a list believes it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeenRun {
    /// Every folder and file of the run, one a line, by their paths below it, in the order they were looked at.
    pub paths: String,
    /// One number for how all of them looked.
    pub looks: u64,
    pub listed: ListedRun,
}

/// What lies in a run's folder, as far as a list shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRun {
    pub checkpoints: Vec<ListedCheckpoint>,
    /// How many files of evaluations there are.
    pub evaluations: usize,
    /// Size of all its files.
    pub bytes: u64,
    pub standing: Standing,
    /// When its last attempt ended.
    pub ended: Option<String>,
}

/// What a checkpoint's manifest claims, without its digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedCheckpoint {
    /// Its folder, below the run's.
    pub path: PathBuf,
    pub id: Id,
    pub step: u64,
    /// The checkpoint it grew from, and that one's step.
    pub parent: Option<(Id, u64)>,
    pub has_tensors: bool,
}

/// What a run's record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    #[default]
    NoRecord,
    /// It is damaged, or of a newer version.
    Unreadable,
    Recorded(Status),
}
