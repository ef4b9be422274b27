//! A model small enough to train in tests, and histories for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::device::Api;
use super::{Backend, Burn, Choice, Place};
use crate::execute::{Executor, Start, Stepped, Trainee};
use crate::history::{History, Origin, Piece, Root, Settings, Source, Span, Versions};
use crate::record::{Measured, State};
use crate::spec::{Model, Optimizer, Precision, Supervision};
use crate::task::difficulty::Difficulty;
use crate::task::loss::Loss;
use crate::task::model::Recursive;
use crate::task::sampler::{Drawer, Sampler};
use crate::task::synthetic::Synthetic;

/// A network of a few thousand weights.
pub fn micro() -> Recursive {
    Recursive {
        hidden: 16,
        heads: 2,
        encoder_layers: 1,
        decoder_layers: 1,
        supervision_steps: 2,
        latent_steps: 1,
        peaks: 20,
        length: 12,
        modifications: vec![],
    }
}

pub fn synthetic() -> Synthetic {
    Synthetic { length: 7..=11, fragment_charges: 1 }
}

pub fn sampler(model: &Recursive) -> Arc<Sampler> {
    Arc::new(Sampler::new(model, vec![(1.0, Drawer::Synthetic(synthetic()))]))
}

pub fn root(model: &Recursive, seed: u64) -> Root {
    Root {
        origin: Origin::Initial,
        seed,
        model: Model::Recursive(model.clone()),
        model_version: 1,
        data: Source::Synthetic { synthetic: synthetic(), version: 1 },
    }
}

/// Everything switched on: all losses, noise, clipping, averaging, dropout, smoothing.
pub fn busy() -> Settings {
    let weights = [(Loss::CrossEntropy, 1.0), (Loss::Spectrum, 0.1), (Loss::Precursor, 0.05)];
    Settings {
        losses: Settings::canonical_losses(weights.map(|(loss, weight)| (loss, Piece::Constant(weight))), &Versions::CURRENT),
        difficulty: Difficulty { noise_peaks: 2, mass_error_ppm: 5.0, ..Difficulty::clean((7, 10)) },
        dropout: 0.1,
        label_smoothing: 0.05,
        ..plain()
    }
}

/// Cross-entropy alone on clean spectra.
pub fn plain() -> Settings {
    Settings {
        seed: 7,
        losses: Settings::canonical_losses(BTreeMap::from([(Loss::CrossEntropy, Piece::Constant(1.0))]), &Versions::CURRENT),
        difficulty: Difficulty::clean((7, 10)),
        noise_version: 1,
        batch: 6,
        micro_batch: 6,
        optimizer: Optimizer::default(),
        optimizer_version: 1,
        rate: Piece::Constant(2e-3),
        clip: Some(1.0),
        label_smoothing: 0.0,
        ema: Some(0.999),
        dropout: 0.0,
        supervision: Supervision::Linear,
        precision: Precision::F32,
    }
}

/// One span of settings from step 0.
pub fn history(settings: Settings, end: u64) -> History {
    History::new(root(&micro(), 1), [Span { from: 0, settings }], end)
}

/// Everything that trains: the CPU, and what a GPU runs, on the CPU (burn's graph and its operations for updates and masks) or,
/// where `RUNNER_TEST_DEVICE` names a device, on that.
pub fn executors() -> [(&'static str, Burn); 2] {
    [("cpu", cpu()), ("gpu", gpu())]
}

pub fn cpu() -> Burn {
    Burn::open(Choice::Cpu).unwrap()
}

/// What a GPU runs; see [`executors`].
pub fn gpu() -> Burn {
    match std::env::var("RUNNER_TEST_DEVICE") {
        Ok(name) => Burn::open(name.parse().unwrap()).unwrap(),
        Err(_) => {
            let cpu = Choice::Cpu.open().unwrap();
            Burn { place: Place { backend: Backend::Gpu(Api::Cuda), ..cpu }, planted: vec![] }
        }
    }
}

/// Whether [`gpu`] is the CPU doing what a GPU does.
pub fn is_imitated() -> bool {
    std::env::var_os("RUNNER_TEST_DEVICE").is_none()
}

pub fn begin(burn: &Burn, history: &History, step: u64, state: Option<State>) -> Box<dyn Trainee> {
    let sampler = sampler(history.root().model.recursive());
    burn.start(Start { history, step, state, sampler, ledger: false }).unwrap()
}

/// Trains a history from a state to its end; what was measured at every step with the last state.
pub fn train(burn: &Burn, history: &History, step: u64, state: Option<State>) -> (Vec<Measured>, State) {
    let mut trainee = begin(burn, history, step, state);
    let measured = (step..history.end()).map(|_| match trainee.step(true, &|| false).unwrap() {
        Stepped::Done(Some(measured)) => measured,
        other => panic!("{other:?}"),
    });
    (measured.collect(), trainee.state().unwrap())
}
