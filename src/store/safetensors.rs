//! Tensors as safetensors bytes: equal tensors give equal bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors, View};

use crate::record::{FileDigest, Tensor, Tensors, Values};

/// A tensor on its way into a file.
struct Bytes<'a>(&'a Tensor);

impl View for Bytes<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.values {
            Values::F32(_) => Dtype::F32,
            Values::U64(_) => Dtype::U64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.0.values {
            Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::U64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        match &self.0.values {
            Values::F32(values) => values.len() * 4,
            Values::U64(values) => values.len() * 8,
        }
    }
}

/// The bytes of a safetensors file, without metadata (its order would be random).
pub fn encode(tensors: &Tensors) -> Result<Vec<u8>, String> {
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), Bytes(tensor)));
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// The tensors of a safetensors file.
pub fn decode(bytes: &[u8]) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => Values::F32(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
            Dtype::U64 => Values::U64(data.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()),
            other => return Err(format!("`{name}` has the type {other:?}")),
        };
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

/// blake3 of the safetensors file that these tensors make.
pub fn tensors_digest(tensors: &Tensors) -> Result<String, String> {
    Ok(FileDigest::of("", &encode(tensors)?).blake3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_survive_bit_for_bit() {
        let odd = vec![f32::MIN_POSITIVE / 2.0, -0.0, f32::from_bits(0x7fc0_1234), 1.5];
        let tensors = Tensors::from([
            ("b".into(), Tensor::f32([2, 2], odd)),
            ("a".into(), Tensor::counter(u64::MAX)),
            ("c".into(), Tensor::f32([0], vec![])),
        ]);
        let bytes = encode(&tensors).unwrap();
        assert_eq!(bytes, encode(&tensors.clone()).unwrap());
        let back = decode(&bytes).unwrap();
        assert_eq!(encode(&back).unwrap(), bytes);
        assert_eq!(back["a"].as_counter(), Some(u64::MAX));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
    }
}
