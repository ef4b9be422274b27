//! `record.json`: the status of a run and the story of its attempts. Everything that holds a clock is here or in
//! `timing.jsonl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::numerics::Numerics;

/// The record of an experiment's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub format: u32,
    pub status: Status,
    pub attempts: Vec<Attempt>,
}

/// How far a run is. `Incomplete` is written before anything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Incomplete,
    /// Stopped by a signal; running the same command goes on.
    Interrupted,
    /// A leaf could not be trained to its end.
    Failed,
    Complete,
}

/// One call of `run` that worked on the experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub started: String,
    pub ended: Option<String>,
    pub status: Status,
    pub command: Vec<String>,
    /// Version of runner, git commit and state, host, threads, and the like, by name.
    pub provenance: BTreeMap<String, String>,
    pub numerics: Numerics,
    pub steps_trained: u64,
    /// What went wrong, one line each.
    pub failures: Vec<String>,
}

/// A line of `timing.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub step: u64,
    /// UTC, RFC 3339.
    pub time: String,
    /// Seconds since the segment began.
    pub elapsed_seconds: f64,
    /// Seconds an update took, averaged since the last line.
    pub seconds_per_step: f64,
    /// Memory of the process, bytes; 0 where the system does not say.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Memory that the trainee holds on a device with a memory of its own, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_memory_bytes: Option<u64>,
}
