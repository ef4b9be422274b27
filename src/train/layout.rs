//! All parameters in one vector: where each stands, and the way from and to named tensors.
//!
//! Weights, gradients, moments and averages are each one vector in the order of
//! [`Recursive::parameters`](crate::task::model::Recursive::parameters), so that the optimizer is a dozen operations
//! instead of a dozen for every parameter. Keys are paths, never a framework's ids.

use burn::tensor::{Device, Tensor, TensorData};

use crate::execute::Failure;
use crate::record::{self, Tensors, digest64};
use crate::task::model::{Parameter, Recursive};

/// The vector is padded with zeros to a multiple of this, so that it can be summed row by row.
const ROW: usize = 256;

/// The parameters of a model and their places in the vector.
#[derive(Clone, Debug)]
pub struct Layout {
    parameters: Vec<Parameter>,
    /// First element of each parameter, then the end of the last.
    offsets: Vec<usize>,
}

impl Layout {
    pub fn new(model: &Recursive) -> Layout {
        let parameters = model.parameters();
        let sizes = parameters.iter().map(size);
        let offsets = std::iter::once(0).chain(sizes.scan(0, |end, size| {
            *end += size;
            Some(*end)
        }));
        let offsets = offsets.collect();
        Layout { parameters, offsets }
    }

    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Length of the vector with its padding.
    pub fn padded(&self) -> usize {
        self.end().next_multiple_of(ROW)
    }

    fn end(&self) -> usize {
        self.offsets[self.parameters.len()]
    }

    /// First values of all parameters.
    pub fn initial(&self, seed: u64) -> Tensors {
        let first = |(index, parameter): (usize, &Parameter)| {
            (parameter.path.clone(), record::Tensor::f32(parameter.shape.clone(), parameter.initial(seed, index)))
        };
        self.parameters.iter().enumerate().map(first).collect()
    }

    /// Puts named tensors on the device as one vector; see [`Layout::vector`].
    pub fn place(&self, tensors: &Tensors, suffix: &str, what: &str, device: &Device) -> Result<Tensor<1>, Failure> {
        let vector = self.vector(tensors, suffix, what)?;
        Ok(Tensor::from_data(TensorData::new(vector, [self.padded()]), device))
    }

    /// Named tensors as one vector. `suffix` follows each path; `what` names the tensors in messages. Missing tensors, other
    /// shapes and tensors that belong nowhere are errors.
    pub fn vector(&self, tensors: &Tensors, suffix: &str, what: &str) -> Result<Vec<f32>, Failure> {
        let mut vector = Vec::with_capacity(self.padded());
        for parameter in &self.parameters {
            let path = format!("{}{suffix}", parameter.path);
            let Some(tensor) = tensors.get(&path) else { return Err(misfit(what, &path, "is missing")) };
            if tensor.shape != parameter.shape {
                let problem = format!("has the shape {:?}, not {:?}", tensor.shape, parameter.shape);
                return Err(misfit(what, &path, &problem));
            }
            match tensor.as_f32() {
                Some(values) if values.len() == size(parameter) => vector.extend_from_slice(values),
                Some(_) => return Err(misfit(what, &path, "has another number of elements than its shape says")),
                None => return Err(misfit(what, &path, "is not f32")),
            }
        }
        vector.resize(self.padded(), 0.0);
        Ok(vector)
    }

    /// Whether a tensor of this name can be placed with one of the suffixes, or is one of the counters.
    pub fn expects(&self, name: &str, suffixes: &[&str], counters: &[&str]) -> bool {
        let known = |suffix: &&str| {
            let path = name.strip_suffix(*suffix);
            path.is_some_and(|path| self.parameters.iter().any(|parameter| parameter.path == path))
        };
        counters.contains(&name) || suffixes.iter().any(known)
    }

    /// Refuses tensors that belong nowhere.
    pub fn refuse_left_over(&self, tensors: &Tensors, suffixes: &[&str], counters: &[&str], what: &str) -> Result<(), Failure> {
        match tensors.keys().find(|name| !self.expects(name, suffixes, counters)) {
            Some(name) => Err(misfit(what, name, "belongs to no parameter of the model")),
            None => Ok(()),
        }
    }

    /// Reads a vector back as named tensors.
    pub fn read(&self, vector: &Tensor<1>, suffix: &str) -> Result<Tensors, Failure> {
        let values = read_vector(vector.clone())?;
        let named = self.parameters.iter().zip(self.offsets.windows(2)).map(|(parameter, place)| {
            let part = values[place[0]..place[1]].to_vec();
            (format!("{}{suffix}", parameter.path), record::Tensor::f32(parameter.shape.clone(), part))
        });
        Ok(named.collect())
    }

    /// Digest of each parameter's part of a vector.
    pub fn digests_of(&self, values: &[f32]) -> Vec<u64> {
        let part = |place: &[usize]| digest64(bytemuck::cast_slice(&values[place[0]..place[1]]));
        self.offsets.windows(2).map(part).collect()
    }

    /// The same of a vector in the machine's memory, taken where it lies.
    pub fn digests(&self, vector: &mut Tensor<1>) -> Result<Vec<u64>, Failure> {
        lend([vector], |[data]| self.digests_of(values(data)))
    }

    /// Place in the vector of a parameter's first element.
    pub fn first_element(&self, path: &str) -> Option<usize> {
        let index = self.parameters.iter().position(|parameter| parameter.path == path)?;
        Some(self.offsets[index])
    }

    /// The parameters as vectors of their own, views where the backend has them.
    pub fn split(&self, vector: &Tensor<1>) -> Vec<Tensor<1>> {
        self.offsets.windows(2).map(|place| vector.clone().slice_dim(0, place[0]..place[1])).collect()
    }

    /// One vector from vectors of the parameters.
    pub fn join(&self, mut parts: Vec<Tensor<1>>, device: &Device) -> Tensor<1> {
        let padding = self.padded() - self.end();
        if padding > 0 {
            parts.push(Tensor::zeros([padding], device));
        }
        Tensor::cat(parts, 0)
    }
}

/// Euclidean norm of a padded vector, summed row by row in one order: a full sum of a large tensor may race.
pub fn norm(vector: &Tensor<1>) -> Tensor<1> {
    let rows = vector.dims()[0] / ROW;
    let squares = vector.clone().reshape([rows, ROW]).square();
    squares.sum_dim(1).reshape([1, rows]).sum_dim(1).reshape([1]).sqrt()
}

/// Lends the values of vectors out of their tensors, and puts them back: on the CPU, where nobody else has the tensor, they
/// are looked at or changed where they lie, without a copy.
pub fn lend<R, const N: usize>(
    vectors: [&mut Tensor<1>; N],
    work: impl FnOnce(&mut [TensorData; N]) -> R,
) -> Result<R, Failure> {
    let device = vectors[0].device();
    let take = |vector: &mut Tensor<1>| {
        let taken = std::mem::replace(vector, Tensor::zeros([0], &device));
        taken.try_into_data().map_err(|error| Failure::Device(format!("reading a vector: {error}")))
    };
    let mut data = Vec::with_capacity(N);
    let mut homes = Vec::with_capacity(N);
    for vector in vectors {
        data.push(take(vector)?);
        homes.push(vector);
    }
    let mut data: [TensorData; N] = data.try_into().expect("as many as were lent");
    let answer = work(&mut data);
    homes.into_iter().zip(data).for_each(|(vector, data)| *vector = Tensor::from_data(data, &device));
    Ok(answer)
}

/// The values of a vector that was lent.
pub fn values(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect("vectors are f32")
}

/// Reads a vector back from the device.
pub fn read_vector(vector: Tensor<1>) -> Result<Vec<f32>, Failure> {
    vector.try_into_vec_as::<f32>().map_err(|error| Failure::Device(format!("reading from the device: {error}")))
}

fn size(parameter: &Parameter) -> usize {
    parameter.shape.iter().product()
}

fn misfit(what: &str, path: &str, problem: &str) -> Failure {
    Failure::Misfit(format!("the tensor `{path}` of the {what} {problem}"))
}
