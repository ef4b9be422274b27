//! Work on many folders at once: reading small files is waiting for the system.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Fewer pieces are not worth a thread.
const FEWEST: usize = 32;
/// More threads than this wait for each other.
const MOST_THREADS: usize = 8;

/// What `work` gives for each item, in the items' order.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(MOST_THREADS).min(items.len() / FEWEST);
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let from = next.fetch_add(FEWEST, Ordering::Relaxed);
            let Some(rest) = items.get(from..).filter(|rest| !rest.is_empty()) else { return done };
            done.extend(rest.iter().take(FEWEST).enumerate().map(|(index, item)| (from + index, work(item))));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("no piece of work panics")).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::in_parallel;

    #[test]
    fn results_come_in_order() {
        for count in [0, 1, 31, 64, 65, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(in_parallel(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
