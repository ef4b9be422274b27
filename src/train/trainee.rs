//! A network in training: one flat loop body, from the batch to the updated weights.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::device::Place;
use super::feed::{Feed, Prepared};
use super::gradient::{Asked, Backprop, Gradient};
use super::layout::{Layout, read_vector};
use super::optimizer::{Weights, gradient_norm};
use super::parts::Stopwatch;
use super::planted::Planted;
use super::trace::Trace;
use crate::execute::{Failure, Part, Parts, Start, Stepped, Trainee};
use crate::record::{Entry, Measured, State};
use crate::task::loss::Loss;
use crate::task::model::Recursive;
use crate::task::sampler::Sampler;

/// Trains a segment on one device. Its tensors and its graph are its own: several can train on threads side by side.
pub struct Training {
    place: Place,
    weights: Weights,
    backprop: Backprop,
    feed: Feed,
    /// The next step, and its batch where it was already taken from the feed.
    step: u64,
    pending: Option<Prepared>,
    /// What was measured at the updates since somebody looked.
    unread: Vec<(Source, Tensor<1>)>,
    /// Notes for the ledger, where one is kept.
    trace: Option<Trace>,
    /// None but in tests.
    planted: Vec<Planted>,
    /// Takes the time of the parts of updates, where it is asked for.
    watch: Option<Stopwatch>,
}

/// Of which update something was measured: its terms in the order of the losses, and the gradient's norm.
struct Source {
    step: u64,
    /// What the batch was made of.
    batch: String,
    losses: Vec<Loss>,
}

impl Training {
    pub fn start(start: Start<'_>, place: &Place, planted: &[Planted]) -> Result<Training, Failure> {
        let model = start.history.root().model.recursive().clone();
        check_lengths(start.history, start.step, &start.sampler, &model)?;
        let layout = Layout::new(&model);
        let state = match start.state {
            Some(state) => state,
            None => State { model: layout.initial(start.history.root().seed), ..State::default() },
        };
        Ok(Training {
            weights: Weights::new(layout, &state, place.clone())?,
            feed: Feed::start(start.history, start.step, Arc::clone(&start.sampler))?,
            step: start.step,
            pending: None,
            trace: start.ledger.then(|| Trace::new(place)),
            planted: planted.to_vec(),
            watch: None,
            backprop: Backprop::new(&model, place),
            place: place.clone(),
            unread: vec![],
        })
    }

    /// The batch of the next step.
    fn batch(&mut self) -> Result<Prepared, Failure> {
        self.watch.iter().for_each(Stopwatch::begin);
        let batch = match self.pending.take() {
            Some(batch) => batch,
            None => self.feed.next(self.step)?,
        };
        self.lap(Part::Data);
        self.watch.iter().for_each(|watch| watch.made_batch(batch.seconds));
        Ok(batch)
    }

    /// A part of an update ends here.
    fn lap(&self, part: Part) {
        self.watch.iter().for_each(|watch| watch.lap(part));
    }

    /// Gradient and raw terms of a whole batch, micro-batch by micro-batch; `None` where `stop` said so.
    fn gradient(&mut self, batch: &Prepared, stop: &dyn Fn() -> bool) -> Result<Option<Gradient>, Failure> {
        let mut sum: Option<Gradient> = None;
        for micro in &batch.micro {
            if sum.is_some() && stop() {
                return Ok(None);
            }
            let watch = &self.watch;
            let lap = |part: Part| watch.iter().for_each(|watch| watch.lap(part));
            let asked = Asked { at: &batch.at, micro: micro.clone(), planted: &self.planted, lap: &lap };
            let part = self.backprop.gradient(&mut self.weights, asked)?;
            sum = Some(match sum {
                Some(before) => before.add(part),
                None => part,
            });
            self.lap(Part::Backward);
        }
        Ok(sum)
    }

    /// Makes an update with the batch's gradient, and notes it for the ledger.
    fn update(&mut self, batch: &Prepared, gradient: Gradient, norm: Tensor<1>) -> Result<(), Failure> {
        let at = &batch.at;
        let digests = self.trace.as_ref().is_some_and(Trace::digests_tensors);
        let gradients = self.weights.update(at, gradient.vector, norm, digests)?;
        self.lap(Part::Optimizer);
        self.planted.iter().try_for_each(|planted| self.weights.plant(planted, at))?;
        if let Some(trace) = &mut self.trace {
            let values = if digests { self.weights.digests()? } else { vec![] };
            trace.note(at, batch.digest, gradients, values);
        }
        self.lap(Part::Ledger);
        Ok(())
    }

    /// Reads what was measured since somebody looked, once for the log and the ledger, and fails at the first that is not finite;
    /// the last of it. Looked at here: a device that may assume that all numbers are finite finds that they are.
    fn look(&mut self) -> Result<Option<Measured>, Failure> {
        if self.unread.is_empty() {
            return Ok(None);
        }
        let (sources, values): (Vec<Source>, Vec<Tensor<1>>) = std::mem::take(&mut self.unread).into_iter().unzip();
        let values = read_vector(Tensor::cat(values, 0))?;
        self.trace.iter_mut().for_each(|trace| trace.measured(&values));
        let mut rest = &values[..];
        let mut last = None;
        for Source { step, batch, losses } in sources {
            let (own, others) = rest.split_at(losses.len() + 1);
            rest = others;
            let named = losses.iter().map(|loss| loss.name()).chain(["gradient norm"]);
            if let Some((term, &value)) = named.zip(own).find(|(_, value)| !value.is_finite()) {
                return Err(Failure::NotFinite { term: term.into(), value: value.into(), step, batch });
            }
            let terms = losses.into_iter().zip(own).map(|(loss, &value)| (loss, f64::from(value))).collect();
            last = Some(Measured { terms, gradient_norm: f64::from(own[own.len() - 1]) });
        }
        Ok(last)
    }
}

impl Trainee for Training {
    fn step(&mut self, read: bool, stop: &dyn Fn() -> bool) -> Result<Stepped, Failure> {
        let mut batch = self.batch()?;
        let Some(mut gradient) = self.gradient(&batch, stop)? else {
            self.pending = Some(batch);
            return Ok(Stepped::Interrupted);
        };
        for planted in &self.planted {
            gradient.vector = planted.moved(&batch.at, self.weights.layout(), gradient.vector, false)?;
        }
        let norm = gradient_norm(&mut gradient.vector, &self.place)?;
        self.lap(Part::Optimizer);
        let both = Tensor::cat(gradient.terms.values().cloned().chain([norm.clone()]).collect(), 0);
        let losses = gradient.terms.keys().copied().collect();
        self.unread.push((Source { step: batch.at.step, batch: std::mem::take(&mut batch.description), losses }, both));
        // On the CPU looking costs nothing; on a GPU it would wait for every step.
        let measured = if read || !self.place.backend.is_gpu() { self.look()? } else { None };
        self.lap(Part::Metrics);
        self.update(&batch, gradient, norm)?;
        self.step += 1;
        Ok(Stepped::Done(measured.filter(|_| read)))
    }

    fn traced(&self) -> Vec<String> {
        self.trace.as_ref().map(|trace| trace.tensors(self.weights.layout())).unwrap_or_default()
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Failure> {
        self.look()?;
        Ok(self.trace.as_mut().map(Trace::take).unwrap_or_default())
    }

    fn state(&mut self) -> Result<State, Failure> {
        self.look()?;
        let state = self.weights.state()?;
        for (part, tensors) in [("weights", &state.model), ("running average", &state.ema), ("optimizer", &state.optimizer)] {
            let infinite = |values: &[f32]| values.iter().copied().find(|value| !value.is_finite());
            let found = tensors.iter().find_map(|(path, tensor)| Some((path, infinite(tensor.as_f32()?)?)));
            if let Some((path, value)) = found {
                let term = format!("{path} of the {part}");
                return Err(Failure::NotFinite {
                    term,
                    value: value.into(),
                    step: self.step,
                    batch: "after its update".into(),
                });
            }
        }
        Ok(state)
    }

    fn time_parts(&mut self) {
        self.watch = Some(Stopwatch::new(&self.place));
    }

    fn parts(&self) -> Option<Parts> {
        self.watch.as_ref().map(Stopwatch::parts)
    }

    fn device_memory(&self) -> Option<u64> {
        let usage = self.place.device.memory_pool_usage().filter(|_| self.place.backend.is_gpu());
        usage.map(|usage| usage.bytes_reserved)
    }
}

/// Every span from `step` on must find spectra that the model can write.
fn check_lengths(history: &crate::history::History, step: u64, sampler: &Sampler, model: &Recursive) -> Result<(), Failure> {
    let ends = history.spans().iter().skip(1).map(|span| span.from).chain([history.end()]);
    for (span, end) in history.spans().iter().zip(ends) {
        if end <= step {
            continue;
        }
        let difficulty = &span.settings.difficulty;
        sampler.check(difficulty).map_err(Failure::NoSpectrum)?;
        if difficulty.length.1 > model.longest_peptide() {
            let message = format!(
                "a peptide of {} residues does not fit a model of {} tokens with the end token",
                difficulty.length.1, model.length
            );
            return Err(Failure::NoSpectrum(message));
        }
    }
    Ok(())
}
