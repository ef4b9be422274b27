//! The shares of attention as one operation each way: in burn's own scale, bias and softmax are seven, and ten backward.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{LinearView, LinearViewMut};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

use super::launch::{UNITS, beside, for_rows, most_of_all, sum_of_all};

/// softmax(scale x + bias) over the last dimension of x, `[B, H, Q, S]`; the bias, `[B, 1, 1, S]`, has no gradient.
pub fn shares(x: Tensor<4>, scale: f32, bias: Option<Tensor<4>>) -> Tensor<4> {
    let x = x.into_dispatch();
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::hidden_shares(x, bias.into_dispatch(), scale),
        None => Dispatch::open_shares(x, scale),
    })
}

#[backend_extension(Cube, Autodiff)]
pub trait Shares: Backend {
    fn open_shares(x: FloatTensor<Self>, scale: f32) -> FloatTensor<Self>;
    fn hidden_shares(x: FloatTensor<Self>, bias: FloatTensor<Self>, scale: f32) -> FloatTensor<Self>;
}

impl Shares for CubeBackend {
    fn open_shares(x: CubeTensor, scale: f32) -> CubeTensor {
        forward(x, None, scale)
    }

    fn hidden_shares(x: CubeTensor, bias: CubeTensor, scale: f32) -> CubeTensor {
        forward(x, Some(bias), scale)
    }
}

fn forward(x: CubeTensor, bias: Option<CubeTensor>, scale: f32) -> CubeTensor {
    let (shape, client) = (x.shape(), x.client.clone());
    let width = shape[3];
    let (rows, each) = (shape.num_elements() / width, shape[1] * shape[2]);
    let (out, (cubes, size)) = (beside(&x, shape), for_rows(rows));
    let is_hidden = bias.is_some();
    // A kernel without a bias reads none.
    let bias = bias.unwrap_or_else(|| x.clone()).into_linear_view();
    let (x, into) = (x.into_linear_view(), out.clone().into_linear_view());
    shares_kernel::launch(&client, cubes, size, x, bias, into, rows, each, width, scale, is_hidden);
    out
}

/// `each`: rows of a sample.
#[cube(launch)]
fn shares_kernel(
    x: LinearView<'_, f32>,
    bias: LinearView<'_, f32>,
    mut out: LinearViewMut<'_, f32>,
    rows: usize,
    each: usize,
    width: usize,
    scale: f32,
    #[comptime] is_hidden: bool,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let (unit, first) = (UNIT_POS as usize, row * width);
    let mut room = Shared::<[f32]>::new_slice(UNITS);
    let mut most = f32::new(-3e38_f32);
    for column in range_stepped(unit, width, UNITS) {
        most = max(most, score(&x, &bias, row, column, each, width, scale, is_hidden));
    }
    let most = most_of_all(most, &mut room);
    let mut sum = f32::new(0.0_f32);
    for column in range_stepped(unit, width, UNITS) {
        sum += (score(&x, &bias, row, column, each, width, scale, is_hidden) - most).exp();
    }
    let sum = sum_of_all(sum, &mut room);
    // Counted once more: that costs less than what was counted before would, kept in memory.
    for column in range_stepped(unit, width, UNITS) {
        let part = (score(&x, &bias, row, column, each, width, scale, is_hidden) - most).exp();
        out.write(first + column, part / sum);
    }
}

#[cube]
fn score(
    x: &LinearView<'_, f32>,
    bias: &LinearView<'_, f32>,
    row: usize,
    column: usize,
    each: usize,
    width: usize,
    scale: f32,
    #[comptime] is_hidden: bool,
) -> f32 {
    let mut score = x.read(row * width + column) * scale;
    if is_hidden {
        score += bias.read(row / each * width + column);
    }
    score
}

/// dx = scale p (dp - sum(p dp)).
fn backward(shares: CubeTensor, of: CubeTensor, scale: f32) -> CubeTensor {
    let (shape, client) = (shares.shape(), shares.client.clone());
    let width = shape[3];
    let rows = shape.num_elements() / width;
    let (out, (cubes, size)) = (beside(&shares, shape), for_rows(rows));
    let (shares, of, into) = (shares.into_linear_view(), of.into_linear_view(), out.clone().into_linear_view());
    backward_kernel::launch(&client, cubes, size, shares, of, into, rows, width, scale);
    out
}

#[cube(launch)]
fn backward_kernel(
    shares: LinearView<'_, f32>,
    of: LinearView<'_, f32>,
    mut out: LinearViewMut<'_, f32>,
    rows: usize,
    width: usize,
    scale: f32,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let (unit, first) = (UNIT_POS as usize, row * width);
    let mut room = Shared::<[f32]>::new_slice(UNITS);
    let mut along = f32::new(0.0_f32);
    for column in range_stepped(unit, width, UNITS) {
        along += shares.read(first + column) * of.read(first + column);
    }
    let along = sum_of_all(along, &mut room);
    for column in range_stepped(unit, width, UNITS) {
        let share = shares.read(first + column);
        out.write(first + column, scale * share * (of.read(first + column) - along));
    }
}

impl<C: CheckpointStrategy> Shares for Autodiff<CubeBackend, C> {
    fn open_shares(x: FloatTensor<Self>, scale: f32) -> FloatTensor<Self> {
        tracked::<C>(x, None, scale)
    }

    fn hidden_shares(x: FloatTensor<Self>, bias: FloatTensor<Self>, scale: f32) -> FloatTensor<Self> {
        tracked::<C>(x, Some(bias.into_primitive()), scale)
    }
}

type Tracked<C> = FloatTensor<Autodiff<CubeBackend, C>>;

fn tracked<C: CheckpointStrategy>(x: Tracked<C>, bias: Option<CubeTensor>, scale: f32) -> Tracked<C> {
    #[derive(Debug)]
    struct Softmax;

    impl Backward<CubeBackend, 1> for Softmax {
        /// The shares and the scale.
        type State = (CubeTensor, f32);

        fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
            let (shares, scale) = ops.state;
            unary::<CubeBackend, _>(ops.parents, ops.node, gradients, |of| backward(shares, of, scale));
        }
    }

    match Softmax.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(tracked) => {
            let shares = forward(x.into_primitive(), bias, scale);
            tracked.finish((shares.clone(), scale), shares)
        }
        OpsKind::UnTracked(untracked) => untracked.finish(forward(x.into_primitive(), bias, scale)),
    }
}
