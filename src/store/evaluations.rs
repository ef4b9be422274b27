//! Evaluations and probes: one file each, never changed.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::seal::sealed;
use super::{Store, StoreError};
use crate::record::{Evaluation, Probes};
use crate::spec::{InRun, Name};

impl Store {
    /// Saves an evaluation under its key; one that is there already and can be read stays.
    pub fn save_evaluation(&self, experiment: &Name, evaluation: &Evaluation) -> Result<(), StoreError> {
        self.save_under(&self.in_run(experiment, InRun::Evaluations), &evaluation.key(), evaluation)
    }

    /// The same for probes.
    pub fn save_probes(&self, experiment: &Name, probes: &Probes) -> Result<(), StoreError> {
        self.save_under(&self.in_run(experiment, InRun::Probes), &probes.key(), probes)
    }

    fn save_under<T: Serialize + DeserializeOwned>(&self, folder: &Path, key: &str, record: &T) -> Result<(), StoreError> {
        let target = folder.join(format!("{key}.json"));
        if target.exists() && self.read_sealed::<T>(&target).is_ok() {
            return Ok(());
        }
        self.disk.create_folder(folder).map_err(|error| self.io(folder, error))?;
        self.replace(&target, &sealed(record))
    }
}
