//! Seconds of a training step at several sizes: `cargo bench --bench step`. `-- --size laptop` takes one size alone, and
//! `-- --device cuda` trains on a GPU, in turns with and without kernels of our own.
//!
//! With `--serve` it trains what it is told line by line on its standard input, so that `benches/peer/speed.py` can let it
//! and PyTorch train in turns. A line is a JSON object: `{"model": {..}, "batch": 16}` begins a training and is answered
//! by `{"ready": true}`; `{"steps": 5}` trains on and is answered by `{"seconds": 0.123}`. The first may say `"device": "cuda"`
//! and `"precision": "bf16"`; without, it is the CPU and f32. `"kernels": false` leaves those of our own out on a GPU.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use runner::execute::{Executor, Start, Trainee};
use runner::history::{History, Origin, Piece, Root, Settings, Source, Span, Versions};
use runner::spec::{Model, Optimizer, Precision, Supervision};
use runner::task::difficulty::Difficulty;
use runner::task::loss::Loss;
use runner::task::model::Recursive;
use runner::task::sampler::{Drawer, Sampler};
use runner::task::synthetic::Synthetic;
use runner::train::{Burn, Choice};
use serde::Deserialize;
use serde_json::json;

/// Shortest and longest peptide, in residues.
const LENGTHS: (u32, u32) = (9, 13);
/// More steps than anyone trains here.
const END: u64 = 1_000_000_000;
/// Seconds of a turn of the table, and turns.
const TURN: f64 = 1.0;
const TURNS: usize = 5;

#[derive(Deserialize)]
#[serde(untagged)]
enum Ask {
    Begin { model: Recursive, batch: u32, device: Option<String>, precision: Option<String>, kernels: Option<bool> },
    Train { steps: u64 },
}

/// A network in training.
struct Side {
    trainee: Box<dyn Trainee>,
    device: Choice,
}

fn main() {
    // Cargo passes flags of its own.
    if std::env::args().any(|argument| argument == "--serve") {
        return serve();
    }
    let device: Choice = argument("--device").as_deref().unwrap_or("cpu").parse().expect("a device");
    let sizes = sizes().into_iter().filter(|(name, ..)| argument("--size").is_none_or(|size| size == *name));
    match device {
        Choice::Cpu => table(sizes),
        device => compared(sizes, device),
    }
}

/// What follows a name among the arguments.
fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn serve() {
    let mut side = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of the standard input");
        let ask: Ask = serde_json::from_str(&line).unwrap_or_else(|error| panic!("`{line}`: {error}"));
        let answer = match ask {
            Ask::Begin { model, batch, device, precision, kernels } => {
                // The last one's thread of batches ends before the next begins.
                drop(side.take());
                let device: Choice = device.as_deref().unwrap_or("cpu").parse().expect("a device");
                side = Some(Side::begin(&model, batch, device, precision_of(precision.as_deref()), kernels != Some(false)));
                json!({ "ready": true })
            }
            Ask::Train { steps } => json!({ "seconds": side.as_mut().expect("a training was begun").train(steps) }),
        };
        println!("{answer}");
        std::io::stdout().flush().expect("the answer is written");
    }
}

/// A number format by its name in `speed.py`.
fn precision_of(name: Option<&str>) -> Precision {
    match name {
        None | Some("f32") => Precision::F32,
        Some("bf16") => Precision::Bf16,
        Some(other) => panic!("`{other}` is no number format: `f32` and `bf16` are"),
    }
}

/// Ours alone, on the CPU, where `speed.py` compares.
fn table(sizes: impl Iterator<Item = Size>) {
    println!("{:<8} {:>6} {:>12}", "size", "batch", "ms a step");
    for (name, model, batches) in sizes {
        for batch in batches {
            let mut side = Side::begin(&model, batch, Choice::Cpu, Precision::F32, true);
            let steps = side.steps_of_a_turn();
            let turns = (0..TURNS).map(|_| side.train(steps) / steps as f64).collect();
            println!("{name:<8} {batch:>6} {:>12.2}", median(turns) * 1e3);
        }
    }
}

/// On a GPU, in turns: with our kernels, and with burn's operations in their place.
fn compared(sizes: impl Iterator<Item = Size>, device: Choice) {
    println!("{:<8} {:>6} {:>12} {:>12} {:>8}", "size", "batch", "ms a step", "burn's own", "ratio");
    for (name, model, batches) in sizes {
        for batch in batches {
            let mut sides = [true, false].map(|kernels| Side::begin(&model, batch, device, Precision::F32, kernels));
            let steps = sides.each_mut().map(Side::steps_of_a_turn);
            let turns = (0..TURNS).map(|_| [0, 1].map(|side| sides[side].train(steps[side]) / steps[side] as f64));
            let turns: Vec<[f64; 2]> = turns.collect();
            let [ours, burns] = [0, 1].map(|side| median(turns.iter().map(|turn| turn[side]).collect()));
            let ratio = median(turns.iter().map(|[ours, burns]| ours / burns).collect());
            println!("{name:<8} {batch:>6} {:>12.2} {:>12.2} {ratio:>8.2}", ours * 1e3, burns * 1e3);
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

type Size = (&'static str, Recursive, Vec<u32>);

/// The sizes of `speed.py`, with the batches that a person waits for.
fn sizes() -> [Size; 4] {
    let laptop = Recursive {
        hidden: 48,
        heads: 2,
        encoder_layers: 1,
        decoder_layers: 1,
        supervision_steps: 2,
        latent_steps: 1,
        peaks: 50,
        length: 16,
        modifications: vec![],
    };
    let small = Recursive { hidden: 64, supervision_steps: 3, latent_steps: 2, ..laptop.clone() };
    let middle = Recursive {
        hidden: 256,
        heads: 4,
        encoder_layers: 2,
        decoder_layers: 2,
        supervision_steps: 8,
        latent_steps: 4,
        ..laptop.clone()
    };
    let full = Recursive {
        hidden: 384,
        heads: 6,
        encoder_layers: 3,
        decoder_layers: 3,
        supervision_steps: 8,
        latent_steps: 6,
        peaks: 100,
        length: 35,
        modifications: vec![],
    };
    let batches = vec![8, 16, 32, 96, 192];
    [("laptop", laptop, batches.clone()), ("small", small, batches), ("middle", middle, vec![8, 16]), ("full", full, vec![8])]
}

impl Side {
    fn begin(model: &Recursive, batch: u32, device: Choice, precision: Precision, kernels: bool) -> Side {
        let synthetic = Synthetic { length: LENGTHS.0..=LENGTHS.1, fragment_charges: 1 };
        let root = Root {
            origin: Origin::Initial,
            seed: 1,
            model: Model::Recursive(model.clone()),
            model_version: Versions::CURRENT.model,
            data: Source::Synthetic { synthetic: synthetic.clone(), version: 1 },
        };
        let history = History::new(root, [Span { from: 0, settings: settings(model, batch, precision) }], END);
        let sampler = Arc::new(Sampler::new(model, vec![(1.0, Drawer::Synthetic(synthetic))]));
        let burn = Burn::open(device).expect("the device is there");
        let burn = if kernels { burn } else { burn.without_kernels() };
        let start = Start { history: &history, step: 0, state: None, sampler, ledger: false };
        Side { trainee: burn.start(start).expect("training begins"), device }
    }

    /// Seconds that some steps take. A GPU is still at work when a call returns, unless it read the loss back, and then at the
    /// update that follows. So there a step is made first that is not counted: the clock runs from one reading to another.
    fn train(&mut self, steps: u64) -> f64 {
        if self.device != Choice::Cpu {
            self.step(true);
        }
        let begun = Instant::now();
        for left in (0..steps).rev() {
            self.step(left == 0);
        }
        begun.elapsed().as_secs_f64()
    }

    fn steps_of_a_turn(&mut self) -> u64 {
        let first = self.train(1);
        ((TURN / self.train(1).min(first)) as u64).clamp(1, 100)
    }

    fn step(&mut self, read: bool) {
        self.trainee.step(read, &|| false).expect("the step is made");
    }
}

/// Everything switched on; noise fills the spectra up to the model's peaks.
fn settings(model: &Recursive, batch: u32, precision: Precision) -> Settings {
    let weights = [(Loss::CrossEntropy, 1.0), (Loss::Spectrum, 0.1), (Loss::Precursor, 0.05)];
    let versions = Versions::CURRENT;
    let noise = model.peaks.saturating_sub(2 * (LENGTHS.0 - 1));
    Settings {
        seed: 1,
        losses: Settings::canonical_losses(weights.map(|(loss, weight)| (loss, Piece::Constant(weight))), &versions),
        difficulty: Difficulty { noise_peaks: noise, mass_error_ppm: 5.0, ..Difficulty::clean(LENGTHS) },
        noise_version: versions.noise,
        batch,
        micro_batch: batch,
        optimizer: Optimizer::default(),
        optimizer_version: versions.optimizer,
        rate: Piece::Constant(1e-3),
        clip: Some(1.0),
        label_smoothing: 0.1,
        ema: Some(0.999),
        dropout: 0.1,
        supervision: Supervision::Linear,
        precision,
    }
}
