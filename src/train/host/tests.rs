//! The network against a plain one in f64, and its bits against themselves.

use pulp::Arch;

use super::plan::CHARGES;
use super::reference;
use super::rows::Kernel;
use super::{HostNetwork, Masks, Shown};
use crate::task::footprint::{self, room};
use crate::task::model::Recursive;

fn model(hidden: u32, heads: u32, layers: (u32, u32)) -> Recursive {
    Recursive {
        hidden,
        heads,
        encoder_layers: layers.0,
        decoder_layers: layers.1,
        supervision_steps: 2,
        latent_steps: 2,
        peaks: 20,
        length: 7,
        modifications: vec![],
    }
}

/// Arrays of any kind, the last peaks of some rows hidden.
struct Arrays {
    rows: usize,
    peaks: usize,
    parts: [Vec<f32>; 5],
}

impl Arrays {
    fn new(model: &Recursive, rows: usize, peaks: usize) -> Arrays {
        let width = model.hidden as usize;
        let mz_width = width - model.intensity_width();
        let hidden = |at: usize| if at % (1 + peaks) > peaks - at / (1 + peaks) % 3 { -1e9 } else { 0.0 };
        let charge = |at: usize| if at % CHARGES == at / CHARGES % 4 { 1.0 } else { 0.0 };
        let parts = [
            wave(rows * peaks * mz_width, 1),
            wave(rows * peaks, 2),
            (0..rows * (1 + peaks)).map(hidden).collect(),
            wave(rows * width, 3),
            (0..rows * CHARGES).map(charge).collect(),
        ];
        Arrays { rows, peaks, parts }
    }

    fn shown(&self) -> Shown<'_> {
        let [mz, log_intensity, bias, precursor, charge] = &self.parts;
        Shown { rows: self.rows, peaks: self.peaks, mz, log_intensity, bias, precursor, charge }
    }
}

/// Numbers between -1 and 1 without a pattern.
fn wave(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 + index * index % 977 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// First weights, each moved a little so that none is 0 or 1.
fn weights(model: &Recursive, network: &HostNetwork) -> Vec<f32> {
    let parameters = model.parameters();
    let mut all: Vec<f32> = parameters.iter().enumerate().flat_map(|(index, part)| part.initial(3, index)).collect();
    let moves = wave(all.len(), 5);
    all.iter_mut().zip(moves).for_each(|(weight, by)| *weight += 0.1 * by);
    all.resize(network.padded(), 0.0);
    all
}

fn check(model: &Recursive, rows: usize, peaks: usize, masks: &Masks) {
    let mut network = HostNetwork::new(model, 2);
    let (arrays, weights) = (Arrays::new(model, rows, peaks), weights(model, &network));
    let wide: Vec<f64> = weights.iter().map(|&weight| f64::from(weight)).collect();
    let (mut logits, mut gradient) = (vec![], vec![f32::NAN; network.padded()]);
    network.forward(&weights, &arrays.shown(), masks, &mut logits);
    let expected = reference::logits(model, &wide, &arrays.shown(), masks);
    let furthest = logits.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(furthest < 1e-5 && logits.len() == expected.len(), "{furthest}");
    let given = wave(logits.len(), 8);
    network.backward(&weights, masks, &given, &mut gradient);
    let mut at = 0;
    for parameter in model.parameters() {
        let length: usize = parameter.shape.iter().product();
        for seed in 0..2 {
            let direction = wave(length, 11 + seed);
            let total = |by: f64| {
                let mut moved = wide.clone();
                moved[at..at + length].iter_mut().zip(&direction).for_each(|(x, d)| *x += by * f64::from(*d));
                let logits = reference::logits(model, &moved, &arrays.shown(), masks);
                logits.iter().zip(&given).map(|(logit, &given)| logit * f64::from(given)).sum::<f64>()
            };
            let step = 1e-4;
            let slope = (8.0 * (total(step) - total(-step)) - total(2.0 * step) + total(-2.0 * step)) / (12.0 * step);
            let part = &gradient[at..at + length];
            let ours: f64 = part.iter().zip(&direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
            let norm = part.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
            // A bias of keys moves all scores of a row alike: its gradient is 0 but for rounding.
            let floor = if parameter.path.ends_with("key.bias") { 1.0 } else { 1e-6 };
            let length = f64::from(direction.iter().map(|d| d * d).sum::<f32>()).sqrt();
            let error = (slope - ours).abs() / (floor + norm * length);
            assert!(error < 3e-6, "{}: {ours} and {slope}, {error:e}", parameter.path);
        }
        at += length;
    }
    assert!(gradient[at..].iter().all(|&value| value == 0.0));
}

#[test]
fn logits_and_gradients_are_those_of_the_plain_network() {
    check(&model(16, 2, (1, 1)), 3, 8, &Masks::none());
    check(&model(24, 2, (2, 2)), 2, 15, &Masks::none());
    // Wider than a panel.
    check(&model(72, 2, (1, 1)), 1, 3, &Masks::none());
}

#[test]
fn so_they_are_with_dropout() {
    check(&model(16, 2, (1, 2)), 2, 9, &Masks::new(0.3, 5, 7, 4..6));
}

#[test]
fn a_network_that_is_used_again_computes_the_same_whatever_came_between() {
    let model = model(16, 2, (1, 1));
    let mut network = HostNetwork::new(&model, 2);
    let weights = weights(&model, &network);
    let mut run = |rows: usize, peaks: usize| {
        let (arrays, mut logits, mut gradient) = (Arrays::new(&model, rows, peaks), vec![], vec![0.0; network.padded()]);
        network.forward(&weights, &arrays.shown(), &Masks::none(), &mut logits);
        network.backward(&weights, &Masks::none(), &wave(logits.len(), 8), &mut gradient);
        let mut again = vec![];
        network.evaluate(&weights, &arrays.shown(), &mut again);
        assert_eq!(logits, again);
        (logits, gradient)
    };
    let first = run(5, 9);
    run(9, 20);
    run(2, 3);
    assert_eq!(run(5, 9), first);
}

#[test]
fn threads_change_no_bit() {
    let model = model(24, 3, (1, 2));
    let masks = Masks::new(0.2, 5, 7, 0..21);
    let arrays = Arrays::new(&model, 21, 11);
    let run = |threads: usize| {
        let mut network = HostNetwork::new(&model, threads);
        let (mut logits, mut gradient) = (vec![], vec![0.0; network.padded()]);
        let weights = weights(&model, &network);
        network.forward(&weights, &arrays.shown(), &masks, &mut logits);
        network.backward(&weights, &masks, &wave(logits.len(), 8), &mut gradient);
        (logits, gradient)
    };
    let first = run(1);
    for threads in [2, 3, 5, 40] {
        assert_eq!(run(threads), first, "{threads}");
    }
}

/// The estimate of memory counts what is made room for here.
#[test]
fn the_room_is_what_the_estimate_counts() {
    let deep = Recursive { heads: 4, length: 24, peaks: 60, supervision_steps: 3, ..model(64, 4, (2, 2)) };
    let small = Recursive { peaks: 39, ..model(32, 2, (1, 1)) };
    for (model, rows, dropout) in [(deep.clone(), 40, 0.1), (deep, 5, 0.0), (small, 32, 0.1)] {
        // Precursor and peaks fill their padding.
        let peaks = (model.peaks as usize + 1) / 8 * 8 - 1;
        let mut network = HostNetwork::new(&model, 1);
        let (arrays, weights, masks) =
            (Arrays::new(&model, rows, peaks), weights(&model, &network), Masks::new(dropout, 5, 7, 0..rows));
        let taken = allocation_counter::measure(|| {
            let (mut logits, mut gradient) = (vec![], vec![0.0; network.padded()]);
            for _ in 0..2 {
                network.forward(&weights, &arrays.shown(), &masks, &mut logits);
                network.backward(&weights, &masks, &wave(logits.len(), 8), &mut gradient);
            }
        });
        let shown = footprint::Shown { peaks: peaks as u32, dropout: dropout > 0.0, spectrum: false };
        let room = room(&model, &shown);
        let rows = rows as u64;
        let counted = room.vectors * network.padded() as u64 + rows * room.sample + rows.min(room.lanes) * room.lane;
        let ratio = taken.bytes_max as f64 / (4 * counted) as f64;
        assert!((0.95..1.05).contains(&ratio), "{rows} of {model:?}: {} taken, {ratio} of what is counted", taken.bytes_max);
    }
}

/// Sums run in one order at every vector width, so that machines without wide vectors compute the same bits, only later.
#[test]
fn vectors_change_no_bit() {
    let model = model(24, 3, (1, 1));
    let (arrays, masks) = (Arrays::new(&model, 3, 11), Masks::new(0.2, 5, 7, 0..3));
    let run = |arch: Arch| {
        let mut network = HostNetwork::new(&model, 2);
        network.kernel = Kernel(arch);
        let (mut logits, mut gradient) = (vec![], vec![0.0; network.padded()]);
        let weights = weights(&model, &network);
        network.forward(&weights, &arrays.shown(), &masks, &mut logits);
        network.backward(&weights, &masks, &wave(logits.len(), 8), &mut gradient);
        (logits, gradient)
    };
    let first = run(Arch::new());
    assert_eq!(run(Arch::Scalar), first);
    #[cfg(target_arch = "x86_64")]
    if let Some(narrower) = pulp::x86::V3::try_new() {
        assert_eq!(run(Arch::V3(narrower)), first);
    }
}
