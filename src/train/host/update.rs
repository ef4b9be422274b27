//! What an update does to the weights, in one pass over memory: clipping, AdamW, and the running average.
//!
//! The operations on each element are those of burn's AdamW in their order, so that both give the same bits.

use pulp::{Arch, Simd, WithSimd};

use super::work;

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 14;
/// Elements below which a second thread would take longer to wake than to work.
const ALONE: usize = 1 << 18;
/// Partial sums of the norm.
const PARTIAL: usize = 16;

/// An update's numbers. AdamW is that of Loshchilov and Hutter (2019).
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Learning rate.
    pub rate: f64,
    pub weight_decay: f32,
    pub beta_1: f32,
    pub beta_2: f32,
    pub epsilon: f32,
    /// Number of this update, from 1.
    pub number: u64,
    /// The gradient's norm, and the highest it is let be.
    pub clip: Option<(f32, f64)>,
    /// Share of the running average that stays.
    pub average: Option<f64>,
}

/// What an update changes: vectors of equal length. Moments begin as zeros; the average is not looked at without a share.
pub struct Vectors<'a> {
    pub weights: &'a mut [f32],
    pub moment_1: &'a mut [f32],
    pub moment_2: &'a mut [f32],
    pub average: &'a mut [f32],
}

/// The constants of an element's update.
#[derive(Clone, Copy)]
struct Constants {
    clip: f32,
    betas: (f32, f32),
    /// 1 - beta, and 1 - beta^n.
    factors: (f32, f32),
    corrections: (f32, f32),
    epsilon: f32,
    decay: f32,
    rate: f32,
    average: Option<(f32, f32)>,
}

impl Constants {
    fn new(update: &Update) -> Constants {
        let Update { rate, beta_1, beta_2, .. } = *update;
        let number = update.number as i32;
        let clip = update.clip.map_or(1.0, |(norm, most)| {
            let floor = if norm.is_nan() || norm > f32::MIN_POSITIVE { norm } else { f32::MIN_POSITIVE };
            let scale = 1.0 / floor * most as f32;
            if scale.is_nan() || scale < 1.0 { scale } else { 1.0 }
        });
        Constants {
            clip,
            betas: (beta_1, beta_2),
            factors: (1.0 - beta_1, 1.0 - beta_2),
            corrections: (1.0 - beta_1.powi(number), 1.0 - beta_2.powi(number)),
            epsilon: update.epsilon,
            decay: (1.0 - rate * f64::from(update.weight_decay)) as f32,
            rate: rate as f32,
            average: update.average.map(|share| (share as f32, (1.0 - share) as f32)),
        }
    }
}

/// Makes an update; each element by itself, so that threads change nothing.
pub fn update(threads: usize, update: &Update, vectors: Vectors<'_>, gradient: &[f32]) {
    let (arch, constants) = (Arch::new(), Constants::new(update));
    let length = vectors.weights.len();
    assert!([vectors.moment_1.len(), vectors.moment_2.len(), gradient.len()] == [length; 3], "vectors of equal length");
    let mut averages = vectors.average.chunks_mut(CHUNK);
    let moments = vectors.moment_1.chunks_mut(CHUNK).zip(vectors.moment_2.chunks_mut(CHUNK));
    let weights = vectors.weights.chunks_mut(CHUNK).zip(gradient.chunks(CHUNK));
    let chunk = |((weights, gradient), (moment_1, moment_2))| {
        let average = if constants.average.is_some() { averages.next().expect("an average") } else { &mut [][..] };
        Chunk { constants, weights, gradient, moment_1, moment_2, average }
    };
    let chunks: Vec<Chunk<'_>> = weights.zip(moments).map(chunk).collect();
    work::share(if length < ALONE { 1 } else { threads }, chunks, |chunk| arch.dispatch(chunk));
}

struct Chunk<'a> {
    constants: Constants,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    moment_1: &'a mut [f32],
    moment_2: &'a mut [f32],
    average: &'a mut [f32],
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let c = self.constants;
        let moments = self.moment_1.iter_mut().zip(self.moment_2);
        for ((weight, gradient), (first, second)) in self.weights.iter_mut().zip(self.gradient).zip(moments) {
            let gradient = gradient * c.clip;
            *first = *first * c.betas.0 + gradient * c.factors.0;
            *second = *second * c.betas.1 + gradient * gradient * c.factors.1;
            let (first, second) = (*first / c.corrections.0, *second / c.corrections.1);
            let change = first / (second.sqrt() + c.epsilon);
            *weight = *weight * c.decay - change * c.rate;
        }
        if let Some((stays, comes)) = c.average {
            for (average, weight) in self.average.iter_mut().zip(self.weights) {
                *average = *average * stays + *weight * comes;
            }
        }
    }
}

/// Euclidean norm of a vector. Squares are summed in f32 over chunks of fixed size, chunks in f64 and in their order.
pub fn norm(threads: usize, vector: &[f32]) -> f32 {
    let arch = Arch::new();
    let mut sums = vec![0.0_f64; vector.len().div_ceil(CHUNK)];
    let items = sums.iter_mut().zip(vector.chunks(CHUNK)).collect();
    work::share(if vector.len() < ALONE { 1 } else { threads }, items, |(sum, chunk): (&mut f64, &[f32])| {
        *sum = arch.dispatch(Squares(chunk));
    });
    sums.into_iter().sum::<f64>().sqrt() as f32
}

struct Squares<'a>(&'a [f32]);

impl WithSimd for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0_f32; PARTIAL];
        let (chunks, rest) = self.0.as_chunks::<PARTIAL>();
        for x in chunks {
            for lane in 0..PARTIAL {
                sums[lane] = x[lane].mul_add(x[lane], sums[lane]);
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum += x * x;
        }
        sums.into_iter().map(f64::from).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    fn settings(number: u64, norm: f32) -> Update {
        Update {
            rate: 1e-2 / number as f64,
            weight_decay: 0.1,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            number,
            clip: Some((norm, 5.0)),
            average: Some(0.9),
        }
    }

    /// Weights, moments and average after some updates.
    fn run(threads: usize, length: usize) -> [Vec<f32>; 4] {
        let mut weights = wave(length, 1);
        let (mut moment_1, mut moment_2, mut average) = (vec![0.0; length], vec![0.0; length], weights.clone());
        for number in 1..=10 {
            let gradient = wave(length, 10 + number as usize);
            let settings = settings(number, norm(threads, &gradient));
            let vectors =
                Vectors { weights: &mut weights, moment_1: &mut moment_1, moment_2: &mut moment_2, average: &mut average };
            update(threads, &settings, vectors, &gradient);
        }
        [weights, moment_1, moment_2, average]
    }

    #[test]
    fn updates_follow_the_published_formulas() {
        const LENGTH: usize = 1000;
        let mut expected: Vec<f64> = wave(LENGTH, 1).into_iter().map(f64::from).collect();
        let mut average = expected.clone();
        let (mut first, mut second) = (vec![0.0; LENGTH], vec![0.0; LENGTH]);
        for number in 1..=10 {
            let gradient: Vec<f64> = wave(LENGTH, 10 + number).into_iter().map(f64::from).collect();
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let rate = 1e-2 / number as f64;
            for (index, g) in gradient.iter().enumerate() {
                let g = g * (5.0 / norm).min(1.0);
                first[index] = 0.9 * first[index] + 0.1 * g;
                second[index] = 0.999 * second[index] + 0.001 * g * g;
                let corrections = (1.0 - 0.9_f64.powi(number as i32), 1.0 - 0.999_f64.powi(number as i32));
                let change = first[index] / corrections.0 / ((second[index] / corrections.1).sqrt() + 1e-8);
                expected[index] = expected[index] * (1.0 - rate * 0.1) - rate * change;
                average[index] = 0.9 * average[index] + 0.1 * expected[index];
            }
        }
        let ours = run(2, LENGTH);
        for (ours, expected) in [(&ours[0], &expected), (&ours[3], &average)] {
            let furthest = ours.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(furthest < 2e-6, "{furthest}");
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let first = run(1, ALONE + 77);
        for threads in [2, 3, 5] {
            assert_eq!(run(threads, ALONE + 77), first);
        }
    }

    #[test]
    fn without_clipping_or_average_those_stay_as_they_are() {
        let (mut weights, gradient) = (wave(20, 1), vec![0.0; 20]);
        let (mut moment_1, mut moment_2) = (vec![0.0; 20], vec![0.0; 20]);
        let settings = Update { clip: None, average: None, weight_decay: 0.0, ..settings(1, 1.0) };
        let vectors = Vectors { weights: &mut weights, moment_1: &mut moment_1, moment_2: &mut moment_2, average: &mut [] };
        update(2, &settings, vectors, &gradient);
        assert_eq!(weights, wave(20, 1));
    }

    #[test]
    fn norms_are_exact_to_a_bit_or_two_and_show_what_is_not_finite() {
        let vector = wave(ALONE + 5, 3);
        let exact = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        assert!((f64::from(norm(3, &vector)) / exact - 1.0).abs() < 1e-6);
        assert!(norm(1, &[1.0, f32::NAN]).is_nan() && norm(1, &[f32::INFINITY]).is_infinite());
    }
}
