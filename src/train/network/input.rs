//! What the network is shown: host arrays made ahead of time, and the same on the device.

use std::f64::consts::TAU;

use burn::tensor::{Device, Tensor, TensorData};

use crate::task::batch::Batch;
use crate::task::model::{MAX_CHARGE, Recursive};
use crate::train::host::Shown;

/// Shortest and longest wavelength of the embedding of a mass, Da; the others lie between, evenly in their logarithm.
const WAVELENGTHS: (f64, f64) = (0.1, 2000.0);
/// Intensities below this share of the highest peak look alike.
const FAINT: f32 = 1e-3;
/// Added to the scores of padding: its share of the attention is exactly 0.
const HIDDEN: f32 = -1e9;
/// Peaks and precursor together are padded to a multiple of this.
const PEAK_ROUND: usize = 8;

/// A batch's arrays for the network. Peaks are padded only to the longest spectrum of the batch: padding is never seen, so
/// that this changes nothing but the time.
#[derive(Clone, Debug)]
pub struct Input {
    pub rows: usize,
    /// Peaks P a row is padded to here.
    pub peaks: usize,
    width: usize,
    mz_width: usize,
    /// Embedded m/z, `[B, P, width of m/z]`.
    mz: Vec<f32>,
    /// ln(intensity), moved and scaled to -1 for the faintest and 1 for the highest peak, `[B, P, 1]`.
    log_intensity: Vec<f32>,
    /// 0 for the precursor and for peaks, very negative for padding, `[B, 1, 1, 1 + P]`.
    bias: Vec<f32>,
    /// Embedded neutral mass of the precursor, `[B, 1, d]`.
    precursor: Vec<f32>,
    /// One-hot charge, `[B, 1, MAX_CHARGE + 1]`.
    charge: Vec<f32>,
}

/// [`Input`] on the device.
pub struct Placed {
    pub mz: Tensor<3>,
    pub log_intensity: Tensor<3>,
    pub bias: Tensor<4>,
    pub precursor: Tensor<3>,
    pub charge: Tensor<3>,
}

impl Input {
    pub fn new(model: &Recursive, batch: &Batch) -> Input {
        let width = model.hidden as usize;
        let mz_width = width - model.intensity_width();
        let peaks = shown_peaks(batch);
        let mut input = Input {
            rows: batch.size,
            peaks,
            width,
            mz_width,
            mz: Vec::with_capacity(batch.size * peaks * mz_width),
            log_intensity: Vec::with_capacity(batch.size * peaks),
            bias: Vec::with_capacity(batch.size * (1 + peaks)),
            precursor: Vec::with_capacity(batch.size * width),
            charge: vec![0.0; batch.size * CHARGES],
        };
        let (fragment, whole) = (Waves::new(mz_width), Waves::new(width));
        for row in 0..batch.size {
            let neutral = f64::from(batch.neutral_mass[row]);
            let shown = row * batch.peaks..row * batch.peaks + peaks;
            batch.mz[shown.clone()].iter().for_each(|&mz| fragment.embed(f64::from(mz), &mut input.mz));
            input.log_intensity.extend(batch.intensity[shown.clone()].iter().map(|&intensity| brightness(intensity)));
            input.bias.push(0.0);
            input.bias.extend(batch.is_peak[shown].iter().map(|&real| if real > 0.0 { 0.0 } else { HIDDEN }));
            whole.embed(neutral, &mut input.precursor);
            let charge = batch.charge[row].clamp(0, i32::from(MAX_CHARGE)) as usize;
            input.charge[row * CHARGES + charge] = 1.0;
        }
        input
    }

    /// The arrays for the network on the CPU.
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            rows: self.rows,
            peaks: self.peaks,
            mz: &self.mz,
            log_intensity: &self.log_intensity,
            bias: &self.bias,
            precursor: &self.precursor,
            charge: &self.charge,
        }
    }

    /// Moves the arrays to the device.
    pub fn place(self, device: &Device) -> Placed {
        let (rows, peaks) = (self.rows, self.peaks);
        Placed {
            mz: Tensor::from_data(TensorData::new(self.mz, [rows, peaks, self.mz_width]), device),
            log_intensity: Tensor::from_data(TensorData::new(self.log_intensity, [rows, peaks, 1]), device),
            bias: Tensor::from_data(TensorData::new(self.bias, [rows, 1, 1, 1 + peaks]), device),
            precursor: Tensor::from_data(TensorData::new(self.precursor, [rows, 1, self.width]), device),
            charge: Tensor::from_data(TensorData::new(self.charge, [rows, 1, CHARGES]), device),
        }
    }
}

const CHARGES: usize = MAX_CHARGE as usize + 1;

/// Peaks of the fullest spectrum, rounded up.
fn shown_peaks(batch: &Batch) -> usize {
    let filled = |row: &[f32]| row.iter().rposition(|&real| real > 0.0).map_or(0, |last| last + 1);
    let most = batch.is_peak.chunks_exact(batch.peaks).map(filled).max().unwrap_or(0);
    ((most + 1).next_multiple_of(PEAK_ROUND) - 1).min(batch.peaks)
}

fn brightness(intensity: f32) -> f32 {
    1.0 - 2.0 * intensity.max(FAINT).ln() / FAINT.ln()
}

/// Sines, then cosines, of a mass at several wavelengths.
struct Waves {
    /// 1 / wavelength, 1/Da.
    frequencies: Vec<f64>,
}

impl Waves {
    fn new(width: usize) -> Waves {
        let count = width / 2;
        let (shortest, longest) = WAVELENGTHS;
        let frequency = |k: usize| (longest / shortest).powf(-(k as f64) / (count.max(2) - 1) as f64) / shortest;
        Waves { frequencies: (0..count).map(frequency).collect() }
    }

    /// Appends the embedding. The whole turns are taken off in f64: what is left is exact to 1e-7 of a turn.
    fn embed(&self, mass: f64, into: &mut Vec<f32>) {
        let phase = |frequency: f64| {
            let turns = mass * frequency;
            ((turns - turns.round()) * TAU) as f32
        };
        into.extend(self.frequencies.iter().map(|&frequency| phase(frequency).sin()));
        into.extend(self.frequencies.iter().map(|&frequency| phase(frequency).cos()));
    }
}
