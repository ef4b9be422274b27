//! From logits to peptides, and how surprised the network was by the truth.

use burn::tensor::Tensor;

use super::device::Place;
use super::forward::Forward;
use super::layout::read_vector;
use super::network::Input;
use crate::execute::Failure;
use crate::record::Tensors;
use crate::task::batch::Batch;
use crate::task::model::Recursive;
use crate::task::spectrum::Spectrum;
use crate::task::tokens::{END, FIRST_RESIDUE, Token};

/// Spectra decoded at once.
const ROWS: usize = 64;

/// One answer of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The most probable tokens up to the network's own end token, without it.
    pub tokens: Vec<Token>,
    /// Mean log-probability of these tokens and of the end token, nats; 0 is certain.
    pub score: f64,
}

/// Answers and what they are worth against the truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// One for each spectrum, in their order.
    pub decoded: Vec<Decoded>,
    /// Mean of -ln p of the true tokens and the end token after the last pass, nats per token.
    pub cross_entropy: f64,
}

/// Decodes spectra with weights given by path; `None` where `stop`, asked between batches, said so.
pub fn decode(
    model: &Recursive,
    weights: &Tensors,
    spectra: &[Spectrum],
    place: &Place,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Answers>, Failure> {
    let mut network = Forward::new(model, weights, place)?;
    let vocabulary = model.vocabulary();
    let mut decoded = Vec::with_capacity(spectra.len());
    let (mut surprise, mut tokens) = (0.0, 0);
    for part in spectra.chunks(ROWS) {
        if stop() {
            return Ok(None);
        }
        let batch = Batch::pack(model, &vocabulary, part);
        let logits = Logits::read(network.answers(Input::new(model, &batch)))?;
        for row in 0..batch.size {
            decoded.push(logits.answer(row));
            surprise += logits.surprise(row, &batch);
            tokens += batch.lengths[row] + 1;
        }
    }
    Ok(Some(Answers { decoded, cross_entropy: surprise / tokens.max(1) as f64 }))
}

/// Logits on the host.
pub struct Logits {
    length: usize,
    vocabulary: usize,
    values: Vec<f32>,
}

impl Logits {
    /// Reads logits `[B, L, V]` back.
    pub fn read(logits: Tensor<3>) -> Result<Logits, Failure> {
        let [rows, length, vocabulary] = logits.dims();
        Ok(Logits { length, vocabulary, values: read_vector(logits.reshape([rows * length * vocabulary]))? })
    }

    fn at(&self, row: usize, place: usize) -> &[f32] {
        let from = (row * self.length + place) * self.vocabulary;
        &self.values[from..from + self.vocabulary]
    }

    /// The most probable token at each place up to the end token. Padding, start and unknown are no answers.
    pub fn answer(&self, row: usize) -> Decoded {
        let mut tokens = Vec::new();
        let mut score = 0.0;
        for place in 0..self.length {
            let logits = self.at(row, place);
            let candidates = std::iter::once(END).chain(FIRST_RESIDUE..self.vocabulary as Token);
            let best =
                candidates.reduce(|best, next| if logits[usize::from(next)] > logits[usize::from(best)] { next } else { best });
            let best = best.expect("the end token is a candidate");
            score += log_probability(logits, best);
            if best == END {
                return Decoded { score: score / (place + 1) as f64, tokens };
            }
            tokens.push(best);
        }
        Decoded { score: score / self.length as f64, tokens }
    }

    /// Sum of -ln p over the true tokens and the end token of a row, nats.
    fn surprise(&self, row: usize, batch: &Batch) -> f64 {
        let wanted = &batch.tokens[row * batch.length..];
        (0..=batch.lengths[row]).map(|place| -log_probability(self.at(row, place), wanted[place] as Token)).sum()
    }
}

/// ln softmax(logits) at a token.
fn log_probability(logits: &[f32], token: Token) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    f64::from(logits[usize::from(token)] - highest) - sum.ln()
}
