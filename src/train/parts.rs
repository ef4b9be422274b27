//! Takes the time of the parts of updates, where somebody asks where it goes.

use std::cell::Cell;
use std::time::Instant;

use super::device::Place;
use crate::execute::{Part, Parts};

/// A stopwatch that is pressed at the end of each part.
pub struct Stopwatch {
    place: Place,
    since: Cell<Instant>,
    parts: Cell<Parts>,
}

impl Stopwatch {
    pub fn new(place: &Place) -> Stopwatch {
        Stopwatch { place: place.clone(), since: Cell::new(Instant::now()), parts: Cell::default() }
    }

    /// An update begins: the time before it is nobody's.
    pub fn begin(&self) {
        self.since.set(Instant::now());
    }

    /// A part ends here: it took the time since the last one ended. On a GPU, what was begun is waited for.
    pub fn lap(&self, part: Part) {
        if self.place.backend.is_gpu() {
            // An error is found again by whatever reads from the device next.
            let _ = self.place.device.sync();
        }
        let now = Instant::now();
        let mut parts = self.parts.get();
        parts.add(part, now.duration_since(self.since.replace(now)).as_secs_f64());
        self.parts.set(parts);
    }

    /// Adds what a batch took to make on its own thread, seconds.
    pub fn made_batch(&self, seconds: f64) {
        let mut parts = self.parts.get();
        parts.making_batches += seconds;
        self.parts.set(parts);
    }

    pub fn parts(&self) -> Parts {
        self.parts.get()
    }
}
