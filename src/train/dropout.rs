//! Dropout on a device's tensors: the masks of [`Masks`], in the order of the uses. Host and device drop the same elements.

use std::cell::Cell;
#[cfg(feature = "gpu")]
use std::cell::RefCell;

#[cfg(feature = "gpu")]
use burn::tensor::{DType, Int};
use burn::tensor::{Tensor, TensorData};

use super::device::Place;
#[cfg(feature = "gpu")]
use super::gpu;
use super::host::masks::{Masks, hash};

/// Sites whose keys are sent to a GPU at once.
#[cfg(feature = "gpu")]
const SENT: u64 = 64;

/// The masks of one forward pass over a few rows of a batch. Every use in the network is a site of its own, in the order
/// of the calls.
pub struct Dropout {
    masks: Masks,
    site: Cell<u64>,
    place: Place,
    /// The keys of [`SENT`] sites, the next among them.
    #[cfg(feature = "gpu")]
    sent: RefCell<Option<Tensor<2, Int>>>,
}

impl Dropout {
    /// Drops nothing and costs nothing.
    pub fn none(place: &Place) -> Dropout {
        Dropout::of(Masks::none(), place)
    }

    /// Masks for the rows of the samples `slots` of a step.
    pub fn new(chance: f64, seed: u64, step: u64, slots: std::ops::Range<usize>, place: &Place) -> Dropout {
        Dropout::of(Masks::new(chance, seed, step, slots), place)
    }

    fn of(masks: Masks, place: &Place) -> Dropout {
        Dropout {
            masks,
            site: Cell::new(0),
            place: place.clone(),
            #[cfg(feature = "gpu")]
            sent: RefCell::default(),
        }
    }

    /// Sets elements of x, `[B, S, d]`, to 0 by chance and scales the others by 1 / (1 - chance).
    pub fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        if !self.masks.drops() {
            return x;
        }
        let site = self.site.replace(self.site.get() + 1);
        #[cfg(feature = "gpu")]
        if self.place.has_kernels {
            return self.drop_there(x, site);
        }
        let mask = self.mask(site, x.dims());
        x.mul(mask)
    }

    /// The rows' keys for a site.
    fn keys(&self, site: u64) -> impl Iterator<Item = u32> {
        (0..self.masks.rows()).map(move |row| self.masks.key(row, site))
    }

    /// The mask, made here.
    fn mask(&self, site: u64, [rows, length, width]: [usize; 3]) -> Tensor<3> {
        let (threshold, scale) = (self.masks.threshold() as u32, self.masks.scale());
        let mut mask = Vec::with_capacity(rows * length * width);
        for key in self.keys(site) {
            let element = |index: u32| if hash(index, key) < threshold { 0.0 } else { scale };
            mask.extend((0..(length * width) as u32).map(element));
        }
        Tensor::from_data(TensorData::new(mask, [rows, length, width]), &self.place.device)
    }

    /// The same without a mask, by a kernel on the device.
    #[cfg(feature = "gpu")]
    fn drop_there(&self, x: Tensor<3>, site: u64) -> Tensor<3> {
        let mut sent = self.sent.borrow_mut();
        if site.is_multiple_of(SENT) {
            let keys: Vec<u32> = (site..site + SENT).flat_map(|site| self.keys(site)).collect();
            let data = TensorData::new(keys, [SENT as usize, self.masks.rows()]);
            *sent = Some(Tensor::from_data(data, (&self.place.device, DType::U32)));
        }
        let keys = sent.clone().expect("the keys of the first site were sent");
        let number = (site % SENT) as u32;
        gpu::dropped(x, keys, gpu::Site { number, threshold: self.masks.threshold() as u32, scale: self.masks.scale() })
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

    /// With a GPU at hand (`RUNNER_TEST_DEVICE`) its kernel is held against the mask made here, over more sites than are sent at
    /// once, and so is the gradient.
    #[test]
    fn host_and_device_drop_the_same_elements() {
        let place = crate::train::testing::gpu().place;
        for chance in [0.1, 0.5, 0.9] {
            let dropout = Dropout::new(chance, 3, 1000, 0..5, &place);
            let shape = [5, 300, 48];
            for site in 0..130 {
                let x = Tensor::<3>::ones(shape, &place.device).autodiff().require_grad();
                let dropped = dropout.apply(x.clone());
                if site % 43 == 0 {
                    let mask = values(dropout.mask(site, shape));
                    let slope = x.grad(&dropped.clone().sum_dim(2).sum_dim(1).sum_dim(0).backward()).unwrap();
                    assert_eq!(values(slope), mask, "site {site}");
                    assert_eq!(values(dropped.inner()), mask, "site {site}");
                }
            }
        }
    }

    #[test]
    fn the_share_that_is_dropped_is_the_chance() {
        let place = Choice::Cpu.open().unwrap();
        let dropout = Dropout::new(0.1, 3, 7, 0..64, &place);
        let mask = values(dropout.mask(0, [64, 100, 48]));
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
