//! How the network computes: products in the number format that the settings ask for, and what lies between them by kernels
//! of our own where the device runs them, otherwise by burn's operations.

use burn::tensor::activation::{gelu, softmax};
use burn::tensor::{FloatDType, Tensor, module};

use crate::spec::Precision;
use crate::train::device::Place;
#[cfg(feature = "gpu")]
use crate::train::gpu;

/// Added to the variance in layer norms.
const NORM_EPSILON: f64 = 1e-5;

/// Products in bf16 round both sides to it, are summed as the device does it (tensor cores sum in f32), and what comes out is
/// f32 again: so only products are less exact, forward and backward.
#[derive(Clone, Copy)]
pub struct Arithmetic {
    precision: Precision,
    #[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "there are no kernels to choose"))]
    has_kernels: bool,
}

impl Arithmetic {
    pub fn new(precision: Precision, place: &Place) -> Arithmetic {
        Arithmetic { precision, has_kernels: place.has_kernels }
    }

    /// The same with exact products.
    pub fn exact(self) -> Arithmetic {
        Arithmetic { precision: Precision::F32, ..self }
    }

    /// x W with x `[B, S, in]` and W `[in, out]`, a side of products.
    pub fn apply(self, x: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
        let ([batch, length, width], [_, out]) = (x.dims(), weight.dims());
        self.multiply(x.reshape([batch * length, width]), weight).reshape([batch, length, out])
    }

    /// a b, of matrices or of stacks of as many matrices.
    pub fn multiply<const D: usize>(self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        if self.precision == Precision::Bf16 {
            return self.side(a).matmul(self.side(b)).cast(FloatDType::F32);
        }
        #[cfg(feature = "gpu")]
        if self.has_kernels {
            return gpu::product(a, b);
        }
        // On the CPU there is nothing less exact than f32.
        a.matmul(b)
    }

    /// A side of products, for one that is used more than once.
    pub fn side<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16),
        }
    }

    /// Layer norm over the last dimension (Ba et al., 2016): gamma (x - mean) / sqrt(variance + epsilon) + beta.
    pub fn norm(self, x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<3> {
        #[cfg(feature = "gpu")]
        if self.has_kernels {
            return gpu::norm(x, gamma, beta, NORM_EPSILON as f32);
        }
        module::layer_norm(x, gamma, Some(beta), NORM_EPSILON)
    }

    /// x + b.
    pub fn biased(self, x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
        #[cfg(feature = "gpu")]
        if self.has_kernels {
            return gpu::biased(x, bias);
        }
        x.add(bias.unsqueeze())
    }

    /// GELU (Hendrycks and Gimpel, 2016) of x + b: v Phi(v), with the normal distribution's Phi.
    pub fn gelu(self, x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
        #[cfg(feature = "gpu")]
        if self.has_kernels {
            return gpu::gelu(x, bias);
        }
        gelu(x.add(bias.unsqueeze()))
    }

    /// softmax(scale x + bias) over the last dimension of x, `[B, H, Q, S]`, with a bias `[B, 1, 1, S]` or none.
    pub fn shares(self, x: Tensor<4>, scale: f64, bias: Option<Tensor<4>>) -> Tensor<4> {
        #[cfg(feature = "gpu")]
        if self.has_kernels {
            return gpu::shares(x, scale as f32, bias);
        }
        let scores = x.mul_scalar(scale);
        softmax(bias.into_iter().fold(scores, Tensor::add), 3)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::train::layout::read_vector;
    use crate::train::testing::{cpu, gpu, is_imitated};

    /// Values, and gradients of a sum with other weights everywhere, on a device.
    fn computed<const N: usize, const D: usize>(
        place: &Place,
        sizes: [&[usize]; N],
        function: impl Fn(Arithmetic, [Tensor<1>; N]) -> Tensor<D>,
    ) -> Vec<Vec<f32>> {
        let wave = |count: usize, seed: usize| (0..count).map(move |at| ((at * 31 + seed * 57) % 101) as f32 / 40.0 - 1.2);
        let tensor = |values: Vec<f32>| {
            let count = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [count]), &place.device)
        };
        let mut seed = 0;
        let inputs = sizes.map(|size| {
            seed += 1;
            tensor(wave(size.iter().product(), seed).collect()).autodiff().require_grad()
        });
        let out = function(Arithmetic::new(Precision::F32, place), inputs.clone());
        let count = out.shape().num_elements();
        let out = out.reshape([count]);
        let weights = tensor(wave(count, 9).collect()).autodiff();
        let gradients = out.clone().mul(weights).sum_dim(0).backward();
        let slopes = inputs.iter().map(|input| read_vector(input.grad(&gradients).unwrap()).unwrap());
        [read_vector(out.inner()).unwrap()].into_iter().chain(slopes).collect()
    }

    fn same<const N: usize, const D: usize>(
        name: &str,
        sizes: [&[usize]; N],
        function: impl Fn(Arithmetic, [Tensor<1>; N]) -> Tensor<D>,
    ) {
        let [ours, burns] = [gpu().place, cpu().place].map(|place| computed(&place, sizes, &function));
        for (index, (ours, burns)) in ours.iter().zip(&burns).enumerate() {
            let size = burns.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
            let apart = ours.iter().zip(burns).fold(0.0, |most: f32, (a, b)| most.max((a - b).abs()));
            assert!(apart <= 1e-5 * size && size > 1e-4, "{name}, {index}: {apart:e} of {size:e}");
        }
    }

    /// The device's kernels, values and every gradient, against burn's operations on the CPU.
    #[test]
    fn kernels_compute_what_burns_operations_do() {
        if is_imitated() {
            eprintln!("skipped: without `RUNNER_TEST_DEVICE` there are no kernels");
            return;
        }
        // More rows than cubes in one dimension.
        let many: &[usize] = &[40_000, 4];
        same("many rows", [many], |arithmetic, [x]| arithmetic.shares(x.reshape([8, 5, 1_000, 4]), 0.3, None));
        same("turned", [&[2, 9, 5, 40]], |arithmetic, [x]| {
            arithmetic.shares(x.reshape([2, 9, 5, 40]).swap_dims(1, 2), 0.3, None)
        });
        // Rows shorter and longer than a cube has units.
        for (batch, length, width) in [(2, 3, 16), (3, 47, 80), (5, 64, 384)] {
            let (rows, columns): (&[usize], &[usize]) = (&[batch, length, width], &[width]);
            same("norm", [rows, columns, columns], |arithmetic, [x, gamma, beta]| {
                arithmetic.norm(x.reshape([batch, length, width]), gamma, beta)
            });
            same("bias", [rows, columns], |arithmetic, [x, bias]| {
                let x = arithmetic.biased(x.reshape([batch, length, width]), bias);
                x.clone().mul(x)
            });
            same("gelu", [rows, columns], |arithmetic, [x, bias]| arithmetic.gelu(x.reshape([batch, length, width]), bias));
            for hidden in [false, true] {
                same("shares", [rows], |arithmetic, [x]| {
                    let x = x.reshape([batch, 1, length, width]);
                    let bias = |at: usize| if at % 7 == 3 { -1e9 } else { 0.0 };
                    let data = TensorData::new((0..batch * width).map(bias).collect::<Vec<f32>>(), [batch, 1, 1, width]);
                    let bias = hidden.then(|| Tensor::from_data(data, &x.device()));
                    arithmetic.shares(x, 0.3, bias)
                });
            }
        }
    }
}
