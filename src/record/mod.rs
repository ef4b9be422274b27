//! Plain data that is written under `runs/` and read again, with format versions. No disk, no clock.

mod column;
mod data_cache;
mod digest;
mod evaluation;
mod ledger;
mod listed;
mod manifest;
mod metrics;
mod numerics;
mod pin;
mod probe;
mod run;
mod tensors;

pub use column::{Column, Part};
pub use data_cache::{DataCache, Look, Seen, SeenTensors};
pub use digest::{batch_digest, digest64, state_digests, tensor_digest};
pub use evaluation::{Evaluation, Outcome, Outcomes, Scores, Weights};
pub use ledger::{Entry, Ledger};
pub use listed::{ListedCheckpoint, ListedRun, SeenRun, Standing};
pub use manifest::{FORMAT, FileDigest, Manifest, ParentDigest, TensorsManifest};
pub use metrics::{Measured, MetricsRow};
pub use numerics::{Numerics, Promise};
pub use pin::Pin;
pub use probe::{Probe, Probed, Probes};
pub use run::{Attempt, RunRecord, Status, Timing};
pub use tensors::{State, Tensor, Tensors, Values};
