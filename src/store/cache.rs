//! `runs/.cache/`: what was computed before and can be at any time again. It may be deleted; what is damaged is not there.

use super::seal::sealed;
use super::{Store, StoreError};
use crate::record::DataCache;

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
}
