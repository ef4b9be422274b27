//! The losses that compare masses: expected residue masses with the peaks and with the precursor.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Whole, sum};
use crate::task::batch::Batch;
use crate::task::mass::{PROTON, WATER};
use crate::task::tokens::Vocabulary;

/// Width of the window in which a peak counts as explained by an ion, Da.
pub const SIGMA: f64 = 0.2;
/// Where the precursor loss turns from square to linear, in units of [`MASS_UNIT`].
const BETA: f64 = 0.1;
/// Typical mass of a residue, Da.
const MASS_UNIT: f64 = 110.0;
/// Masses are summed in two parts, the first in multiples of this, Da: those sums are exact in f32 up to a million daltons, and
/// what is left is small. Summed as they are, a thousand daltons would be off by several of f32's steps of 6e-5 Da, and the
/// spectrum loss is steep.
const STEP: f64 = 1.0 / 16.0;
/// Squared distance of what is no ion, Da^2: its Gaussian is 0.
const NO_ION: f64 = 1e9;

/// Peaks of a micro-batch and the places where bonds break, for the spectrum loss.
#[derive(Clone, Debug)]
pub struct Ions {
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

/// [`Ions`] on the device.
pub struct PlacedIons {
    mz: Tensor<3>,
    share: Tensor<2>,
    hidden: Tensor<3>,
    constant: f64,
}

/// Masses of tokens and precursors.
#[derive(Clone, Debug)]
pub struct Masses {
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

/// [`Masses`] on the device.
pub struct PlacedMasses {
    table: Tensor<3>,
    is_true: Tensor<2>,
    neutral: Tensor<2>,
    samples: usize,
}

impl Ions {
    pub fn new(batch: &Batch, peaks: usize, whole: Whole) -> Ions {
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

    pub fn place(self, device: &Device) -> PlacedIons {
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
    pub fn unexplained(&self, expected: Tensor<2>) -> Tensor<1> {
        let [rows, length] = expected.dims();
        let device = expected.device().inner();
        // Sums by broadcasting: products of matrices may be rounded to less than f32 on a GPU.
        let up_to = Tensor::<2>::ones([length, length], &device).tril(0).unsqueeze_dim::<3>(0);
        let sums = |masses: Tensor<2>| {
            let masses = masses.reshape([rows, 1, length]);
            let prefix = masses.clone().mul(up_to.clone()).sum_dim(2).reshape([rows, 1, length]);
            let suffix = masses.sum_dim(2).sub(prefix.clone());
            [prefix, suffix]
        };
        let (coarse, rest) = parted(expected);
        let ([coarse_b, coarse_y], [b, y]) = (sums(coarse), sums(rest));
        let nearest = [(coarse_b, b), (coarse_y, y.add_scalar(WATER))].into_iter().flat_map(|(coarse, rest)| {
            [1.0, 0.5].map(|share| {
                let distance = self.mz.clone().sub(coarse.clone().mul_scalar(share));
                let distance = distance.sub(rest.clone().mul_scalar(share).add_scalar(PROTON));
                distance.square().add(self.hidden.clone()).min_dim(2)
            })
        });
        let nearest = nearest.reduce(Tensor::min_pair).expect("four kinds of ions");
        let [_, peaks, _] = nearest.dims();
        let close = nearest.reshape([rows, peaks]).mul_scalar(-0.5 / (SIGMA * SIGMA)).exp();
        sum(close.mul(self.share.clone())).neg().add_scalar(self.constant)
    }
}

impl Masses {
    pub fn new(batch: &Batch, vocabulary: &Vocabulary, whole: Whole) -> Masses {
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

    pub fn place(self, device: &Device) -> PlacedMasses {
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
    pub fn expected(&self, probabilities: Tensor<3>) -> Tensor<2> {
        let [rows, length, _] = probabilities.dims();
        probabilities.mul(self.table.clone()).sum_dim(2).reshape([rows, length]).mul(self.is_true.clone())
    }

    /// Mean of SmoothL1((sum_i m_i + water - M) / 110): e^2 / (2 beta) below beta, |e| - beta / 2 above.
    pub fn distance(&self, expected: Tensor<2>) -> Tensor<1> {
        let (coarse, rest) = parted(expected);
        let error = coarse.sum_dim(1).sub(self.neutral.clone()).add(rest.sum_dim(1).add_scalar(WATER));
        let error = error.div_scalar(MASS_UNIT).abs();
        let square = error.clone().clamp_max(BETA);
        let smooth = square.clone().mul(error.sub(square.mul_scalar(0.5))).div_scalar(BETA);
        sum(smooth).div_scalar(self.samples as f64)
    }
}

/// Masses as multiples of [`STEP`], without a gradient, and what is left of them.
fn parted(masses: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let coarse = masses.clone().detach().div_scalar(STEP).round().mul_scalar(STEP);
    (coarse.clone(), masses.sub(coarse))
}
