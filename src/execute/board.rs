//! Which segment may be trained next: one whose start exists and that nobody else is training. Shared by the threads that
//! train.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::history::Id;
use crate::plan::Segment;

/// How often segments that another process trains are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The segments that are left, and the checkpoints there are to start from.
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    open: Vec<usize>,
    running: usize,
    available: BTreeSet<Id>,
    /// Segments that were found to be in another process's hands.
    elsewhere: BTreeSet<usize>,
}

/// What to do next.
pub enum Next<C> {
    /// Train this segment; the claim keeps others away from it.
    Train(usize, C),
    /// Another process trains this segment, and there is nothing else to do. Said once for each; ask again.
    Elsewhere(usize),
    /// Nothing more can be done.
    Nothing,
}

impl Board {
    pub fn new(segments: usize, available: impl IntoIterator<Item = Id>) -> Board {
        let state = State {
            open: (0..segments).collect(),
            running: 0,
            available: available.into_iter().collect(),
            elsewhere: BTreeSet::new(),
        };
        Board { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next segment whose start exists and that can be claimed; waits while one may still come, and until `stop`.
    /// `claim` gives nothing where another process holds the segment.
    pub fn take<C>(&self, segments: &[Segment], claim: &dyn Fn(usize) -> Option<C>, stop: &dyn Fn() -> bool) -> Next<C> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if stop() {
                return Next::Nothing;
            }
            let is_ready = |&index: &usize| segments[index].start.is_none_or(|id| state.available.contains(&id));
            let ready: Vec<usize> = state.open.iter().copied().filter(is_ready).collect();
            if let Some((index, claimed)) = ready.iter().find_map(|&index| Some((index, claim(index)?))) {
                state.running += 1;
                state.open.retain(|&open| open != index);
                return Next::Train(index, claimed);
            }
            if let Some(&index) = ready.iter().find(|&&index| !state.elsewhere.contains(&index)) {
                state.elsewhere.insert(index);
                return Next::Elsewhere(index);
            }
            if ready.is_empty() && state.running == 0 {
                return Next::Nothing;
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
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
