//! What the kernels have in common: where their results go, how many units they run on, and what units of a row share.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::Shape;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

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

/// Sums over all rows of so many columns.
pub fn column_sums(x: CubeTensor, columns: usize) -> CubeTensor {
    let rows = x.shape().num_elements() / columns;
    let sums = CubeBackend::float_sum_dim(CubeBackend::float_reshape(x, Shape::new([rows, columns])), 0);
    CubeBackend::float_reshape(sums, Shape::new([columns]))
}

/// The sum of what all units of a cube bring, for each of them, in one order.
#[cube]
pub fn sum_of_all(own: f32, room: &mut Shared<[f32]>) -> f32 {
    share(own, room);
    let mut sum = f32::new(0.0);
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
