//! Experiments with everything filled in: leaves with their histories.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::course::Course;
use super::library::FileOrigin;
use crate::history::{History, Piece};
use crate::spec::{Decide, Name, Training};
use crate::task::difficulty::Difficulty;
use crate::task::loss::Loss;
use crate::task::preprocess::Preprocessing;
use crate::task::synthetic::Synthetic;

/// Which leaf: `experiment/branch#seed`, the seed only where the experiment declares replicates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafKey {
    pub experiment: Name,
    pub branch: Name,
    pub seed: Option<u64>,
}

impl LeafKey {
    /// Without the experiment: `branch` or `branch#seed`.
    pub fn local(&self) -> String {
        match self.seed {
            Some(seed) => format!("{}#{seed}", self.branch),
            None => self.branch.to_string(),
        }
    }
}

impl fmt::Display for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.experiment, self.local())
    }
}

/// Where a leaf leaves its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    pub parent: LeafKey,
    pub step: u64,
}

/// A stage of a leaf's curriculum by its absolute start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageStart {
    pub from: u64,
    pub name: Option<String>,
}

/// One branch under one seed.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub key: LeafKey,
    /// From the root to the experiment's `max_step`.
    pub history: History,
    pub fork: Option<Fork>,
    /// All stages of its curriculum, also those outside the trained range.
    pub stages: Vec<StageStart>,
    /// What goes on past `max_step`, for branches that inherit it.
    pub(super) course: Course,
    pub(super) training: Training,
}

impl Leaf {
    /// The step from which the leaf's own curriculum governs.
    pub fn own_from(&self) -> u64 {
        self.fork.as_ref().map_or(self.history.start(), |fork| fork.step)
    }

    /// Steps within the leaf's own part at which a stage of its curriculum starts, or a loss comes in or goes out, as a moved one
    /// does between stages.
    pub fn turns(&self) -> BTreeSet<u64> {
        let own = self.own_from() + 1..self.history.end();
        let losses = |step: u64| self.history.settings(step).losses.keys();
        let switches =
            self.history.edges_from(self.own_from()).filter(|step| own.contains(step) && !losses(step - 1).eq(losses(*step)));
        let starts = self.stages.iter().map(|stage| stage.from).filter(|from| own.contains(from));
        starts.chain(switches).collect()
    }

    /// The weights that its curriculum gives each loss, by first step, also before the fork and past the end; none where the
    /// loss is not there.
    pub fn written_weights(&self) -> BTreeMap<Loss, Vec<(u64, Option<Piece>)>> {
        self.course.weights()
    }
}

/// How often a run saves, evaluates and logs: never part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rhythm {
    pub save_every: u64,
    pub evaluate_every: u64,
    pub log_every: u64,
    /// Whether the bits of every update are kept.
    pub ledger: bool,
    pub keep: Vec<u64>,
}

/// A validation set, before its spectra are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    pub name: Name,
    pub source: SetSource,
    pub spectra: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SetSource {
    Synthetic {
        synthetic: Synthetic,
        difficulty: Difficulty,
        seed: u64,
    },
    Files {
        /// Paths as written, each with the blake3 of the file's content.
        files: Vec<(String, String)>,
        length: (u32, u32),
        preprocessing: Preprocessing,
    },
}

/// Something people should know that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub leaf: LeafKey,
    pub text: String,
}

/// An experiment with everything filled in.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub name: Name,
    pub origin: FileOrigin,
    pub question: Option<String>,
    pub leaves: Vec<Leaf>,
    pub reference: Name,
    pub rhythm: Rhythm,
    /// `set/metric` by which the best checkpoint is chosen.
    pub best: Option<(Name, String)>,
    /// What decides between the branches.
    pub decide: Option<Decide>,
    pub validation: Vec<Set>,
    /// Experiment that this one forks from.
    pub parent: Option<Name>,
    /// Curricula its branches name.
    pub curricula: Vec<Name>,
    pub notes: Vec<Note>,
}
