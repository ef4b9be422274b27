//! What was read from data files before, and how the files looked then: saves reading them again for a question.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `runs/.cache/data.json`. Nothing is lost with it, and training does not believe it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataCache {
    pub format: u32,
    /// Digests of files by where they lie, links followed.
    pub files: BTreeMap<String, Seen<String>>,
    /// Imported tensors by where their files lie.
    pub tensors: BTreeMap<String, Seen<SeenTensors>>,
    /// The program that drew the sets and read the sources: another one may do it otherwise.
    pub program: String,
    /// Digests of validation sets, by the digest of all that makes them.
    pub sets: BTreeMap<String, String>,
    /// What people are told of the files of a training source, by the digest of all that makes it.
    pub sources: BTreeMap<String, Vec<String>>,
}

/// Something known of a file as long as it looks like this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen<T> {
    pub look: Look,
    pub what: T,
}

/// How a file looks without reading it. Times are in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub size: u64,
    pub modified: u64,
    /// Last change of the file or of what the system knows of it; 0 where the system does not tell.
    pub changed: u64,
    /// Its number on its device, and the device; 0 where the system does not tell.
    pub inode: u64,
    pub device: u64,
}

/// The tensors of a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTensors {
    pub digest: String,
    pub shapes: BTreeMap<String, Vec<usize>>,
}
