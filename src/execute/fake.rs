//! An executor without a network: its state is a hash chain over the settings of every step. Whatever must not change the
//! result (cuts, crashes, sharing) does not change it, and whatever must, does; so plans are tested end to end in
//! milliseconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::executor::{Executor, Failure, Start, Stepped, Trainee};
use crate::history::{At, History, Root};
use crate::record::{
    Entry, Measured, Numerics, Outcome, Outcomes, Scores, State, Tensor, Tensors, batch_digest, digest64, tensor_digest,
};
use crate::spec::{Precision, Supervision};
use crate::task::loss::Loss;
use crate::task::metrics::{Answer, Counts};
use crate::task::sampler::Sampler;
use crate::task::spectrum::Spectrum;

/// Something that goes wrong at a step, for the leaf whose seed in force it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NotFinite {
        seed: u64,
        step: u64,
    },
    Panic {
        seed: u64,
        step: u64,
    },
    /// One bit of the state changes after the update.
    Flip {
        seed: u64,
        step: u64,
    },
}

/// Trains nothing, exactly.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    pub faults: Vec<Fault>,
    /// Updates made by all trainees together.
    pub steps: Arc<AtomicU64>,
    /// Numerics differ where this does; the chain does not.
    pub machine: String,
    /// How long an update takes.
    pub pause: Duration,
    /// A planted mistake: an extra that enters every state. Equal histories then give unequal tensors.
    pub drift: u64,
}

struct Chain {
    history: History,
    step: u64,
    value: u64,
    updates: u64,
    averaged: Option<u64>,
    /// Draws the batches that the ledger's entries are about; only where a ledger is kept.
    sampler: Option<Arc<Sampler>>,
    entries: Vec<Entry>,
    fake: Fake,
}

impl Executor for Fake {
    fn numerics(&self) -> Numerics {
        Numerics { backend: "fake".into(), details: BTreeMap::from([("machine".into(), self.machine.clone())]) }
    }

    fn computes(&self, _: Precision) -> bool {
        true
    }

    fn self_test(&self, _: &Root, _: &Sampler) -> Result<(), Failure> {
        Ok(())
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Trainee>, Failure> {
        let counter = |tensors: &Tensors, name: &str| tensors.get(name).and_then(Tensor::as_counter);
        let (value, updates, averaged) = match &start.state {
            None => (mix(&[start.history.root().seed, self.drift]), 0, None),
            Some(state) => {
                let value = counter(&state.model, "chain").ok_or_else(|| Failure::Misfit("no `chain`".into()))?;
                (value, counter(&state.optimizer, "updates").unwrap_or(0), counter(&state.ema, "chain"))
            }
        };
        Ok(Box::new(Chain {
            history: start.history.clone(),
            step: start.step,
            value,
            updates,
            averaged,
            sampler: start.ledger.then_some(start.sampler),
            entries: vec![],
            fake: self.clone(),
        }))
    }

    fn evaluate(
        &self,
        root: &Root,
        weights: &Tensors,
        spectra: &[Spectrum],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Scores>, Failure> {
        let vocabulary = root.vocabulary();
        let mut counts = Counts::default();
        let mut outcomes = Outcomes::default();
        for (index, spectrum) in spectra.iter().enumerate() {
            if stop() {
                return Ok(None);
            }
            let chain = weights.get("chain").and_then(Tensor::as_counter).unwrap_or(0);
            let right = mix(&[chain, index as u64]) as usize % (spectrum.peptide.len() + 1);
            let answer = Answer {
                predicted: &spectrum.peptide[..right],
                truth: &spectrum.peptide,
                neutral_mass: spectrum.neutral_mass(),
                score: None,
            };
            outcomes.0.push(Outcome::from(counts.add(&vocabulary, answer)));
        }
        Ok(Some(Scores { cross_entropy: 1.0, summary: counts.summary(), outcomes }))
    }

    fn terms(
        &self,
        _: &Root,
        _: Supervision,
        weights: &Tensors,
        spectra: &[Spectrum],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<BTreeMap<Loss, f64>>, Failure> {
        let chain = weights.get("chain").and_then(Tensor::as_counter).unwrap_or(0);
        let value = |loss: Loss| (mix(&[chain, spectra.len() as u64, loss as u64]) % 10_000) as f64 / 10_000.0;
        Ok((!stop()).then(|| Loss::ALL.into_iter().map(|loss| (loss, value(loss))).collect()))
    }
}

impl Trainee for Chain {
    fn step(&mut self, read: bool, stop: &dyn Fn() -> bool) -> Result<Stepped, Failure> {
        if stop() {
            return Ok(Stepped::Interrupted);
        }
        std::thread::sleep(self.fake.pause);
        let at = self.history.at(self.step);
        for fault in &self.fake.faults {
            match *fault {
                Fault::NotFinite { seed, step } if (seed, step) == (at.seed, at.step) => {
                    return Err(Failure::NotFinite {
                        term: "Spectrum".into(),
                        value: f64::NAN,
                        step,
                        batch: format!("batch of {}", at.batch),
                    });
                }
                Fault::Panic { seed, step } if (seed, step) == (at.seed, at.step) => panic!("planted at step {step}"),
                _ => {}
            }
        }
        self.value = mix(&[self.value, settings_hash(&at), self.fake.drift]);
        // f32 numbers, as those of a device.
        let value = |place: usize| f64::from((mix(&[self.value, place as u64]) % 10_000) as f32 / 10_000.0);
        let terms = at.weights.keys().enumerate().map(|(place, &loss)| (loss, value(place))).collect();
        let measured = Measured { terms, gradient_norm: value(99) };
        if self.fake.faults.contains(&Fault::Flip { seed: at.seed, step: at.step }) {
            self.value ^= 1;
        }
        self.updates += 1;
        self.averaged = at.ema.map(|_| mix(&[self.averaged.unwrap_or(0), self.value]));
        self.step += 1;
        self.fake.steps.fetch_add(1, Ordering::Relaxed);
        self.note(&at, &measured);
        Ok(Stepped::Done(read.then_some(measured)))
    }

    fn traced(&self) -> Vec<String> {
        vec!["chain".into()]
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Failure> {
        Ok(std::mem::take(&mut self.entries))
    }

    fn state(&mut self) -> Result<State, Failure> {
        let chain = |value: u64| Tensors::from([("chain".to_owned(), Tensor::counter(value))]);
        Ok(State {
            model: chain(self.value),
            ema: self.averaged.map(chain).unwrap_or_default(),
            optimizer: Tensors::from([("updates".to_owned(), Tensor::counter(self.updates))]),
        })
    }
}

impl Chain {
    /// Notes an update that was made, where a ledger is kept.
    fn note(&mut self, at: &At, measured: &Measured) {
        let Some(sampler) = &self.sampler else { return };
        self.entries.push(Entry {
            step: at.step,
            batch: batch_digest(&sampler.batch(at.seed, at.step, at.batch, &at.difficulty)),
            rate: at.rate,
            weights: at.weights.clone(),
            terms: measured.terms.iter().map(|(&loss, &term)| (loss, term as f32)).collect(),
            gradients: vec![digest64(&settings_hash(at).to_le_bytes())],
            gradient_norm: measured.gradient_norm as f32,
            values: vec![tensor_digest(&Tensor::counter(self.value))],
        });
    }
}

/// Everything in force at a step, as one number.
fn settings_hash(at: &At) -> u64 {
    let text = format!("{at:?}");
    let hash = blake3::hash(text.as_bytes());
    mix(&[u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"))])
}

fn mix(words: &[u64]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    words.iter().for_each(|word| {
        hasher.update(&word.to_le_bytes());
    });
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("eight bytes"))
}
