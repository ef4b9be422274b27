//! What is done element by element or row by row: layer norm, GELU, dropout and sums, forward and backward.
//!
//! Sums along a row run over 16 partial sums in a fixed order, so that they have the same bits at every vector width.

use pulp::Arch;

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

/// sum_i f(i) for i below `count`.
#[inline(always)]
fn sum(count: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0; PARTIAL];
    for chunk in 0..count / PARTIAL {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(chunk * PARTIAL + lane);
        }
    }
    for (lane, index) in (count / PARTIAL * PARTIAL..count).enumerate() {
        sums[lane] += f(index);
    }
    fold(sums, |a, b| a + b)
}

#[inline(always)]
fn fold(mut values: [f32; PARTIAL], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            values[lane] = f(values[lane], values[lane + half]);
        }
    }
    values[0]
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
    let factor = 1.0 / fold(sums, |a, b| a + b);
    row.iter_mut().for_each(|x| *x *= factor);
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
    let mean = fold(sums, |a, b| a + b);
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
    let mean = sum(width, |i| x[i]) / width as f32;
    let variance = sum(width, |i| (x[i] - mean) * (x[i] - mean)) / width as f32;
    let inverse = 1.0 / (variance + NORM_EPSILON).sqrt();
    for i in 0..width {
        hat[i] = (x[i] - mean) * inverse;
        normed[i] = hat[i].mul_add(gamma[i], beta[i]);
    }
    inverse
}

/// dx += (g - mean(g) - hat mean(g hat)) / deviation with g = gamma dy.
#[inline(always)]
fn norm_row_backward(dy: &[f32], hat: &[f32], inverse: f32, gamma: &[f32], dx: &mut [f32]) {
    let width = dx.len();
    let (dy, hat, gamma) = (&dy[..width], &hat[..width], &gamma[..width]);
    let mean = sum(width, |i| dy[i] * gamma[i]) / width as f32;
    let slope = sum(width, |i| dy[i] * gamma[i] * hat[i]) / width as f32;
    for i in 0..width {
        dx[i] += (dy[i] * gamma[i] - mean - hat[i] * slope) * inverse;
    }
}

#[inline(always)]
fn column_sums(x: &[f32], row: usize, sums: &mut [f32]) {
    let width = sums.len();
    // The last row of columns may end early.
    for x in x.chunks(row) {
        sums.iter_mut().zip(&x[..width]).for_each(|(sum, x)| *sum += x);
    }
}

#[inline(always)]
fn norm_sums(dy: &[f32], hat: &[f32], gamma: &mut [f32], beta: &mut [f32]) {
    let width = gamma.len();
    let beta = &mut beta[..width];
    for (dy, hat) in dy.chunks_exact(width).zip(hat.chunks_exact(width)) {
        for i in 0..width {
            gamma[i] = dy[i].mul_add(hat[i], gamma[i]);
            beta[i] += dy[i];
        }
    }
}

impl Kernel {
    /// Layer norm of each row of x. `hat` is (x - mean) / deviation, `inverse` is 1 / deviation.
    pub fn norm(self, x: &[f32], affine: Affine<'_>, hat: &mut [f32], inverse: &mut [f32], normed: &mut [f32]) {
        let width = affine.gamma.len();
        self.0.dispatch(|| {
            let out = hat.chunks_exact_mut(width).zip(normed.chunks_exact_mut(width)).zip(inverse);
            for (x, ((hat, normed), inverse)) in x.chunks_exact(width).zip(out) {
                *inverse = norm_row(x, affine, hat, normed);
            }
        });
    }

    /// Adds the gradient of a layer norm's x to dx.
    pub fn norm_backward(self, dy: &[f32], hat: &[f32], inverse: &[f32], gamma: &[f32], dx: &mut [f32]) {
        let width = gamma.len();
        self.0.dispatch(|| {
            let rows = dy.chunks_exact(width).zip(hat.chunks_exact(width)).zip(inverse);
            for (((dy, hat), &inverse), dx) in rows.zip(dx.chunks_exact_mut(width)) {
                norm_row_backward(dy, hat, inverse, gamma, dx);
            }
        });
    }

    /// Adds the gradients of a layer norm's parameters: sums of dy hat and of dy.
    pub fn norm_sums(self, dy: &[f32], hat: &[f32], gamma: &mut [f32], beta: &mut [f32]) {
        self.0.dispatch(|| norm_sums(dy, hat, gamma, beta));
    }

    /// Adds the sums over x's rows, whose first columns count.
    pub fn column_sums(self, x: &[f32], row: usize, sums: &mut [f32]) {
        self.0.dispatch(|| column_sums(x, row, sums));
    }

    /// GELU of what `slope` holds, which is replaced by GELU's derivative there.
    pub fn gelu(self, slope: &mut [f32], value: &mut [f32]) {
        self.0.dispatch(|| {
            for (slope, value) in slope.iter_mut().zip(value) {
                (*value, *slope) = gelu(*slope);
            }
        });
    }

    /// x <- x y.
    pub fn multiply(self, x: &mut [f32], y: &[f32]) {
        self.0.dispatch(|| x.iter_mut().zip(y).for_each(|(x, y)| *x *= y));
    }

    /// x <- x + y.
    pub fn add(self, x: &mut [f32], y: &[f32]) {
        self.0.dispatch(|| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
    }

    /// x + y, row by row of y: x has more rows and y begins anew.
    pub fn add_repeated(self, x: &mut [f32], y: &[f32]) {
        self.0.dispatch(|| {
            for x in x.chunks_exact_mut(y.len()) {
                x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
        });
    }

    /// x <- x + mask y, each sample `size` elements.
    pub fn add_kept(self, x: &mut [f32], y: &[f32], size: usize, site: Site<'_>) {
        let (threshold, scale) = (site.masks.threshold() as u32, site.masks.scale());
        for (sample, (x, y)) in x.chunks_exact_mut(size).zip(y.chunks_exact(size)).enumerate() {
            let key = site.masks.key(site.first_row + sample, site.number);
            self.0.dispatch(|| {
                for (index, (x, y)) in (0_u32..).zip(x.iter_mut().zip(y)) {
                    *x += y * if hash(index, key) < threshold { 0.0 } else { scale };
                }
            });
        }
    }

    /// y <- mask x, each sample `size` elements.
    pub fn keep(self, x: &[f32], y: &mut [f32], size: usize, site: Site<'_>) {
        if !site.masks.drops() {
            return y.copy_from_slice(x);
        }
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
            self.0.dispatch(|| {
                for (index, x) in (0_u32..).zip(x.iter_mut()) {
                    *x *= if hash(index, key) < threshold { 0.0 } else { scale };
                }
            });
        }
    }

    /// Softmax of each row; any width.
    pub fn softmax(self, x: &[f32], width: usize, shares: &mut [f32]) {
        self.0.dispatch(|| {
            for (x, p) in x.chunks_exact(width).zip(shares.chunks_exact_mut(width)) {
                let highest = x.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
                p.iter_mut().zip(x).for_each(|(p, x)| *p = exp(x - highest));
                let factor = 1.0 / sum(width, |i| p[i]);
                p.iter_mut().for_each(|p| *p *= factor);
            }
        });
    }

    /// Adds the gradient of a softmax's x: p (g - sum p g).
    pub fn softmax_backward(self, g: &[f32], shares: &[f32], width: usize, dx: &mut [f32]) {
        self.0.dispatch(|| {
            let rows = g.chunks_exact(width).zip(shares.chunks_exact(width));
            for ((g, p), dx) in rows.zip(dx.chunks_exact_mut(width)) {
                let mean = sum(width, |i| g[i] * p[i]);
                dx.iter_mut().zip(g.iter().zip(p)).for_each(|(dx, (g, p))| *dx += p * (g - mean));
            }
        });
    }

    /// Dot product of each row of x with w.
    pub fn dots(self, x: &[f32], w: &[f32], into: &mut [f32]) {
        self.0.dispatch(|| {
            for (x, into) in x.chunks_exact(w.len()).zip(into) {
                *into = sum(w.len(), |i| x[i] * w[i]);
            }
        });
    }

    /// x <- x + a w, row by row with each row's own a.
    pub fn add_scaled(self, x: &mut [f32], a: &[f32], w: &[f32]) {
        self.0.dispatch(|| {
            for (x, &a) in x.chunks_exact_mut(w.len()).zip(a) {
                x.iter_mut().zip(w).for_each(|(x, w)| *x = w.mul_add(a, *x));
            }
        });
    }
}
