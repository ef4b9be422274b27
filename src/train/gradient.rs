//! Gradients of micro-batches: on the CPU through the network by hand, on a GPU through burn's graph. The losses are burn's
//! graph in both.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};

use super::crew::Member;
use super::device::{Backend, Place};
use super::dropout::Dropout;
use super::feed::Micro;
use super::host::{HostNetwork, Masks};
use super::layout::read_vector;
use super::network::{Arithmetic, Network};
use super::optimizer::Weights;
use super::planted::Planted;
use crate::execute::{Failure, Part};
use crate::history::At;
use crate::task::loss::Loss;
use crate::task::model::Recursive;

/// Gradient of the weighted sum, and the raw terms.
pub struct Gradient {
    pub vector: Tensor<1>,
    pub terms: BTreeMap<Loss, Tensor<1>>,
}

impl Gradient {
    pub fn add(self, other: Gradient) -> Gradient {
        let mut terms = other.terms;
        let both = |(loss, term): (Loss, Tensor<1>)| {
            let more = terms.remove(&loss).expect("the same losses in all micro-batches");
            (loss, term.add(more))
        };
        Gradient { vector: self.vector.add(other.vector), terms: self.terms.into_iter().map(both).collect() }
    }
}

/// What computes gradients.
pub struct Backprop {
    model: Recursive,
    place: Place,
    /// On the CPU: the network with its room for activations, and its place among those that train.
    host: Option<(HostNetwork, Member)>,
}

/// A micro-batch of a step.
pub struct Asked<'a> {
    pub at: &'a At,
    pub micro: Micro,
    pub planted: &'a [Planted],
    /// Told when the forward pass, with the losses, is over.
    pub lap: &'a dyn Fn(Part),
}

impl Backprop {
    pub fn new(model: &Recursive, place: &Place) -> Backprop {
        let host = (place.backend == Backend::Flex).then(|| (HostNetwork::new(model, 1), place.crew.join()));
        Backprop { model: model.clone(), place: place.clone(), host }
    }

    /// Gradient and raw terms of a micro-batch.
    pub fn gradient(&mut self, weights: &mut Weights, asked: Asked<'_>) -> Result<Gradient, Failure> {
        match &mut self.host {
            Some((host, member)) => {
                host.set_threads(member.threads());
                by_hand(host, weights, asked, &self.place)
            }
            None => Ok(by_graph(&self.model, weights, asked, &self.place)),
        }
    }
}

fn by_hand(host: &mut HostNetwork, weights: &mut Weights, asked: Asked<'_>, place: &Place) -> Result<Gradient, Failure> {
    let Asked { at, micro: Micro { slots, input, truth }, planted, lap } = asked;
    let masks = Masks::new(at.dropout, at.seed, at.step, slots);
    let mut values = Vec::new();
    weights.lend(|weights| host.forward(weights, &input.shown(), &masks, &mut values))?;
    let shape = host.logits_shape(input.rows);
    let logits = Tensor::<4>::from_data(TensorData::new(values, shape), &place.device).autodiff().require_grad();
    let (terms, total) = weighed(truth.place(&place.device).terms(logits.clone(), &at.weights), at, planted);
    lap(Part::Forward);
    let of_logits = logits.grad_remove(&mut total.backward()).expect("the total depends on the logits");
    let of_logits = read_vector(of_logits.reshape([shape.iter().product::<usize>()]))?;
    let mut vector = vec![0.0; host.padded()];
    weights.lend(|weights| host.backward(weights, &masks, &of_logits, &mut vector))?;
    let length = vector.len();
    Ok(Gradient { vector: Tensor::from_data(TensorData::new(vector, [length]), &place.device), terms })
}

/// The graph, down to its leaves, is made and consumed here: no two threads share any of it.
fn by_graph(model: &Recursive, weights: &Weights, asked: Asked<'_>, place: &Place) -> Gradient {
    let Asked { at, micro: Micro { slots, input, truth }, planted, lap } = asked;
    let device = &place.device;
    let dropout = Dropout::new(at.dropout, at.seed, at.step, slots, place);
    let leaves: Vec<Tensor<1>> = weights.parts().into_iter().map(|part| part.autodiff().require_grad()).collect();
    let network = Network::new(model, weights.layout(), &leaves, Arithmetic::new(at.precision, place));
    let logits = network.forward(&input.place(device), &dropout);
    let (terms, total) = weighed(truth.place(device).terms(logits, &at.weights), at, planted);
    lap(Part::Forward);
    let mut gradients = total.backward();
    let parts = leaves.iter().map(|leaf| match leaf.grad_remove(&mut gradients) {
        Some(gradient) => gradient,
        None => Tensor::zeros(leaf.dims(), device),
    });
    Gradient { vector: weights.layout().join(parts.collect(), device), terms }
}

/// The raw terms, without their graph, and their weighted sum.
fn weighed(terms: BTreeMap<Loss, Tensor<1>>, at: &At, planted: &[Planted]) -> (BTreeMap<Loss, Tensor<1>>, Tensor<1>) {
    let factor = |loss: Loss| planted.iter().map(|planted| planted.factor(at, loss)).product::<f64>();
    let terms = terms.into_iter().map(|(loss, term)| match factor(loss) {
        1.0 => (loss, term),
        changed => (loss, term.mul_scalar(changed)),
    });
    let terms: BTreeMap<Loss, Tensor<1>> = terms.collect();
    let weighted = terms.iter().map(|(loss, term)| term.clone().mul_scalar(at.weights[loss]));
    let total = weighted.reduce(Tensor::add).expect("cross-entropy is always computed");
    (terms.into_iter().map(|(loss, term)| (loss, term.inner())).collect(), total)
}

/// The gradient by either way, for tests that hold one against the other.
#[cfg(test)]
pub fn both_ways(model: &Recursive, weights: &mut Weights, at: &At, micro: &Micro, place: &Place) -> [Gradient; 2] {
    let asked = || Asked { at, micro: micro.clone(), planted: &[], lap: &|_| () };
    let by_graph = by_graph(model, weights, asked(), place);
    [by_graph, by_hand(&mut HostNetwork::new(model, 2), weights, asked(), place).unwrap()]
}
