//! The layers that encoder and core are made of.

use burn::tensor::Tensor;

use super::Parameters;
use super::arithmetic::Arithmetic;
use crate::train::dropout::Dropout;

/// x W + b with W `[in, out]`.
pub struct Linear {
    weight: Tensor<2>,
    bias: Tensor<1>,
    arithmetic: Arithmetic,
}

impl Linear {
    pub fn new(source: &Parameters, path: &str, arithmetic: Arithmetic) -> Linear {
        let weight = arithmetic.side(source.get(&format!("{path}.weight")));
        Linear { weight, bias: source.get(&format!("{path}.bias")), arithmetic }
    }

    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.arithmetic.biased(self.product(x), self.bias.clone())
    }

    /// GELU(x W + b).
    fn activated(&self, x: Tensor<3>) -> Tensor<3> {
        self.arithmetic.gelu(self.product(x), self.bias.clone())
    }

    fn product(&self, x: Tensor<3>) -> Tensor<3> {
        self.arithmetic.apply(x, self.weight.clone())
    }
}

/// Layer norm over the last dimension.
pub struct Norm {
    gamma: Tensor<1>,
    beta: Tensor<1>,
    arithmetic: Arithmetic,
}

impl Norm {
    pub fn new(source: &Parameters, path: &str) -> Norm {
        let part = |name: &str| source.get(&format!("{path}.{name}"));
        Norm { gamma: part("gamma"), beta: part("beta"), arithmetic: source.arithmetic }
    }

    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.arithmetic.norm(x, self.gamma.clone(), self.beta.clone())
    }
}

/// What is attended to: keys `[B, H, d/H, S]` and values `[B, H, S, d/H]`, each a side of products, and what is added to the scores.
#[derive(Clone)]
pub struct Memory {
    keys: Tensor<4>,
    values: Tensor<4>,
    /// 0 for what may be seen, very negative for padding, `[B, 1, 1, S]`; `None` where all may be seen.
    bias: Option<Tensor<4>>,
}

/// Scaled dot-product attention with several heads (Vaswani et al., 2017).
pub struct Attention {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    arithmetic: Arithmetic,
}

impl Attention {
    pub fn new(source: &Parameters, path: &str, heads: u32) -> Attention {
        let arithmetic = source.arithmetic;
        let part = |name: &str| Linear::new(source, &format!("{path}.{name}"), arithmetic);
        Attention {
            heads: heads as usize,
            query: part("query"),
            key: part("key"),
            value: part("value"),
            output: part("output"),
            arithmetic,
        }
    }

    /// Keys and values of what is attended to, `[B, S, d]`: made once where it stays the same over several passes.
    pub fn memory(&self, x: Tensor<3>, bias: Option<Tensor<4>>) -> Memory {
        let side = |linear: &Linear, x| self.arithmetic.side(self.split(linear.forward(x)));
        Memory { keys: side(&self.key, x.clone()).swap_dims(2, 3), values: side(&self.value, x), bias }
    }

    /// Attends from x, `[B, Q, d]`.
    pub fn forward(&self, x: Tensor<3>, memory: &Memory) -> Tensor<3> {
        let [batch, length, width] = x.dims();
        let scale = 1.0 / ((width / self.heads) as f64).sqrt();
        let scores = self.arithmetic.multiply(self.split(self.query.forward(x)), memory.keys.clone());
        let shares = self.arithmetic.shares(scores, scale, memory.bias.clone());
        let seen = self.arithmetic.multiply(shares, memory.values.clone());
        self.output.forward(seen.swap_dims(1, 2).reshape([batch, length, width]))
    }

    /// `[B, S, d]` to `[B, H, S, d/H]`.
    fn split(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, length, width] = x.dims();
        x.reshape([batch, length, self.heads, width / self.heads]).swap_dims(1, 2)
    }
}

/// Two linear layers, four times as wide in between, with a GELU.
pub struct FeedForward {
    widen: Linear,
    narrow: Linear,
}

impl FeedForward {
    pub fn new(source: &Parameters, path: &str) -> FeedForward {
        FeedForward {
            widen: Linear::new(source, &format!("{path}.widen"), source.arithmetic),
            narrow: Linear::new(source, &format!("{path}.narrow"), source.arithmetic),
        }
    }

    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.narrow.forward(self.widen.activated(x))
    }
}

/// The residual stream plus a branch, whose elements are dropped by chance.
pub fn add(x: Tensor<3>, branch: Tensor<3>, dropout: &Dropout) -> Tensor<3> {
    x.add(dropout.apply(branch))
}
