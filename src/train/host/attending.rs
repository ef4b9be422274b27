//! The blocks of a transformer layer that attend: to themselves, and to a memory. See [`blocks`](super::blocks).

use super::attention::{Attend, AttendBackward, Bias, Shape};
use super::blocks::{Block, Normed, Pass, Scratch, Shared, ensure, from_slot, slot};
use super::plan::Attention;
use super::product::Rows;

/// What attention to itself keeps.
#[derive(Default)]
pub struct OwnTape {
    pub normed: Normed,
    /// Queries, keys and values, then their gradients, `[slots, rows, 3, width]`.
    pub inner: Vec<f32>,
    shares: Vec<f32>,
    /// What the heads have seen, `[slots, rows, width]`.
    pub seen: Vec<f32>,
    /// Gradient of the branch, `[slots, rows, width]`.
    pub branch: Vec<f32>,
}

impl OwnTape {
    pub fn ensure(&mut self, slots: usize, block: Block, shape: Shape, backward: bool) {
        self.normed.ensure(slots, block);
        ensure(&mut self.inner, slots * 3 * block.size());
        ensure(&mut self.shares, slots * shape.shares());
        ensure(&mut self.seen, slots * block.size());
        if backward {
            ensure(&mut self.branch, slots * block.size());
        }
    }

    pub fn forward(
        &mut self,
        shared: &Shared<'_>,
        layer: &Attention,
        pass: Pass<'_>,
        bias: Bias<'_>,
        x: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (block, shape) = (pass.block, own_shape(shared, pass.block));
        let (rows, width, size) = (block.rows(), block.width, block.size());
        ensure(&mut scratch.normed, size);
        ensure(&mut scratch.turned, shape.turned());
        let normed = &mut scratch.normed[..size];
        self.normed.forward(shared, layer.norm, pass.slot, block, x, normed);
        let inner = &mut self.inner[pass.slot * 3 * size..];
        for (part, linear) in [layer.query, layer.key, layer.value].into_iter().enumerate() {
            shared.linear(linear, normed, rows, &mut inner[part * width..], 3 * width, false);
        }
        let part = |part: usize| Rows { values: &inner[part * width..], row: 3 * width };
        shared.kernel.turn(shape, part(1), &mut scratch.turned);
        let seen = slot(&mut self.seen, pass.slot, size);
        shared.kernel.0.dispatch(Attend {
            shape,
            query: part(0),
            turned_keys: &scratch.turned,
            values: part(2),
            bias,
            shares: slot(&mut self.shares, pass.slot, shape.shares()),
            seen,
        });
        shared.branch(layer.output, seen, x, block, pass.site, &mut scratch.branch);
    }

    pub fn backward(
        &mut self,
        shared: &Shared<'_>,
        layer: &Attention,
        pass: Pass<'_>,
        dx: &mut [f32],
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (block, shape) = (pass.block, own_shape(shared, pass.block));
        let (rows, width, size) = (block.rows(), block.width, block.size());
        scratch.branch_backward(shared, layer.output, pass, dx, slot(&mut self.branch, pass.slot, size), sums);
        scratch.ensure_attention(shape);
        let inner = &mut self.inner[pass.slot * 3 * size..];
        let part = |part: usize| Rows { values: &inner[part * width..], row: 3 * width };
        shared.kernel.turn(shape, part(2), &mut scratch.turned);
        shared.kernel.0.dispatch(AttendBackward {
            shape,
            query: part(0),
            keys: part(1),
            turned_values: &scratch.turned,
            shares: slot(&mut self.shares, pass.slot, shape.shares()),
            seen_gradient: &scratch.seen_gradient,
            query_gradient: &mut scratch.query_gradient,
            memory_gradient: &mut scratch.memory_gradient,
            add: false,
            scratch: &mut scratch.scores,
        });
        let gradients = scratch.query_gradient.chunks_exact(width).zip(scratch.memory_gradient.chunks_exact(2 * width));
        for (inner, (query, memory)) in inner.chunks_exact_mut(3 * width).take(rows).zip(gradients) {
            inner[..width].copy_from_slice(query);
            inner[width..].copy_from_slice(memory);
        }
        let inner = &inner[..3 * size];
        for (part, linear) in [layer.query, layer.key, layer.value].into_iter().enumerate() {
            shared.bias_sums(linear.bias, &inner[part * width..], 3 * width, sums);
        }
        let normed = &mut scratch.normed[..size];
        shared.linear_backward(layer.query, 3, Rows { values: inner, row: 3 * width }, rows, normed, false);
        self.normed.backward(shared, layer.norm, (pass.slot, block), normed, dx, sums);
    }
}

/// Attention of some rows to themselves.
pub fn own_shape(shared: &Shared<'_>, block: Block) -> Shape {
    let heads = shared.plan.heads;
    Shape { samples: block.samples, heads, depth: block.width / heads, queries: block.each, keys: block.each }
}

/// What attention to a memory keeps.
#[derive(Default)]
pub struct CrossTape {
    pub normed: Normed,
    /// Queries, then their gradients, `[slots, rows, width]`.
    pub query: Vec<f32>,
    shares: Vec<f32>,
    pub seen: Vec<f32>,
    pub branch: Vec<f32>,
    /// Elements of a slot's shares: enough for either memory.
    shares_size: usize,
}

/// What is attended to: keys and values, `[rows, 2, width]`, and one of them turned.
#[derive(Clone, Copy)]
pub struct Memory<'a> {
    pub shape: Shape,
    pub rows: &'a [f32],
    /// Keys in a forward, values in a backward pass; `None` where the scratch holds them.
    pub turned: Option<&'a [f32]>,
    pub bias: Bias<'a>,
}

impl CrossTape {
    pub fn ensure(&mut self, slots: usize, block: Block, shapes: [Shape; 2], backward: bool) {
        self.normed.ensure(slots, block);
        self.shares_size = shapes.map(|shape| shape.shares()).into_iter().max().unwrap_or(0);
        ensure(&mut self.query, slots * block.size());
        ensure(&mut self.shares, slots * self.shares_size);
        ensure(&mut self.seen, slots * block.size());
        if backward {
            ensure(&mut self.branch, slots * block.size());
        }
    }

    pub fn forward(
        &mut self,
        shared: &Shared<'_>,
        layer: &Attention,
        pass: Pass<'_>,
        memory: Memory<'_>,
        x: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let block = pass.block;
        let (width, size) = (block.width, block.size());
        ensure(&mut scratch.normed, size);
        let normed = &mut scratch.normed[..size];
        self.normed.forward(shared, layer.norm, pass.slot, block, x, normed);
        shared.linear(layer.query, normed, block.rows(), slot(&mut self.query, pass.slot, size), width, false);
        let seen = slot(&mut self.seen, pass.slot, size);
        shared.kernel.0.dispatch(Attend {
            shape: memory.shape,
            query: Rows { values: from_slot(&self.query, pass.slot, size), row: width },
            turned_keys: memory.turned.unwrap_or(&scratch.turned),
            values: Rows { values: &memory.rows[width..], row: 2 * width },
            bias: memory.bias,
            shares: slot(&mut self.shares, pass.slot, self.shares_size),
            seen,
        });
        shared.branch(layer.output, seen, x, block, pass.site, &mut scratch.branch);
    }

    /// The memory's gradient, `[rows, 2, width]`, is written beside it, or added to what is there.
    pub fn backward(
        &mut self,
        shared: &Shared<'_>,
        layer: &Attention,
        pass: Pass<'_>,
        (memory, into, add): (Memory<'_>, &mut [f32], bool),
        dx: &mut [f32],
        (sums, scratch): (&mut [f32], &mut Scratch),
    ) {
        let block = pass.block;
        let (width, size) = (block.width, block.size());
        scratch.branch_backward(shared, layer.output, pass, dx, slot(&mut self.branch, pass.slot, size), sums);
        scratch.ensure_attention(memory.shape);
        shared.kernel.0.dispatch(AttendBackward {
            shape: memory.shape,
            query: Rows { values: from_slot(&self.query, pass.slot, size), row: width },
            keys: Rows { values: memory.rows, row: 2 * width },
            turned_values: memory.turned.unwrap_or(&scratch.turned),
            shares: slot(&mut self.shares, pass.slot, self.shares_size),
            seen_gradient: &scratch.seen_gradient,
            query_gradient: &mut scratch.query_gradient,
            memory_gradient: into,
            add,
            scratch: &mut scratch.scores,
        });
        let query = slot(&mut self.query, pass.slot, size);
        query.copy_from_slice(&scratch.query_gradient[..size]);
        shared.bias_sums(layer.query.bias, query, width, sums);
        let normed = &mut scratch.normed[..size];
        shared.linear_backward(layer.query, 1, Rows { values: query, row: width }, block.rows(), normed, false);
        self.normed.backward(shared, layer.norm, (pass.slot, block), normed, dx, sums);
    }
}
