//! What is done element by element or row by row: layer norm, GELU, dropout and sums, forward and backward.
//!
//! Sums along a row run over 16 partial sums in a fixed order, so that they have the same bits at every vector width.

use pulp::{Arch, Simd, WithSimd};

use super::functions::{exp, gelu};
use super::masks::{Masks, hash};

/// Added to the variance in layer norms.
const NORM_EPSILON: f32 = 1e-5;
/// Partial sums of a row.
pub const PARTIAL: usize = 16;

/// Runs loops with the machine's vector instructions.
#[derive(Clone, Copy, Debug)]
pub struct Kernel(pub Arch);

/// The masks of one site for some rows of a batch.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub masks: &'a Masks,
    pub first_row: usize,
    pub number: u64,
}

/// Partial sums, or any 16 numbers side by side.
type Lanes = [f32; PARTIAL];

/// One number from 16, always in the same order.
#[inline(always)]
fn fold(values: Lanes, f: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| f(values[i], values[i + 8]));
    let four: [f32; 4] = std::array::from_fn(|i| f(eight[i], eight[i + 4]));
    f(f(four[0], four[2]), f(four[1], four[3]))
}

#[inline(always)]
fn total(sums: Lanes) -> f32 {
    fold(sums, |a, b| a + b)
}

/// f(values of the rows at a place, sum before) over all places of rows of equal length, lane by lane.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "all rows are indexed by the place")]
fn sum<const N: usize>(rows: [&[f32]; N], f: impl Fn([f32; N], f32) -> f32) -> f32 {
    let mut sums: Lanes = [0.0; PARTIAL];
    let chunks: [&[Lanes]; N] = rows.map(|row| row.as_chunks().0);
    let rest: [&[f32]; N] = rows.map(|row| row.as_chunks::<PARTIAL>().1);
    for at in 0..chunks[0].len() {
        let chunk: [&Lanes; N] = std::array::from_fn(|n| &chunks[n][at]);
        for lane in 0..PARTIAL {
            sums[lane] = f(std::array::from_fn(|n| chunk[n][lane]), sums[lane]);
        }
    }
    for (at, sum) in sums.iter_mut().take(rest[0].len()).enumerate() {
        *sum = f(std::array::from_fn(|n| rest[n][at]), *sum);
    }
    total(sums)
}

/// Softmax of scale x + bias in place; the row's length is a multiple of [`PARTIAL`].
#[inline(always)]
pub fn softmax(row: &mut [f32], scale: f32, bias: &[f32]) {
    let bias = &bias[..row.len()];
    let mut highest = [f32::NEG_INFINITY; PARTIAL];
    for (x, bias) in row.as_chunks_mut::<PARTIAL>().0.iter_mut().zip(bias.as_chunks::<PARTIAL>().0) {
        for lane in 0..PARTIAL {
            x[lane] = x[lane].mul_add(scale, bias[lane]);
            highest[lane] = if x[lane] > highest[lane] { x[lane] } else { highest[lane] };
        }
    }
    let highest = fold(highest, |a, b| if a > b { a } else { b });
    let mut sums = [0.0; PARTIAL];
    for x in row.as_chunks_mut::<PARTIAL>().0 {
        for lane in 0..PARTIAL {
            x[lane] = exp(x[lane] - highest);
            sums[lane] += x[lane];
        }
    }
    let factor = 1.0 / total(sums);
    for x in row.iter_mut() {
        *x *= factor;
    }
}

/// From the gradient of a softmax's result to that of its x, in place: scale p (g - sum p g).
#[inline(always)]
pub fn softmax_backward(gradient: &mut [f32], shares: &[f32], scale: f32) {
    let shares = &shares[..gradient.len()];
    let mut sums = [0.0_f32; PARTIAL];
    for (g, p) in gradient.as_chunks::<PARTIAL>().0.iter().zip(shares.as_chunks::<PARTIAL>().0) {
        for lane in 0..PARTIAL {
            sums[lane] = g[lane].mul_add(p[lane], sums[lane]);
        }
    }
    let mean = total(sums);
    for (g, p) in gradient.iter_mut().zip(shares) {
        *g = scale * (p * (*g - mean));
    }
}

/// Layer norm's parameters.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
}

#[inline(always)]
fn norm_row(x: &[f32], affine: Affine<'_>, hat: &mut [f32], normed: &mut [f32]) -> f32 {
    let width = x.len();
    let (gamma, beta) = (&affine.gamma[..width], &affine.beta[..width]);
    let (hat, normed) = (&mut hat[..width], &mut normed[..width]);
    let mean = sum([x], |[x], sum| sum + x) / width as f32;
    let variance = sum([x], |[x], sum| (x - mean).mul_add(x - mean, sum)) / width as f32;
    let inverse = 1.0 / (variance + NORM_EPSILON).sqrt();
    for i in 0..width {
        hat[i] = (x[i] - mean) * inverse;
        normed[i] = hat[i].mul_add(gamma[i], beta[i]);
    }
    inverse
}

/// dx += (g - mean(g) - hat mean(g hat)) / deviation with g = gamma dy; sums of dy hat and of dy.
#[inline(always)]
fn norm_row_backward(
    dy: &[f32],
    hat: &[f32],
    inverse: f32,
    gamma: &[f32],
    dx: &mut [f32],
    gamma_sums: &mut [f32],
    beta_sums: &mut [f32],
) {
    let width = dx.len();
    let (dy, hat, gamma) = (&dy[..width], &hat[..width], &gamma[..width]);
    let (gamma_sums, beta_sums) = (&mut gamma_sums[..width], &mut beta_sums[..width]);
    let mean = sum([dy, gamma], |[dy, gamma], sum| dy.mul_add(gamma, sum)) / width as f32;
    let slope = sum([dy, gamma, hat], |[dy, gamma, hat], sum| (dy * gamma).mul_add(hat, sum)) / width as f32;
    for i in 0..width {
        gamma_sums[i] = dy[i].mul_add(hat[i], gamma_sums[i]);
        beta_sums[i] += dy[i];
        dx[i] += (dy[i] * gamma[i] - mean - hat[i] * slope) * inverse;
    }
}

/// Work on slices that is compiled for the machine's vector instructions: its body is inlined into code that may use them,
/// which closures are not always.
macro_rules! vectorized {
    ($name:ident<'a> { $($field:ident: $type:ty),* } $body:block) => {
        struct $name<'a> {
            $($field: $type),*
        }

        impl<'a> WithSimd for $name<'a> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let $name { $($field),* } = self;
                $body
            }
        }
    };
}

vectorized!(ColumnSums<'a> { x: &'a [f32], row: usize, sums: &'a mut [f32] } {
    let width = sums.len();
    // The last row of columns may end early.
    for x in x.chunks(row) {
        for (sum, x) in sums.iter_mut().zip(&x[..width]) {
            *sum += x;
        }
    }
});

vectorized!(NormForward<'a> {
    x: &'a [f32],
    affine: Affine<'a>,
    hat: &'a mut [f32],
    inverse: &'a mut [f32],
    normed: &'a mut [f32]
} {
    let width = affine.gamma.len();
    let out = hat.chunks_exact_mut(width).zip(normed.chunks_exact_mut(width)).zip(inverse);
    for (x, ((hat, normed), inverse)) in x.chunks_exact(width).zip(out) {
        *inverse = norm_row(x, affine, hat, normed);
    }
});

vectorized!(NormBackward<'a> {
    dy: &'a [f32],
    hat: &'a [f32],
    inverse: &'a [f32],
    gamma: &'a [f32],
    dx: &'a mut [f32],
    sums: (&'a mut [f32], &'a mut [f32])
} {
    let width = gamma.len();
    let rows = dy.chunks_exact(width).zip(hat.chunks_exact(width)).zip(inverse);
    for (((dy, hat), &inverse), dx) in rows.zip(dx.chunks_exact_mut(width)) {
        norm_row_backward(dy, hat, inverse, gamma, dx, sums.0, sums.1);
    }
});

vectorized!(Gelu<'a> { slope: &'a mut [f32], value: &'a mut [f32] } {
    for (slope, value) in slope.iter_mut().zip(value) {
        (*value, *slope) = gelu(*slope);
    }
});

vectorized!(Multiply<'a> { x: &'a mut [f32], y: &'a [f32], row: usize, sums: &'a mut [f32] } {
    let sums = &mut sums[..row];
    for (x, y) in x.chunks_exact_mut(row).zip(y.chunks_exact(row)) {
        for ((x, y), sum) in x.iter_mut().zip(y).zip(sums.iter_mut()) {
            *x *= y;
            *sum += *x;
        }
    }
});

vectorized!(AddRepeated<'a> { x: &'a mut [f32], y: &'a [f32] } {
    for x in x.chunks_exact_mut(y.len()) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
});

vectorized!(AddKept<'a> { x: &'a mut [f32], y: &'a [f32], key: u32, threshold: u32, scale: f32 } {
    for (index, (x, y)) in (0_u32..).zip(x.iter_mut().zip(y)) {
        *x += y * if hash(index, key) < threshold { 0.0 } else { scale };
    }
});

vectorized!(Keep<'a> { x: &'a mut [f32], key: u32, threshold: u32, scale: f32 } {
    for (index, x) in (0_u32..).zip(x.iter_mut()) {
        *x *= if hash(index, key) < threshold { 0.0 } else { scale };
    }
});

vectorized!(Softmax<'a> { x: &'a [f32], width: usize, shares: &'a mut [f32] } {
    for (x, p) in x.chunks_exact(width).zip(shares.chunks_exact_mut(width)) {
        let mut highest = f32::NEG_INFINITY;
        for &x in x {
            highest = if x > highest { x } else { highest };
        }
        for (p, x) in p.iter_mut().zip(x) {
            *p = exp(x - highest);
        }
        let factor = 1.0 / sum([&*p], |[p], sum| sum + p);
        for p in p {
            *p *= factor;
        }
    }
});

vectorized!(SoftmaxBackward<'a> { gradient: &'a [f32], shares: &'a [f32], width: usize, dx: &'a mut [f32] } {
    let rows = gradient.chunks_exact(width).zip(shares.chunks_exact(width));
    for ((g, p), dx) in rows.zip(dx.chunks_exact_mut(width)) {
        let mean = sum([g, p], |[g, p], sum| g.mul_add(p, sum));
        for (dx, (g, p)) in dx.iter_mut().zip(g.iter().zip(p)) {
            *dx += p * (g - mean);
        }
    }
});

vectorized!(Dots<'a> { x: &'a [f32], w: &'a [f32], into: &'a mut [f32] } {
    for (x, into) in x.chunks_exact(w.len()).zip(into) {
        *into = sum([x, w], |[x, w], sum| x.mul_add(w, sum));
    }
});

vectorized!(AddScaled<'a> { x: &'a mut [f32], a: &'a [f32], w: &'a [f32] } {
    for (x, &a) in x.chunks_exact_mut(w.len()).zip(a) {
        for (x, w) in x.iter_mut().zip(w) {
            *x = w.mul_add(a, *x);
        }
    }
});

impl Kernel {
    /// Layer norm of each row of x. `hat` is (x - mean) / deviation, `inverse` is 1 / deviation.
    pub fn norm(self, x: &[f32], affine: Affine<'_>, hat: &mut [f32], inverse: &mut [f32], normed: &mut [f32]) {
        self.0.dispatch(NormForward { x, affine, hat, inverse, normed });
    }

    /// Adds the gradient of a layer norm's x to dx, and to the sums those of its parameters: sums of dy hat and of dy.
    pub fn norm_backward(
        self,
        dy: &[f32],
        (hat, inverse): (&[f32], &[f32]),
        gamma: &[f32],
        dx: &mut [f32],
        sums: (&mut [f32], &mut [f32]),
    ) {
        self.0.dispatch(NormBackward { dy, hat, inverse, gamma, dx, sums });
    }

    /// Adds the sums over x's rows, whose first columns count.
    pub fn column_sums(self, x: &[f32], row: usize, sums: &mut [f32]) {
        self.0.dispatch(ColumnSums { x, row, sums });
    }

    /// GELU of what `slope` holds, which is replaced by GELU's derivative there.
    pub fn gelu(self, slope: &mut [f32], value: &mut [f32]) {
        self.0.dispatch(Gelu { slope, value });
    }

    /// x <- x y, and adds the sums over x's rows.
    pub fn multiply(self, x: &mut [f32], y: &[f32], row: usize, sums: &mut [f32]) {
        self.0.dispatch(Multiply { x, y, row, sums });
    }

    /// x <- x + y.
    pub fn add(self, x: &mut [f32], y: &[f32]) {
        self.0.dispatch(AddRepeated { x, y });
    }

    /// x + y, where x has more rows and y begins anew.
    pub fn add_repeated(self, x: &mut [f32], y: &[f32]) {
        self.0.dispatch(AddRepeated { x, y });
    }

    /// x <- x + mask y, each sample `size` elements.
    pub fn add_kept(self, x: &mut [f32], y: &[f32], size: usize, site: Site<'_>) {
        let (threshold, scale) = (site.masks.threshold() as u32, site.masks.scale());
        for (sample, (x, y)) in x.chunks_exact_mut(size).zip(y.chunks_exact(size)).enumerate() {
            let key = site.masks.key(site.first_row + sample, site.number);
            self.0.dispatch(AddKept { x, y, key, threshold, scale });
        }
    }

    /// y <- mask x, each sample `size` elements.
    pub fn keep(self, x: &[f32], y: &mut [f32], size: usize, site: Site<'_>) {
        y.copy_from_slice(x);
        self.keep_in_place(y, size, site);
    }

    /// x <- mask x.
    pub fn keep_in_place(self, x: &mut [f32], size: usize, site: Site<'_>) {
        if !site.masks.drops() {
            return;
        }
        let (threshold, scale) = (site.masks.threshold() as u32, site.masks.scale());
        for (sample, x) in x.chunks_exact_mut(size).enumerate() {
            let key = site.masks.key(site.first_row + sample, site.number);
            self.0.dispatch(Keep { x, key, threshold, scale });
        }
    }

    /// Softmax of each row; any width.
    pub fn softmax(self, x: &[f32], width: usize, shares: &mut [f32]) {
        self.0.dispatch(Softmax { x, width, shares });
    }

    /// Adds the gradient of a softmax's x: p (g - sum p g).
    pub fn softmax_backward(self, gradient: &[f32], shares: &[f32], width: usize, dx: &mut [f32]) {
        self.0.dispatch(SoftmaxBackward { gradient, shares, width, dx });
    }

    /// Dot product of each row of x with w.
    pub fn dots(self, x: &[f32], w: &[f32], into: &mut [f32]) {
        self.0.dispatch(Dots { x, w, into });
    }

    /// x <- x + a w, row by row with each row's own a.
    pub fn add_scaled(self, x: &mut [f32], a: &[f32], w: &[f32]) {
        self.0.dispatch(AddScaled { x, a, w });
    }
}
