//! Digests of what goes into an update and of what comes out of it, quick enough to be made at every step.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use super::tensors::{State, Tensor, Values};
use crate::task::batch::Batch;

/// XXH3 with 64 bits: not cryptographic, and fast enough to digest every tensor at every step.
pub fn digest64(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// Digest of everything a batch holds.
pub fn batch_digest(batch: &Batch) -> u64 {
    let mut hasher = XxHash3_64::new();
    [batch.size, batch.peaks, batch.length].iter().chain(&batch.lengths).for_each(|&n| hasher.write_u64(n as u64));
    for numbers in [&batch.mz, &batch.intensity, &batch.is_peak, &batch.neutral_mass, &batch.cleavable] {
        numbers.iter().for_each(|number| hasher.write_u32(number.to_bits()));
    }
    batch.charge.iter().chain(&batch.tokens).for_each(|&number| hasher.write_i32(number));
    hasher.finish()
}

/// Digest of a tensor's elements, little-endian.
pub fn tensor_digest(tensor: &Tensor) -> u64 {
    let bytes: Vec<u8> = match &tensor.values {
        Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Values::U64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    digest64(&bytes)
}

/// Digest of every tensor of a state; of the average's as `ema/..`, of the optimizer's as `optimizer/..`.
pub fn state_digests(state: &State) -> impl Iterator<Item = (String, u64)> {
    let named = [("", &state.model), ("ema/", &state.ema), ("optimizer/", &state.optimizer)];
    named.into_iter().flat_map(|(prefix, tensors)| {
        tensors.iter().map(move |(path, tensor)| (format!("{prefix}{path}"), tensor_digest(tensor)))
    })
}
