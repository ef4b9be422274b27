//! `runs/.cache/`: what was computed before and can be at any time again. It may be deleted; what is damaged is not there.

use super::seal::sealed;
use super::{Store, StoreError};
use crate::record::{DataCache, FORMAT};

const RUNS: &str = "runs.jsonl";

impl Store {
    /// What is known of data files; nothing where nothing can be read.
    pub fn data_cache(&self) -> DataCache {
        self.read_sealed(&self.root.join(".cache").join("data.json")).unwrap_or_default()
    }

    /// Remembers what is known of data files.
    pub fn save_data_cache(&self, cache: &DataCache) -> Result<(), StoreError> {
        let folder = self.root.join(".cache");
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        self.replace(&folder.join("data.json"), &sealed(cache))
    }

    /// What is remembered of runs, a line each behind a first one; nothing where it cannot be read, or another program wrote it.
    pub(super) fn remembered(&self, program: &str) -> Option<String> {
        let text = String::from_utf8(self.read(&self.root.join(".cache").join(RUNS)).ok()?).ok()?;
        text.split_once('\n').is_some_and(|(first, lines)| first == head(program, lines)).then_some(text)
    }

    /// Remembers lines about runs.
    pub(super) fn remember(&self, program: &str, lines: &str) -> Result<(), StoreError> {
        let folder = self.root.join(".cache");
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        self.replace(&folder.join(RUNS), [&head(program, lines), "\n", lines].concat().as_bytes())
    }
}

/// The first line of what is remembered of runs: who wrote the others, and their digest.
fn head(program: &str, lines: &str) -> String {
    serde_json::json!({ "format": FORMAT, "program": program, "lines": blake3::hash(lines.as_bytes()).to_hex().as_str() })
        .to_string()
}
