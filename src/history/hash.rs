//! Names as digests: explicit, field by field, by name, and portable. Never the hash of a serialization.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a checkpoint: blake3 of its history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id([u8; 32]);

impl Id {
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The first eight hexadecimal digits: enough for a folder's name beside its step.
    pub fn short(&self) -> String {
        self.hex()[..8].to_owned()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.short())
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Id, String> {
        blake3::Hash::from_hex(&text)
            .map(|hash| Id(*hash.as_bytes()))
            .map_err(|_| format!("`{}` is no id", text.escape_default()))
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.hex()
    }
}

/// Collects named fields. Every field writes its name, the kind of its value, and the value; so no two different lists of
/// fields write the same bytes, and a field that is not written means *absent*.
#[derive(Clone)]
pub struct Fields(blake3::Hasher);

impl Fields {
    /// Starts the fields of a kind of thing.
    pub fn of(kind: &str) -> Fields {
        let mut fields = Fields(blake3::Hasher::new());
        fields.bytes(kind.as_bytes());
        fields
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn write(&mut self, name: &str, kind: u8, value: &[u8]) -> &mut Fields {
        self.bytes(name.as_bytes());
        self.0.update(&[kind]);
        self.bytes(value);
        self
    }

    pub fn whole(&mut self, name: &str, value: impl Into<u64>) -> &mut Fields {
        self.write(name, 1, &value.into().to_le_bytes())
    }

    /// The bits of the number; minus zero counts as zero.
    pub fn number(&mut self, name: &str, value: f64) -> &mut Fields {
        self.write(name, 2, &(value + 0.0).to_bits().to_le_bytes())
    }

    pub fn text(&mut self, name: &str, value: &str) -> &mut Fields {
        self.write(name, 3, value.as_bytes())
    }

    pub fn truth(&mut self, name: &str, value: bool) -> &mut Fields {
        self.write(name, 4, &[u8::from(value)])
    }

    /// Something that has fields of its own.
    pub fn part(&mut self, name: &str, part: &Fields) -> &mut Fields {
        self.part_of_id(name, &part.id())
    }

    /// The same, for fields whose digest is known.
    pub fn part_of_id(&mut self, name: &str, part: &Id) -> &mut Fields {
        self.write(name, 5, &part.0)
    }

    pub fn id(&self) -> Id {
        Id(*self.0.finalize().as_bytes())
    }
}

/// blake3 of bytes, in hexadecimal.
pub fn digest_text(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_kinds_and_borders_of_fields_matter() {
        let ids = [
            Fields::of("a").text("x", "yz").id(),
            Fields::of("a").text("xy", "z").id(),
            Fields::of("b").text("x", "yz").id(),
            Fields::of("a").text("x", "y").text("z", "").id(),
            Fields::of("a").whole("x", 0_u64).id(),
            Fields::of("a").number("x", 0.0).id(),
            Fields::of("a").id(),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{index}");
        }
        assert_eq!(Fields::of("a").number("x", -0.0).id(), Fields::of("a").number("x", 0.0).id());
        let id = ids[0];
        assert_eq!(Id::try_from(id.hex()), Ok(id));
    }
}
