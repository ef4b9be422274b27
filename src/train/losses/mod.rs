//! The terms of the training loss, in f32, each normalised over the whole batch so that micro-batches add up to it.
//!
//! The spectrum and precursor terms look only at the last supervised pass and only at true tokens: padding adds no ions
//! and no mass. Sums run along one dimension at a time, in one order.

mod masses;

use std::collections::BTreeMap;

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};

pub use self::masses::SIGMA;
use self::masses::{Ions, Masses, PlacedIons, PlacedMasses};
use super::forward::last;
use crate::history::At;
use crate::spec::Supervision;
use crate::task::batch::Batch;
use crate::task::loss::Loss;
use crate::task::tokens::Vocabulary;

/// Sums over the whole batch that a micro-batch's terms are divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whole {
    /// Samples B.
    pub samples: usize,
    /// True tokens with the end tokens.
    pub tokens: usize,
}

impl Targets {
    pub fn of(at: &At, passes: usize) -> Targets {
        Targets { supervision: at.supervision, label_smoothing: at.label_smoothing, passes }
    }
}

impl Whole {
    pub fn of(batch: &Batch) -> Whole {
        Whole { samples: batch.size, tokens: batch.lengths.iter().map(|length| length + 1).sum() }
    }
}

/// How the cross-entropy is weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    pub supervision: Supervision,
    pub label_smoothing: f64,
    /// Supervised passes T.
    pub passes: usize,
}

/// A micro-batch's ground truth as host arrays; each part only where its loss is computed.
#[derive(Clone, Debug)]
pub struct Truth {
    cross_entropy: Option<CrossEntropy>,
    ions: Option<Ions>,
    masses: Option<Masses>,
}

/// [`Truth`] on the device.
pub struct PlacedTruth {
    /// Minus the weight of each log-probability, `[T, B, L, V]`.
    cross_entropy: Option<Tensor<4>>,
    ions: Option<PlacedIons>,
    masses: Option<PlacedMasses>,
}

#[derive(Clone, Debug)]
struct CrossEntropy {
    shape: [usize; 4],
    factors: Vec<f32>,
}

impl Truth {
    /// Of a micro-batch that is part of a batch with the sums `whole`. `peaks` is the number of peaks shown.
    pub fn new(
        batch: &Batch,
        vocabulary: &Vocabulary,
        computed: &BTreeMap<Loss, f64>,
        targets: Targets,
        peaks: usize,
        whole: Whole,
    ) -> Truth {
        let computed = |loss: Loss| computed.contains_key(&loss);
        let masses = computed(Loss::Spectrum) || computed(Loss::Precursor);
        Truth {
            cross_entropy: computed(Loss::CrossEntropy).then(|| CrossEntropy::new(batch, vocabulary.len(), targets, whole)),
            ions: computed(Loss::Spectrum).then(|| Ions::new(batch, peaks, whole)),
            masses: masses.then(|| Masses::new(batch, vocabulary, whole)),
        }
    }

    /// Moves the arrays to the device.
    pub fn place(self, device: &Device) -> PlacedTruth {
        PlacedTruth {
            cross_entropy: self
                .cross_entropy
                .map(|truth| Tensor::from_data(TensorData::new(truth.factors, truth.shape), device)),
            ions: self.ions.map(|ions| ions.place(device)),
            masses: self.masses.map(|masses| masses.place(device)),
        }
    }
}

impl PlacedTruth {
    /// The raw terms, `[1]` each, of logits after each supervised pass, `[T, B, L, V]`.
    pub fn terms(&self, logits: Tensor<4>, computed: &BTreeMap<Loss, f64>) -> BTreeMap<Loss, Tensor<1>> {
        let mut terms = BTreeMap::new();
        let last = || last(logits.clone());
        if let Some(factors) = &self.cross_entropy {
            terms.insert(Loss::CrossEntropy, cross_entropy(logits.clone(), factors.clone()));
        }
        terms.extend(self.mass_terms(|| softmax(last(), 2), computed));
        terms
    }

    /// The spectrum and precursor terms of probabilities `[B, L, V]`.
    pub fn mass_terms(
        &self,
        probabilities: impl FnOnce() -> Tensor<3>,
        computed: &BTreeMap<Loss, f64>,
    ) -> BTreeMap<Loss, Tensor<1>> {
        let Some(masses) = &self.masses else { return BTreeMap::new() };
        let expected = masses.expected(probabilities());
        let mut terms = BTreeMap::new();
        if let Some(ions) = &self.ions {
            terms.insert(Loss::Spectrum, ions.unexplained(expected.clone()));
        }
        if computed.contains_key(&Loss::Precursor) {
            terms.insert(Loss::Precursor, masses.distance(expected));
        }
        terms
    }
}

/// Weights of the supervised passes; they sum to 1.
fn pass_weights(supervision: Supervision, passes: usize) -> Vec<f64> {
    let raw = |pass: usize| match supervision {
        Supervision::Linear => pass as f64 + 1.0,
        Supervision::Exponential => (0.5 * pass as f64).exp(),
    };
    let sum: f64 = (0..passes).map(raw).sum();
    (0..passes).map(|pass| raw(pass) / sum).collect()
}

impl CrossEntropy {
    fn new(batch: &Batch, vocabulary: usize, targets: Targets, whole: Whole) -> CrossEntropy {
        let shape = [targets.passes, batch.size, batch.length, vocabulary];
        let mut factors = Vec::with_capacity(shape.iter().product());
        let others = targets.label_smoothing / (vocabulary - 1) as f64;
        for weight in pass_weights(targets.supervision, targets.passes) {
            let scale = -weight / whole.tokens as f64;
            for (row, &length) in batch.lengths.iter().enumerate() {
                for place in 0..batch.length {
                    let wanted = batch.tokens[row * batch.length + place] as usize;
                    let factor = |token: usize| match token == wanted {
                        _ if place > length => 0.0,
                        true => (scale * (1.0 - targets.label_smoothing)) as f32,
                        false => (scale * others) as f32,
                    };
                    factors.extend((0..vocabulary).map(factor));
                }
            }
        }
        CrossEntropy { shape, factors }
    }
}

/// sum_t w_t * mean over true and end tokens of -sum_v q_v ln p_v, with q the smoothed target.
fn cross_entropy(logits: Tensor<4>, factors: Tensor<4>) -> Tensor<1> {
    sum(log_softmax(logits, 3).mul(factors))
}

/// Sum of all elements, the last dimension first, in one order.
fn sum<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let shape = x.dims();
    let last = shape[D - 1];
    let rows = shape.iter().product::<usize>() / last;
    x.reshape([rows, last]).sum_dim(1).reshape([1, rows]).sum_dim(1).reshape([1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::difficulty::Difficulty;
    use crate::train::device::{Choice, Place};
    use crate::train::layout::read_vector;
    use crate::train::testing::{micro, sampler};

    const PASSES: usize = 2;

    fn batch() -> Batch {
        sampler(&micro()).batch(5, 0, 4, &Difficulty { noise_peaks: 2, ..Difficulty::clean((7, 9)) })
    }

    fn weights(losses: &[Loss]) -> BTreeMap<Loss, f64> {
        losses.iter().map(|&loss| (loss, 1.0)).collect()
    }

    fn targets() -> Targets {
        Targets { supervision: Supervision::Linear, label_smoothing: 0.1, passes: PASSES }
    }

    fn truth(batch: &Batch, losses: &[Loss], whole: Whole, place: &Place) -> PlacedTruth {
        let vocabulary = micro().vocabulary();
        Truth::new(batch, &vocabulary, &weights(losses), targets(), batch.peaks, whole).place(&place.device)
    }

    /// Logits of any kind, towards the truth so that ions lie near peaks.
    fn logits(batch: &Batch) -> Vec<f32> {
        let wave = |index: usize| ((index * 37 % 101) as f32 / 50.0 - 1.0) * 0.5;
        let places = batch.tokens.iter().enumerate();
        let row = |(place, &token): (usize, &i32)| {
            (0..24).map(move |v| wave(place * 24 + v) + if v == token as usize { 9.0 } else { 0.0 })
        };
        places.flat_map(row).collect()
    }

    fn term(loss: Loss, truth: &PlacedTruth, values: &[f32], batch: &Batch, place: &Place) -> (f64, Vec<f32>) {
        let shape = [batch.size, batch.length, 24];
        let last = Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &place.device).autodiff().require_grad();
        let first = last.clone().mul_scalar(0.5);
        let value = truth.terms(Tensor::stack(vec![first, last.clone()], 0), &weights(&[loss])).remove(&loss).unwrap();
        let gradient = last.grad(&value.backward()).unwrap().reshape([values.len()]);
        (read_vector(value).unwrap()[0].into(), read_vector(gradient).unwrap())
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (place, batch) = (Choice::Cpu.open().unwrap(), batch());
        for loss in Loss::ALL {
            let truth = truth(&batch, &[loss], Whole::of(&batch), &place);
            let values = logits(&batch);
            let (_, gradient) = term(loss, &truth, &values, &batch, &place);
            let mut largest: Vec<usize> = (0..values.len()).collect();
            largest.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
            assert!(gradient[largest[0]].abs() > 1e-6, "{loss} has no gradient");
            for &index in &largest[..6] {
                let moved = |by: f32| {
                    let mut values = values.clone();
                    values[index] += by;
                    term(loss, &truth, &values, &batch, &place).0
                };
                let slope = (moved(0.02) - moved(-0.02)) / 0.04;
                let expected = f64::from(gradient[index]);
                assert!((slope - expected).abs() < 0.05 * expected.abs() + 2e-5, "{loss} at {index}: {slope}, {expected}");
            }
        }
    }

    #[test]
    fn padding_changes_nothing() {
        let (place, batch) = (Choice::Cpu.open().unwrap(), batch());
        for loss in Loss::ALL {
            let truth = truth(&batch, &[loss], Whole::of(&batch), &place);
            let values = logits(&batch);
            let mut changed = values.clone();
            for (row, &length) in batch.lengths.iter().enumerate() {
                let padding = (row * batch.length + length + 1) * 24..(row + 1) * batch.length * 24;
                changed[padding].iter_mut().enumerate().for_each(|(index, value)| *value = (index % 7) as f32);
            }
            let (before, after) = (term(loss, &truth, &values, &batch, &place), term(loss, &truth, &changed, &batch, &place));
            assert_eq!(before.0, after.0, "{loss}");
            assert_ne!(values, changed);
        }
    }

    #[test]
    fn parts_of_a_batch_add_up() {
        let (place, batch) = (Choice::Cpu.open().unwrap(), batch());
        let whole = Whole::of(&batch);
        for loss in Loss::ALL {
            let part = |from: usize, to: usize| {
                let rows = batch.rows(from, to);
                term(loss, &truth(&rows, &[loss], whole, &place), &logits(&batch)[from * 12 * 24..to * 12 * 24], &rows, &place)
                    .0
            };
            assert!((part(0, 4) - part(0, 1) - part(1, 4)).abs() < 1e-6, "{loss}");
        }
    }

    #[test]
    fn cross_entropy_is_the_formula_on_paper() {
        let (place, batch) = (Choice::Cpu.open().unwrap(), batch());
        let values = logits(&batch);
        let truth = truth(&batch, &[Loss::CrossEntropy], Whole::of(&batch), &place);
        let (got, _) = term(Loss::CrossEntropy, &truth, &values, &batch, &place);
        let (mut expected, mut tokens) = (0.0, 0.0);
        for (row, &length) in batch.lengths.iter().enumerate() {
            for at in 0..=length {
                tokens += 1.0;
                for (weight, scale) in [(1.0 / 3.0, 0.5), (2.0 / 3.0, 1.0)] {
                    let place = row * 12 + at;
                    let logits: Vec<f64> =
                        values[place * 24..(place + 1) * 24].iter().map(|&logit| f64::from(logit) * scale).collect();
                    let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
                    for (token, logit) in logits.iter().enumerate() {
                        let wanted = if token == batch.tokens[place] as usize { 0.9 } else { 0.1 / 23.0 };
                        expected -= weight * wanted * (logit - sum);
                    }
                }
            }
        }
        assert!((got - expected / tokens).abs() < 1e-5, "{got} and {}", expected / tokens);
    }

    #[test]
    fn passes_weigh_as_written_and_sum_to_1() {
        assert_eq!(pass_weights(Supervision::Linear, 3), [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0]);
        let exponential = pass_weights(Supervision::Exponential, 2);
        assert!((exponential[1] / exponential[0] - 0.5_f64.exp()).abs() < 1e-12);
        assert!((exponential.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_weight_is_not_computed() {
        let (place, batch) = (Choice::Cpu.open().unwrap(), batch());
        let truth = truth(&batch, &[Loss::CrossEntropy], Whole::of(&batch), &place);
        assert!(truth.ions.is_none() && truth.masses.is_none());
    }
}
