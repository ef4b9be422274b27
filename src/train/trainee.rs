//! A network in training: one flat loop body, from the batch to the updated weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::device::{Backend, Place};
use super::dropout::Dropout;
use super::feed::{Feed, Micro, Prepared};
use super::layout::{Layout, read_vector};
use super::network::Network;
use super::optimizer::{Weights, gradient_norm};
use crate::execute::{Failure, Start, Stepped, Trainee};
use crate::history::At;
use crate::record::{Measured, State};
use crate::task::loss::Loss;
use crate::task::model::Recursive;
use crate::task::sampler::Sampler;

/// Trains a segment on one device. Its tensors and its graph are its own: several can train on threads side by side.
pub struct Training {
    model: Recursive,
    place: Place,
    weights: Weights,
    feed: Feed,
    /// The next step, and its batch where it was already taken from the feed.
    step: u64,
    pending: Option<Prepared>,
    /// On a GPU: 0 as long as everything was finite. Read only where something is read anyway.
    health: Option<Health>,
}

/// What was not finite since it was last asked for.
struct Health {
    flag: Tensor<1>,
    since: u64,
}

impl Training {
    pub fn start(start: Start<'_>, place: &Place) -> Result<Training, Failure> {
        let model = start.history.root().model.recursive().clone();
        check_lengths(start.history, start.step, &start.sampler, &model)?;
        let layout = Layout::new(&model);
        let state = match start.state {
            Some(state) => state,
            None => State { model: layout.initial(start.history.root().seed), ..State::default() },
        };
        let health =
            (place.backend == Backend::Cuda).then(|| Health { flag: Tensor::zeros([1], &place.device), since: start.step });
        Ok(Training {
            weights: Weights::new(layout, &state, place.clone())?,
            feed: Feed::start(start.history, start.step, Arc::clone(&start.sampler))?,
            step: start.step,
            pending: None,
            place: place.clone(),
            model,
            health,
        })
    }

    /// Gradient and raw terms of a whole batch, micro-batch by micro-batch; `None` where `stop` said so.
    fn gradient(&self, batch: &Prepared, stop: &dyn Fn() -> bool) -> Option<Gradient> {
        let mut sum: Option<Gradient> = None;
        for micro in &batch.micro {
            if sum.is_some() && stop() {
                return None;
            }
            let part = self.micro_gradient(&batch.at, micro);
            sum = Some(match sum {
                Some(before) => before.add(part),
                None => part,
            });
        }
        sum
    }

    /// Of one micro-batch. The graph, down to its leaves, is made and consumed here: no two threads share any of it.
    fn micro_gradient(&self, at: &At, micro: &Micro) -> Gradient {
        let Micro { slots, input, truth } = micro.clone();
        let device = &self.place.device;
        let dropout = Dropout::new(at.dropout, at.seed, at.step, slots, &self.place);
        let leaves: Vec<Tensor<1>> = self.weights.parts().into_iter().map(|part| part.autodiff().require_grad()).collect();
        let network = Network::new(&self.model, self.weights.layout(), &leaves);
        let logits = network.forward(&input.place(device), &dropout);
        let terms = truth.place(device).terms(logits, &at.weights);
        let weighted = terms.iter().map(|(loss, term)| term.clone().mul_scalar(at.weights[loss]));
        let total = weighted.reduce(Tensor::add).expect("cross-entropy is always computed");
        let mut gradients = total.backward();
        let parts = leaves.iter().map(|leaf| match leaf.grad_remove(&mut gradients) {
            Some(gradient) => gradient,
            None => Tensor::zeros(leaf.dims(), device),
        });
        let vector = self.weights.layout().join(parts.collect(), device);
        Gradient { vector, terms: terms.into_iter().map(|(loss, term)| (loss, term.inner())).collect() }
    }

    /// Reads what was measured back, and fails where it is not finite.
    fn read(&self, batch: &Prepared, gradient: &Gradient, norm: &Tensor<1>) -> Result<Measured, Failure> {
        let parts: Vec<Tensor<1>> = gradient.terms.values().cloned().chain([norm.clone()]).collect();
        let values = read_vector(Tensor::cat(parts, 0))?;
        let named = gradient.terms.keys().map(|loss| loss.name()).chain(["gradient norm"]);
        for (term, &value) in named.zip(&values) {
            if !value.is_finite() {
                let (step, value) = (batch.at.step, f64::from(value));
                return Err(Failure::NotFinite { term: term.into(), value, step, batch: batch.description.clone() });
            }
        }
        let terms = gradient.terms.keys().zip(&values).map(|(&loss, &value)| (loss, f64::from(value))).collect();
        Ok(Measured { terms, gradient_norm: f64::from(values[values.len() - 1]) })
    }
}

impl Trainee for Training {
    fn step(&mut self, read: bool, stop: &dyn Fn() -> bool) -> Result<Stepped, Failure> {
        let batch = match self.pending.take() {
            Some(batch) => batch,
            None => self.feed.next(self.step)?,
        };
        let Some(gradient) = self.gradient(&batch, stop) else {
            self.pending = Some(batch);
            return Ok(Stepped::Interrupted);
        };
        let norm = gradient_norm(&gradient.vector);
        // On the CPU looking costs nothing; on a GPU it would wait for every step.
        let look = read || self.health.is_none();
        let measured = if look { Some(self.read(&batch, &gradient, &norm)?) } else { None };
        if let Some(health) = &mut self.health {
            health.note(&gradient, &norm);
            if read {
                health.check(self.step)?;
            }
        }
        self.weights.update(&batch.at, gradient.vector, norm);
        self.step += 1;
        Ok(Stepped::Done(measured.filter(|_| read)))
    }

    fn state(&mut self) -> Result<State, Failure> {
        if let Some(health) = &mut self.health {
            health.check(self.step)?;
        }
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
}

/// Gradient of the weighted sum, and the raw terms.
struct Gradient {
    vector: Tensor<1>,
    terms: BTreeMap<Loss, Tensor<1>>,
}

impl Gradient {
    fn add(self, other: Gradient) -> Gradient {
        let mut terms = other.terms;
        let both = |(loss, term): (Loss, Tensor<1>)| {
            let more = terms.remove(&loss).expect("the same losses in all micro-batches");
            (loss, term.add(more))
        };
        Gradient { vector: self.vector.add(other.vector), terms: self.terms.into_iter().map(both).collect() }
    }
}

impl Health {
    /// Notes on the device whether anything is not finite: x - x is 0 for finite numbers only.
    fn note(&mut self, gradient: &Gradient, norm: &Tensor<1>) {
        let all = gradient.terms.values().cloned().chain([norm.clone()]);
        let bad = all.map(|x| x.clone().sub(x)).reduce(Tensor::add).expect("the norm is there");
        self.flag = self.flag.clone().add(bad);
    }

    fn check(&mut self, step: u64) -> Result<(), Failure> {
        let value = f64::from(read_vector(self.flag.clone())?[0]);
        if value == 0.0 {
            self.since = step;
            return Ok(());
        }
        let batch = format!("or at a step since {}, when all was finite", self.since);
        Err(Failure::NotFinite { term: "a loss or the gradient".into(), value, step, batch })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Settings;
    use crate::record::Tensors;
    use crate::train::testing::{begin, busy, history, plain, train};

    #[test]
    fn a_run_that_was_cut_gives_the_bytes_of_one_that_was_not() {
        let whole = history(busy(), 7);
        let (_, uncut) = train(&whole, 0, None);
        for cut in [1, 4] {
            let (_, first) = train(&whole.cut(cut), 0, None);
            assert_eq!(train(&whole, cut, Some(first)).1, uncut, "cut at {cut}");
        }
        let other = history(Settings { seed: 8, ..busy() }, 7);
        assert_ne!(train(&other, 0, None).1, uncut, "the seed must matter");
        let (_, first) = train(&whole.cut(4), 0, None);
        let without = State { optimizer: Tensors::new(), ..first };
        assert_ne!(train(&whole, 4, Some(without)).1, uncut, "the optimizer's state must matter");
    }

    #[test]
    fn micro_batches_add_up_to_the_batch() {
        let whole = train(&history(busy(), 3), 0, None);
        let parts = train(&history(Settings { micro_batch: 4, ..busy() }, 3), 0, None);
        // Gradients that are 0 but for rounding become whole steps in Adam, so only the first update is compared closely.
        for (step, (a, b)) in whole.0.iter().zip(&parts.0).enumerate() {
            let tolerance = if step == 0 { 1e-5 } else { 1e-2 };
            for (loss, term) in &a.terms {
                assert!((term - b.terms[loss]).abs() < tolerance, "step {step}, {loss}: {term} and {}", b.terms[loss]);
            }
            assert!((a.gradient_norm / b.gradient_norm - 1.0).abs() < tolerance, "step {step}");
        }
    }

    #[test]
    fn an_interrupted_step_changes_nothing() {
        let history = history(Settings { micro_batch: 2, ..busy() }, 2);
        let mut trainee = begin(&history, 0, None);
        let before = trainee.state().unwrap();
        assert_eq!(trainee.step(true, &|| true).unwrap(), Stepped::Interrupted);
        assert_eq!(trainee.state().unwrap(), before);
        for _ in 0..2 {
            trainee.step(false, &|| false).unwrap();
        }
        assert_eq!(trainee.state().unwrap(), train(&history, 0, None).1);
    }

    #[test]
    fn two_trainees_train_at_once_on_two_threads() {
        let histories = [1, 2].map(|seed| history(Settings { seed, ..busy() }, 12));
        let alone = histories.each_ref().map(|history| train(history, 0, None));
        let together = std::thread::scope(|scope| {
            let handles = histories.each_ref().map(|history| scope.spawn(|| train(history, 0, None)));
            handles.map(|handle| handle.join().unwrap())
        });
        assert!(alone == together);
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let mut state = train(&history(plain(), 1), 0, None).1;
        let weights = state.model.get_mut("core.out.bias").unwrap();
        *weights = crate::record::Tensor::f32(weights.shape.clone(), vec![f32::INFINITY; 24]);
        let mut trainee = begin(&history(plain(), 3), 1, Some(state));
        let Err(Failure::NotFinite { term, step, batch, .. }) = trainee.step(false, &|| false) else { panic!() };
        assert_eq!((term.as_str(), step), ("CrossEntropy", 1));
        assert!(batch.contains("a batch of 6"), "{batch}");
        assert!(matches!(trainee.state(), Err(Failure::NotFinite { .. })));
    }

    #[test]
    fn averages_come_go_and_carry_over() {
        let (_, with) = train(&history(plain(), 2), 0, None);
        assert_eq!(with.ema["updates"].as_counter(), Some(2));
        let without = history(Settings { ema: None, ..plain() }, 3);
        let (_, dropped) = train(&without, 2, Some(with));
        assert!(dropped.ema.is_empty());
        let (_, again) = train(&history(plain(), 4), 3, Some(dropped.clone()));
        assert_eq!(again.ema["updates"].as_counter(), Some(1));
        let part = |tensors: &Tensors| tensors["core.out.bias"].as_f32().unwrap()[5];
        let expected = part(&dropped.model) * (2.0 / 11.0) + part(&again.model) * (9.0 / 11.0);
        assert!((part(&again.ema) - expected).abs() < 1e-7);
    }

    #[test]
    fn a_state_of_another_model_is_refused_by_name() {
        let (_, state) = train(&history(plain(), 1), 0, None);
        let refused = |change: &dyn Fn(&mut State)| {
            let mut state = state.clone();
            change(&mut state);
            let history = history(plain(), 2);
            let sampler = crate::train::testing::sampler(history.root().model.recursive());
            let place = crate::train::Choice::Cpu.open().unwrap();
            match Training::start(Start { history: &history, step: 1, state: Some(state), sampler }, &place) {
                Err(Failure::Misfit(message)) => message,
                _ => panic!("the state should not fit"),
            }
        };
        let missing = refused(&|state| drop(state.model.remove("core.embed")));
        assert!(missing.contains("`core.embed` of the weights is missing"), "{missing}");
        let moment = refused(&|state| drop(state.optimizer.remove("core.embed.moment_2")));
        assert!(moment.contains("`core.embed.moment_2`"), "{moment}");
        let counter = refused(&|state| drop(state.optimizer.remove("updates")));
        assert!(counter.contains("`updates`"), "{counter}");
        let left = refused(&|state| drop(state.ema.insert("more".into(), crate::record::Tensor::counter(1))));
        assert!(left.contains("`more` of the running average"), "{left}");
    }
}
