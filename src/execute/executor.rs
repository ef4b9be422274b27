//! The one seam where the world varies: what trains and evaluates. `train` implements it with burn, tests with a fake.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parts::Parts;
use crate::history::{History, Root, Settings};
use crate::record::{Entry, Measured, Numerics, Scores, State, Tensors};
use crate::spec::{Precision, Supervision};
use crate::task::loss::Loss;
use crate::task::sampler::Sampler;
use crate::task::spectrum::Spectrum;

/// Trains and evaluates. Shared by threads that each train a segment of their own.
pub trait Executor: Sync {
    /// What equal bits depend on besides the history.
    fn numerics(&self) -> Numerics;

    /// Whether the device computes the network's products in a number format.
    fn computes(&self, precision: Precision) -> bool {
        precision == Precision::F32
    }

    /// Feeds ground truth to every loss, for each source of the root, and compares with the bounds known in advance.
    fn self_test(&self, root: &Root, sampler: &Sampler) -> Result<(), Failure>;

    /// Puts a state on the device, ready to train on.
    fn start(&self, start: Start<'_>) -> Result<Box<dyn Trainee>, Failure>;

    /// Decodes every spectrum with these weights (raw or averaged) and scores the answers. The target's length is not used.
    /// `None` where `stop`, asked between parts of the spectra, said so.
    fn evaluate(
        &self,
        root: &Root,
        weights: &Tensors,
        spectra: &[Spectrum],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Scores>, Failure>;

    /// Every term of the loss, raw, without dropout and label smoothing, mean over the spectra as over a batch. `None` where
    /// `stop` said so.
    fn terms(
        &self,
        root: &Root,
        supervision: Supervision,
        weights: &Tensors,
        spectra: &[Spectrum],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<BTreeMap<Loss, f64>>, Failure>;
}

/// Where a segment starts.
pub struct Start<'a> {
    /// The settings of every step until the segment's end.
    pub history: &'a History,
    /// Number of updates the state has behind it.
    pub step: u64,
    /// The state at `step`; `None` is the root's fresh weights.
    pub state: Option<State>,
    /// Draws the training spectra of the history's root.
    pub sampler: Arc<Sampler>,
    /// Whether the bits of every update are noted for [`Trainee::entries`].
    pub ledger: bool,
}

/// A network in training.
pub trait Trainee {
    /// Makes one update. With `read`, what was measured is read back from the device and given. `stop` is asked between
    /// micro-batches: when it says yes, the partial gradient is thrown away and the state is as it was before the call.
    fn step(&mut self, read: bool, stop: &dyn Fn() -> bool) -> Result<Stepped, Failure>;

    /// Names of the tensors whose digests every entry of the ledger holds; none where only checkpoints are digested.
    fn traced(&self) -> Vec<String>;

    /// The ledger's entries of the updates since this was last asked, in order. On a GPU this reads from the device.
    fn entries(&mut self) -> Result<Vec<Entry>, Failure>;

    /// The whole state at the current step. Fails if anything in it, or any loss since the last call, was not finite.
    fn state(&mut self) -> Result<State, Failure>;

    /// Begins to take the time of the parts of updates. On a GPU this waits for the device after each part, which slows updates
    /// down.
    fn time_parts(&mut self) {}

    /// Seconds that the updates since [`Trainee::time_parts`] spent in each part; `None` where their time is not taken.
    fn parts(&self) -> Option<Parts> {
        None
    }

    /// Bytes that it holds on a device with a memory of its own; `None` where that is the machine's.
    fn device_memory(&self) -> Option<u64> {
        None
    }
}

/// Refuses what a device cannot compute as it was asked for, before anything is trained: from a step on, what a history sets.
///
/// # Errors
/// The number format that the device does not compute in, and what to do.
pub fn check_precision(executor: &dyn Executor, history: &History, from: u64) -> Result<(), Failure> {
    let refused = |settings: &&Settings| !executor.computes(settings.precision);
    match history.settings_from(from).find(refused) {
        None => Ok(()),
        Some(settings) => Err(Failure::Device(format!(
            "`precision: {:?}` is trained on a GPU that computes with it, and this device ({}) does not: use `--device cuda`, or write `precision: F32`",
            settings.precision,
            executor.numerics().backend
        ))),
    }
}

/// How a call of [`Trainee::step`] ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Stepped {
    Done(Option<Measured>),
    /// No update was made.
    Interrupted,
}

/// Why training or evaluating stopped.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The leaf cannot go on; others can.
    #[error("`{term}` is {value} at step {step}, {batch}")]
    NotFinite { term: String, value: f64, step: u64, batch: String },
    /// The ground truth does not give what it must: code and data disagree.
    #[error("self-test: {0}")]
    SelfTest(String),
    /// The stage asks for spectra that the source does not have.
    #[error("{0}")]
    NoSpectrum(String),
    /// The state does not fit the model.
    #[error("the state does not fit the model: {0}")]
    Misfit(String),
    /// The device, or memory.
    #[error("{0}")]
    Device(String),
}
