//! Everything under `runs/`: layout, atomic checkpoints, inventory, locks.
//!
//! A checkpoint is a folder that appears by one rename, after every file in it has reached the disk. It is read only
//! through its manifest, whose sizes and digests must agree. Nothing complete ever changes.

mod board;
mod cache;
mod checkpoint;
mod disk;
mod evaluations;
mod inside;
mod inventory;
mod leftovers;
mod listing;
mod live;
mod locks;
mod looks;
mod parallel;
mod pins;
mod run;
mod safetensors;
mod seal;
mod survey;
mod training;
mod trash;

pub use self::safetensors::{decode, encode, tensors_digest};
pub use self::seal::sealed;
pub use board::{Growing, Kept};
pub use checkpoint::{Commit, Committed, Segment, state_digest};
pub use disk::{Disk, FailingDisk, Locked, LocklessDisk, RealDisk};
pub use inventory::{Found, Inventory};
pub use leftovers::{Left, Leftover};
pub use listing::{Listed, Listing};
pub use live::{Live, Lost, Watched};
pub use locks::Lock;
pub use parallel::in_parallel;

use inside::Inside;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::lineage::LeafKey;
use crate::spec::{InRun, Name};

/// The folder `runs/`.
#[derive(Clone)]
pub struct Store {
    root: PathBuf,
    disk: Arc<dyn Disk>,
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{path}`: {source}")]
    Io { path: String, source: io::Error },
    /// A file is not what its manifest says.
    #[error("`{path}` is damaged: {what}")]
    Damaged { path: String, what: String },
    /// Written by a newer version of runner.
    #[error("`{path}` has format {found}, this version reads up to {known}: use a newer runner")]
    Newer { path: String, found: u32, known: u32 },
    /// Equal histories under equal numerics gave other tensors.
    #[error(
        "`{path}` was trained again with other results (tensors {kept}.. kept, {new}.. new): equal histories must give equal bits"
    )]
    Contradiction { path: String, kept: String, new: String },
    /// The same where equal bits were not promised, and the checkpoint that was there has its tensors.
    #[error(
        "`{path}` was there already, with other tensors ({kept}.. there, {new}.. now), as another machine, or a GPU, may give: what was there stays, and training goes on from it"
    )]
    Overtaken { path: String, kept: String, new: String },
    /// The same where the tensors were taken from the checkpoint to save space.
    #[error(
        "`{path}` was trained again, to put back the tensors it was thinned of, and came to others ({kept}.. recorded, {new}.. now), as another machine, or a GPU, may give; what grew from it grew from those that are gone: begin at a step whose tensors are kept, or train under another name"
    )]
    Unrestored { path: String, kept: String, new: String },
}

impl StoreError {
    /// Whether a file is not what it should be. A disk that fails for a while, or a format from a newer version, says
    /// nothing against what is on it.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Damaged { .. } => true,
            StoreError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::NotADirectory)
            }
            StoreError::Newer { .. }
            | StoreError::Contradiction { .. }
            | StoreError::Overtaken { .. }
            | StoreError::Unrestored { .. } => false,
        }
    }
}

impl Store {
    pub fn new(root: impl Into<PathBuf>, disk: Arc<dyn Disk>) -> Store {
        let root = root.into();
        Store { disk: Arc::new(Inside::new(root.clone(), disk)), root }
    }

    /// The bytes of a regular file under `runs/`.
    fn read(&self, path: &Path) -> Result<Vec<u8>, StoreError> {
        inside::read(&self.root, path).map_err(|error| self.io(path, error))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `runs/<experiment>`.
    pub fn run_folder(&self, experiment: &Name) -> PathBuf {
        self.root.join(experiment.as_str())
    }

    /// A file or folder of the runner's own in a run's folder.
    pub fn in_run(&self, experiment: &Name, what: InRun) -> PathBuf {
        self.run_folder(experiment).join(what.name())
    }

    /// Folder of a leaf's own checkpoints: `<branch>/[seed-<n>/]`.
    pub fn leaf_folder(&self, leaf: &LeafKey) -> PathBuf {
        let branch = self.run_folder(&leaf.experiment).join(leaf.branch.as_str());
        leaf.seed.map_or(branch.clone(), |seed| branch.join(format!("seed-{seed}")))
    }

    /// Folder of what several leaves of a run share.
    pub fn shared_folder(&self, experiment: &Name) -> PathBuf {
        self.in_run(experiment, InRun::Shared)
    }

    fn io(&self, path: &Path, source: io::Error) -> StoreError {
        StoreError::Io { path: self.shown(path), source }
    }

    fn damaged(&self, path: &Path, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.shown(path), what: what.into() }
    }

    /// The path as people see it: from `runs/` on.
    pub fn shown(&self, path: &Path) -> String {
        let parent = self.root.parent().unwrap_or(&self.root);
        path.strip_prefix(parent).unwrap_or(path).display().to_string()
    }
}
