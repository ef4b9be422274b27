//! The one idea: a checkpoint is named by its history.
//!
//! A [`History`] is a [`Root`] (model, initial seed, data) and the [`Settings`] of every step since, as spans over
//! absolute steps. Equal neighbours are one span, a loss of weight 0 is not there, and schedules are [`Piece`]s over
//! absolute steps, so that equal histories are equal values whatever way they were written and wherever they were cut.
//! The hash of a history at a step is the checkpoint's [`Id`]. Resuming, extending, branching, sharing and reproducing
//! are one question: which is the deepest checkpoint on this history that exists?

mod difference;
mod hash;
mod piece;
mod root;
mod settings;
mod span;
mod spans;
mod versions;

pub use difference::{Change, FirstDifference, changes, listed, root_changes};
pub use hash::{Id, digest_text};
pub use piece::{Piece, rate_pieces};
pub use root::{FileSource, Origin, Root, Source};
pub use settings::{At, Settings, Term};
pub use span::{History, Span};
pub use spans::Spans;
pub use versions::{EVALUATOR, PROBE, Versions};
