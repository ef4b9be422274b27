//! From records to what people read: comparisons of leaves, and tables.
//!
//! Pure: metrics and evaluations have been read before.

mod compare;
mod differences;
mod parting;
mod reproduction;
mod table;
mod verification;

pub use compare::{BranchScores, Comparison, Jump, LeafRecords, SetFacts, SetScores, Spread, compare};
pub use differences::{Difference, Stretch, divergence, settings_that_differ};
pub use parting::{Parting, parting, rows_parting};
pub use reproduction::{Evidence, LeafEnds, Repeated, Reproduction, Verdict, Worst, judge, relative, worst};
pub use table::Table;
pub use verification::{Segment, Spot, Verification};
