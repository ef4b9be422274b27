//! What a checkpoint's folder holds, with the digests that prove it.

use serde::{Deserialize, Serialize};

use super::numerics::Numerics;
use crate::history::Id;

/// Version of every format under `runs/`. A reader refuses what is newer.
pub const FORMAT: u32 = 1;

/// A file by size and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    pub name: String,
    pub size: u64,
    pub blake3: String,
}

/// `MANIFEST.json` of a checkpoint: the segment that led to it, and the claim of what its tensors are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The hash of the history beside it.
    pub id: Id,
    pub step: u64,
    /// The checkpoint the segment began from; none for fresh weights.
    pub parent: Option<ParentDigest>,
    pub numerics: Numerics,
    /// Digest of the tensors, also where they have been thinned out.
    pub tensors: String,
    /// Every file of the folder but this one, `timing.jsonl` (it holds a clock) and `tensors/`.
    pub files: Vec<FileDigest>,
}

/// The checkpoint a segment began from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentDigest {
    pub id: Id,
    pub step: u64,
    pub tensors: String,
}

/// `tensors/MANIFEST.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorsManifest {
    pub format: u32,
    pub id: Id,
    /// Digest over the files' digests.
    pub tensors: String,
    pub files: Vec<FileDigest>,
}

impl FileDigest {
    pub fn of(name: &str, bytes: &[u8]) -> FileDigest {
        FileDigest { name: name.into(), size: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
    }

    /// One digest over several files, by their names and contents.
    pub fn combined(files: &[FileDigest]) -> String {
        let mut hasher = blake3::Hasher::new();
        for file in files {
            hasher.update(format!("{}:{}:{}\n", file.name, file.size, file.blake3).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}
