//! Pins: checkpoints whose tensors a person wants kept.

use serde::{Deserialize, Serialize};

use crate::history::Id;

/// `runs/.pins/<id>.json`. While it is there, the checkpoint's tensors are never taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub format: u32,
    pub id: Id,
    /// The checkpoint as it was called when it was pinned; for people.
    pub reference: String,
    pub note: Option<String>,
}
