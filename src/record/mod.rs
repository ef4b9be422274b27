//! Plain data that is written under `runs/` and read again, with format versions. No disk, no clock.

mod metrics;
mod numerics;
mod tensors;

pub use metrics::{Measured, MetricsRow};
pub use numerics::Numerics;
pub use tensors::{State, Tensor, Tensors, Values};
