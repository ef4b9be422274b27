//! Where the time of an update goes.

/// A part of the work that an update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Waiting for the batch, which is made ahead on a thread of its own.
    Data,
    /// The network and the losses.
    Forward,
    Backward,
    /// Norm and clipping of the gradient, the optimizer, and the running average; on the CPU the gradient's digests beside them.
    Optimizer,
    /// Digests of the new values, and noting them.
    Ledger,
    /// Reading back what was measured, and logging it.
    Metrics,
    /// Its share of saving a checkpoint.
    Checkpoint,
}

impl Part {
    pub const ALL: [Part; 7] =
        [Part::Data, Part::Forward, Part::Backward, Part::Optimizer, Part::Ledger, Part::Metrics, Part::Checkpoint];

    pub fn name(self) -> &'static str {
        match self {
            Part::Data => "data",
            Part::Forward => "forward",
            Part::Backward => "backward",
            Part::Optimizer => "optimizer",
            Part::Ledger => "ledger",
            Part::Metrics => "metrics",
            Part::Checkpoint => "checkpoint",
        }
    }
}

/// Seconds that went into each part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    seconds: [f64; Part::ALL.len()],
    /// Seconds that the batches themselves took on their own thread: no part of an update.
    pub making_batches: f64,
}

impl Parts {
    pub fn add(&mut self, part: Part, seconds: f64) {
        self.seconds[part as usize] += seconds;
    }

    pub fn of(&self, part: Part) -> f64 {
        self.seconds[part as usize]
    }
}
