//! Which segment may be trained next: one whose start exists. Shared by the threads that train.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::history::Id;
use crate::plan::Segment;

/// The segments that are left, and the checkpoints there are to start from.
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    open: Vec<usize>,
    running: usize,
    available: BTreeSet<Id>,
}

impl Board {
    pub fn new(segments: usize, available: impl IntoIterator<Item = Id>) -> Board {
        let state = State { open: (0..segments).collect(), running: 0, available: available.into_iter().collect() };
        Board { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next segment whose start exists; waits while one may still come. `None`: nothing more can be done.
    pub fn take(&self, segments: &[Segment]) -> Option<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let ready = |&index: &usize| segments[index].start.is_none_or(|id| state.available.contains(&id));
            if let Some(place) = state.open.iter().position(ready) {
                state.running += 1;
                return Some(state.open.remove(place));
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A segment is over; where it reached its end, segments that start there may begin.
    pub fn done(&self, reached: Option<Id>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
        state.available.extend(reached);
        self.changed.notify_all();
    }
}
