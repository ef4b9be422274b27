//! From records to what people read: comparisons of leaves, and tables.
//!
//! Pure: metrics and evaluations have been read before.

mod chart;
mod compare;
mod differences;
mod draft;
mod events;
mod flags;
mod numbers;
mod parting;
mod plot;
mod plot_svg;
mod reproduction;
mod scalars;
mod style;
mod table;
mod verification;

pub use chart::{Chart, Line, Mark, Panel, stage_name};
pub use compare::{BranchScores, Comparison, Jump, LeafRecords, SetFacts, SetScores, Spread, compare};
pub use differences::{Difference, Stretch, divergence, settings_that_differ};
pub use draft::{ExperimentDraft, TakenOn, blank_curriculum, copied_curriculum, experiment_draft, taken_on};
pub use numbers::{brief, grouped, size, underscored};
pub use parting::{Parting, parting, rows_parting};
pub use plot::plot;
pub use plot_svg::plot_svg;
pub use reproduction::{Evidence, LeafEnds, Repeated, Reproduction, Verdict, Worst, judge, relative, worst};
pub use scalars::{Beat, Logged, Tape, tape};
pub use style::{Look, Style, columns};
pub use table::{Cell, Table};
pub use verification::{Segment, Spot, Verification};
