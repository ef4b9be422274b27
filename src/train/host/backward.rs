//! The backward pass of a lane: gradients flow back through all passes of the decoder, then through the encoder.
//!
//! It leaves the gradients of the small parameters in the lane's sums, and beside each linear layer's inputs the gradients
//! of its outputs: the weights' gradients are their products, see [`gradient`](super::gradient).

use super::attending::Memory;
use super::attention::Bias;
use super::blocks::{Block, Pass, Shared, ensure, slot};
use super::lane::Lane;
use super::masks::Masks;
use super::product::{Packed, Rows, Start};
use super::rows::Site;

/// Gradients that flow through the core.
#[derive(Default)]
pub struct Flow {
    answer: Vec<f32>,
    latent: Vec<f32>,
    /// Of embed(p) + position + step.
    known: Vec<f32>,
    stream: Vec<f32>,
    /// Of the input that an answer's pass attends to.
    input: Vec<f32>,
    memory: Vec<f32>,
    /// Of the encoded spectrum.
    spectrum: Vec<f32>,
    normed: Vec<f32>,
    probabilities: Vec<f32>,
}

impl Flow {
    fn ensure(&mut self, decoder: Block, encoder: Block, vocabulary: usize) {
        for rows in [&mut self.latent, &mut self.known, &mut self.stream, &mut self.input, &mut self.normed] {
            ensure(rows, decoder.size());
        }
        ensure(&mut self.memory, 2 * decoder.size());
        ensure(&mut self.spectrum, encoder.size());
        ensure(&mut self.answer, decoder.rows() * vocabulary);
        ensure(&mut self.probabilities, decoder.rows() * vocabulary);
    }
}

impl Lane {
    /// Gradients from those of the logits after each supervised pass, `[T, B, L, V]` of the whole batch of `batch` samples.
    pub fn backward(&mut self, shared: &Shared<'_>, logit_gradients: &[f32], batch: usize, masks: &Masks) {
        let plan = shared.plan;
        let (decoder, encoder) = (self.decoder_block(plan), self.encoder_block(plan));
        let mut flow = std::mem::take(&mut self.flow);
        flow.ensure(decoder, encoder, plan.vocabulary);
        ensure(&mut self.core.known_gradient, plan.steps * decoder.size());
        self.sums.clear();
        self.sums.resize(plan.sums, 0.0);
        let (spectrum, _) = self.shapes(plan);
        for tape in &mut self.decoder {
            ensure(&mut tape.spectrum_gradient, 2 * encoder.size());
            tape.spectrum_gradient[..2 * encoder.size()].fill(0.0);
            let values = Rows { values: &tape.spectrum[plan.width..], row: 2 * plan.width };
            shared.kernel.turn(spectrum, values, &mut tape.turned);
        }
        let answers = decoder.rows() * plan.vocabulary;
        flow.answer[..answers].fill(0.0);
        flow.latent[..decoder.size()].fill(0.0);
        let each = plan.length * plan.vocabulary;
        for step in (0..plan.steps).rev() {
            let given = &logit_gradients[(step * batch + self.first) * each..][..answers];
            shared.kernel.add(&mut flow.answer[..answers], given);
            self.step_backward(shared, masks, step, &mut flow);
        }
        sum_samples(shared, &flow.answer[..answers], &mut self.sums[plan.answer.sums..][..plan.answer.length]);
        sum_samples(shared, &flow.latent[..decoder.size()], &mut self.sums[plan.latent.sums..][..plan.latent.length]);
        self.encoder_backward(shared, masks, &mut flow);
        self.flow = flow;
    }

    /// One supervised pass with its latent passes.
    fn step_backward(&mut self, shared: &Shared<'_>, masks: &Masks, step: usize, flow: &mut Flow) {
        let plan = shared.plan;
        let block = self.decoder_block(plan);
        let size = block.size();
        self.answer_backward(shared, step, block, flow);
        flow.known[..size].fill(0.0);
        for latent in (0..=plan.latent_steps).rev() {
            let pass = step * (plan.latent_steps + 1) + latent;
            let answer = latent == plan.latent_steps;
            if !answer {
                flow.stream[..size].fill(0.0);
                let (latent, stream) = (&flow.latent[..size], &mut flow.stream[..size]);
                self.core.latent.backward(shared, plan.norm_latent, (pass, block), latent, stream, &mut self.sums);
            }
            self.decode_backward(shared, masks, pass, answer.then_some(step), flow);
            shared.kernel.add(&mut flow.known[..size], &flow.stream[..size]);
            shared.kernel.add(&mut flow.latent[..size], &flow.stream[..size]);
        }
        self.know_backward(shared, step, block, flow);
    }

    /// Of y + g (o - y): leaves the gradient of the old y, and that of the decoder's output in the stream.
    fn answer_backward(&mut self, shared: &Shared<'_>, step: usize, block: Block, flow: &mut Flow) {
        let plan = shared.plan;
        let (size, rows, vocabulary) = (block.size(), block.rows(), plan.vocabulary);
        let change = slot(&mut self.core.change, step, rows * vocabulary);
        let gate = slot(&mut self.core.gate, step, rows);
        let each = flow.answer.chunks_exact_mut(vocabulary).zip(change.chunks_exact_mut(vocabulary));
        for ((dy, change), gate) in each.zip(gate.iter_mut()) {
            let g = *gate;
            let mut slope = 0.0;
            for (dy, change) in dy.iter_mut().zip(change) {
                slope += *dy * *change;
                *change = g * *dy;
                *dy -= *change;
            }
            *gate = slope * g * (1.0 - g);
        }
        shared.bias_sums(plan.out.bias, change, vocabulary, &mut self.sums);
        shared.bias_sums(plan.gate.bias, gate, 1, &mut self.sums);
        let normed = &mut flow.normed[..size];
        shared.linear_backward(plan.out, 1, Rows { values: change, row: vocabulary }, rows, normed, false);
        let weight = &shared.weights[plan.gate.weight.at..][..plan.width];
        shared.kernel.add_scaled(normed, gate, weight);
        let stream = &mut flow.stream[..size];
        stream.fill(0.0);
        self.core.answer.backward(shared, plan.norm_answer, (step, block), normed, stream, &mut self.sums);
    }

    /// One pass of the decoder: from the gradient of its output to that of its input, in the stream.
    fn decode_backward(&mut self, shared: &Shared<'_>, masks: &Masks, number: usize, answer: Option<usize>, flow: &mut Flow) {
        let plan = shared.plan;
        let (block, (spectrum, own)) = (self.decoder_block(plan), self.shapes(plan));
        let (size, width, first_row) = (block.size(), plan.width, self.first);
        let stream = &mut flow.stream[..size];
        let (sums, scratch) = (&mut self.sums, &mut self.scratch);
        // Shares are kept: nothing is hidden anew.
        let bias = Bias { values: &[], row: 0 };
        flow.input[..size].fill(0.0);
        for (index, (layer, tape)) in plan.decoder.iter().zip(&mut self.decoder).enumerate().rev() {
            let pass = |branch| {
                let site = Site { masks, first_row, number: plan.decoder_site(number, index, branch) };
                Pass { slot: number, block, site }
            };
            tape.feed_forward.backward(shared, &layer.feed_forward, pass(2), stream, sums, scratch);
            if let Some(step) = answer {
                let rows = &mut tape.input[step * 2 * size..];
                let values = Rows { values: &rows[width..], row: 2 * width };
                shared.kernel.turn(own, values, scratch.make_turned(own));
                let memory = Memory { shape: own, rows, turned: None, bias };
                let memory = (memory, &mut flow.memory[..], false);
                tape.cross.backward(shared, &layer.cross, pass(1), memory, stream, (sums, scratch));
                let rows = &mut rows[..2 * size];
                rows.copy_from_slice(&flow.memory[..2 * size]);
                shared.bias_sums(layer.cross.key.bias, rows, 2 * width, sums);
                shared.bias_sums(layer.cross.value.bias, &rows[width..], 2 * width, sums);
                let dy = Rows { values: rows, row: 2 * width };
                shared.linear_backward(layer.cross.key, 2, dy, block.rows(), &mut flow.input[..size], true);
            } else {
                let memory = Memory { shape: spectrum, rows: &tape.spectrum, turned: Some(&tape.turned), bias };
                let memory = (memory, &mut tape.spectrum_gradient[..], true);
                tape.cross.backward(shared, &layer.cross, pass(1), memory, stream, (sums, scratch));
            }
            tape.own.backward(shared, &layer.own, pass(0), stream, sums, scratch);
        }
        if answer.is_some() {
            shared.kernel.add(stream, &flow.input[..size]);
        }
    }

    /// Of embed(softmax(y)) + position + step: keeps its gradient and adds y's.
    fn know_backward(&mut self, shared: &Shared<'_>, step: usize, block: Block, flow: &mut Flow) {
        let plan = shared.plan;
        let (size, rows, vocabulary, width) = (block.size(), block.rows(), plan.vocabulary, plan.width);
        let known = &flow.known[..size];
        slot(&mut self.core.known_gradient, step, size).copy_from_slice(known);
        sum_samples(shared, known, &mut self.sums[plan.position.sums..][..plan.position.length]);
        shared.kernel.column_sums(known, width, &mut self.sums[plan.step.sums + step * width..][..width]);
        let gradient = &mut flow.probabilities[..rows * vocabulary];
        Packed {
            m: rows,
            k: width,
            n: vocabulary,
            a: Rows { values: known, row: width },
            b: &shared.turned[plan.embed.turned..],
            c: gradient,
            c_row: vocabulary,
            start: Start::Zero,
        }
        .compute(shared.kernel);
        let probabilities = slot(&mut self.core.probabilities, step, rows * vocabulary);
        shared.kernel.softmax_backward(gradient, probabilities, vocabulary, &mut flow.answer[..rows * vocabulary]);
    }

    /// From the gradients of the spectrum's keys and values to that of the encoder's input, in its stream.
    fn encoder_backward(&mut self, shared: &Shared<'_>, masks: &Masks, flow: &mut Flow) {
        let plan = shared.plan;
        let block = self.encoder_block(plan);
        let (size, width) = (block.size(), plan.width);
        let gradient = &mut flow.spectrum[..size];
        gradient.fill(0.0);
        for (layer, tape) in plan.decoder.iter().zip(&mut self.decoder) {
            let rows = &tape.spectrum_gradient[..2 * size];
            shared.bias_sums(layer.cross.key.bias, rows, 2 * width, &mut self.sums);
            shared.bias_sums(layer.cross.value.bias, &rows[width..], 2 * width, &mut self.sums);
            let dy = Rows { values: rows, row: 2 * width };
            shared.linear_backward(layer.cross.key, 2, dy, block.rows(), gradient, true);
        }
        let stream = &mut self.ends.stream[..size];
        stream.fill(0.0);
        self.ends.normed.backward(shared, plan.encoder_norm, (0, block), gradient, stream, &mut self.sums);
        let pass = |number| Pass { slot: 0, block, site: Site { masks, first_row: self.first, number } };
        for (index, (layer, tape)) in plan.encoder.iter().zip(&mut self.encoder).enumerate().rev() {
            let site = |branch| pass(plan.encoder_site(index, branch));
            let (sums, scratch) = (&mut self.sums, &mut self.scratch);
            tape.feed_forward.backward(shared, &layer.feed_forward, site(1), stream, sums, scratch);
            tape.own.backward(shared, &layer.attention, site(0), stream, sums, scratch);
        }
        shared.kernel.keep_in_place(stream, block.each * width, Site { masks, first_row: self.first, number: 0 });
    }
}

/// Adds the sums over samples to a table's gradient.
fn sum_samples(shared: &Shared<'_>, rows: &[f32], sums: &mut [f32]) {
    shared.kernel.column_sums(rows, sums.len(), sums);
}
