//! The recursive network: an encoder of the peaks, and a small decoder that is applied over and over to its own answer.
//!
//! Built anew from the parameters' vectors for each update (they are views), it holds no state of its own. The same code
//! runs with gradients (parameters that require them) and without.

mod arithmetic;
mod core;
mod encoder;
mod input;
mod layers;

use burn::tensor::Tensor;

pub use self::arithmetic::Arithmetic;
pub use self::input::{Input, Placed};
use super::dropout::Dropout;
use super::layout::Layout;
use crate::task::model::Recursive;

/// The network with its parameters on the device.
pub struct Network {
    encoder: encoder::Encoder,
    core: core::Core,
}

impl Network {
    /// Builds the network from the parameters' vectors, in the order of the layout.
    pub fn new(model: &Recursive, layout: &Layout, vectors: &[Tensor<1>], arithmetic: Arithmetic) -> Network {
        let source = Parameters { layout, vectors, arithmetic };
        Network { encoder: encoder::Encoder::new(model, &source), core: core::Core::new(model, &source) }
    }

    /// Logits after each supervised pass, `[T, B, L, V]`.
    pub fn forward(&self, input: &Placed, dropout: &Dropout) -> Tensor<4> {
        let spectrum = self.encoder.forward(input, dropout);
        Tensor::stack(self.core.forward(input, spectrum, dropout), 0)
    }
}

/// Finds parameters by path while the network is built.
struct Parameters<'a> {
    layout: &'a Layout,
    vectors: &'a [Tensor<1>],
    /// How the layers of encoder and decoder compute.
    arithmetic: Arithmetic,
}

impl Parameters<'_> {
    /// The parameter at a path. Paths and ranks are fixed in code, so a wrong one is a defect.
    fn get<const D: usize>(&self, path: &str) -> Tensor<D> {
        let found = self.layout.parameters().iter().position(|parameter| parameter.path == path);
        let index = found.unwrap_or_else(|| panic!("the model has no parameter `{path}`"));
        let shape: [usize; D] = self.layout.parameters()[index].shape[..].try_into().expect("the parameter's rank");
        self.vectors[index].clone().reshape(shape)
    }
}
