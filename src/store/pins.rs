//! Pins: one small file for each checkpoint whose tensors are never taken.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::checkpoint::json;
use super::{Store, StoreError};
use crate::history::Id;
use crate::record::{FORMAT, Pin};

impl Store {
    /// Pins a checkpoint. A pin that is there already is written anew.
    pub fn pin(&self, pin: &Pin) -> Result<(), StoreError> {
        let folder = self.pins_folder();
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        self.replace(&self.pin_path(pin.id), &json(pin))
    }

    /// Takes a pin away, and says whether there was one.
    pub fn unpin(&self, id: Id) -> Result<bool, StoreError> {
        let path = self.pin_path(id);
        if !path.exists() {
            return Ok(false);
        }
        self.discard(&path)?;
        Ok(true)
    }

    /// Every pin. One that cannot be read still pins the checkpoint that its file's name names.
    pub fn pins(&self) -> Result<BTreeMap<Id, Pin>, StoreError> {
        let folder = self.pins_folder();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(|error| self.io(&folder, error))?,
        };
        let mut pins = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(|error| self.io(&folder, error))?.path();
            let Some(id) = pinned(&path) else { continue };
            let pin: Pin = self.read_json(&path).unwrap_or_else(|error| unreadable(id, &error));
            pins.insert(id, Pin { id, ..pin });
        }
        Ok(pins)
    }

    fn pins_folder(&self) -> PathBuf {
        self.root.join(".pins")
    }

    fn pin_path(&self, id: Id) -> PathBuf {
        self.pins_folder().join(format!("{}.json", id.hex()))
    }
}

/// The checkpoint that a pin's file names.
fn pinned(path: &Path) -> Option<Id> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".json")?;
    Id::try_from(stem.to_owned()).ok()
}

fn unreadable(id: Id, error: &StoreError) -> Pin {
    Pin { format: FORMAT, id, reference: format!("[{}]", id.short()), note: Some(format!("this pin cannot be read: {error}")) }
}
