//! What equal bits depend on besides the history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The machine and the build as far as they decide the bits of a result. Equal histories under equal numerics give equal
/// bytes; our own code is covered by the versions in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numerics {
    /// `flex`, `cuda`, or `fake` in tests.
    pub backend: String,
    /// By name: CPU or GPU model, driver, compiler, versions of the numeric crates, features.
    pub details: BTreeMap<String, String>,
}

impl Numerics {
    /// Everything by name, the backend as `backend`.
    pub fn named(&self) -> BTreeMap<String, String> {
        let backend = ("backend".to_owned(), self.backend.clone());
        self.details.clone().into_iter().chain([backend]).collect()
    }
}
