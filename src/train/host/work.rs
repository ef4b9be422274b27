//! Work shared among threads. What is computed never depends on which thread does it, or on how many there are.

use std::sync::{Mutex, PoisonError};

/// Does the work on every item, on at most so many threads; the caller's is one of them.
pub fn share<T: Send>(threads: usize, items: Vec<T>, work: impl Fn(T) + Sync) {
    let others = threads.min(items.len()).saturating_sub(1);
    if others == 0 {
        return items.into_iter().for_each(work);
    }
    let items = Mutex::new(items.into_iter());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let all = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    // Threads of a pool wake faster than new ones begin: there are half a dozen such calls in an update of a millisecond.
    rayon::in_place_scope(|scope| {
        for _ in 0..others {
            scope.spawn(|_| all());
        }
        all();
    });
}

/// Does two things, side by side where there is more than one thread.
pub fn both<A: Send, B: Send>(threads: usize, one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    if threads > 1 { rayon::join(one, other) } else { (one(), other()) }
}

/// A slice cut at ranges that come in order; what lies between them is left out.
pub fn cut(mut values: &mut [f32], ranges: impl Iterator<Item = (usize, usize)>) -> Vec<&mut [f32]> {
    let mut at = 0;
    ranges
        .map(|(from, length)| {
            let rest = std::mem::take(&mut values);
            let (part, rest) = rest[from - at..].split_at_mut(length);
            values = rest;
            at = from + length;
            part
        })
        .collect()
}
