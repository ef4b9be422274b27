//! Mistakes on purpose, so that tests can see them found.

use burn::tensor::{Tensor, TensorData};

use super::layout::{Layout, read_vector};
use crate::execute::Failure;
use crate::history::At;
use crate::task::loss::Loss;

/// A mistake in the training of the leaf with this seed in force.
#[derive(Clone, Debug, PartialEq)]
pub enum Planted {
    /// The first element of a tensor is moved by one unit in the last place after the update of a step.
    Value { seed: u64, step: u64, tensor: String },
    /// The same of a tensor's gradient.
    Gradient { seed: u64, step: u64, tensor: String },
    /// A term of the loss is multiplied by a factor from a step on, as if a constant in it had been changed.
    Term { seed: u64, from: u64, loss: Loss, factor: f64 },
}

impl Planted {
    /// Moves a vector of values or of gradients where one is planted.
    pub fn moved(&self, at: &At, layout: &Layout, vector: Tensor<1>, is_value: bool) -> Result<Tensor<1>, Failure> {
        let tensor = match self {
            Planted::Value { seed, step, tensor } if is_value && (*seed, *step) == (at.seed, at.step) => tensor,
            Planted::Gradient { seed, step, tensor } if !is_value && (*seed, *step) == (at.seed, at.step) => tensor,
            _ => return Ok(vector),
        };
        let place = layout.first_element(tensor).ok_or_else(|| Failure::Misfit(format!("no tensor `{tensor}`")))?;
        let device = vector.device();
        let mut values = read_vector(vector)?;
        values[place] = f32::from_bits(values[place].to_bits() ^ 1);
        let shape = [values.len()];
        Ok(Tensor::from_data(TensorData::new(values, shape), &device))
    }

    /// What a term is multiplied by.
    pub fn factor(&self, at: &At, term: Loss) -> f64 {
        match *self {
            Planted::Term { seed, from, loss, factor } if (seed, loss) == (at.seed, term) && at.step >= from => factor,
            _ => 1.0,
        }
    }
}
