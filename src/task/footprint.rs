//! How many numbers training keeps in memory at once, by the shapes of the network.
//!
//! What the forward pass keeps for the backward pass is counted tensor by tensor, as automatic differentiation keeps it: the
//! inputs of products, what normalising and softmax need, the masks of dropout. Measured with nine small networks on the CPU,
//! a sample took 1.1 to 1.3 times its count: an estimate.

use super::model::{MAX_CHARGE, Recursive};

/// What decides, besides the network, how much one sample takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Most peaks of a spectrum that are shown.
    pub peaks: u32,
    pub dropout: bool,
    /// Whether the spectrum loss is computed.
    pub spectrum: bool,
}

/// Peaks and precursor together are padded to a multiple of this.
const PEAK_ROUND: u64 = 8;
/// Vectors that a layer norm keeps for the backward pass.
const NORM: u64 = 2;
/// The same with its output, which the layer behind it keeps.
const NORMED: u64 = NORM + 1;
/// Inputs and outputs of the GELU, each four times as wide as the network.
const FEED_FORWARD: u64 = 8;
/// Matrices of attention: exponentials and shares.
const SHARES: u64 = 2;
/// Pairs of peaks and places that the spectrum loss keeps.
const ION_PAIRS: u64 = 12;
/// Numbers for each logit that softmax, gate and step of the answer keep.
const ANSWER: u64 = 5;
/// The same of the cross-entropy.
const CROSS_ENTROPY: u64 = 4;

/// The sizes that the counts are made of.
struct Sizes {
    width: u64,
    heads: u64,
    /// The precursor and the peaks shown.
    spectrum: u64,
    length: u64,
    vocabulary: u64,
    /// 1 where masks of dropout are kept.
    masks: u64,
}

impl Sizes {
    fn new(model: &Recursive, shown: &Shown) -> Sizes {
        let most = u64::from(model.peaks);
        let padded = (u64::from(shown.peaks.min(model.peaks)) + 1).next_multiple_of(PEAK_ROUND);
        Sizes {
            width: u64::from(model.hidden),
            heads: u64::from(model.heads),
            spectrum: padded.min(most + 1),
            length: u64::from(model.length),
            vocabulary: model.vocabulary().len() as u64,
            masks: u64::from(shown.dropout),
        }
    }

    /// A transformer layer over the spectrum.
    fn encoder_layer(&self) -> u64 {
        // Two norms; query, key and value; what attention saw; two branches.
        let vectors = 2 * NORMED + 3 + 1 + FEED_FORWARD + 2 * self.masks;
        vectors * self.spectrum * self.width + SHARES * self.heads * self.spectrum * self.spectrum
    }

    /// A layer of the recursive core that attends to itself and to `seen` others.
    fn decoder_layer(&self, seen: u64) -> u64 {
        let vectors = 3 * NORMED + 3 + 1 + 1 + 1 + FEED_FORWARD + 3 * self.masks;
        vectors * self.length * self.width + SHARES * self.heads * self.length * (self.length + seen)
    }
}

/// Numbers that the forward pass of one sample keeps for the backward pass.
pub fn activations(model: &Recursive, shown: &Shown) -> u64 {
    let sizes = Sizes::new(model, shown);
    let (spectrum, answer) = (sizes.spectrum * sizes.width, sizes.length * sizes.width);
    let logits = sizes.length * sizes.vocabulary;
    let layers = u64::from(model.decoder_layers);
    let encoder = u64::from(model.encoder_layers) * sizes.encoder_layer() + (NORMED + sizes.masks) * spectrum;
    // Keys and values of the spectrum are made once.
    let memories = layers * 2 * spectrum;
    let latent = layers * sizes.decoder_layer(sizes.spectrum) + NORM * answer;
    // The last pass attends to its own input, with keys and values of its own.
    let last = layers * (sizes.decoder_layer(sizes.length) + 2 * answer) + NORMED * answer + ANSWER * logits;
    let passes = u64::from(model.supervision_steps);
    let core = passes * (u64::from(model.latent_steps) * latent + last);
    let ions = if shown.spectrum { ION_PAIRS * sizes.spectrum * sizes.length } else { 0 };
    encoder + memories + core + CROSS_ENTROPY * passes * logits + ions
}

/// Numbers that one sample of a batch takes while the batch waits to be used.
pub fn waiting(model: &Recursive, shown: &Shown) -> u64 {
    let sizes = Sizes::new(model, shown);
    let embedded = sizes.spectrum * (sizes.width - model.intensity_width() as u64 + 2);
    let precursor = sizes.width + u64::from(MAX_CHARGE) + 1;
    let truth = u64::from(model.supervision_steps) * sizes.length * sizes.vocabulary;
    let ions = if shown.spectrum { 2 * sizes.spectrum + sizes.length } else { 0 };
    embedded + precursor + truth + ions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(hidden: u32, heads: u32, decoder_layers: u32, supervision_steps: u32, length: u32) -> Recursive {
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

    /// Bytes that a sample more took when peaks of memory were measured at batches of 32 and 96, on the CPU.
    #[test]
    fn the_count_is_near_what_was_measured() {
        let plain = Shown { peaks: 42, dropout: false, spectrum: false };
        let long = Shown { peaks: 74, ..plain };
        let cases = [
            (model(96, 4, 1, 2, 24), plain, 2.88e6),
            (model(96, 4, 1, 2, 24), Shown { dropout: true, ..plain }, 3.13e6),
            (model(96, 4, 1, 2, 24), Shown { spectrum: true, ..plain }, 2.91e6),
            (Recursive { encoder_layers: 3, ..model(96, 4, 1, 2, 24) }, plain, 3.55e6),
            (model(96, 4, 1, 4, 24), plain, 4.60e6),
            (Recursive { latent_steps: 4, ..model(96, 4, 1, 2, 24) }, plain, 3.95e6),
            (model(192, 6, 1, 2, 24), plain, 5.53e6),
            (model(96, 4, 1, 2, 40), long, 4.61e6),
            (model(192, 6, 2, 4, 40), long, 28.2e6),
        ];
        for (model, shown, measured) in cases {
            let counted = (activations(&model, &shown) * 4) as f64 * 1.15;
            assert!(
                (0.85..1.15).contains(&(counted / measured)),
                "{model:?}, {shown:?}: {counted} counted, {measured} measured"
            );
        }
    }

    #[test]
    fn no_more_peaks_are_shown_than_the_model_keeps() {
        let model = model(96, 4, 1, 2, 24);
        let all = |peaks: u32| activations(&model, &Shown { peaks, dropout: false, spectrum: true });
        assert_eq!(all(60), all(1_000));
        assert!(all(20) < all(40));
    }
}
