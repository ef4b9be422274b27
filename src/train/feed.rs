//! Batches made ahead of time on a thread of their own, so that training does not wait for data.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

use super::losses::{Targets, Truth, Whole};
use super::network::Input;
use crate::execute::Failure;
use crate::history::{At, History};
use crate::record::batch_digest;
use crate::task::batch::Batch;
use crate::task::sampler::Sampler;

/// Batches that wait to be used, at most.
const AHEAD: usize = 4;

/// The batch of one step, ready for the device.
pub struct Prepared {
    pub at: At,
    pub micro: Vec<Micro>,
    /// Digest of everything in the batch, for the ledger.
    pub digest: u64,
    /// What the batch holds, for messages.
    pub description: String,
    /// How long it took to make, seconds.
    pub seconds: f64,
}

/// One micro-batch.
#[derive(Clone)]
pub struct Micro {
    /// Slots of its samples in the batch.
    pub slots: std::ops::Range<usize>,
    pub input: Input,
    pub truth: Truth,
}

/// Gives the batches of consecutive steps. What a batch holds is a function of the history and the step alone.
pub struct Feed {
    batches: Receiver<Prepared>,
}

impl Feed {
    /// Starts making the batches of the steps from `from` to the history's end. The thread ends with the last of them, or
    /// when the feed is dropped.
    pub fn start(history: &History, from: u64, sampler: Arc<Sampler>) -> Result<Feed, Failure> {
        let (sender, batches) = sync_channel(AHEAD);
        let history = history.clone();
        let work = move || {
            for step in from..history.end() {
                if sender.send(Prepared::new(history.at(step), &sampler)).is_err() {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("batches".into()).spawn(work);
        started.map_err(|error| Failure::Device(format!("no thread for the batches: {error}")))?;
        Ok(Feed { batches })
    }

    /// The batch of a step, which must be the next.
    pub fn next(&self, step: u64) -> Result<Prepared, Failure> {
        let Ok(prepared) = self.batches.recv() else {
            return Err(Failure::Device(format!("there is no batch for step {step}: the history ends before it")));
        };
        assert_eq!(prepared.at.step, step, "batches come in the order of their steps");
        Ok(prepared)
    }
}

impl Prepared {
    pub fn new(at: At, sampler: &Sampler) -> Prepared {
        let begun = Instant::now();
        let batch = sampler.batch(at.seed, at.step, at.batch, &at.difficulty);
        let whole = Whole::of(&batch);
        let starts = (0..batch.size).step_by(at.micro_batch.max(1));
        let micro = starts.map(|from| {
            let slots = from..(from + at.micro_batch).min(batch.size);
            Micro::new(&batch.rows(slots.start, slots.end), slots, sampler, &at, whole)
        });
        let (micro, digest, description) = (micro.collect(), batch_digest(&batch), describe(&batch, &at));
        Prepared { micro, digest, description, at, seconds: begun.elapsed().as_secs_f64() }
    }
}

impl Micro {
    fn new(rows: &Batch, slots: std::ops::Range<usize>, sampler: &Sampler, at: &At, whole: Whole) -> Micro {
        let model = sampler.model();
        let input = Input::new(model, rows);
        let targets = Targets::of(at, model.supervision_steps as usize);
        let truth = Truth::new(rows, sampler.vocabulary(), &at.weights, targets, input.peaks, whole);
        Micro { slots, input, truth }
    }
}

fn describe(batch: &Batch, at: &At) -> String {
    let (least, most) = (batch.lengths.iter().min().unwrap_or(&0), batch.lengths.iter().max().unwrap_or(&0));
    format!("in a batch of {} with peptides of {least} to {most} tokens, drawn with seed {}", batch.size, at.seed)
}
