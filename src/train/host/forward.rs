//! The forward pass of a lane: the encoder once, then pass after pass of the decoder.

use super::attending::Memory;
use super::attention::Bias;
use super::blocks::{Block, Pass, Shared, from_slot, slot};
use super::functions::sigmoid;
use super::lane::{Lane, Shown};
use super::masks::Masks;
use super::plan::CHARGES;
use super::product::{Packed, Rows, Start};
use super::rows::Site;

impl Lane {
    /// Logits after each supervised pass, into the lane's own rows.
    pub fn forward(&mut self, shared: &Shared<'_>, shown: &Shown<'_>, masks: &Masks) {
        self.embed(shared, shown, masks);
        self.encode(shared, masks);
        self.remember_spectrum(shared);
        self.refine(shared, masks);
    }

    /// The site of a number in this lane's rows.
    pub fn site<'a>(&self, masks: &'a Masks, number: u64) -> Site<'a> {
        Site { masks, first_row: self.first, number }
    }

    /// The encoder's input: m/z and intensity of the peaks, mass and charge of the precursor.
    fn embed(&mut self, shared: &Shared<'_>, shown: &Shown<'_>, masks: &Masks) {
        let plan = shared.plan;
        let block = self.encoder_block(plan);
        let (width, each, mz_width) = (plan.width, block.each, plan.mz_width);
        let stream = &mut self.ends.stream[..block.size()];
        for sample in 0..self.samples {
            let from = self.first + sample;
            let mz = shown.mz[from * shown.peaks * mz_width..].chunks_exact(mz_width);
            let rows = &mut stream[sample * each * width..][..each * width];
            for (row, mz) in rows.chunks_exact_mut(width).skip(1).zip(mz) {
                row[..mz_width].copy_from_slice(mz);
            }
        }
        let intensity = plan.intensity;
        Packed {
            m: block.rows(),
            k: 2,
            n: intensity.columns,
            a: Rows { values: &self.ends.intensity, row: 2 },
            b: &shared.weights[intensity.at..],
            c: &mut stream[mz_width..],
            c_row: width,
            start: Start::Zero,
        }
        .compute(shared.kernel);
        // The precursors' rows are written last: the products above ran over them.
        for sample in 0..self.samples {
            let precursor = &shown.precursor[(self.first + sample) * width..][..width];
            stream[sample * each * width..][..width].copy_from_slice(precursor);
        }
        Packed {
            m: self.samples,
            k: CHARGES,
            n: width,
            a: Rows { values: &self.ends.charge, row: each * CHARGES },
            b: &shared.weights[plan.charge.at..],
            c: stream,
            c_row: each * width,
            start: Start::Result,
        }
        .compute(shared.kernel);
        let site = self.site(masks, 0);
        shared.kernel.keep_in_place(&mut self.ends.stream[..block.size()], each * width, site);
    }

    fn encode(&mut self, shared: &Shared<'_>, masks: &Masks) {
        let plan = shared.plan;
        let block = self.encoder_block(plan);
        let stream = &mut self.ends.stream[..block.size()];
        let row = self.ends.bias.len() / self.samples;
        let bias = Bias { values: &self.ends.bias, row };
        let pass = |number| Pass { slot: 0, block, site: Site { masks, first_row: self.first, number } };
        for (index, (layer, tape)) in plan.encoder.iter().zip(&mut self.encoder).enumerate() {
            let site = |branch| pass(plan.encoder_site(index, branch));
            tape.own.forward(shared, &layer.attention, site(0), bias, stream, &mut self.scratch);
            tape.feed_forward.forward(shared, &layer.feed_forward, site(1), stream, &mut self.scratch);
        }
        let spectrum = &mut self.ends.spectrum[..block.size()];
        self.ends.normed.forward(shared, plan.encoder_norm, 0, block, stream, spectrum);
    }

    /// Keys and values of the spectrum: it is the same in all passes.
    fn remember_spectrum(&mut self, shared: &Shared<'_>) {
        let plan = shared.plan;
        let (rows, width) = (self.encoder_block(plan).rows(), plan.width);
        let (shape, _) = self.shapes(plan);
        for (layer, tape) in plan.decoder.iter().zip(&mut self.decoder) {
            let spectrum = &self.ends.spectrum;
            shared.linear(layer.cross.key, spectrum, rows, &mut tape.spectrum, 2 * width, false);
            shared.linear(layer.cross.value, spectrum, rows, &mut tape.spectrum[width..], 2 * width, false);
            shared.kernel.turn(shape, Rows { values: &tape.spectrum, row: 2 * width }, &mut tape.turned);
        }
    }

    /// The recursive core.
    fn refine(&mut self, shared: &Shared<'_>, masks: &Masks) {
        let plan = shared.plan;
        let block = self.decoder_block(plan);
        let answers = block.rows() * plan.vocabulary;
        repeat(shared.small(plan.answer), &mut self.state.answer[..answers]);
        repeat(shared.small(plan.latent), &mut self.state.latent[..block.size()]);
        for step in 0..plan.steps {
            self.know(shared, step, block);
            for latent in 0..=plan.latent_steps {
                let size = block.size();
                let stream = &mut self.state.stream[..size];
                stream.copy_from_slice(&self.state.known[..size]);
                shared.kernel.add(stream, &self.state.latent[..size]);
                let pass = step * (plan.latent_steps + 1) + latent;
                if latent == plan.latent_steps {
                    self.decode(shared, masks, pass, Some(step));
                    self.answer(shared, step, block);
                } else {
                    self.decode(shared, masks, pass, None);
                    let index = if self.tape { pass } else { 0 };
                    let (stream, refined) = (&self.state.stream[..size], &mut self.state.input[..size]);
                    self.core.latent.forward(shared, plan.norm_latent, index, block, stream, refined);
                    shared.kernel.add(&mut self.state.latent[..size], refined);
                }
            }
        }
    }

    /// embed(softmax(y)) + position + step.
    fn know(&mut self, shared: &Shared<'_>, step: usize, block: Block) {
        let plan = shared.plan;
        let (width, answers) = (plan.width, block.rows() * plan.vocabulary);
        let index = if self.tape { step } else { 0 };
        let probabilities = slot(&mut self.core.probabilities, index, answers);
        shared.kernel.softmax(&self.state.answer[..answers], plan.vocabulary, probabilities);
        let known = &mut self.state.known[..block.size()];
        Packed {
            m: block.rows(),
            k: plan.vocabulary,
            n: width,
            a: Rows { values: probabilities, row: plan.vocabulary },
            b: &shared.weights[plan.embed.at..],
            c: known,
            c_row: width,
            start: Start::Bias(&shared.small(plan.step)[step * width..][..width]),
        }
        .compute(shared.kernel);
        shared.kernel.add_repeated(known, shared.small(plan.position));
    }

    /// One pass of the decoder over the state's stream; in an answer's pass it attends to its own input.
    fn decode(&mut self, shared: &Shared<'_>, masks: &Masks, number: usize, answer: Option<usize>) {
        let plan = shared.plan;
        let (block, (spectrum, own)) = (self.decoder_block(plan), self.shapes(plan));
        let (size, width) = (block.size(), plan.width);
        let (index, step) = if self.tape { (number, answer.unwrap_or(0)) } else { (0, 0) };
        if answer.is_some() {
            slot(&mut self.core.input, step, size).copy_from_slice(&self.state.stream[..size]);
        }
        let (first_row, stream) = (self.first, &mut self.state.stream[..size]);
        let own_bias = Bias { values: &self.ends.own_bias, row: 0 };
        let bias = Bias { values: &self.ends.bias, row: self.ends.bias.len() / self.samples };
        for (layer_index, (layer, tape)) in plan.decoder.iter().zip(&mut self.decoder).enumerate() {
            let pass = |branch| {
                let site = Site { masks, first_row, number: plan.decoder_site(number, layer_index, branch) };
                Pass { slot: index, block, site }
            };
            tape.own.forward(shared, &layer.own, pass(0), own_bias, stream, &mut self.scratch);
            let memory = if answer.is_some() {
                let rows = &mut tape.input[step * 2 * size..];
                let input = from_slot(&self.core.input, step, size);
                shared.linear(layer.cross.key, input, block.rows(), rows, 2 * width, false);
                shared.linear(layer.cross.value, input, block.rows(), &mut rows[width..], 2 * width, false);
                let turned = self.scratch.make_turned(own);
                shared.kernel.turn(own, Rows { values: rows, row: 2 * width }, turned);
                Memory { shape: own, rows, turned: None, bias: own_bias }
            } else {
                Memory { shape: spectrum, rows: &tape.spectrum, turned: Some(&tape.turned), bias }
            };
            tape.cross.forward(shared, &layer.cross, pass(1), memory, stream, &mut self.scratch);
            tape.feed_forward.forward(shared, &layer.feed_forward, pass(2), stream, &mut self.scratch);
        }
    }

    /// y <- y + g (x W_o + b_o - y), g = sigmoid(x W_g + b_g), for the normed stream x.
    fn answer(&mut self, shared: &Shared<'_>, step: usize, block: Block) {
        let plan = shared.plan;
        let (size, answers, rows) = (block.size(), block.rows() * plan.vocabulary, block.rows());
        let index = if self.tape { step } else { 0 };
        let normed = &mut self.state.input[..size];
        self.core.answer.forward(shared, plan.norm_answer, index, block, &self.state.stream[..size], normed);
        let change = slot(&mut self.core.change, index, answers);
        shared.linear(plan.out, normed, rows, change, plan.vocabulary, false);
        let gate = slot(&mut self.core.gate, index, rows);
        let weight = &shared.weights[plan.gate.weight.at..][..plan.width];
        shared.kernel.dots(normed, weight, gate);
        let bias = shared.small(plan.gate.bias)[0];
        let answer = &mut self.state.answer[..answers];
        let each = answer.chunks_exact_mut(plan.vocabulary).zip(change.chunks_exact_mut(plan.vocabulary));
        for ((answer, change), gate) in each.zip(gate) {
            *gate = sigmoid(*gate + bias);
            for (y, change) in answer.iter_mut().zip(change) {
                *change -= *y;
                *y += *gate * *change;
            }
        }
        slot(&mut self.core.logits, step, answers).copy_from_slice(answer);
    }
}

/// Fills rows of samples with the same values.
fn repeat(values: &[f32], into: &mut [f32]) {
    into.chunks_exact_mut(values.len()).for_each(|sample| sample.copy_from_slice(values));
}
