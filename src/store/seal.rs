//! Records that prove themselves: JSON whose last field is the digest of all bytes before it, so that no flipped bit is
//! believed.

use serde::Serialize;

/// What stands around the digest at the end of a sealed record.
const BEFORE: &str = ",\n  \"seal\": \"";
const AFTER: &str = "\"\n}\n";
/// Hexadecimal digits of a blake3 digest.
const DIGITS: usize = 64;

/// A record with at least one field as JSON that people can read, with its seal and a newline at its end.
pub fn sealed<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(record).expect("our records can be written as JSON");
    bytes.truncate(bytes.len() - "\n}".len());
    let seal = blake3::hash(&bytes).to_hex();
    bytes.extend([BEFORE, seal.as_str(), AFTER].concat().into_bytes());
    bytes
}

/// Says what is wrong with the bytes of a sealed record: they must be exactly those that were written.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let end = bytes.strip_suffix(AFTER.as_bytes()).and_then(|rest| rest.split_last_chunk::<DIGITS>());
    let (rest, seal) = end.ok_or("it has no seal at its end")?;
    let body = rest.strip_suffix(BEFORE.as_bytes()).ok_or("it has no seal at its end")?;
    match blake3::hash(body).to_hex().as_bytes() == seal {
        true => Ok(()),
        false => Err("its content does not agree with its seal".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = serde_json::json!({ "format": 1, "b": { "x": 0.1, "text": "é\n" }, "a": [1, 2.5e-9, null] });
        let bytes = sealed(&record);
        assert_eq!(check(&bytes), Ok(()));
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["b"], record["b"]);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(check(&flipped).is_err(), "byte {at}, bit {bit}");
            }
        }
        for end in 0..bytes.len() {
            assert!(check(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
