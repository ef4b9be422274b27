//! What the blocks of a transformer layer have in common, and the feed-forward block; see [`attending`](super::attending) for
//! the others.
//!
//! Each is x <- x + dropout(branch(norm(x))). A tape keeps what backward needs, one slot for each pass. Backward turns the
//! tape into the rows that the weights' gradients are products of: inputs stay, and where a linear layer's output was its
//! gradient is put.

use super::attention::Shape;
use super::plan::{FeedForward, Linear, Norm, Plan, Small};
use super::product::{Packed, Rows, SLACK, Start};
use super::rows::{Affine, Kernel, Site};

/// What all lanes share in a pass.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    pub plan: &'a Plan,
    pub kernel: Kernel,
    /// All parameters, the matrices packed, with [`SLACK`] after them.
    pub weights: &'a [f32],
    /// All matrices turned and packed, with [`SLACK`] after them; empty in a forward pass.
    pub turned: &'a [f32],
}

/// Rows of a lane: so many samples of so many rows.
#[derive(Clone, Copy)]
pub struct Block {
    pub samples: usize,
    pub each: usize,
    pub width: usize,
}

/// Makes room for so many elements and what may be read after them.
pub fn ensure(values: &mut Vec<f32>, length: usize) {
    if values.len() < length + SLACK {
        // Exactly: the sizes settle within a few batches, and what is never used would count as memory all the same.
        values.reserve_exact(length + SLACK - values.len());
        values.resize(length + SLACK, 0.0);
    }
}

/// The elements of one slot.
pub fn slot(values: &mut [f32], index: usize, size: usize) -> &mut [f32] {
    &mut values[index * size..][..size]
}

/// The elements of one slot and all after it.
pub fn from_slot(values: &[f32], index: usize, size: usize) -> &[f32] {
    &values[index * size..]
}

impl<'a> Shared<'a> {
    pub fn small(&self, small: Small) -> &'a [f32] {
        &self.weights[small.at..][..small.length]
    }

    pub fn affine(&self, norm: Norm) -> Affine<'a> {
        Affine { gamma: self.small(norm.gamma), beta: self.small(norm.beta) }
    }

    /// into <- x W + b, or into + x W + b.
    pub fn linear(&self, linear: Linear, x: &[f32], rows: usize, into: &mut [f32], row: usize, add: bool) {
        let bias = self.small(linear.bias);
        let start = if add { Start::ResultAndBias(bias) } else { Start::Bias(bias) };
        let (k, n) = (linear.weight.rows, linear.weight.columns);
        let (a, b) = (Rows { values: x, row: k }, &self.weights[linear.weight.at..]);
        Packed { m: rows, k, n, a, b, c: into, c_row: row, start }.compute(self.kernel);
    }

    /// The gradient of a linear layer's input: dx <- dy W^T, or dx + dy W^T. The outputs of `count` layers of the same
    /// input, whose matrices follow each other, may lie side by side in dy.
    pub fn linear_backward(&self, first: Linear, count: usize, dy: Rows<'_>, rows: usize, dx: &mut [f32], add: bool) {
        let (k, n) = (count * first.weight.columns, first.weight.rows);
        let b = &self.turned[first.weight.turned..];
        let start = if add { Start::Result } else { Start::Zero };
        Packed { m: rows, k, n, a: dy, b, c: dx, c_row: n, start }.compute(self.kernel);
    }

    /// x <- x + dropout(y W + b).
    pub fn branch(&self, linear: Linear, y: &[f32], x: &mut [f32], block: Block, site: Site<'_>, scratch: &mut Vec<f32>) {
        let rows = block.rows();
        if !site.masks.drops() {
            return self.linear(linear, y, rows, x, block.width, true);
        }
        let size = rows * block.width;
        ensure(scratch, size);
        self.linear(linear, y, rows, &mut scratch[..size], block.width, false);
        self.kernel.add_kept(x, &scratch[..size], block.each * block.width, site);
    }

    /// Adds the sums over rows to a bias's gradient.
    pub fn bias_sums(&self, bias: Small, dy: &[f32], row: usize, sums: &mut [f32]) {
        self.kernel.column_sums(dy, row, &mut sums[bias.sums..][..bias.length]);
    }
}

impl Block {
    pub fn rows(&self) -> usize {
        self.samples * self.each
    }

    pub fn size(&self) -> usize {
        self.rows() * self.width
    }
}

/// What a layer norm keeps.
#[derive(Default)]
pub struct Normed {
    /// (x - mean) / deviation, `[slots, rows, width]`.
    pub hat: Vec<f32>,
    /// 1 / deviation, `[slots, rows]`.
    pub inverse: Vec<f32>,
}

impl Normed {
    pub fn ensure(&mut self, slots: usize, block: Block) {
        ensure(&mut self.hat, slots * block.size());
        ensure(&mut self.inverse, slots * block.rows());
    }

    pub fn forward(&mut self, shared: &Shared<'_>, norm: Norm, index: usize, block: Block, x: &[f32], normed: &mut [f32]) {
        let (hat, inverse) = (slot(&mut self.hat, index, block.size()), slot(&mut self.inverse, index, block.rows()));
        shared.kernel.norm(x, shared.affine(norm), hat, inverse, normed);
    }

    /// Adds the gradient of x to dx, and those of the norm's parameters to the sums.
    pub fn backward(
        &mut self,
        shared: &Shared<'_>,
        norm: Norm,
        (index, block): (usize, Block),
        dy: &[f32],
        dx: &mut [f32],
        sums: &mut [f32],
    ) {
        let (hat, inverse) = (slot(&mut self.hat, index, block.size()), slot(&mut self.inverse, index, block.rows()));
        let (before, after) = sums.split_at_mut(norm.beta.sums);
        let gamma = &mut before[norm.gamma.sums..][..block.width];
        let parameters = (gamma, &mut after[..block.width]);
        shared.kernel.norm_backward(dy, (hat, inverse), shared.small(norm.gamma), dx, parameters);
    }
}

/// Room for what is not kept.
#[derive(Default)]
pub struct Scratch {
    pub normed: Vec<f32>,
    pub branch: Vec<f32>,
    /// Gradient of a branch's last linear layer's input.
    pub seen_gradient: Vec<f32>,
    pub query_gradient: Vec<f32>,
    pub memory_gradient: Vec<f32>,
    pub turned: Vec<f32>,
    pub scores: Vec<f32>,
}

/// Room and place of a pass: its slot, its samples' rows, its site of dropout.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub slot: usize,
    pub block: Block,
    pub site: Site<'a>,
}

impl Scratch {
    /// Room for turned keys or values.
    pub fn make_turned(&mut self, shape: Shape) -> &mut [f32] {
        ensure(&mut self.turned, shape.turned());
        &mut self.turned
    }

    /// Room for an attention's backward pass.
    pub fn ensure_attention(&mut self, shape: Shape) {
        let width = shape.heads * shape.depth;
        ensure(&mut self.turned, shape.turned());
        ensure(&mut self.query_gradient, shape.samples * shape.queries * width);
        ensure(&mut self.memory_gradient, shape.samples * shape.keys * 2 * width);
        ensure(&mut self.scores, shape.queries * shape.padded());
        ensure(&mut self.normed, shape.samples * shape.queries * width);
    }

    /// Of x + dropout(y W + b): puts the branch's gradient where it is kept and y's into `seen_gradient`.
    pub fn branch_backward(
        &mut self,
        shared: &Shared<'_>,
        linear: Linear,
        pass: Pass<'_>,
        dx: &[f32],
        branch: &mut [f32],
        sums: &mut [f32],
    ) {
        let Block { each, width, .. } = pass.block;
        shared.kernel.keep(dx, branch, each * width, pass.site);
        shared.bias_sums(linear.bias, branch, width, sums);
        let inner = pass.block.rows() * linear.weight.rows;
        ensure(&mut self.seen_gradient, inner);
        let dy = Rows { values: branch, row: width };
        shared.linear_backward(linear, 1, dy, pass.block.rows(), &mut self.seen_gradient[..inner], false);
    }
}

/// What a feed-forward block keeps.
#[derive(Default)]
pub struct FeedTape {
    pub normed: Normed,
    /// GELU's values, `[slots, rows, 4 width]`.
    pub hidden: Vec<f32>,
    /// GELU's slopes, then the gradient of what it is applied to.
    pub slope: Vec<f32>,
    pub branch: Vec<f32>,
}

impl FeedTape {
    pub fn ensure(&mut self, slots: usize, block: Block, backward: bool) {
        self.normed.ensure(slots, block);
        ensure(&mut self.hidden, slots * 4 * block.size());
        ensure(&mut self.slope, slots * 4 * block.size());
        if backward {
            ensure(&mut self.branch, slots * block.size());
        }
    }

    pub fn forward(&mut self, shared: &Shared<'_>, layer: &FeedForward, pass: Pass<'_>, x: &mut [f32], scratch: &mut Scratch) {
        let block = pass.block;
        let size = block.size();
        ensure(&mut scratch.normed, size);
        let normed = &mut scratch.normed[..size];
        self.normed.forward(shared, layer.norm, pass.slot, block, x, normed);
        let slope = slot(&mut self.slope, pass.slot, 4 * size);
        let hidden = slot(&mut self.hidden, pass.slot, 4 * size);
        shared.linear(layer.widen, normed, block.rows(), slope, 4 * block.width, false);
        shared.kernel.gelu(slope, hidden);
        shared.branch(layer.narrow, hidden, x, block, pass.site, &mut scratch.branch);
    }

    pub fn backward(
        &mut self,
        shared: &Shared<'_>,
        layer: &FeedForward,
        pass: Pass<'_>,
        dx: &mut [f32],
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let block = pass.block;
        let (size, width) = (block.size(), block.width);
        scratch.branch_backward(shared, layer.narrow, pass, dx, slot(&mut self.branch, pass.slot, size), sums);
        let slope = slot(&mut self.slope, pass.slot, 4 * size);
        let widened = &mut sums[layer.widen.bias.sums..];
        shared.kernel.multiply(slope, &scratch.seen_gradient[..4 * size], 4 * width, widened);
        ensure(&mut scratch.normed, size);
        let normed = &mut scratch.normed[..size];
        shared.linear_backward(layer.widen, 1, Rows { values: slope, row: 4 * width }, block.rows(), normed, false);
        self.normed.backward(shared, layer.norm, (pass.slot, block), normed, dx, sums);
    }
}
