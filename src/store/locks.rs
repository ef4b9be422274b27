//! Locks save work; the commit gives correctness. They are freed by a crash.

use std::fs::File;
use std::path::PathBuf;

use super::disk::Locked;
use super::{Store, StoreError};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Whether the lock keeps others out: not where the file system has no locks.
    pub fn is_real(&self) -> bool {
        self.file.is_some()
    }
}

impl Store {
    /// Takes the lock of a name, or says that another process (or thread) has it. Where the file system has no locks, every
    /// attempt succeeds and [`Lock::is_real`] says so.
    pub fn lock(&self, name: &str) -> Result<Option<Lock>, StoreError> {
        let path = self.lock_path(name)?;
        match self.disk.lock(&path).map_err(|error| self.io(&path, error))? {
            Locked::Held(file) => Ok(Some(Lock { file: Some(file) })),
            Locked::Elsewhere => Ok(None),
            Locked::Unknown => Ok(Some(Lock { file: None })),
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
