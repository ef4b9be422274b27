//! The machine's cores, shared by whatever trains at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// Counts who trains, so that one leaf alone has all cores and several have a part each. How many threads compute something
/// never shows in its bits.
#[derive(Clone, Debug)]
pub struct Crew {
    cores: usize,
    training: Arc<AtomicUsize>,
}

/// A place among those that train, until it is dropped.
#[derive(Debug)]
pub struct Member(Crew);

impl Crew {
    /// All cores of the machine.
    pub fn new() -> Crew {
        Crew { cores: available_parallelism().map_or(1, usize::from), training: Arc::default() }
    }

    pub fn join(&self) -> Member {
        self.training.fetch_add(1, Ordering::Relaxed);
        Member(self.clone())
    }

    /// Threads for each of those that train now.
    pub fn threads(&self) -> usize {
        (self.cores / self.training.load(Ordering::Relaxed).max(1)).max(1)
    }
}

impl Member {
    pub fn threads(&self) -> usize {
        self.0.threads()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.training.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_by_those_that_train() {
        let crew = Crew { cores: 5, training: Arc::default() };
        let first = crew.join();
        assert_eq!(first.threads(), 5);
        let others: Vec<Member> = (0..7).map(|_| crew.join()).collect();
        assert_eq!(first.threads(), 1);
        drop(others);
        assert_eq!((first.threads(), crew.threads()), (5, 5));
    }
}
