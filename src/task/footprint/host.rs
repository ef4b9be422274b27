//! What the network by hand makes room for, `train/host`, for the CPU: a test there holds this count against its allocations.

use super::{CHARGES, Kept, Sizes};

/// Keys of attention are padded to a multiple of this.
const PADDED: u64 = 16;
/// Most lanes of a micro-batch.
const LANES: u64 = 16;
/// Vectors besides weights and moments: the gradient, and the matrices packed and turned.
const VECTORS: u64 = 3;

fn padded(keys: u64) -> u64 {
    keys.next_multiple_of(PADDED)
}

/// What the network makes room for, with the batch's logits and their gradient.
pub fn room(sizes: &Sizes) -> Kept {
    let batch = 2 * sizes.steps * sizes.logits();
    let sample = sizes.encoder() + sizes.decoder() + sizes.core() + sizes.ends() + sizes.scratch() + batch;
    let scores = sizes.spectrum.max(sizes.length) * padded(sizes.spectrum.max(sizes.length));
    Kept { vectors: VECTORS, sample, lane: scores + sizes.small_parameters, lanes: LANES }
}

impl Sizes {
    /// Passes of the decoder.
    fn passes(&self) -> u64 {
        self.steps * (self.latent_steps + 1)
    }

    /// A layer norm of some rows.
    fn norm(&self, rows: u64) -> u64 {
        rows * (self.width + 1)
    }

    /// Attention of some rows to themselves: queries, keys and values, what was seen, the branch, and the shares.
    fn own(&self, rows: u64) -> u64 {
        self.norm(rows) + 5 * rows * self.width + self.heads * rows * padded(rows)
    }

    /// Attention of the answer's rows to the spectrum or to an answer: queries, what was seen, the branch, and the shares.
    fn cross(&self) -> u64 {
        let keys = padded(self.spectrum).max(padded(self.length));
        self.norm(self.length) + 3 * self.length * self.width + self.heads * self.length * keys
    }

    /// GELU's values and slopes, each four times as wide as the network, and the branch.
    fn feed_forward(&self, rows: u64) -> u64 {
        self.norm(rows) + 9 * rows * self.width
    }

    fn encoder(&self) -> u64 {
        self.encoder_layers * (self.own(self.spectrum) + self.feed_forward(self.spectrum))
    }

    fn decoder(&self) -> u64 {
        let passes = self.passes() * (self.own(self.length) + self.cross() + self.feed_forward(self.length));
        // Keys and values of the spectrum, their gradients, and one of them turned; then those of the answers' own inputs.
        let spectrum = 4 * self.spectrum * self.width + self.width * padded(self.spectrum);
        let input = 2 * self.steps * self.length * self.width;
        self.decoder_layers * (passes + spectrum + input)
    }

    fn core(&self) -> u64 {
        let (vectors, answers) = (self.length * self.width, self.logits());
        let norms = (self.passes() + self.steps) * self.norm(self.length);
        // Probabilities, changes and logits; inputs and the gradients of what is known; the gate.
        let tape = self.steps * (3 * answers + 2 * vectors + self.length);
        let (state, flow) = (answers + 4 * vectors, 2 * answers + 7 * vectors + self.spectrum * self.width);
        norms + tape + state + flow
    }

    /// The encoder's input and output.
    fn ends(&self) -> u64 {
        let rows = self.spectrum;
        self.norm(rows) + 2 * rows * self.width + (2 + CHARGES) * rows + padded(rows)
    }

    /// Room of the blocks for what is not kept.
    fn scratch(&self) -> u64 {
        let rows = self.spectrum.max(self.length);
        // Normed rows, a feed-forward block's gradient, and those of queries, keys and values.
        let branch = if self.dropout { rows * self.width } else { 0 };
        (1 + 4 + 1 + 2) * rows * self.width + self.width * padded(rows) + branch
    }
}
