//! What a GPU computes with kernels that are named or written here, because those that burn would take are less exact or slower.

mod dropout;
mod product;

pub use self::dropout::{Site, dropped};
pub use self::product::product;
