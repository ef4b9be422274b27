//! The terms of the training loss, in f32, each normalised over the whole batch so that micro-batches add up to it.
//!
//! The spectrum and precursor terms look only at the last supervised pass and only at true tokens: padding adds no ions
//! and no mass. Sums run along one dimension at a time, in one order.

use std::collections::BTreeMap;

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};

use crate::history::At;
use crate::spec::Supervision;
use crate::task::batch::Batch;
use crate::task::loss::Loss;
use crate::task::mass::{PROTON, WATER};
use crate::task::tokens::Vocabulary;

/// Width of the window in which a peak counts as explained by an ion, Da.
pub const SIGMA: f64 = 0.2;
/// Where the precursor loss turns from square to linear, in units of [`MASS_UNIT`].
const BETA: f64 = 0.1;
/// Typical mass of a residue, Da.
const MASS_UNIT: f64 = 110.0;
/// Squared distance of what is no ion, Da^2: its Gaussian is 0.
const NO_ION: f64 = 1e9;

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

#[derive(Clone, Debug)]
struct Ions {
    rows: usize,
    peaks: usize,
    length: usize,
    mz: Vec<f32>,
    /// Intensity over the spectrum's sum and over B.
    share: Vec<f32>,
    /// What is added to the squared distance to the ions of a place: 0 where a bond breaks.
    hidden: Vec<f32>,
    /// Samples here over B.
    constant: f64,
}

struct PlacedIons {
    mz: Tensor<3>,
    share: Tensor<2>,
    hidden: Tensor<3>,
    constant: f64,
}

#[derive(Clone, Debug)]
struct Masses {
    rows: usize,
    length: usize,
    /// Mass of each token, Da, `[V]`.
    table: Vec<f32>,
    /// 1 for true tokens, `[B, L]`.
    is_true: Vec<f32>,
    neutral: Vec<f32>,
    /// B of the whole batch.
    samples: usize,
}

struct PlacedMasses {
    table: Tensor<3>,
    is_true: Tensor<2>,
    neutral: Tensor<2>,
    samples: usize,
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
    /// The raw terms, `[1]` each, of logits `[B, L, V]` after each supervised pass.
    pub fn terms(&self, logits: Vec<Tensor<3>>, computed: &BTreeMap<Loss, f64>) -> BTreeMap<Loss, Tensor<1>> {
        let mut terms = BTreeMap::new();
        let last = logits.last().expect("at least one pass").clone();
        if let Some(factors) = &self.cross_entropy {
            terms.insert(Loss::CrossEntropy, cross_entropy(logits, factors.clone()));
        }
        terms.extend(self.mass_terms(|| softmax(last, 2), computed));
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
fn cross_entropy(logits: Vec<Tensor<3>>, factors: Tensor<4>) -> Tensor<1> {
    let logs = log_softmax(Tensor::stack::<4>(logits, 0), 3);
    sum(logs.mul(factors))
}

impl Ions {
    fn new(batch: &Batch, peaks: usize, whole: Whole) -> Ions {
        let mut share = Vec::with_capacity(batch.size * peaks);
        let mut mz = Vec::with_capacity(batch.size * peaks);
        for row in 0..batch.size {
            let shown = row * batch.peaks..row * batch.peaks + peaks;
            let intensities = &batch.intensity[shown.clone()];
            let total: f64 = intensities.iter().map(|&intensity| f64::from(intensity)).sum();
            let factor = if total > 0.0 { 1.0 / (total * whole.samples as f64) } else { 0.0 };
            share.extend(intensities.iter().map(|&intensity| (f64::from(intensity) * factor) as f32));
            mz.extend_from_slice(&batch.mz[shown]);
        }
        let hidden = batch.cleavable.iter().map(|&breaks| if breaks > 0.0 { 0.0 } else { NO_ION as f32 }).collect();
        let constant = batch.size as f64 / whole.samples as f64;
        Ions { rows: batch.size, peaks, length: batch.length, mz, share, hidden, constant }
    }

    fn place(self, device: &Device) -> PlacedIons {
        let (rows, peaks) = (self.rows, self.peaks);
        PlacedIons {
            mz: Tensor::from_data(TensorData::new(self.mz, [rows, peaks, 1]), device),
            share: Tensor::from_data(TensorData::new(self.share, [rows, peaks]), device),
            hidden: Tensor::from_data(TensorData::new(self.hidden, [rows, 1, self.length]), device),
            constant: self.constant,
        }
    }
}

impl PlacedIons {
    /// 1 minus the share of the intensity that lies near an ion: for expected masses m, `[B, L]`, of the places,
    /// b_{k,z} = (sum_{i<=k} m_i + z p) / z and y_{k,z} = (sum_{i>k} m_i + water + z p) / z at z = 1 and 2, a peak counts by
    /// exp(-d^2 / (2 sigma^2)) of its distance d to the nearest.
    fn unexplained(&self, expected: Tensor<2>) -> Tensor<1> {
        let [rows, length] = expected.dims();
        let device = expected.device().inner();
        // Sums by broadcasting: products of matrices may be rounded to less than f32 on a GPU.
        let up_to = Tensor::<2>::ones([length, length], &device).tril(0).unsqueeze_dim::<3>(0);
        let expected = expected.reshape([rows, 1, length]);
        let prefix = expected.clone().mul(up_to).sum_dim(2).reshape([rows, 1, length]);
        let suffix = expected.sum_dim(2).sub(prefix.clone()).add_scalar(WATER);
        let nearest = [prefix, suffix].into_iter().flat_map(|neutral| {
            let doubly = neutral.clone().mul_scalar(0.5);
            [neutral, doubly].map(|mass| {
                let distance = self.mz.clone().sub(mass.add_scalar(PROTON));
                distance.square().add(self.hidden.clone()).min_dim(2)
            })
        });
        let nearest = nearest.reduce(|a, b| Tensor::min_pair(a, b)).expect("four kinds of ions");
        let [_, peaks, _] = nearest.dims();
        let close = nearest.reshape([rows, peaks]).mul_scalar(-0.5 / (SIGMA * SIGMA)).exp();
        sum(close.mul(self.share.clone())).neg().add_scalar(self.constant)
    }
}

impl Masses {
    fn new(batch: &Batch, vocabulary: &Vocabulary, whole: Whole) -> Masses {
        let row = |&length: &usize| (0..batch.length).map(move |place| if place < length { 1.0 } else { 0.0 });
        Masses {
            rows: batch.size,
            length: batch.length,
            table: vocabulary.masses().into_iter().map(|mass| mass as f32).collect(),
            is_true: batch.lengths.iter().flat_map(row).collect(),
            neutral: batch.neutral_mass.clone(),
            samples: whole.samples,
        }
    }

    fn place(self, device: &Device) -> PlacedMasses {
        let tokens = self.table.len();
        PlacedMasses {
            table: Tensor::from_data(TensorData::new(self.table, [1, 1, tokens]), device),
            is_true: Tensor::from_data(TensorData::new(self.is_true, [self.rows, self.length]), device),
            neutral: Tensor::from_data(TensorData::new(self.neutral, [self.rows, 1]), device),
            samples: self.samples,
        }
    }
}

impl PlacedMasses {
    /// m_i = sum_v P_iv M_v at true places, 0 elsewhere, `[B, L]`, Da. Special tokens weigh nothing.
    fn expected(&self, probabilities: Tensor<3>) -> Tensor<2> {
        let [rows, length, _] = probabilities.dims();
        probabilities.mul(self.table.clone()).sum_dim(2).reshape([rows, length]).mul(self.is_true.clone())
    }

    /// Mean of SmoothL1((sum_i m_i + water - M) / 110): e^2 / (2 beta) below beta, |e| - beta / 2 above.
    fn distance(&self, expected: Tensor<2>) -> Tensor<1> {
        let error = expected.sum_dim(1).add_scalar(WATER).sub(self.neutral.clone()).div_scalar(MASS_UNIT).abs();
        let square = error.clone().clamp_max(BETA);
        let smooth = square.clone().mul(error.sub(square.mul_scalar(0.5))).div_scalar(BETA);
        sum(smooth).div_scalar(self.samples as f64)
    }
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
        let value = truth.terms(vec![first, last.clone()], &weights(&[loss])).remove(&loss).unwrap();
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
