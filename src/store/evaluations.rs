//! Evaluation records: one file each, never changed.

use super::seal::sealed;
use super::{Store, StoreError};
use crate::record::Evaluation;
use crate::spec::Name;

impl Store {
    /// Saves an evaluation under its key; one that is there already and can be read stays.
    pub fn save_evaluation(&self, experiment: &Name, evaluation: &Evaluation) -> Result<(), StoreError> {
        let folder = self.run_folder(experiment).join("evaluations");
        let target = folder.join(format!("{}.json", evaluation.key()));
        if target.exists() && self.read_sealed::<Evaluation>(&target).is_ok() {
            return Ok(());
        }
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        self.replace(&target, &sealed(evaluation))
    }
}
