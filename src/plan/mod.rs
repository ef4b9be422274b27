//! What is left to do: segments to train, parents first, evaluations and probes to make.
//!
//! Pure: a lineage and a list of what exists go in, a [`Plan`] comes out.

mod build;
mod deciding;
mod footprint;
mod material;
mod missing;
mod retention;
mod steps;

pub use build::{Existing, Member, Owner, Plan, Segment};
pub use footprint::{Footprint, about, is_out_of_memory};
pub use material::{Material, PreparedSet};
pub use missing::Missing;
pub use retention::{Facts, ROLLING, Reason, Stored, forks, verdicts};
pub use steps::{Keep, Save, looks};
