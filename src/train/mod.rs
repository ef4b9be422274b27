//! Training and evaluating with burn: the only part of the program that names it.
//!
//! [`Burn`] implements [`Executor`]. A trainee holds weights and optimizer state as one vector each; everything else
//! (batch, rate, loss weights, dropout) is a function of the history and the step.

mod crew;
mod decode;
mod device;
mod dropout;
mod feed;
mod forward;
#[cfg(feature = "gpu")]
mod gpu;
mod gradient;
mod host;
mod layout;
mod losses;
mod network;
mod numerics;
mod optimizer;
mod parts;
mod planted;
mod self_test;
mod terms;
mod trace;
mod trainee;

#[cfg(test)]
mod parity_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::decode::{Answers, Decoded, decode};
pub use self::device::{Backend, Choice, Place, gpus};
pub use self::planted::Planted;

use std::collections::BTreeMap;

use crate::execute::{Executor, Failure, Start, Trainee, check_precision};
use crate::history::Root;
use crate::record::{Numerics, Outcome, Outcomes, Scores, Tensors};
use crate::spec::{Precision, Supervision};
use crate::task::loss::Loss;
use crate::task::metrics::{Answer, Counts};
use crate::task::sampler::Sampler;
use crate::task::spectrum::Spectrum;

/// Trains with burn on one device.
#[derive(Clone, Debug)]
pub struct Burn {
    place: Place,
    planted: Vec<Planted>,
}

impl Burn {
    /// Opens the device, or says what is missing.
    pub fn open(choice: Choice) -> Result<Burn, Failure> {
        Ok(Burn { place: choice.open()?, planted: vec![] })
    }

    /// Answers for spectra, with these weights; `None` where `stop` said so.
    pub fn answers(
        &self,
        root: &Root,
        weights: &Tensors,
        spectra: &[Spectrum],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Answers>, Failure> {
        decode(root.model.recursive(), weights, spectra, &self.place, stop)
    }

    /// The same, with burn's operations in place of our kernels on a GPU: to measure what these save.
    #[must_use]
    pub fn without_kernels(self) -> Burn {
        Burn { place: Place { has_kernels: false, ..self.place }, ..self }
    }

    /// The same, with mistakes planted in its training: for tests of whatever must notice them.
    #[must_use]
    pub fn with(self, planted: Vec<Planted>) -> Burn {
        Burn { planted, ..self }
    }
}

impl Executor for Burn {
    fn numerics(&self) -> Numerics {
        numerics::of(&self.place)
    }

    fn computes(&self, precision: Precision) -> bool {
        self.place.computes(precision)
    }

    fn self_test(&self, root: &Root, sampler: &Sampler) -> Result<(), Failure> {
        self_test::run(root, sampler, &self.place)
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Trainee>, Failure> {
        check_precision(self, start.history, start.step)?;
        Ok(Box::new(trainee::Training::start(start, &self.place, &self.planted)?))
    }

    fn evaluate(
        &self,
        root: &Root,
        weights: &Tensors,
        spectra: &[Spectrum],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Scores>, Failure> {
        let answers = self.answers(root, weights, spectra, stop)?;
        Ok(answers.map(|answers| scores(root, spectra, &answers)))
    }

    fn terms(
        &self,
        root: &Root,
        supervision: Supervision,
        weights: &Tensors,
        spectra: &[Spectrum],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<BTreeMap<Loss, f64>>, Failure> {
        terms::terms(root.model.recursive(), supervision, weights, spectra, &self.place, stop)
    }
}

/// Scores answers against their spectra.
fn scores(root: &Root, spectra: &[Spectrum], answers: &Answers) -> Scores {
    let vocabulary = root.vocabulary();
    let mut counts = Counts::default();
    let mut outcomes = Outcomes::default();
    for (spectrum, decoded) in spectra.iter().zip(&answers.decoded) {
        let answer = Answer {
            predicted: &decoded.tokens,
            truth: &spectrum.peptide,
            neutral_mass: spectrum.neutral_mass(),
            score: Some(decoded.score),
        };
        outcomes.0.push(Outcome::from(counts.add(&vocabulary, answer)));
    }
    Scores { cross_entropy: answers.cross_entropy, summary: counts.summary(), outcomes }
}
