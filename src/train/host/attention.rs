//! Scaled dot-product attention with several heads (Vaswani et al., 2017), forward and backward, of some samples.
//!
//! Heads are columns of the same rows: nothing is copied to split or join them. Keys are padded to whole vectors; what pads
//! them has a bias that leaves it no share.

use pulp::{Simd, WithSimd};

use super::product::{Product, Rows, Start};
use super::rows::{Kernel, PARTIAL, softmax, softmax_backward};

/// Bias of what is never seen: its share is exactly 0.
pub const HIDDEN: f32 = -1e9;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub samples: usize,
    pub heads: usize,
    /// Columns of a head.
    pub depth: usize,
    /// Queries of a sample.
    pub queries: usize,
    /// Keys of a sample.
    pub keys: usize,
}

impl Shape {
    /// Keys with their padding.
    pub fn padded(&self) -> usize {
        self.keys.next_multiple_of(PARTIAL)
    }

    /// Elements of the shares, `[samples, heads, queries, padded]`.
    pub fn shares(&self) -> usize {
        self.samples * self.heads * self.queries * self.padded()
    }

    /// Elements of turned keys or values, `[samples, heads, depth, padded]`.
    pub fn turned(&self) -> usize {
        self.samples * self.heads * self.depth * self.padded()
    }

    fn scale(&self) -> f32 {
        (1.0 / (self.depth as f64).sqrt()) as f32
    }
}

/// What is added to the scores of the keys.
#[derive(Clone, Copy)]
pub struct Bias<'a> {
    pub values: &'a [f32],
    /// Elements from one sample's bias to the next; 0 where all share one.
    pub row: usize,
}

/// seen = softmax(scale Q K^T + bias) V, and the shares.
pub struct Attend<'a> {
    pub shape: Shape,
    pub query: Rows<'a>,
    /// K^T, `[samples, heads, depth, padded]`, 0 in the padding.
    pub turned_keys: &'a [f32],
    pub values: Rows<'a>,
    pub bias: Bias<'a>,
    pub shares: &'a mut [f32],
    /// `[samples, queries, heads, depth]`.
    pub seen: &'a mut [f32],
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Shape { samples, heads, depth, queries, keys } = self.shape;
        let (padded, width, scale) = (self.shape.padded(), heads * depth, self.shape.scale());
        for sample in 0..samples {
            let bias = &self.bias.values[sample * self.bias.row..][..padded];
            for head in 0..heads {
                let number = sample * heads + head;
                let shares = &mut self.shares[number * queries * padded..][..queries * padded];
                let a = part(self.query, sample * queries, head * depth);
                let b = Rows { values: &self.turned_keys[number * depth * padded..], row: padded };
                let scores = Product { m: queries, k: depth, n: padded, a, b, c: shares, c_row: padded, start: Start::Zero };
                call(simd, scores);
                simd.vectorize(Softmax { shares, padded, scale, bias });
                let a = Rows { values: shares, row: padded };
                let b = part(self.values, sample * keys, head * depth);
                let c = &mut self.seen[sample * queries * width + head * depth..];
                call(simd, Product { m: queries, k: keys, n: depth, a, b, c, c_row: width, start: Start::Zero });
            }
        }
    }
}

/// Gradients of an attention's queries, keys and values from that of what it has seen.
pub struct AttendBackward<'a> {
    pub shape: Shape,
    pub query: Rows<'a>,
    pub keys: Rows<'a>,
    /// V^T, `[samples, heads, depth, padded]`, 0 in the padding.
    pub turned_values: &'a [f32],
    pub shares: &'a [f32],
    /// `[samples, queries, heads, depth]`.
    pub seen_gradient: &'a [f32],
    /// `[samples, queries, heads, depth]`.
    pub query_gradient: &'a mut [f32],
    /// `[samples, keys, 2, heads, depth]`: keys, then values.
    pub memory_gradient: &'a mut [f32],
    /// Whether the memory's gradient is added to what is there.
    pub add: bool,
    /// At least `[queries, padded]`.
    pub scratch: &'a mut [f32],
}

impl WithSimd for AttendBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Shape { samples, heads, depth, queries, keys } = self.shape;
        let (padded, width, scale) = (self.shape.padded(), heads * depth, self.shape.scale());
        let start = if self.add { Start::Result } else { Start::Zero };
        for number in 0..samples * heads {
            let (sample, column) = (number / heads, number % heads * depth);
            let shares = &self.shares[number * queries * padded..][..queries * padded];
            let seen = part(Rows { values: self.seen_gradient, row: width }, sample * queries, column);
            let query = part(self.query, sample * queries, column);
            let gradient = &mut self.scratch[..queries * padded];
            let b = Rows { values: &self.turned_values[number * depth * padded..], row: padded };
            let c_row = padded;
            call(simd, Product { m: queries, k: depth, n: padded, a: seen, b, c: gradient, c_row, start: Start::Zero });
            simd.vectorize(SoftmaxBackward { gradient, shares, padded, scale });
            let (a, c_row) = (Rows { values: shares, row: padded }, 2 * width);
            let c = &mut self.memory_gradient[sample * keys * c_row + width + column..];
            simd.vectorize(Product::<true> { m: keys, k: queries, n: depth, a, b: seen, c, c_row, start });
            let a = Rows { values: gradient, row: padded };
            let c = &mut self.memory_gradient[sample * keys * c_row + column..];
            simd.vectorize(Product::<true> { m: keys, k: queries, n: depth, a, b: query, c, c_row, start });
            let b = part(self.keys, sample * keys, column);
            let c = &mut self.query_gradient[sample * queries * width + column..];
            call(simd, Product { m: queries, k: keys, n: depth, a, b, c, c_row: width, start: Start::Zero });
        }
    }
}

#[inline(always)]
fn call<S: Simd>(simd: S, product: Product<'_, false>) {
    simd.vectorize(product);
}

/// A matrix from a row and a column on.
#[inline(always)]
fn part(rows: Rows<'_>, row: usize, column: usize) -> Rows<'_> {
    Rows { values: &rows.values[row * rows.row + column..], row: rows.row }
}

struct Softmax<'a> {
    shares: &'a mut [f32],
    padded: usize,
    scale: f32,
    bias: &'a [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.shares.chunks_exact_mut(self.padded) {
            softmax(row, self.scale, self.bias);
        }
    }
}

struct SoftmaxBackward<'a> {
    gradient: &'a mut [f32],
    shares: &'a [f32],
    padded: usize,
    scale: f32,
}

impl WithSimd for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.gradient.chunks_exact_mut(self.padded).zip(self.shares.chunks_exact(self.padded));
        for (gradient, shares) in rows {
            softmax_backward(gradient, shares, self.scale);
        }
    }
}

/// Turning of keys or values.
struct Turn<'a> {
    shape: Shape,
    from: Rows<'a>,
    into: &'a mut [f32],
}

impl WithSimd for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Shape { heads, depth, keys, .. } = self.shape;
        let padded = self.shape.padded();
        for number in 0..self.shape.samples * heads {
            let source = part(self.from, number / heads * keys, number % heads * depth);
            let lines = self.into[number * depth * padded..][..depth * padded].chunks_exact_mut(padded);
            for (column, line) in lines.enumerate() {
                let (line, padding) = line.split_at_mut(keys);
                for (value, row) in line.iter_mut().zip(source.values.chunks(source.row)) {
                    *value = row[column];
                }
                padding.fill(0.0);
            }
        }
    }
}

impl Kernel {
    /// Turns keys or values, columns of rows: `[samples, keys, heads, depth]` to `[samples, heads, depth, padded]`.
    pub fn turn(self, shape: Shape, from: Rows<'_>, into: &mut [f32]) {
        self.0.dispatch(Turn { shape, from, into });
    }
}
