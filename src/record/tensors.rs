//! The state of a training run as named tensors, without any framework.

use std::collections::BTreeMap;

/// Tensors by path, in the order of their paths.
pub type Tensors = BTreeMap<String, Tensor>;

/// A dense tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Values,
}

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    F32(Vec<f32>),
    U64(Vec<u64>),
}

impl Tensor {
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Tensor {
        Tensor { shape: shape.into(), values: Values::F32(values) }
    }

    /// A single whole number, for counters.
    pub fn counter(value: u64) -> Tensor {
        Tensor { shape: vec![], values: Values::U64(vec![value]) }
    }

    /// The elements, if they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.values {
            Values::F32(values) => Some(values),
            Values::U64(_) => None,
        }
    }

    /// The number of a counter.
    pub fn as_counter(&self) -> Option<u64> {
        match &self.values {
            Values::U64(values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }
}

/// Everything that must survive between two updates. All else is a function of the history and the step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Weights by parameter path.
    pub model: Tensors,
    /// Running average of the weights by parameter path, with its counter `updates`; empty while none is kept.
    pub ema: Tensors,
    /// Optimizer state: `<parameter path>.<moment>`, and counters.
    pub optimizer: Tensors,
}
