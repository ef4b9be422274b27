//! Layer norm in one kernel, and backward in two, a sum and two slices: in burn's own operations it is nine, and about twenty.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{LinearView, LinearViewMut};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

use super::launch::{UNITS, beside, chunk, for_elements, for_rows, sum_chunks, sum_of_all};

/// gamma (x - mean) / sqrt(variance + epsilon) + beta over the last dimension of x, `[B, S, d]`.
pub fn norm(x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::row_norm(x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch(), epsilon))
}

#[backend_extension(Cube, Autodiff)]
pub trait RowNorm: Backend {
    fn row_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, beta: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self>;
}

impl RowNorm for CubeBackend {
    fn row_norm(x: CubeTensor, gamma: CubeTensor, beta: CubeTensor, epsilon: f32) -> CubeTensor {
        forward(x, gamma, beta, epsilon).0
    }
}

/// The normed rows, and each row's mean and 1 / deviation.
fn forward(x: CubeTensor, gamma: CubeTensor, beta: CubeTensor, epsilon: f32) -> (CubeTensor, CubeTensor) {
    let (client, width) = (x.client.clone(), gamma.shape().num_elements());
    let rows = x.shape().num_elements() / width;
    let (out, kept) = (beside(&x, x.shape()), beside(&x, Shape::new([2 * rows])));
    let (x, gamma, beta) = (x.into_linear_view(), gamma.into_linear_view(), beta.into_linear_view());
    let (into, notes) = (out.clone().into_linear_view(), kept.clone().into_linear_view());
    let (cubes, size) = for_rows(rows);
    norm_kernel::launch(&client, cubes, size, x, gamma, beta, into, notes, rows, width, epsilon);
    (out, kept)
}

#[cube(launch)]
fn norm_kernel(
    x: LinearView<'_, f32>,
    gamma: LinearView<'_, f32>,
    beta: LinearView<'_, f32>,
    mut out: LinearViewMut<'_, f32>,
    mut kept: LinearViewMut<'_, f32>,
    rows: usize,
    width: usize,
    epsilon: f32,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let (unit, first) = (UNIT_POS as usize, row * width);
    let mut room = Shared::<[f32]>::new_slice(UNITS);
    let mut sum = f32::new(0.0_f32);
    for column in range_stepped(unit, width, UNITS) {
        sum += x.read(first + column);
    }
    let mean = sum_of_all(sum, &mut room) / f32::cast_from(width);
    let mut squares = f32::new(0.0_f32);
    for column in range_stepped(unit, width, UNITS) {
        let apart = x.read(first + column) - mean;
        squares += apart * apart;
    }
    let variance = sum_of_all(squares, &mut room) / f32::cast_from(width);
    let inverse = f32::new(1.0_f32) / (variance + epsilon).sqrt();
    for column in range_stepped(unit, width, UNITS) {
        let hat = (x.read(first + column) - mean) * inverse;
        out.write(first + column, hat * gamma.read(column) + beta.read(column));
    }
    if unit == 0 {
        kept.write(2 * row, mean);
        kept.write(2 * row + 1, inverse);
    }
}

/// dx = (g - mean(g) - hat mean(g hat)) / deviation with g = dy gamma and hat = (x - mean) / deviation.
#[cube(launch)]
fn input_kernel(
    x: LinearView<'_, f32>,
    kept: LinearView<'_, f32>,
    gamma: LinearView<'_, f32>,
    dy: LinearView<'_, f32>,
    mut dx: LinearViewMut<'_, f32>,
    rows: usize,
    width: usize,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let (unit, first) = (UNIT_POS as usize, row * width);
    let (mean, inverse) = (kept.read(2 * row), kept.read(2 * row + 1));
    let mut room = Shared::<[f32]>::new_slice(UNITS);
    let mut sum = f32::new(0.0_f32);
    let mut along = f32::new(0.0_f32);
    for column in range_stepped(unit, width, UNITS) {
        let g = dy.read(first + column) * gamma.read(column);
        sum += g;
        along += g * ((x.read(first + column) - mean) * inverse);
    }
    let sum = sum_of_all(sum, &mut room) / f32::cast_from(width);
    let along = sum_of_all(along, &mut room) / f32::cast_from(width);
    for column in range_stepped(unit, width, UNITS) {
        let g = dy.read(first + column) * gamma.read(column);
        let hat = (x.read(first + column) - mean) * inverse;
        dx.write(first + column, (g - sum - hat * along) * inverse);
    }
}

/// Sums of dy hat and, behind them, of dy over the rows of a chunk, for one column: `[chunks, 2, d]`.
#[cube(launch)]
fn parameters_kernel(
    x: LinearView<'_, f32>,
    kept: LinearView<'_, f32>,
    dy: LinearView<'_, f32>,
    mut sums: LinearViewMut<'_, f32>,
    rows: usize,
    chunk: usize,
    #[comptime] width: usize,
) {
    let number = ABSOLUTE_POS / width;
    let (first, column) = (number * chunk, ABSOLUTE_POS % width);
    if first >= rows {
        terminate!();
    }
    let mut of_gamma = f32::new(0.0_f32);
    let mut of_beta = f32::new(0.0_f32);
    for row in first..min(first + chunk, rows) {
        let at = row * width + column;
        let dy = dy.read(at);
        of_beta += dy;
        of_gamma += dy * ((x.read(at) - kept.read(2 * row)) * kept.read(2 * row + 1));
    }
    sums.write(number * 2 * width + column, of_gamma);
    sums.write((number * 2 + 1) * width + column, of_beta);
}

/// What the backward pass needs: the input, its rows' means and 1 / deviations, gamma.
#[derive(Clone, Debug)]
struct Taped {
    x: CubeTensor,
    kept: CubeTensor,
    gamma: CubeTensor,
}

impl Taped {
    fn sizes(&self) -> (usize, usize) {
        let width = self.gamma.shape().num_elements();
        (self.x.shape().num_elements() / width, width)
    }

    fn of_input(&self, dy: CubeTensor) -> CubeTensor {
        let Taped { x, kept, gamma } = self.clone();
        let (rows, width) = self.sizes();
        let (client, dx, (cubes, size)) = (x.client.clone(), beside(&x, x.shape()), for_rows(rows));
        let (x, kept, gamma) = (x.into_linear_view(), kept.into_linear_view(), gamma.into_linear_view());
        let (dy, into) = (dy.into_linear_view(), dx.clone().into_linear_view());
        input_kernel::launch(&client, cubes, size, x, kept, gamma, dy, into, rows, width);
        dx
    }

    /// Of gamma and, behind it, of beta.
    fn of_parameters(&self, dy: CubeTensor) -> CubeTensor {
        let Taped { x, kept, .. } = self.clone();
        let (rows, width) = self.sizes();
        let (client, chunk) = (x.client.clone(), chunk(rows));
        let chunks = rows.div_ceil(chunk);
        let (sums, (cubes, size)) = (beside(&x, Shape::new([chunks * 2 * width])), for_elements(&x, chunks * width));
        let (x, kept, dy) = (x.into_linear_view(), kept.into_linear_view(), dy.into_linear_view());
        parameters_kernel::launch(&client, cubes, size, x, kept, dy, sums.clone().into_linear_view(), rows, chunk, width);
        sum_chunks(sums, chunks, 2 * width, chunks)
    }
}

impl<C: CheckpointStrategy> RowNorm for Autodiff<CubeBackend, C> {
    fn row_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, beta: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Norm;

        impl Backward<CubeBackend, 3> for Norm {
            type State = Taped;

            fn backward(self, ops: Ops<Taped, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
                use burn::backend::ops::FloatTensorOps;
                let (taped, [x, gamma, beta]) = (ops.state, ops.parents);
                let (_, width) = taped.sizes();
                let dy = gradients.consume::<CubeBackend>(&ops.node);
                if gamma.is_some() || beta.is_some() {
                    let both = taped.of_parameters(dy.clone());
                    for (node, from) in [(gamma, 0), (beta, width)] {
                        let part = |both| CubeBackend::float_slice(both, &[(from..from + width).into()]);
                        node.iter().for_each(|node| gradients.register::<CubeBackend>(node.id, part(both.clone())));
                    }
                }
                if let Some(node) = x {
                    gradients.register::<CubeBackend>(node.id, taped.of_input(dy));
                }
            }
        }

        match Norm.prepare::<C>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let (x, gamma) = (x.into_primitive(), gamma.into_primitive());
                let (out, kept) = forward(x.clone(), gamma.clone(), beta.into_primitive(), epsilon);
                tracked.finish(Taped { x, kept, gamma }, out)
            }
            OpsKind::UnTracked(untracked) => {
                let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
                untracked.finish(forward(x, gamma, beta, epsilon).0)
            }
        }
    }
}
