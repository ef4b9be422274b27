//! The recursive core: one small decoder that refines a latent state and its own answer, pass after pass.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, softmax};

use super::Parameters;
use super::arithmetic::Arithmetic;
use super::input::Placed;
use super::layers::{Attention, FeedForward, Linear, Memory, Norm, add};
use crate::task::model::Recursive;
use crate::train::dropout::Dropout;

/// y (the answer's logits) and z (the latent state) start from learned values. In each of T supervised passes p =
/// softmax(y); n times z <- z + LN(decoder(embed(p) + z + position + step, cross = spectrum)); then h = embed(p) + z +
/// position + step, x = LN(decoder(h, cross = h)), y <- (1 - g) y + g (x W_o + b_o) with the gate g = sigmoid(x W_g + b_g).
pub struct Core {
    latent_steps: u32,
    answer: Tensor<2>,
    latent: Tensor<2>,
    embed: Tensor<2>,
    position: Tensor<2>,
    step: Tensor<2>,
    layers: Vec<Layer>,
    /// For products that stay in f32.
    exact: Arithmetic,
    norm_latent: Norm,
    norm_answer: Norm,
    out: Linear,
    gate: Linear,
}

struct Layer {
    norm_self: Norm,
    self_attention: Attention,
    norm_cross: Norm,
    cross_attention: Attention,
    norm_feed_forward: Norm,
    feed_forward: FeedForward,
}

impl Core {
    pub fn new(model: &Recursive, source: &Parameters) -> Core {
        Core {
            latent_steps: model.latent_steps,
            answer: source.get("core.answer"),
            latent: source.get("core.latent"),
            embed: source.get("core.embed"),
            position: source.get("core.position"),
            step: source.get("core.step"),
            layers: (0..model.decoder_layers).map(|index| Layer::new(model, source, index)).collect(),
            exact: source.arithmetic.exact(),
            norm_latent: Norm::new(source, "core.norm_latent"),
            norm_answer: Norm::new(source, "core.norm_answer"),
            out: Linear::new(source, "core.out", source.arithmetic.exact()),
            gate: Linear::new(source, "core.gate", source.arithmetic.exact()),
        }
    }

    /// Logits `[B, L, V]` after each supervised pass over a spectrum `[B, 1 + P, d]`.
    pub fn forward(&self, input: &Placed, spectrum: Tensor<3>, dropout: &Dropout) -> Vec<Tensor<3>> {
        let [batch, ..] = spectrum.dims();
        // The spectrum is the same in all passes: its keys and values are made once.
        let attend = |layer: &Layer| layer.cross_attention.memory(spectrum.clone(), Some(input.bias.clone()));
        let memories: Vec<Memory> = self.layers.iter().map(attend).collect();
        let rows = |x: &Tensor<2>| x.clone().unsqueeze_dim::<3>(0).repeat_dim(0, batch);
        let (mut y, mut z) = (rows(&self.answer), rows(&self.latent));
        let [steps, width] = self.step.dims();
        let mut answers = Vec::with_capacity(steps);
        for step in 0..steps {
            let p = self.exact.apply(softmax(y.clone(), 2), self.embed.clone());
            let place = self.position.clone().add(self.step.clone().slice([step..step + 1, 0..width]));
            let known = p.add(place.unsqueeze_dim::<3>(0));
            for _ in 0..self.latent_steps {
                let refined = self.decode(known.clone().add(z.clone()), Some(&memories), dropout);
                z = z.add(self.norm_latent.forward(refined));
            }
            let x = self.norm_answer.forward(self.decode(known.add(z.clone()), None, dropout));
            let gate = sigmoid(self.gate.forward(x.clone()));
            y = y.clone().add(gate.mul(self.out.forward(x).sub(y)));
            answers.push(y.clone());
        }
        answers
    }

    /// One pass of the decoder; without memories it attends to its own input.
    fn decode(&self, input: Tensor<3>, memories: Option<&[Memory]>, dropout: &Dropout) -> Tensor<3> {
        let mut x = input.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let own;
            let memory = match memories {
                Some(memories) => &memories[index],
                None => {
                    own = layer.cross_attention.memory(input.clone(), None);
                    &own
                }
            };
            x = layer.forward(x, memory, dropout);
        }
        x
    }
}

impl Layer {
    fn new(model: &Recursive, source: &Parameters, index: u32) -> Layer {
        let at = format!("decoder.{index}");
        Layer {
            norm_self: Norm::new(source, &format!("{at}.norm_self")),
            self_attention: Attention::new(source, &format!("{at}.self_attention"), model.heads),
            norm_cross: Norm::new(source, &format!("{at}.norm_cross")),
            cross_attention: Attention::new(source, &format!("{at}.cross_attention"), model.heads),
            norm_feed_forward: Norm::new(source, &format!("{at}.norm_feed_forward")),
            feed_forward: FeedForward::new(source, &at),
        }
    }

    fn forward(&self, x: Tensor<3>, memory: &Memory, dropout: &Dropout) -> Tensor<3> {
        let normed = self.norm_self.forward(x.clone());
        let own = self.self_attention.memory(normed.clone(), None);
        let x = add(x, self.self_attention.forward(normed, &own), dropout);
        let normed = self.norm_cross.forward(x.clone());
        let x = add(x, self.cross_attention.forward(normed, memory), dropout);
        let normed = self.norm_feed_forward.forward(x.clone());
        add(x, self.feed_forward.forward(normed), dropout)
    }
}
