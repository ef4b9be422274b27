//! The bytes of a TensorBoard event file: records with their checksums, each a protocol buffer `Event`.
//!
//! A record is the length of its data, a checksum of the length, the data, and a checksum of the data; all little-endian.
//! Of `Event` only what scalars need is written: `wall_time` (1), `step` (2), `file_version` (3), `summary` (5), and in
//! the summary `tag` (1) and `simple_value` (2) of each value (1).

/// What the first record of every file says.
const VERSION: &str = "brain.Event:2";

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Seconds, since 1970 where a clock is known.
    pub wall_time: f64,
    pub step: u64,
    pub what: What,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The file is one of events; the first record.
    Version,
    /// Values by their tags.
    Scalars(Vec<(String, f32)>),
}

/// Adds a record to the bytes of a file.
pub fn write_event(out: &mut Vec<u8>, event: &Event) {
    let data = encoded(event);
    let length = (data.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(&data);
    out.extend(masked(&data).to_le_bytes());
}

/// The checksum as these files hold it: turned and shifted, so that a checksum of checksums is no trap.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn encoded(event: &Event) -> Vec<u8> {
    let mut data = Vec::new();
    // A field that is 0 is left out, as everybody does.
    if event.wall_time != 0.0 {
        key(&mut data, 1, Wire::Fixed64);
        data.extend(event.wall_time.to_le_bytes());
    }
    if event.step != 0 {
        key(&mut data, 2, Wire::Varint);
        varint(&mut data, event.step);
    }
    match &event.what {
        What::Version => block(&mut data, 3, VERSION.as_bytes()),
        What::Scalars(values) => block(&mut data, 5, &summary(values)),
    }
    data
}

fn summary(values: &[(String, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        block(&mut one, 1, tag.as_bytes());
        key(&mut one, 2, Wire::Fixed32);
        one.extend(value.to_le_bytes());
        block(&mut summary, 1, &one);
    }
    summary
}

/// How a field is written.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Block = 2,
    Fixed32 = 5,
}

fn key(out: &mut Vec<u8>, field: u64, wire: Wire) {
    varint(out, (field << 3) | wire as u64);
}

fn block(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, Wire::Block);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Seven bits a byte, the lowest first; all but the last byte have their top bit set.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(wall_time: f64, step: u64, what: What) -> Vec<u8> {
        let mut out = Vec::new();
        write_event(&mut out, &Event { wall_time, step, what });
        out
    }

    /// Written by TensorBoard 2.21's own `RecordWriter` and protocol buffers.
    #[test]
    fn records_are_what_tensorboard_writes() {
        let version: [u8; 40] = [
            0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa3, 0x7f, 0x4b, 0x22, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0xf8, 0x3f, 0x1a, 0x0d, 0x62, 0x72, 0x61, 0x69, 0x6e, 0x2e, 0x45, 0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32, 0x2a, 0x28,
            0x64, 0x6c,
        ];
        assert_eq!(written(1.5, 0, What::Version), version);
        let scalar: [u8; 40] = [
            0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa3, 0x7f, 0x4b, 0x22, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0xf8, 0x3f, 0x10, 0xac, 0x02, 0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, 0x61, 0x15, 0x00, 0x00, 0x80, 0x3f, 0xe3, 0xd5,
            0x97, 0x0b,
        ];
        assert_eq!(written(1.5, 300, What::Scalars(vec![("a".into(), 1.0)])), scalar);
    }

    #[test]
    fn long_lengths_take_several_bytes() {
        let tag = "t".repeat(300);
        let out = written(0.0, 0, What::Scalars(vec![(tag.clone(), 0.5)]));
        let length = u64::from_le_bytes(out[..8].try_into().unwrap());
        assert_eq!(out.len() as u64, 8 + 4 + length + 4);
        assert!(out.windows(tag.len()).any(|part| part == tag.as_bytes()));
    }
}
