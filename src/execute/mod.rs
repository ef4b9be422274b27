//! Works through a plan: trains segments, saves checkpoints, makes evaluations. What trains is behind [`Executor`].

mod executor;

pub use executor::{Executor, Failure, Start, Stepped, Trainee};
