//! `runner` trains one network under staged loss weights, branches it at checkpoints, and compares the leaves.
//!
//! Read [`history`] first: a checkpoint is named by the settings of every step that led to it, and everything else follows.
//! The other modules lie along the way of the data: see ARCHITECTURE.md.

pub mod command;
pub mod execute;
pub mod history;
pub mod lineage;
pub mod load;
pub mod plan;
pub mod record;
pub mod report;
pub mod spec;
pub mod store;
pub mod task;
#[cfg(feature = "train")]
pub mod train;
