//! Reads the files people write, and the data they name, into a library for the pure layers.

mod data;
mod digests;
mod material;
mod project;
mod sets;
mod text;

pub use data::import_tensors;
pub use digests::Digests;
pub use material::{Planned, Reading, material, material_with, planned};
pub use project::{Loaded, Project};
pub use text::{Diagnosis, TextFile};
