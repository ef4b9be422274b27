//! The network for looking only: no graph, no dropout, and in f32 whatever it was trained in, so that weights are judged alike.

use burn::tensor::{Tensor, TensorData};

use super::device::{Backend, Place};
use super::dropout::Dropout;
use super::host::HostNetwork;
use super::layout::Layout;
use super::network::{Arithmetic, Input, Network};
use crate::execute::Failure;
use crate::record::Tensors;
use crate::spec::Precision;
use crate::task::model::Recursive;

/// The network with fixed weights.
pub struct Forward {
    place: Place,
    way: Way,
}

enum Way {
    Host { network: Box<HostNetwork>, weights: Vec<f32> },
    Device(Box<Network>),
}

impl Forward {
    /// With weights given by path.
    pub fn new(model: &Recursive, weights: &Tensors, place: &Place) -> Result<Forward, Failure> {
        let layout = Layout::new(model);
        let way = match place.backend {
            Backend::Flex => Way::Host {
                network: Box::new(HostNetwork::new(model, place.crew.threads())),
                weights: layout.vector(weights, "", "weights")?,
            },
            Backend::Gpu(_) => {
                let vector = layout.place(weights, "", "weights", &place.device)?;
                let arithmetic = Arithmetic::new(Precision::F32, place);
                Way::Device(Box::new(Network::new(model, &layout, &layout.split(&vector), arithmetic)))
            }
        };
        Ok(Forward { place: place.clone(), way })
    }

    /// Logits after each supervised pass, `[T, B, L, V]`.
    pub fn logits(&mut self, input: Input) -> Tensor<4> {
        match &mut self.way {
            Way::Device(network) => network.forward(&input.place(&self.place.device), &Dropout::none(&self.place)),
            Way::Host { network, weights } => {
                let mut values = Vec::new();
                network.set_threads(self.place.crew.threads());
                network.evaluate(weights, &input.shown(), &mut values);
                let shape = network.logits_shape(input.rows);
                Tensor::from_data(TensorData::new(values, shape), &self.place.device)
            }
        }
    }

    /// Logits after the last pass, `[B, L, V]`.
    pub fn answers(&mut self, input: Input) -> Tensor<3> {
        last(self.logits(input))
    }
}

/// The last of the passes' logits.
pub fn last(logits: Tensor<4>) -> Tensor<3> {
    let [passes, rows, length, vocabulary] = logits.dims();
    logits.slice_dim(0, passes - 1..passes).reshape([rows, length, vocabulary])
}
