//! Reads the files people write, and the data they name, into a library for the pure layers.

mod data;
mod material;
mod project;
mod text;

pub use data::{import_tensors, open_spectra};
pub use material::{Reading, material};
pub use project::{Loaded, Project};
pub use text::{Diagnosis, TextFile};
