//! From a library of files to leaves with their histories, and from histories to the tree of segments they share.
//!
//! Pure: what a file or a data set contains has been read by `load` before.

mod advice;
mod bases;
mod course;
mod library;
mod resolve;
mod resolved;
mod sets;
mod shrink;
mod sources;
mod tree;

pub use library::{DataFile, Fault, FileOrigin, Known, Library, TensorFile};
pub use resolve::{Resolution, resolve};
pub use resolved::{Fork, Leaf, LeafKey, Note, Resolved, Rhythm, Set, SetSource, StageStart};
pub use shrink::{in_f32, shrink, small};
pub use tree::{Node, Path, Tree};
