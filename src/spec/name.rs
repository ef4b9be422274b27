//! Names of experiments, curricula, branches and validation sets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that is safe as a file's or folder's on every system: letters, digits, `-`, `_`, `.`, at most 64, not starting
/// with a dot or dash, not a name that Windows reserves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

const RESERVED: [&str; 4] = ["con", "nul", "prn", "aux"];

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which two names that differ only in case are equal.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Name, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
        if text.is_empty() || text.len() > 64 {
            return Err(format!("`{shown}` is no name: a name has 1 to 64 characters"));
        }
        if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            let bad = bad.escape_default();
            return Err(format!("`{shown}` is no name: `{bad}` is not a letter, digit, `-`, `_` or `.`"));
        }
        if text.starts_with(['.', '-']) || text.ends_with('.') {
            return Err(format!("`{shown}` is no name: it starts with a dot or dash, or ends with a dot"));
        }
        let stem = text.split('.').next().unwrap_or_default().to_ascii_lowercase();
        if RESERVED.contains(&stem.as_str()) {
            return Err(format!("`{shown}` is no name: some systems reserve it"));
        }
        Ok(Name(text))
    }
}

impl TryFrom<&str> for Name {
    type Error = String;

    fn try_from(text: &str) -> Result<Name, String> {
        Name::try_from(text.to_owned())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The known word most like `written`, if one is near enough to be what was meant.
pub fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|word| {
        let (a, b) = (written.to_lowercase(), word.to_lowercase());
        (strsim::normalized_damerau_levenshtein(&a, &b).max(strsim::jaro_winkler(&a, &b) - 0.25), word)
    });
    scored.filter(|(score, _)| *score >= 0.55).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["a", "precursor_timing", "early-2", "v1.2", "A"] {
            assert!(Name::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../a", "a/b", "a\\b", "-a", ".a", "a\n", "a b", "é", "nul", "CON.ron", &"x".repeat(65)] {
            assert!(Name::try_from(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        assert_eq!(closest("Precurser", ["CrossEntropy", "Spectrum", "Precursor"]), Some("Precursor"));
        assert_eq!(closest("erly", ["early", "phased"]), Some("early"));
        assert_eq!(closest("xyz", ["early", "phased"]), None);
    }
}
