//! What happens while a plan is carried out, for whoever shows it.

use crate::plan::Segment;
use crate::record::{Measured, Scores};
use crate::spec::Name;

/// Something that happened; segments by their index in the plan.
#[derive(Debug)]
pub enum Event<'a> {
    Started {
        segment: &'a Segment,
        index: usize,
        from: u64,
    },
    /// An update was made; measured where it was read back.
    Step {
        segment: &'a Segment,
        index: usize,
        step: u64,
        measured: Option<&'a Measured>,
    },
    Saved {
        segment: &'a Segment,
        step: u64,
    },
    Evaluated {
        segment: Option<&'a Segment>,
        step: u64,
        set: &'a Name,
        scores: &'a Scores,
    },
    Finished {
        segment: &'a Segment,
        index: usize,
    },
    /// Stopped by a signal; the checkpoint at this step is saved.
    Interrupted {
        segment: &'a Segment,
        index: usize,
        step: u64,
    },
    Failed {
        segment: &'a Segment,
        index: usize,
        message: &'a str,
    },
    /// Another process trains this segment.
    Waiting {
        segment: &'a Segment,
    },
    Warning(String),
}

/// Takes events from all threads.
pub trait Events: Sync {
    fn on(&self, event: Event<'_>);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Events for Silent {
    fn on(&self, _: Event<'_>) {}
}
