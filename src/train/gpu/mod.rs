//! What a GPU computes with kernels that are named or written here, because those that burn would take are less exact or slower.

mod dropout;
mod gelu;
mod launch;
mod norm;
mod product;
mod shares;

pub use self::dropout::{Site, dropped};
pub use self::gelu::gelu;
pub use self::norm::norm;
pub use self::product::product;
pub use self::shares::shares;
