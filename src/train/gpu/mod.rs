//! What a GPU computes with kernels that are named or written here, because those that burn would take are less exact or slower.

mod bias;
mod dropout;
mod launch;
mod norm;
mod product;
mod shares;

pub use self::bias::{biased, gelu};
pub use self::dropout::{Site, dropped};
pub use self::norm::norm;
pub use self::product::product;
pub use self::shares::shares;
