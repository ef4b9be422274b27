//! Exponential, GELU and logistic function in f32, as straight-line arithmetic that compilers turn into vector instructions.

/// 1.5 * 2^23 + 127: added to a small number it leaves the number, rounded and moved by an exponent's bias, in the low bits.
const ROUND: f32 = 12_583_039.0;
/// ln 2 in two parts, the first with few enough bits that its small multiples are exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// Below this exp gives 0, so that what is hidden in a softmax has exactly no weight.
const LOWEST: f32 = -87.3;
const HIGHEST: f32 = 88.0;

/// exp(x), about 1 ulp; 0 below -87.3 and capped at exp(88). 2^n exp(r) with |r| <= ln 2 / 2, exp(r) = 1 + r + r^2 q(r) by a
/// minimax polynomial.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let capped = if x > HIGHEST { HIGHEST } else { x };
    let moved = capped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = moved - ROUND;
    let r = n.mul_add(-LN_2.1, n.mul_add(-LN_2.0, capped));
    let q = polynomial(r, [4.999_999_3e-1, 1.666_652_1e-1, 4.166_839e-2, 8.368_717e-3, 1.381_459_7e-3]);
    let mantissa = (r * r).mul_add(q, r) + 1.0;
    let value = mantissa * f32::from_bits(moved.to_bits() << 23);
    if x < LOWEST { 0.0 } else { value }
}

/// x Phi(x) with the normal distribution's Phi, and its derivative Phi(x) + x phi(x). Phi is within 8e-8: near 0 it is
/// 1/2 + x p(x^2), further out exp(-x^2 / 2) t q(t) with t = 1 / (1 + 0.4 |x|), both minimax fits.
#[inline(always)]
pub fn gelu(x: f32) -> (f32, f32) {
    let square = x * x;
    let near = [3.989_422_7e-1, -6.649_027e-2, 9.973_01e-3, -1.186_143e-3, 1.141_044_9e-4, -8.629_879e-6, 3.995_912_4e-7];
    let middle = polynomial(square, near).mul_add(x, 0.5);
    let bell = exp(-0.5 * square);
    let t = 1.0 / x.abs().mul_add(0.4, 1.0);
    let far = [1.595_973e-1, 1.590_742_8e-1, 1.391_690_4e-1, 5.501_024_4e-2, 1.062_245_6e-1, -1.870_859_4e-1, 6.829_157e-2];
    let tail = bell * t * polynomial(t, far);
    let outer = if x > 0.0 { 1.0 - tail } else { tail };
    let share = if x.abs() < 1.5 { middle } else { outer };
    // phi(x) = exp(-x^2 / 2) / sqrt(2 pi).
    (x * share, (x * bell).mul_add(0.398_942_3, share))
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Horner's rule; coefficients from the constant up.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = coefficients[N - 1];
    for index in (0..N - 1).rev() {
        value = value.mul_add(x, coefficients[index]);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf by its series, in f64.
    fn erf(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    fn grid(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..=40_000).map(move |step| from + (to - from) * step as f32 / 40_000.0)
    }

    #[test]
    fn exp_is_close_and_hides_what_is_hidden() {
        for x in grid(-87.2, 87.9) {
            let error = f64::from(exp(x)) / f64::from(x).exp() - 1.0;
            assert!(error.abs() < 1.6e-7, "{x}: {error}");
        }
        assert_eq!((exp(0.0), exp(-1e9), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan() && exp(1000.0).is_finite());
    }

    #[test]
    fn gelu_and_its_slope_are_close() {
        for x in grid(-5.0, 5.0) {
            let wide = f64::from(x);
            let share = 0.5 + 0.5 * erf(wide / 2_f64.sqrt());
            let bell = (-0.5 * wide * wide).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let (value, slope) = gelu(x);
            assert!((f64::from(value) - wide * share).abs() < 1.2e-7 * (1.0 + wide.abs()), "{x}");
            assert!((f64::from(slope) - share - wide * bell).abs() < 2e-7, "{x}");
        }
        assert_eq!((gelu(100.0), gelu(-100.0)), ((100.0, 1.0), (-0.0, 0.0)));
        assert!(gelu(f32::NAN).0.is_nan());
    }

    #[test]
    fn the_logistic_function_keeps_its_bounds() {
        assert_eq!((sigmoid(0.0), sigmoid(200.0)), (0.5, 1.0));
        assert!(sigmoid(-200.0) < 1e-37);
    }
}
