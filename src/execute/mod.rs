//! Works through a plan: trains segments, saves checkpoints, makes evaluations. What trains is behind [`Executor`].

mod again;
mod board;
mod events;
mod executor;
mod fake;
mod memory;
mod retrain;
mod rolling;
mod run;
mod segment;

pub use events::{Event, Events, Silent};
pub use executor::{Executor, Failure, Start, Stepped, Trainee};
pub use fake::{Fake, Fault};
pub use memory::{memory, peak_memory};
pub use retrain::{Retrained, retrain};
pub use run::{Job, Outcome, run};
