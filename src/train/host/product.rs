//! Products of matrices in f32: small tiles of the result are held in registers while the sum runs.
//!
//! Every element of a result is one sum over k in ascending order with fused multiply-adds, whatever the tile, the vector
//! width and the number of threads: the bits depend on the matrices alone.

use pulp::{Simd, WithSimd};

use super::rows::Kernel;

/// What the sums of a product start from.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    Zero,
    /// A value for each column.
    Bias(&'a [f32]),
    /// What the result holds.
    Result,
    /// What the result holds plus a value for each column.
    ResultAndBias(&'a [f32]),
}

/// C = start + A B for A `[m, k]`, B `[k, n]`, C `[m, n]`, as rows that lie `row` elements apart in their slices.
///
/// With `TRANSPOSED` the slice of A holds its transpose, `[k, m]`. Whole vectors are read from the rows of B: its slice goes
/// on for at least [`SLACK`] elements after the last row, whatever they hold.
pub struct Product<'a, const TRANSPOSED: bool> {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub a: Rows<'a>,
    pub b: Rows<'a>,
    pub c: &'a mut [f32],
    pub c_row: usize,
    pub start: Start<'a>,
}

/// A matrix in a slice: its rows begin `row` elements apart.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [f32],
    pub row: usize,
}

/// Elements that may be read after the end of a right-hand matrix.
pub const SLACK: usize = 64;

/// Columns of a panel: a matrix that is used often is packed into panels of so many columns, one after the other, each with
/// its rows side by side. The last panel has the columns that are left.
pub const PANEL: usize = 64;

/// Vectors side by side in the widest tile. With 32 registers 24 hold sums, with 16 twelve.
pub const fn widest(lanes: usize) -> usize {
    match lanes {
        1 => 1,
        8 => 2,
        _ => 4,
    }
}

/// Rows of the highest tile of C vectors.
const fn highest(lanes: usize, vectors: usize) -> usize {
    let sums = match lanes {
        1 => 4,
        8 => 12,
        _ => 24,
    };
    let rows = sums / vectors;
    if rows > 12 { 12 } else { rows }
}

/// Cuts a length into the fewest parts of at most `most`, as even as can be: gives each one's start and length.
pub fn parts(length: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = length.div_ceil(most);
    (0..count).map(move |index| {
        let (from, to) = (index * length / count, (index + 1) * length / count);
        (from, to - from)
    })
}

impl<const TRANSPOSED: bool> WithSimd for Product<'_, TRANSPOSED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        for (vector, vectors) in parts(self.n.div_ceil(lanes), widest(lanes)) {
            let from = vector * lanes;
            let b = Rows { values: &self.b.values[from..], row: self.b.row };
            let (start, c) = (after(self.start, from), &mut self.c[from..]);
            let n = (vectors * lanes).min(self.n - from);
            let part = Product::<TRANSPOSED> { n, b, c, start, ..self };
            panel(simd, vectors, part);
        }
    }
}

/// The start of the columns from `column` on.
pub fn after(start: Start<'_>, column: usize) -> Start<'_> {
    match start {
        Start::Bias(bias) => Start::Bias(&bias[column..]),
        Start::ResultAndBias(bias) => Start::ResultAndBias(&bias[column..]),
        Start::Zero | Start::Result => start,
    }
}

/// A product whose columns fit one tile of so many vectors.
#[inline(always)]
pub fn panel<S: Simd, const TRANSPOSED: bool>(simd: S, vectors: usize, part: Product<'_, TRANSPOSED>) {
    match vectors {
        1 => simd.vectorize(Panel::<1, TRANSPOSED>(part)),
        2 => simd.vectorize(Panel::<2, TRANSPOSED>(part)),
        3 => simd.vectorize(Panel::<3, TRANSPOSED>(part)),
        _ => simd.vectorize(Panel::<4, TRANSPOSED>(part)),
    }
}

/// C = start + A B for a B that is packed into panels.
pub struct Packed<'a> {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub a: Rows<'a>,
    pub b: &'a [f32],
    pub c: &'a mut [f32],
    pub c_row: usize,
    pub start: Start<'a>,
}

impl Packed<'_> {
    /// Out of line: its tiles are much code, compiled once.
    #[inline(never)]
    pub fn compute(self, kernel: Kernel) {
        kernel.0.dispatch(self);
    }
}

impl WithSimd for Packed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for from in (0..self.n).step_by(PANEL) {
            let n = PANEL.min(self.n - from);
            let b = Rows { values: &self.b[from * self.k..], row: n };
            let (start, c) = (after(self.start, from), &mut self.c[from..]);
            let Packed { m, k, a, c_row, .. } = self;
            simd.vectorize(Product::<false> { m, k, n, a, b, c, c_row, start });
        }
    }
}

/// Packs a matrix of so many columns, whose element at a row and a column from some column on is the iterator's, into panels.
pub fn pack<'a>(rows: usize, columns: usize, row: impl Fn(usize, usize) -> &'a [f32], into: &mut [f32]) {
    for from in (0..columns).step_by(PANEL) {
        let n = PANEL.min(columns - from);
        let panel = &mut into[from * rows..][..n * rows];
        for (index, line) in panel.chunks_exact_mut(n).enumerate() {
            line.copy_from_slice(&row(index, from)[..n]);
        }
    }
}

/// Packs the transpose of a matrix `[rows, columns]` into panels of a matrix whose rows from `first` on, of `total`, it is.
pub fn pack_turned(from: &[f32], (rows, columns): (usize, usize), (first, total): (usize, usize), into: &mut [f32]) {
    for row in (0..rows).step_by(PANEL) {
        let n = PANEL.min(rows - row);
        let panel = &mut into[row * total + first * n..][..columns * n];
        // Sixteen columns at a time: both sides stay in the cache.
        for (block, lines) in panel.chunks_mut(TURNED * n).enumerate() {
            for index in 0..n {
                let source = &from[(row + index) * columns + block * TURNED..];
                for (line, value) in lines.chunks_exact_mut(n).zip(source) {
                    line[index] = *value;
                }
            }
        }
    }
}

/// Columns that are turned at a time.
const TURNED: usize = 16;

struct Panel<'a, const C: usize, const TRANSPOSED: bool>(Product<'a, TRANSPOSED>);

impl<const C: usize, const TRANSPOSED: bool> WithSimd for Panel<'_, C, TRANSPOSED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut p = self.0;
        if C > widest(S::F32_LANES) {
            return;
        }
        for (from, rows) in parts(p.m, highest(S::F32_LANES, C)) {
            match rows {
                1 => tile::<S, 1, C, TRANSPOSED>(simd, &mut p, from),
                2 => tile::<S, 2, C, TRANSPOSED>(simd, &mut p, from),
                3 => tile::<S, 3, C, TRANSPOSED>(simd, &mut p, from),
                4 => tile::<S, 4, C, TRANSPOSED>(simd, &mut p, from),
                5 => tile::<S, 5, C, TRANSPOSED>(simd, &mut p, from),
                6 => tile::<S, 6, C, TRANSPOSED>(simd, &mut p, from),
                7 => tile::<S, 7, C, TRANSPOSED>(simd, &mut p, from),
                8 => tile::<S, 8, C, TRANSPOSED>(simd, &mut p, from),
                9 => tile::<S, 9, C, TRANSPOSED>(simd, &mut p, from),
                10 => tile::<S, 10, C, TRANSPOSED>(simd, &mut p, from),
                11 => tile::<S, 11, C, TRANSPOSED>(simd, &mut p, from),
                _ => tile::<S, 12, C, TRANSPOSED>(simd, &mut p, from),
            }
        }
    }
}

/// R rows from `from` on of a product of C vectors of columns.
#[inline(always)]
fn tile<S: Simd, const R: usize, const C: usize, const TRANSPOSED: bool>(
    simd: S,
    p: &mut Product<'_, TRANSPOSED>,
    from: usize,
) {
    // More than any panel asks for: keeps the compiler from making tiles that spill.
    if R > highest(S::F32_LANES, C) {
        return;
    }
    let mut sums = [[simd.splat_f32s(0.0); C]; R];
    if let Start::Bias(bias) | Start::ResultAndBias(bias) = p.start {
        let bias = load::<S, C>(simd, &bias[..p.n]);
        sums = [bias; R];
    }
    if let Start::Result | Start::ResultAndBias(_) = p.start {
        for (i, sum) in sums.iter_mut().enumerate() {
            let at = (from + i) * p.c_row;
            let held = load::<S, C>(simd, &p.c[at..at + p.n]);
            for j in 0..C {
                sum[j] = simd.add_f32s(sum[j], held[j]);
            }
        }
    }
    let sums = summed::<S, R, C, TRANSPOSED>(simd, sums, p.k, p.a, p.b, from);
    for (i, sum) in sums.iter().enumerate() {
        let at = (from + i) * p.c_row;
        store::<S, C>(simd, &mut p.c[at..at + p.n], sum);
    }
}

/// The sums with all products added. They are indexed by constants only here, so that they stay in registers.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "all rows are indexed by the step")]
fn summed<S: Simd, const R: usize, const C: usize, const TRANSPOSED: bool>(
    simd: S,
    start: [[S::f32s; C]; R],
    k: usize,
    a: Rows<'_>,
    b: Rows<'_>,
    from: usize,
) -> [[S::f32s; C]; R] {
    let mut sums = start;
    if TRANSPOSED {
        for step in 0..k {
            let scalars: &[f32; R] = a.values[step * a.row + from..].first_chunk().expect("a row of A");
            let right = vectors::<S, C>(&b.values[step * b.row..]);
            add::<S, R, C>(simd, &mut sums, |i| scalars[i], right);
        }
    } else {
        let rows: [&[f32]; R] = std::array::from_fn(|i| &a.values[(from + i) * a.row..][..k]);
        for step in 0..k {
            let right = vectors::<S, C>(&b.values[step * b.row..]);
            add::<S, R, C>(simd, &mut sums, |i| rows[i][step], right);
        }
    }
    sums
}

#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "loops over constants are unrolled before arrays become registers")]
fn add<S: Simd, const R: usize, const C: usize>(
    simd: S,
    sums: &mut [[S::f32s; C]; R],
    left: impl Fn(usize) -> f32,
    right: &[S::f32s],
) {
    for i in 0..R {
        let scalar = simd.splat_f32s(left(i));
        for j in 0..C {
            sums[i][j] = simd.mul_add_f32s(scalar, right[j], sums[i][j]);
        }
    }
}

/// The first C vectors of a slice.
#[inline(always)]
fn vectors<S: Simd, const C: usize>(values: &[f32]) -> &[S::f32s] {
    S::as_simd_f32s(&values[..C * S::F32_LANES]).0
}

/// C vectors from at most as many elements; 0 after their end.
#[inline(always)]
fn load<S: Simd, const C: usize>(simd: S, values: &[f32]) -> [S::f32s; C] {
    if values.len() == C * S::F32_LANES {
        let whole = vectors::<S, C>(values);
        return std::array::from_fn(|j| whole[j]);
    }
    std::array::from_fn(|j| simd.partial_load_f32s(&values[(j * S::F32_LANES).min(values.len())..]))
}

#[inline(always)]
fn store<S: Simd, const C: usize>(simd: S, into: &mut [f32], values: &[S::f32s; C]) {
    if into.len() == C * S::F32_LANES {
        let whole = S::as_mut_simd_f32s(into).0;
        whole[..C].copy_from_slice(values);
        return;
    }
    for (part, &value) in into.chunks_mut(S::F32_LANES).zip(values) {
        simd.partial_store_f32s(part, value);
    }
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// The sum that every element is, in the same order.
    fn element(k: usize, start: f32, a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32) -> f32 {
        (0..k).fold(start, |sum, step| a(step).mul_add(b(step), sum))
    }

    #[test]
    fn every_element_is_one_sum_in_order_for_all_shapes_and_starts() {
        for (m, k, n) in [(1, 1, 1), (5, 3, 12), (12, 16, 64), (13, 7, 65), (31, 48, 144), (25, 9, 16), (7, 2, 100)] {
            let (a, b) = (values(m * k, 1), values(k * n + SLACK, 2));
            let (bias, before) = (values(n, 3), values(m * n, 4));
            let transposed: Vec<f32> = (0..m * k).map(|at| a[at % m * k + at / m]).collect();
            for way in 0..4 {
                let start = [Start::Zero, Start::Bias(&bias), Start::Result, Start::ResultAndBias(&bias)][way];
                let (mut c, mut d) = (before.clone(), before.clone());
                let right = Rows { values: &b, row: n };
                let left = Rows { values: &a, row: k };
                Arch::new().dispatch(Product::<false> { m, k, n, a: left, b: right, c: &mut c, c_row: n, start });
                let left = Rows { values: &transposed, row: m };
                Arch::new().dispatch(Product::<true> { m, k, n, a: left, b: right, c: &mut d, c_row: n, start });
                assert_eq!(c, d);
                for at in 0..m * n {
                    let first = [0.0, bias[at % n], before[at], bias[at % n] + before[at]][way];
                    let expected = element(k, first, |step| a[at / n * k + step], |step| b[step * n + at % n]);
                    assert_eq!(c[at], expected, "{m} {k} {n} {way} {at}");
                }
            }
        }
    }

    #[test]
    fn parts_are_even_and_cover_all() {
        assert_eq!(parts(31, 12).collect::<Vec<_>>(), [(0, 10), (10, 10), (20, 11)]);
        assert_eq!(parts(0, 12).count(), 0);
        assert_eq!(parts(9, 4).map(|part| part.1).sum::<usize>(), 9);
    }
}
