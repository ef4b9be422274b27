//! The encoder: peaks and precursor to vectors.

use burn::tensor::Tensor;

use super::Parameters;
use super::arithmetic::Arithmetic;
use super::input::Placed;
use super::layers::{Attention, FeedForward, Linear, Norm, add};
use crate::task::model::Recursive;
use crate::train::dropout::Dropout;

/// A pre-norm transformer over the precursor's token and the peaks, without positions: a peak's m/z is its place.
pub struct Encoder {
    intensity: Linear,
    charge: Tensor<2>,
    layers: Vec<Layer>,
    /// For products that stay in f32.
    exact: Arithmetic,
    norm: Norm,
}

struct Layer {
    norm_attention: Norm,
    attention: Attention,
    norm_feed_forward: Norm,
    feed_forward: FeedForward,
}

impl Encoder {
    pub fn new(model: &Recursive, source: &Parameters) -> Encoder {
        let layer = |index: u32| {
            let at = format!("encoder.{index}");
            Layer {
                norm_attention: Norm::new(source, &format!("{at}.norm_attention")),
                attention: Attention::new(source, &format!("{at}.attention"), model.heads),
                norm_feed_forward: Norm::new(source, &format!("{at}.norm_feed_forward")),
                feed_forward: FeedForward::new(source, &at),
            }
        };
        Encoder {
            intensity: Linear::new(source, "peaks.intensity", source.arithmetic.exact()),
            charge: source.get("precursor.charge"),
            layers: (0..model.encoder_layers).map(layer).collect(),
            exact: source.arithmetic.exact(),
            norm: Norm::new(source, "encoder.norm"),
        }
    }

    /// The precursor and the peaks as vectors, `[B, 1 + P, d]`.
    pub fn forward(&self, input: &Placed, dropout: &Dropout) -> Tensor<3> {
        let peaks = Tensor::cat(vec![input.mz.clone(), self.intensity.forward(input.log_intensity.clone())], 2);
        let charge = self.exact.apply(input.charge.clone(), self.charge.clone());
        let precursor = charge.add(input.precursor.clone());
        let mut x = dropout.apply(Tensor::cat(vec![precursor, peaks], 1));
        for layer in &self.layers {
            let normed = layer.norm_attention.forward(x.clone());
            let memory = layer.attention.memory(normed.clone(), Some(input.bias.clone()));
            x = add(x, layer.attention.forward(normed, &memory), dropout);
            let normed = layer.norm_feed_forward.forward(x.clone());
            x = add(x, layer.feed_forward.forward(normed), dropout);
        }
        self.norm.forward(x)
    }
}
