//! Dropout by counting: whether an element is dropped is a hash of (seed, step, slot, site, position, channel).
//!
//! No generator has a state that a cut or another batch could move, a batch cut into micro-batches drops the same elements,
//! and masks can be made again in the backward pass instead of being kept.

use std::ops::Range;

use rand::Rng;

use crate::task::random::{Purpose, stream};

/// Multiplier of the mixing function; odd and below 2^31.
pub const MIX: u64 = 0x045d_9f3b;
const LOW: u64 = 0xffff_ffff;

/// What a few rows of a batch drop at a step. Every use in the network is a site of its own, in the order of the calls.
#[derive(Clone, Debug)]
pub struct Masks {
    /// Chance that an element is dropped.
    chance: f64,
    /// One key for each row; none where nothing is dropped.
    keys: Vec<u64>,
}

impl Masks {
    /// Drops nothing and costs nothing.
    pub fn none() -> Masks {
        Masks { chance: 0.0, keys: vec![] }
    }

    /// Masks for the rows of the samples `slots` of a step.
    pub fn new(chance: f64, seed: u64, step: u64, slots: Range<usize>) -> Masks {
        if chance <= 0.0 {
            return Masks::none();
        }
        let key = |slot: usize| stream(seed, Purpose::Dropout, step, slot as u64).next_u64();
        Masks { chance, keys: slots.map(key).collect() }
    }

    /// Whether anything is dropped.
    pub fn drops(&self) -> bool {
        self.chance > 0.0
    }

    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    /// A row's key at a site.
    pub fn key(&self, row: usize, site: u64) -> u32 {
        (split_mix(self.keys[row] ^ split_mix(site)) & LOW) as u32
    }

    /// Elements whose hash lies below this are dropped.
    pub fn threshold(&self) -> u64 {
        (self.chance * (LOW + 1) as f64) as u64
    }

    /// What the others are multiplied by.
    pub fn scale(&self) -> f32 {
        (1.0 / (1.0 - self.chance)) as f32
    }
}

/// Mixes an element's place with its row's key: three rounds of shift, xor and multiply, modulo 2^32.
#[inline(always)]
pub fn hash(index: u32, key: u32) -> u32 {
    let mix = MIX as u32;
    let mut x = ((index ^ (index >> 16)) ^ key).wrapping_mul(mix);
    x = (x ^ (x >> 16)).wrapping_mul(mix);
    x = (x ^ (x >> 16)).wrapping_mul(mix);
    x ^ (x >> 16)
}

/// The finalizer of SplitMix64 (Steele et al., 2014).
fn split_mix(key: u64) -> u64 {
    let mut x = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
