//! `runs/.trash`: what people removed, until they empty it. Nothing reads it.

use std::path::{Path, PathBuf};

use super::{Found, Store, StoreError};
use crate::spec::Name;

impl Store {
    /// Puts checkpoints of a run into the trash, the deepest first, so that no child is ever without its parent.
    pub fn trash_checkpoints(&self, run: &Name, checkpoints: &[&Found]) -> Result<PathBuf, StoreError> {
        let trash = self.trash_folder();
        let to = (0..).map(|n| trash.join(format!("{run}-{n}"))).find(|to| !to.exists()).expect("some number is free");
        let folder = self.run_folder(run);
        let mut deepest_first = checkpoints.to_vec();
        deepest_first.sort_by_key(|found| std::cmp::Reverse(found.manifest.step));
        for found in deepest_first {
            let target = to.join(found.path.strip_prefix(&folder).unwrap_or(Path::new("checkpoint")));
            let above = target.parent().unwrap_or(&to);
            self.disk.create_folder(above).map_err(|error| self.io(above, error))?;
            self.disk.rename(&found.path, &target).map_err(|error| self.io(&found.path, error))?;
        }
        Ok(to)
    }

    pub fn trash_folder(&self) -> PathBuf {
        self.root.join(".trash")
    }

    /// Removes everything in the trash for good.
    pub fn empty_trash(&self) -> Result<(), StoreError> {
        let trash = self.trash_folder();
        match trash.exists() {
            true => self.disk.remove_folder(&trash).map_err(|error| self.io(&trash, error)),
            false => Ok(()),
        }
    }
}
