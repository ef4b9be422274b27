//! Products of matrices, in the number format that the settings ask for.

use burn::tensor::{FloatDType, Tensor};

use crate::spec::Precision;

/// Multiplies matrices. In bf16 both sides are rounded to it, products are summed as the device does it (tensor cores sum in
/// f32), and what comes out is f32 again: so only products are less exact, forward and backward.
#[derive(Clone, Copy)]
pub struct Products(pub Precision);

impl Products {
    pub const EXACT: Products = Products(Precision::F32);

    /// x W with x `[B, S, in]` and W `[in, out]`, a side of products.
    pub fn apply(self, x: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
        let ([batch, length, width], [_, out]) = (x.dims(), weight.dims());
        self.multiply(x.reshape([batch * length, width]), weight).reshape([batch, length, out])
    }

    /// a b, of matrices or of stacks of as many matrices.
    pub fn multiply<const D: usize>(self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        match self.0 {
            Precision::F32 => exact(a, b),
            Precision::Bf16 => self.side(a).matmul(self.side(b)).cast(FloatDType::F32),
        }
    }

    /// A side of products, for one that is used more than once.
    pub fn side<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self.0 {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16),
        }
    }
}

#[cfg(feature = "gpu")]
fn exact<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    crate::train::gpu::product(a, b)
}

/// On the CPU there is nothing less exact than f32.
#[cfg(not(feature = "gpu"))]
fn exact<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    a.matmul(b)
}
