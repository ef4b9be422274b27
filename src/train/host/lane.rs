//! A lane: some samples of a batch, with room for everything that is computed for them. One thread at a time works on it.

use super::attending::{CrossTape, OwnTape};
use super::attention::{HIDDEN, Shape};
use super::backward::Flow;
use super::blocks::{Block, FeedTape, Normed, Scratch, ensure};
use super::plan::{CHARGES, Plan};
use super::rows::PARTIAL;

/// What the network is shown, as arrays of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Samples B.
    pub rows: usize,
    /// Peaks P of each.
    pub peaks: usize,
    /// Embedded m/z, `[B, P, width of m/z]`.
    pub mz: &'a [f32],
    /// Logarithm of the intensity, scaled, `[B, P]`.
    pub log_intensity: &'a [f32],
    /// Added to the scores: 0 for the precursor and for peaks, very negative for padding, `[B, 1 + P]`.
    pub bias: &'a [f32],
    /// Embedded mass of the precursor, `[B, d]`.
    pub precursor: &'a [f32],
    /// One-hot charge, `[B, MAX_CHARGE + 1]`.
    pub charge: &'a [f32],
}

/// What an encoder layer keeps.
#[derive(Default)]
pub struct EncoderTape {
    pub own: OwnTape,
    pub feed_forward: FeedTape,
}

/// What a decoder layer keeps.
#[derive(Default)]
pub struct DecoderTape {
    pub own: OwnTape,
    pub cross: CrossTape,
    pub feed_forward: FeedTape,
    /// Keys and values of the spectrum, `[encoder rows, 2, d]`, then their gradients beside them.
    pub spectrum: Vec<f32>,
    pub spectrum_gradient: Vec<f32>,
    /// The spectrum's keys turned in a forward pass, its values in a backward pass.
    pub turned: Vec<f32>,
    /// Keys and values of the answer passes' own inputs, then their gradients, `[T, rows, 2, d]`.
    pub input: Vec<f32>,
}

/// What the recursive core keeps beside its layers.
#[derive(Default)]
pub struct CoreTape {
    pub latent: Normed,
    pub answer: Normed,
    /// softmax(y), `[T, rows, V]`.
    pub probabilities: Vec<f32>,
    /// Inputs of the answer passes, `[T, rows, d]`.
    pub input: Vec<f32>,
    /// x W_o + b_o - y, then the gradient of x W_o + b_o, `[T, rows, V]`.
    pub change: Vec<f32>,
    /// The gate, then the gradient before its logistic function, `[T, rows]`.
    pub gate: Vec<f32>,
    /// Logits after each supervised pass, `[T, rows, V]`.
    pub logits: Vec<f32>,
    /// Gradient of embed(p) + position + step, `[T, rows, d]`.
    pub known_gradient: Vec<f32>,
}

/// The encoder's input and output.
#[derive(Default)]
pub struct Ends {
    /// Intensity and 1 of each peak, 0 for the precursor, `[rows, 2]`.
    pub intensity: Vec<f32>,
    /// One-hot charge in the precursor's row, `[rows, MAX_CHARGE + 1]`.
    pub charge: Vec<f32>,
    /// The residual stream, then its gradient at the encoder's input, `[rows, d]`.
    pub stream: Vec<f32>,
    pub normed: Normed,
    /// The encoded spectrum, `[rows, d]`.
    pub spectrum: Vec<f32>,
    /// Bias of the spectrum's keys with their padding, `[samples, padded]`.
    pub bias: Vec<f32>,
    /// Bias of a sample's own rows in the decoder, `[padded]`.
    pub own_bias: Vec<f32>,
}

/// What the core computes with.
#[derive(Default)]
pub struct State {
    pub answer: Vec<f32>,
    pub latent: Vec<f32>,
    pub known: Vec<f32>,
    pub stream: Vec<f32>,
    pub input: Vec<f32>,
}

#[derive(Default)]
pub struct Lane {
    /// First sample and number of samples.
    pub first: usize,
    pub samples: usize,
    pub peaks: usize,
    /// Whether a backward pass follows.
    pub tape: bool,
    pub ends: Ends,
    pub encoder: Vec<EncoderTape>,
    pub decoder: Vec<DecoderTape>,
    pub core: CoreTape,
    pub state: State,
    /// The scratch of the blocks.
    pub scratch: Scratch,
    /// Gradients on their way back.
    pub flow: Flow,
    /// Gradients of the small parameters.
    pub sums: Vec<f32>,
}

impl Lane {
    /// Makes room for a forward pass over the samples from `first` on. Nothing is given back, so that steady sizes cost
    /// nothing.
    pub fn prepare(&mut self, plan: &Plan, first: usize, samples: usize, shown: &Shown<'_>, tape: bool) {
        (self.first, self.samples, self.peaks, self.tape) = (first, samples, shown.peaks, tape);
        let (encoder, decoder) = (self.encoder_block(plan), self.decoder_block(plan));
        let (spectrum, own) = self.shapes(plan);
        self.encoder.resize_with(plan.encoder.len(), EncoderTape::default);
        for layer in &mut self.encoder {
            layer.own.ensure(1, encoder, Shape { queries: encoder.each, ..spectrum }, tape);
            layer.feed_forward.ensure(1, encoder, tape);
        }
        let (passes, steps) = if tape { (plan.passes(), plan.steps) } else { (1, 1) };
        self.decoder.resize_with(plan.decoder.len(), DecoderTape::default);
        for layer in &mut self.decoder {
            layer.own.ensure(passes, decoder, own, tape);
            layer.cross.ensure(passes, decoder, [spectrum, own], tape);
            layer.feed_forward.ensure(passes, decoder, tape);
            ensure(&mut layer.spectrum, 2 * encoder.size());
            ensure(&mut layer.turned, spectrum.turned());
            ensure(&mut layer.input, steps * 2 * decoder.size());
        }
        self.prepare_core(plan, decoder, passes, steps);
        self.prepare_ends(plan, encoder, shown);
    }

    fn prepare_core(&mut self, plan: &Plan, decoder: Block, passes: usize, steps: usize) {
        let (core, answers) = (&mut self.core, decoder.rows() * plan.vocabulary);
        core.latent.ensure(passes, decoder);
        core.answer.ensure(steps, decoder);
        ensure(&mut core.probabilities, steps * answers);
        ensure(&mut core.input, steps * decoder.size());
        ensure(&mut core.change, steps * answers);
        ensure(&mut core.gate, steps * decoder.rows());
        ensure(&mut core.logits, plan.steps * answers);
        ensure(&mut self.state.answer, answers);
        for rows in [&mut self.state.latent, &mut self.state.known, &mut self.state.stream, &mut self.state.input] {
            ensure(rows, decoder.size());
        }
    }

    fn prepare_ends(&mut self, plan: &Plan, encoder: Block, shown: &Shown<'_>) {
        let (rows, each) = (encoder.rows(), encoder.each);
        let padded = each.next_multiple_of(PARTIAL);
        let ends = &mut self.ends;
        ends.normed.ensure(1, encoder);
        for values in [&mut ends.stream, &mut ends.spectrum] {
            ensure(values, encoder.size());
        }
        ensure(&mut ends.intensity, 2 * rows);
        ensure(&mut ends.charge, CHARGES * rows);
        ends.charge[..CHARGES * rows].fill(0.0);
        ends.bias.clear();
        for sample in 0..self.samples {
            let from = self.first + sample;
            ends.bias.extend_from_slice(&shown.bias[from * each..][..each]);
            ends.bias.resize((sample + 1) * padded, HIDDEN);
            let charge = &shown.charge[from * CHARGES..][..CHARGES];
            ends.charge[sample * each * CHARGES..][..CHARGES].copy_from_slice(charge);
            let intensity = &mut ends.intensity[sample * each * 2..][..each * 2];
            intensity[..2].fill(0.0);
            for (peak, pair) in intensity[2..].chunks_exact_mut(2).enumerate() {
                pair.copy_from_slice(&[shown.log_intensity[from * shown.peaks + peak], 1.0]);
            }
        }
        ends.own_bias.clear();
        ends.own_bias.resize(plan.length, 0.0);
        ends.own_bias.resize(plan.length.next_multiple_of(PARTIAL), HIDDEN);
    }

    /// Rows of the encoder: the precursor and the peaks.
    pub fn encoder_block(&self, plan: &Plan) -> Block {
        Block { samples: self.samples, each: 1 + self.peaks, width: plan.width }
    }

    /// Rows of the decoder: places of the answer.
    pub fn decoder_block(&self, plan: &Plan) -> Block {
        Block { samples: self.samples, each: plan.length, width: plan.width }
    }

    /// Attention from the decoder's rows to the spectrum and to themselves.
    pub fn shapes(&self, plan: &Plan) -> (Shape, Shape) {
        let (heads, depth) = (plan.heads, plan.width / plan.heads);
        let own = Shape { samples: self.samples, heads, depth, queries: plan.length, keys: plan.length };
        (Shape { keys: 1 + self.peaks, ..own }, own)
    }
}
