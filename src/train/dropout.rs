//! Dropout on a device's tensors: the masks of [`Masks`], in the order of the uses.
//!
//! Host and device compute the same bits. All products stay below 2^63, so that nothing depends on how integers overflow.

use std::cell::Cell;

use burn::tensor::{DType, Int, Tensor, TensorData};

use super::device::{Backend, Place};
use super::host::masks::{LOW, MIX, Masks, hash};

/// The masks of one forward pass over a few rows of a batch. Every use in the network is a site of its own, in the order
/// of the calls.
pub struct Dropout {
    masks: Masks,
    site: Cell<u64>,
    place: Place,
}

impl Dropout {
    /// Drops nothing and costs nothing.
    pub fn none(place: &Place) -> Dropout {
        Dropout { masks: Masks::none(), site: Cell::new(0), place: place.clone() }
    }

    /// Masks for the rows of the samples `slots` of a step.
    pub fn new(chance: f64, seed: u64, step: u64, slots: std::ops::Range<usize>, place: &Place) -> Dropout {
        Dropout { masks: Masks::new(chance, seed, step, slots), site: Cell::new(0), place: place.clone() }
    }

    /// Sets elements of x, `[B, S, d]`, to 0 by chance and scales the others by 1 / (1 - chance).
    pub fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        if !self.masks.drops() {
            return x;
        }
        let shape = x.dims();
        let keys = self.next_site();
        let mask = match self.place.backend {
            Backend::Flex => self.host_mask(&keys, shape),
            Backend::Gpu(_) => self.device_mask(&keys, shape),
        };
        x.mul(mask)
    }

    /// The rows' keys, below 2^32, for the next site.
    fn next_site(&self) -> Vec<u64> {
        let site = self.site.replace(self.site.get() + 1);
        (0..self.masks.rows()).map(|row| u64::from(self.masks.key(row, site))).collect()
    }

    fn host_mask(&self, keys: &[u64], [rows, length, width]: [usize; 3]) -> Tensor<3> {
        let (threshold, scale) = (self.masks.threshold() as u32, self.masks.scale());
        let mut mask = Vec::with_capacity(rows * length * width);
        for &key in keys {
            let element = |index: u32| if hash(index, key as u32) < threshold { 0.0 } else { scale };
            mask.extend((0..(length * width) as u32).map(element));
        }
        Tensor::from_data(TensorData::new(mask, [rows, length, width]), &self.place.device)
    }

    /// The same as [`Dropout::host_mask`] in operations on the device.
    fn device_mask(&self, keys: &[u64], [rows, length, width]: [usize; 3]) -> Tensor<3> {
        let device = &self.place.device;
        let whole = (device, DType::I64);
        let keys: Vec<i64> = keys.iter().map(|&key| key as i64).collect();
        let keys = Tensor::<2, Int>::from_data(TensorData::new(keys, [rows, 1]), whole);
        let count = (length * width) as i64;
        let mut hash = Tensor::<1, Int>::arange(0..count, whole).reshape([1, length * width]);
        for round in 0..3 {
            hash = hash.clone().bitwise_xor(hash.bitwise_right_shift_scalar(16));
            hash = match round {
                0 => hash.repeat_dim(0, rows).bitwise_xor(keys.clone().repeat_dim(1, length * width)),
                _ => hash,
            };
            hash = hash.mul_scalar(MIX as i64).bitwise_and_scalar(LOW as i64);
        }
        let hash = hash.clone().bitwise_xor(hash.bitwise_right_shift_scalar(16));
        let kept = hash.greater_equal_elem(self.masks.threshold() as i64).float();
        kept.mul_scalar(self.masks.scale()).reshape([rows, length, width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::device::Choice;
    use crate::train::layout::read_vector;

    fn values(mask: Tensor<3>) -> Vec<f32> {
        let count = mask.dims().iter().product::<usize>();
        read_vector(mask.reshape([count])).unwrap()
    }

    fn ones(rows: usize) -> Tensor<3> {
        Tensor::ones([rows, 7, 48], &Choice::Cpu.open().unwrap().device)
    }

    #[test]
    fn host_and_device_compute_the_same_bits() {
        let place = Choice::Cpu.open().unwrap();
        for chance in [0.1, 0.5, 0.9] {
            let dropout = Dropout::new(chance, 3, 1000, 0..5, &place);
            let keys = dropout.next_site();
            let shape = [5, 300, 48];
            assert_eq!(values(dropout.host_mask(&keys, shape)), values(dropout.device_mask(&keys, shape)));
        }
    }

    #[test]
    fn the_share_that_is_dropped_is_the_chance() {
        let place = Choice::Cpu.open().unwrap();
        let dropout = Dropout::new(0.1, 3, 7, 0..64, &place);
        let mask = values(dropout.host_mask(&dropout.next_site(), [64, 100, 48]));
        let dropped = mask.iter().filter(|&&value| value == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.1).abs() < 0.002, "{dropped}");
        assert!(mask.iter().all(|&value| value == 0.0 || value == 1.0 / 0.9));
    }

    #[test]
    fn a_part_of_a_batch_drops_what_the_whole_drops_and_sites_and_steps_differ() {
        let place = Choice::Cpu.open().unwrap();
        let whole = Dropout::new(0.3, 3, 7, 0..8, &place);
        let part = Dropout::new(0.3, 3, 7, 5..8, &place);
        let (first, second) = (values(whole.apply(ones(8))), values(whole.apply(ones(8))));
        assert_eq!(first[5 * 7 * 48..], values(part.apply(ones(3)))[..]);
        assert_eq!(second[5 * 7 * 48..], values(part.apply(ones(3)))[..]);
        assert_ne!(first, second);
        assert_ne!(first, values(Dropout::new(0.3, 3, 8, 0..8, &place).apply(ones(8))));
        assert_ne!(first, values(Dropout::new(0.3, 4, 7, 0..8, &place).apply(ones(8))));
    }
}
