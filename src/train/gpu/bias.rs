//! The bias of a linear layer, alone and with GELU behind it. In burn's own operations GELU with its bias is six, and sixteen backward,
//! by the slope of another function, the one that approximates it with tanh; and a bias's gradient is summed by a handful of threads.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{LinearView, LinearViewMut};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

use super::launch::{beside, column_sums, for_elements};

/// 1 / sqrt(2 pi).
const DENSITY: f32 = 0.398_942_3;
/// 1 / sqrt(2).
const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// x + b, for x `[B, S, d]` and b `[d]`.
pub fn biased(x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::biased(x.into_dispatch(), bias.into_dispatch()))
}

/// v Phi(v) of v = x + b.
pub fn gelu(x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::biased_gelu(x.into_dispatch(), bias.into_dispatch()))
}

#[backend_extension(Cube, Autodiff)]
pub trait Biased: Backend {
    fn biased(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Biased for CubeBackend {
    fn biased(x: CubeTensor, bias: CubeTensor) -> CubeTensor {
        let width = width(&bias);
        CubeBackend::float_add(x, CubeBackend::float_reshape(bias, Shape::new([1, 1, width])))
    }

    fn biased_gelu(x: CubeTensor, bias: CubeTensor) -> CubeTensor {
        let (out, client, width) = (beside(&x, x.shape()), x.client.clone(), width(&bias));
        let (cubes, size) = for_elements(&x, x.shape().num_elements());
        let (x, bias, into) = (x.into_linear_view(), bias.into_linear_view(), out.clone().into_linear_view());
        gelu_kernel::launch(&client, cubes, size, x, bias, into, width);
        out
    }
}

fn width(bias: &CubeTensor) -> usize {
    bias.shape().num_elements()
}

/// The gradient of x + b from that of its GELU.
fn gelu_backward(x: CubeTensor, bias: CubeTensor, of: CubeTensor) -> CubeTensor {
    let (out, client, width) = (beside(&x, x.shape()), x.client.clone(), width(&bias));
    let (cubes, size) = for_elements(&x, x.shape().num_elements());
    let (x, bias, of) = (x.into_linear_view(), bias.into_linear_view(), of.into_linear_view());
    gelu_backward_kernel::launch(&client, cubes, size, x, bias, of, out.clone().into_linear_view(), width);
    out
}

#[cube(launch)]
fn gelu_kernel(x: LinearView<'_, f32>, bias: LinearView<'_, f32>, mut out: LinearViewMut<'_, f32>, #[comptime] width: usize) {
    if !out.is_in_bounds(ABSOLUTE_POS) {
        terminate!();
    }
    let v = x.read(ABSOLUTE_POS) + bias.read(ABSOLUTE_POS % width);
    out.write(ABSOLUTE_POS, v * below(v));
}

#[cube(launch)]
fn gelu_backward_kernel(
    x: LinearView<'_, f32>,
    bias: LinearView<'_, f32>,
    of: LinearView<'_, f32>,
    mut out: LinearViewMut<'_, f32>,
    #[comptime] width: usize,
) {
    if !out.is_in_bounds(ABSOLUTE_POS) {
        terminate!();
    }
    let v = x.read(ABSOLUTE_POS) + bias.read(ABSOLUTE_POS % width);
    let density = f32::new(DENSITY) * (v * v * f32::new(-0.5_f32)).exp();
    out.write(ABSOLUTE_POS, of.read(ABSOLUTE_POS) * (below(v) + v * density));
}

/// Phi(v).
#[cube]
#[allow(unstable_name_collisions, reason = "the kernel language's `erf`, not one that std may get")]
fn below(v: f32) -> f32 {
    f32::new(0.5_f32) + f32::new(0.5_f32) * (v * f32::new(ROOT_HALF)).erf()
}

impl<C: CheckpointStrategy> Biased for Autodiff<CubeBackend, C> {
    fn biased(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Sum;

        impl Backward<CubeBackend, 2> for Sum {
            /// The bias's length.
            type State = usize;

            fn backward(self, ops: Ops<usize, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let width = ops.state;
                let of_bias = |gradient| column_sums(gradient, width);
                binary::<CubeBackend, _, _>(ops.parents, ops.node, gradients, |gradient| gradient, of_bias);
            }
        }

        match Sum.prepare::<C>([x.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let (x, bias) = (x.into_primitive(), bias.into_primitive());
                tracked.finish(width(&bias), CubeBackend::biased(x, bias))
            }
            OpsKind::UnTracked(untracked) => untracked.finish(CubeBackend::biased(x.into_primitive(), bias.into_primitive())),
        }
    }

    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Gelu;

        impl Backward<CubeBackend, 2> for Gelu {
            type State = (CubeTensor, CubeTensor);

            fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let (x, bias) = ops.state;
                let ([of_x, of_bias], width) = (ops.parents, width(&bias));
                let gradient = gelu_backward(x, bias, gradients.consume::<CubeBackend>(&ops.node));
                if let Some(node) = of_bias {
                    gradients.register::<CubeBackend>(node.id, column_sums(gradient.clone(), width));
                }
                if let Some(node) = of_x {
                    gradients.register::<CubeBackend>(node.id, gradient);
                }
            }
        }

        match Gelu.prepare::<C>([x.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let (x, bias) = (x.into_primitive(), bias.into_primitive());
                tracked.finish((x.clone(), bias.clone()), CubeBackend::biased_gelu(x, bias))
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(CubeBackend::biased_gelu(x.into_primitive(), bias.into_primitive()))
            }
        }
    }
}
