//! From records to what people read: comparisons of leaves, and tables.
//!
//! Pure: metrics and evaluations have been read before.

mod compare;
mod differences;
mod table;

pub use compare::{BranchScores, Comparison, Jump, LeafRecords, SetFacts, SetScores, Spread, compare};
pub use differences::{Difference, Stretch, divergence, settings_that_differ};
pub use table::Table;
