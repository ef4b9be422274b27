//! Works through a plan: trains segments, saves checkpoints, makes evaluations. What trains is behind [`Executor`].

mod again;
mod board;
mod events;
mod executor;
mod fake;
mod kept;
mod machine;
mod memory;
mod parts;
mod probe;
mod retrain;
mod rolling;
mod run;
mod segment;
mod training;

pub use events::{Event, Events, Silent};
pub use executor::{Executor, Failure, Start, Stepped, Trainee, check_precision};
pub use fake::{Fake, Fault};
pub use machine::{Processor, caches, free_memory, processor, processor_model};
pub use memory::{forget_peak_memory, memory, peak_memory};
pub use parts::{Part, Parts};
pub use retrain::{Retrained, retrain};
pub use run::{Job, Outcome, caught, run};
