//! What earlier attempts lost, compared with what is trained in their stead while it is trained.

use std::collections::BTreeMap;
use std::path::Path;

use crate::record::MetricsRow;
use crate::store::{Lost, Store, StoreError};

/// Attempts that were lost at steps that are now trained again. Holds their rows, and none of this attempt's: what an attempt
/// lost is no more than what lies between two checkpoints, however long training goes on.
#[derive(Default)]
pub struct Again {
    lost: Vec<Missing>,
}

/// A lost attempt, and those of its rows that have not been seen again.
struct Missing {
    lost: Lost,
    rows: BTreeMap<u64, Vec<u8>>,
    last: u64,
}

impl Again {
    /// The attempts lost in a folder from a step on. One that failed by itself stays as evidence and is not compared.
    pub fn new(store: &Store, folder: &Path, from: u64) -> Again {
        let lost = store.lost(folder).into_iter().filter(|lost| !lost.has_failed && lost.from >= from);
        let missing = |lost: Lost| {
            let rows = complete_rows(&lost);
            let last = *rows.keys().next_back()?;
            Some(Missing { lost, rows, last })
        };
        Again { lost: lost.filter_map(missing).collect() }
    }

    /// Takes note of a row.
    pub fn saw(&mut self, step: u64, row: &[u8]) {
        for missing in &mut self.lost {
            if missing.rows.get(&step).is_some_and(|lost| lost == row) {
                missing.rows.remove(&step);
            }
        }
    }

    /// Forgets the attempts whose steps, up to `step`, have been trained again and agree; says which do not, each once.
    pub fn settle(&mut self, store: &Store, step: u64) -> Result<Vec<String>, StoreError> {
        let mut said = Vec::new();
        for missing in self.lost.extract_if(.., |missing| missing.last < step) {
            match missing.rows.keys().next() {
                None => store.forget(&missing.lost)?,
                Some(first) => said.push(format!(
                    "`{}` was trained again and differs from step {first} on; both are kept. On one CPU and build equal histories give equal bits: was it trained on another, or on a GPU?",
                    store.shown(&missing.lost.folder)
                )),
            }
        }
        Ok(said)
    }
}

/// The rows of a lost attempt by step; a last line that was cut off is not one.
fn complete_rows(lost: &Lost) -> BTreeMap<u64, Vec<u8>> {
    let lines = lost.metrics.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.filter_map(|line| Some((serde_json::from_slice::<MetricsRow>(line).ok()?.step, line.to_vec()))).collect()
}
