//! Locks save work; the commit gives correctness. They are freed by a crash.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

use super::{Store, StoreError};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

impl Store {
    /// Takes the lock of a name, or says that another process (or thread) has it. Where the file system has no locks, every
    /// attempt succeeds and [`Store::locks_work`] says so.
    pub fn lock(&self, name: &str) -> Result<Option<Lock>, StoreError> {
        let path = self.lock_path(name)?;
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| self.io(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(_)) => Ok(Some(Lock { _file: None })),
        }
    }

    fn lock_path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let folder = self.root.join(".locks");
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        Ok(folder.join(format!("{name}.lock")))
    }

    /// Whether locks keep a second holder out here.
    pub fn locks_work(&self) -> Result<bool, StoreError> {
        let name = format!("probe-{}", std::process::id());
        let first = self.lock(&name)?;
        let second = self.lock(&name)?;
        let path = self.lock_path(&name)?;
        let _ = std::fs::remove_file(path);
        Ok(first.is_some() && second.is_none())
    }
}
