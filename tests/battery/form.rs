//! How much is tried and with which seed, how trials are made, and what a row of the table says.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rand_chacha::ChaCha8Rng;
use runner::task::random::{Purpose, stream};

/// Bad trials of a row that are printed; further ones are only counted.
const MOST_SHOWN: u64 = 25;

/// As many trials at once as the machine has cores.
pub const CORES: usize = usize::MAX;

/// What a row is asked to do.
pub struct Form {
    row: &'static str,
    pub long: bool,
    pub seed: u64,
    /// `part/number` of the only trial to make.
    pub only: Option<String>,
    shown: AtomicU64,
}

/// What came of a row.
#[derive(Debug, Default)]
pub struct Row {
    pub tried: u64,
    pub bad: u64,
    pub notes: Vec<String>,
}

/// Why a row could not be run here.
#[derive(Debug)]
pub struct Skip(pub String);

impl Form {
    pub fn new(row: &'static str, long: bool, seed: u64, only: Option<String>) -> Form {
        Form { row, long, seed, only, shown: AtomicU64::new(0) }
    }

    /// One value for the short form and one for the long.
    pub fn pick<T>(&self, short: T, long: T) -> T {
        if self.long { long } else { short }
    }

    /// Random numbers of their own for a trial of a part of the row.
    pub fn random(&self, part: u64, trial: u64) -> ChaCha8Rng {
        stream(self.seed, Purpose::Noise, part, trial)
    }

    /// Makes the trials `0..count` of a part of the row, several at once. An error or a panic is a bad one.
    pub fn trials(&self, part: &str, count: u64, at_once: usize, trial: impl Fn(u64) -> Result<(), String> + Sync) -> Row {
        let (next, tried, bad) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    break;
                }
                if self.only.as_ref().is_some_and(|only| *only != format!("{part}/{number}")) {
                    continue;
                }
                tried.fetch_add(1, Ordering::Relaxed);
                if let Err(what) = attempt(|| trial(number)) {
                    bad.fetch_add(1, Ordering::Relaxed);
                    self.say_bad(part, number, &what);
                }
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..at_once.min(cores) {
                scope.spawn(work);
            }
        });
        Row { tried: tried.into_inner(), bad: bad.into_inner(), notes: vec![] }
    }

    /// Says what was bad and how to make it again.
    pub fn say_bad(&self, part: &str, number: u64, what: &str) {
        let shown = self.shown.fetch_add(1, Ordering::Relaxed);
        if shown < MOST_SHOWN {
            let long = if self.long { "BATTERY=long " } else { "" };
            let (row, seed) = (self.row, self.seed);
            println!("BAD {row} {part}/{number}: {what}");
            println!("    again: SEED={seed} TRIAL={part}/{number} {long}cargo test --release --test battery -- {row}");
        } else if shown == MOST_SHOWN {
            println!("BAD {}: more than {MOST_SHOWN}; the others are only counted", self.row);
        }
    }
}

impl Row {
    /// Both parts of a row.
    #[must_use]
    pub fn and(mut self, other: Row) -> Row {
        self.tried += other.tried;
        self.bad += other.bad;
        self.notes.extend(other.notes);
        self
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// A part of the row could not be tried here.
    pub fn lacks(&mut self, what: &str) {
        eprintln!("SKIPPED in part: {what}");
        self.notes.push(format!("SKIPPED in part: {what}"));
    }
}

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the text of every panic for [`attempt`], which prints it only once.
pub fn hear_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string().replace('\n', " ");
        // The fake executor's own, where it was asked for them.
        if !QUIET.get() && !text.contains("planted at step") {
            eprintln!("{text}");
        }
        LAST.set(text);
    }));
}

/// Does something; a panic is an error with its text.
pub fn attempt<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    result.unwrap_or_else(|_| Err(LAST.take()))
}
