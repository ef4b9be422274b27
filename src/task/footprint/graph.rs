//! What burn's graph keeps, for a GPU.
//!
//! What the forward pass keeps for the backward pass is counted tensor by tensor, as automatic differentiation keeps it: the
//! inputs of products, what normalising and softmax need. Dropout keeps nothing: its kernel counts anew. Measured with eight small
//! networks on burn's CPU backend, with burn's own operations, a sample took 1.1 to 1.3 times its count: an estimate.

use super::{Kept, Sizes};

/// Numbers kept times this, in per cent, is what their tensors took at their peak, with all that comes and goes meanwhile.
const SLACK_PERCENT: u64 = 115;
/// Inputs and outputs of the GELU, each four times as wide as the network.
const FEED_FORWARD: u64 = 8;
/// Numbers for each logit that softmax, gate and step of the answer keep.
const ANSWER: u64 = 5;

/// What operations keep that are computed by kernels of our own.
#[derive(Clone, Copy)]
struct Operations {
    /// Vectors that a layer norm keeps for the backward pass.
    norm: u64,
    /// Matrices of attention.
    shares: u64,
}

/// The norm's input, and the shares.
const OURS: Operations = Operations { norm: 1, shares: 1 };

/// Vectors besides weights and moments: the gradient whole and in parts, and two while an update is made.
const VECTORS: u64 = 4;

/// What an update keeps.
pub fn kept(sizes: &Sizes) -> Kept {
    Kept { vectors: VECTORS, sample: (sizes.activations(OURS) + sizes.losses()) * SLACK_PERCENT / 100, lane: 0, lanes: 0 }
}

impl Sizes {
    /// A transformer layer over the spectrum.
    fn encoder_layer(&self, each: Operations) -> u64 {
        // Two norms with their outputs; query, key and value; what attention saw.
        let vectors = 2 * (each.norm + 1) + 3 + 1 + FEED_FORWARD;
        vectors * self.spectrum * self.width + each.shares * self.heads * self.spectrum * self.spectrum
    }

    /// A layer of the recursive core that attends to itself and to `seen` others.
    fn decoder_layer(&self, seen: u64, each: Operations) -> u64 {
        let vectors = 3 * (each.norm + 1) + 3 + 1 + 1 + 1 + FEED_FORWARD;
        vectors * self.length * self.width + each.shares * self.heads * self.length * (self.length + seen)
    }

    /// Numbers that the network's forward pass of one sample keeps for the backward pass.
    fn activations(&self, each: Operations) -> u64 {
        let (spectrum, answer, layers) = (self.spectrum * self.width, self.length * self.width, self.decoder_layers);
        let encoder = self.encoder_layers * self.encoder_layer(each) + (each.norm + 1) * spectrum;
        // Keys and values of the spectrum are made once.
        let memories = layers * 2 * spectrum;
        let latent = layers * self.decoder_layer(self.spectrum, each) + each.norm * answer;
        // The last pass attends to its own input, with keys and values of its own.
        let last =
            layers * (self.decoder_layer(self.length, each) + 2 * answer) + (each.norm + 1) * answer + ANSWER * self.logits();
        encoder + memories + self.steps * (self.latent_steps * latent + last)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Shown, Sizes};
    use super::{Operations, SLACK_PERCENT};
    use crate::task::model::Recursive;

    pub fn model(hidden: u32, heads: u32, decoder_layers: u32, supervision_steps: u32, length: u32) -> Recursive {
        Recursive {
            hidden,
            heads,
            encoder_layers: 1,
            decoder_layers,
            supervision_steps,
            latent_steps: 2,
            peaks: 60,
            length,
            modifications: vec![],
        }
    }

    /// The deviation and the normed rows; exponentials and shares.
    const BURNS: Operations = Operations { norm: 2, shares: 2 };

    /// Bytes that a sample more took when peaks of memory were measured at batches of 32 and 96, on burn's CPU backend.
    #[test]
    fn the_count_is_near_what_was_measured() {
        let plain = Shown { peaks: 42, dropout: false, spectrum: false };
        let long = Shown { peaks: 74, ..plain };
        let cases = [
            (model(96, 4, 1, 2, 24), plain, 2.88e6),
            (model(96, 4, 1, 2, 24), Shown { spectrum: true, ..plain }, 2.91e6),
            (Recursive { encoder_layers: 3, ..model(96, 4, 1, 2, 24) }, plain, 3.55e6),
            (model(96, 4, 1, 4, 24), plain, 4.60e6),
            (Recursive { latent_steps: 4, ..model(96, 4, 1, 2, 24) }, plain, 3.95e6),
            (model(192, 6, 1, 2, 24), plain, 5.53e6),
            (model(96, 4, 1, 2, 40), long, 4.61e6),
            (model(192, 6, 2, 4, 40), long, 28.2e6),
        ];
        for (model, shown, measured) in cases {
            let sizes = Sizes::new(&model, &shown);
            let counted = ((sizes.activations(BURNS) + sizes.losses()) * SLACK_PERCENT / 100 * 4) as f64;
            assert!(
                (0.85..1.15).contains(&(counted / measured)),
                "{model:?}, {shown:?}: {counted} counted, {measured} measured"
            );
        }
    }
}
