//! The files of a run beside its checkpoints: the saved experiment and the record.

use std::path::{Path, PathBuf};

use super::checkpoint::json;
use super::{Store, StoreError};
use crate::record::RunRecord;
use crate::spec::Name;

pub(super) const RECORD: &str = "record.json";

impl Store {
    /// Writes a file whole or not at all, over what is there.
    pub(super) fn replace(&self, target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = target.with_file_name(
            format!(".tmp-{name}-{}-{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], ""),
        );
        // Left by an attempt of this very process number that was killed.
        let _ = std::fs::remove_file(&temporary);
        self.write(&temporary, bytes)?;
        self.disk.rename(&temporary, target).map_err(|error| self.io(target, error))
    }

    pub fn saved_experiment(&self, experiment: &Name) -> PathBuf {
        self.run_folder(experiment).join(format!("{experiment}.ron"))
    }

    /// The saved experiment's text, if there is one that can be read.
    pub fn saved_text(&self, experiment: &Name) -> Option<String> {
        String::from_utf8(self.read(&self.saved_experiment(experiment)).ok()?).ok()
    }

    /// Writes a file that is made from the records into a run's folder, whole or not at all.
    pub fn save_in_run(&self, experiment: &Name, file: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.replace(&self.run_folder(experiment).join(file), bytes)
    }

    /// Saves the experiment's text, complete in itself, if it is not there already.
    pub fn save_experiment(&self, experiment: &Name, text: &str) -> Result<(), StoreError> {
        let target = self.saved_experiment(experiment);
        if self.read(&target).is_ok_and(|saved| saved == text.as_bytes()) {
            return Ok(());
        }
        let folder = self.run_folder(experiment);
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        self.replace(&target, text.as_bytes())
    }

    /// The record of a run, if it has one that can be read.
    pub fn run_record(&self, experiment: &Name) -> Result<Option<RunRecord>, StoreError> {
        let path = self.run_folder(experiment).join(RECORD);
        match self.read_json(&path) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            record => record.map(Some),
        }
    }

    pub fn save_run_record(&self, experiment: &Name, record: &RunRecord) -> Result<(), StoreError> {
        let folder = self.run_folder(experiment);
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        self.replace(&folder.join(RECORD), &json(record))
    }

    /// Names of the experiments that have a folder under `runs/`.
    pub fn runs(&self) -> Vec<Name> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        let folders = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<Name> =
            folders.filter_map(|entry| Name::try_from(entry.file_name().to_string_lossy().into_owned()).ok()).collect();
        names.sort();
        names
    }

    /// Writes a file into the store's folder, whole or not at all.
    pub fn save_file(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.disk.create_folder(&self.root).map_err(|error| self.io(&self.root, error))?;
        self.replace(&self.root.join(name), bytes)
    }

    /// Removes everything in the store's folder, for stores that were made for one question.
    pub fn remove_all(&self) -> Result<(), StoreError> {
        self.disk.remove_folder(&self.root).map_err(|error| self.io(&self.root, error))
    }

    /// Puts a whole run into `runs/.trash`, where nothing reads it.
    pub fn trash(&self, experiment: &Name) -> Result<PathBuf, StoreError> {
        let trash = self.root.join(".trash");
        self.disk.create_folder(&trash).map_err(|error| self.io(&trash, error))?;
        let to = (0..).map(|n| trash.join(format!("{experiment}-{n}"))).find(|to| !to.exists()).expect("some number is free");
        self.disk.rename(&self.run_folder(experiment), &to).map_err(|error| self.io(&to, error))?;
        Ok(to)
    }
}
