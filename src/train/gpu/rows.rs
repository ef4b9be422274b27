//! What kernels that go along rows have in common: a cube of units for each row.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// Units of a cube: those of a warp.
pub const UNITS: usize = 32;
/// Cubes in one dimension, at most.
const MOST: usize = 1 << 15;

/// At least as many cubes as rows.
pub fn cubes(rows: usize) -> CubeCount {
    CubeCount::Static(rows.min(MOST) as u32, rows.div_ceil(MOST) as u32, 1)
}

/// The units of each.
pub fn units() -> CubeDim {
    CubeDim::new_1d(UNITS as u32)
}

/// Sums over all rows of so many columns.
pub fn column_sums(x: FloatTensor<CubeBackend>, columns: usize) -> FloatTensor<CubeBackend> {
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
