//! What has been read from disk, as the pure layers see it.

use std::collections::BTreeMap;

use crate::history::Versions;
use crate::spec::{Curriculum, Experiment, Name, Place};

/// Where a value was written: a file (by its path as shown to people) and a place in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileOrigin {
    pub file: String,
    /// Place of the value inside the file: the root, or an entry of the file's `library`.
    pub at: Place,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Known<T> {
    pub value: T,
    pub origin: FileOrigin,
}

/// A data file that some experiment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataFile {
    /// blake3 of its content, hexadecimal.
    Digest(String),
    /// There is no such file.
    Absent,
    /// It is there and cannot be read, and why.
    Unreadable(String),
}

/// A safetensors file that some experiment imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorFile {
    /// Digest of its tensors, and their shapes by name.
    Header { digest: String, shapes: BTreeMap<String, Vec<usize>> },
    /// There is no such file.
    Absent,
    /// It is there and cannot be read, and why.
    Unreadable(String),
}

/// All files that matter for a question.
#[derive(Clone, Debug, Default)]
pub struct Library {
    pub experiments: BTreeMap<Name, Known<Experiment>>,
    pub curricula: BTreeMap<Name, Known<Curriculum>>,
    /// Names of experiments and curricula that exist on disk, read or not, for suggestions.
    pub experiment_names: Vec<String>,
    pub curriculum_names: Vec<String>,
    /// Names whose files exist but could not be read; their own problems have been reported already.
    pub unreadable_experiments: Vec<Name>,
    pub unreadable_curricula: Vec<Name>,
    /// By path as written.
    pub data: BTreeMap<String, DataFile>,
    pub tensors: BTreeMap<String, TensorFile>,
    /// Whether data files that are absent are supposed to be there, and to be what is asked for: so that everything else can be
    /// checked. Nothing may be planned by it.
    pub supposes_data: bool,
    /// Versions of the parts under which an experiment is resolved, where they are not this program's own.
    pub versions: BTreeMap<Name, Versions>,
}

impl Library {
    pub fn versions(&self, experiment: &Name) -> &Versions {
        self.versions.get(experiment).unwrap_or(&Versions::CURRENT)
    }
}

/// A rule among files that is broken: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: String,
    pub place: Place,
    pub message: String,
    pub help: Option<String>,
    /// Nothing that is written is wrong: a data file is absent.
    pub absent_data: bool,
}

impl FileOrigin {
    /// A fault at a place relative to this value.
    pub fn fault(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) -> Fault {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        Fault { file: self.file.clone(), place: self.at.join(place), message: message.into(), help, absent_data: false }
    }
}
