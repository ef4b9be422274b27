//! Trains a segment again without writing anything, to hold it against what was recorded.

use std::sync::Arc;

use super::executor::{Executor, Failure, Start, Stepped};
use crate::history::History;
use crate::record::{Ledger, State};
use crate::task::sampler::Sampler;

/// What a segment came to when it was trained again.
#[derive(Debug)]
pub struct Retrained {
    pub ledger: Ledger,
    pub state: State,
}

/// Trains from `from` to the history's end; nothing where `stop` said so.
///
/// # Errors
/// Whatever keeps the executor from training.
pub fn retrain(
    executor: &dyn Executor,
    history: &History,
    from: u64,
    state: Option<State>,
    sampler: &Arc<Sampler>,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Retrained>, Failure> {
    let start = Start { history, step: from, state, sampler: Arc::clone(sampler), ledger: true };
    let mut trainee = executor.start(start)?;
    let mut ledger = Ledger::new(from, 0, &trainee.traced());
    for _ in from..history.end() {
        if trainee.step(false, stop)? == Stepped::Interrupted || stop() {
            return Ok(None);
        }
    }
    trainee.entries()?.iter().for_each(|entry| ledger.push(entry));
    let state = trainee.state()?;
    ledger.end(&state);
    Ok(Some(Retrained { ledger, state }))
}
