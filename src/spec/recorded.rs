//! What a run came to, carried in its saved file, so that the file alone can be reproduced and compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The results of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recorded {
    /// What the bits depended on besides the histories, by name; empty where the leaves were not all trained alike.
    pub numerics: BTreeMap<String, String>,
    /// Where each leaf ended, by `branch#seed`.
    pub leaves: BTreeMap<String, RecordedEnd>,
}

/// The checkpoint at a leaf's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedEnd {
    pub step: u64,
    /// Name of the checkpoint: the hash of its history.
    pub id: String,
    /// Digest of its tensors.
    pub tensors: String,
}
