//! What the kernels have in common: where their results go, how many units they run on, and what units of a row share.

use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{LinearView, LinearViewMut};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Units of a cube that works on a row: those of a warp.
pub const UNITS: usize = 32;
/// Cubes in one dimension, at most.
const MOST: usize = 1 << 15;

/// A tensor for results, of a shape, where another lies.
pub fn beside(x: &CubeTensor, shape: Shape) -> CubeTensor {
    empty_device_dtype(x.client.clone(), x.device.clone(), shape, x.dtype)
}

/// A unit for each element.
pub fn for_elements(x: &CubeTensor, elements: usize) -> (CubeCount, CubeDim) {
    let size = CubeDim::new(&x.client, elements);
    (calculate_cube_count_elemwise(&x.client, elements, size), size)
}

/// A cube of [`UNITS`] for each row; there may be more cubes than rows.
pub fn for_rows(rows: usize) -> (CubeCount, CubeDim) {
    let cubes = CubeCount::Static(rows.min(MOST) as u32, rows.div_ceil(MOST) as u32, 1);
    (cubes, CubeDim::new_1d(UNITS as u32))
}

/// Rows that one unit adds up, of so many: about as many as there are units for a column.
pub fn chunk(rows: usize) -> usize {
    (rows as f64).sqrt().ceil().max(1.0) as usize
}

/// Sums over all rows of so many columns, in one order, on more units than columns.
pub fn column_sums(x: CubeTensor, columns: usize) -> CubeTensor {
    let rows = x.shape().num_elements() / columns;
    let chunk = chunk(rows);
    sum_chunks(sum_chunks(x, rows, columns, chunk), rows.div_ceil(chunk), columns, rows.div_ceil(chunk))
}

/// Sums of so many columns over each chunk of rows, one chunk after the other.
pub fn sum_chunks(x: CubeTensor, rows: usize, columns: usize, chunk: usize) -> CubeTensor {
    let (client, sums) = (x.client.clone(), rows.div_ceil(chunk) * columns);
    // Of one dimension, so that it lies in memory as it is counted.
    let (out, (cubes, size)) = (beside(&x, Shape::new([sums])), for_elements(&x, sums));
    let (x, into) = (x.into_linear_view(), out.clone().into_linear_view());
    sum_kernel::launch(&client, cubes, size, x, into, rows, columns, chunk);
    out
}

#[cube(launch)]
fn sum_kernel(x: LinearView<'_, f32>, mut out: LinearViewMut<'_, f32>, rows: usize, columns: usize, chunk: usize) {
    if !out.is_in_bounds(ABSOLUTE_POS) {
        terminate!();
    }
    let (first, column) = (ABSOLUTE_POS / columns * chunk, ABSOLUTE_POS % columns);
    let mut sum = f32::new(0.0_f32);
    for row in first..min(first + chunk, rows) {
        sum += x.read(row * columns + column);
    }
    out.write(ABSOLUTE_POS, sum);
}

/// The sum of what all units of a cube bring, for each of them, in one order.
#[cube]
pub fn sum_of_all(own: f32, room: &mut Shared<[f32]>) -> f32 {
    share(own, room);
    let mut sum = f32::new(0.0_f32);
    for unit in 0..UNITS {
        sum += room[unit];
    }
    sum
}

/// The largest of what all units of a cube bring, for each of them.
#[cube]
pub fn most_of_all(own: f32, room: &mut Shared<[f32]>) -> f32 {
    share(own, room);
    let mut most = room[0];
    for unit in 1..UNITS {
        most = max(most, room[unit]);
    }
    most
}

/// Puts what a unit brings where all see it, once they have read what was there.
#[cube]
fn share(own: f32, room: &mut Shared<[f32]>) {
    sync_cube();
    room[UNIT_POS as usize] = own;
    sync_cube();
}
