//! The experiments by which what exists is judged: the files in `experiments/`, and where a run's file is gone or has
//! problems, what was saved beside the run.

use std::collections::BTreeMap;
use std::path::Path;

use super::context::Context;
use crate::history::Id;
use crate::lineage::{Leaf, Library, Resolved};
use crate::plan::Stored;
use crate::spec::{Name, Parent, Reference};
use crate::store::{Inventory, Store, in_parallel};

/// What the files say, as far as they can be read.
pub(crate) struct Judged {
    pub experiments: BTreeMap<Name, Resolved>,
    /// What files with problems fork from, where that can be read all the same.
    pub other_forks: Vec<(Name, Id)>,
    /// Files with problems of which it is not known what they fork from.
    pub unread: Vec<String>,
}

impl Judged {
    pub fn read(context: &Context) -> Judged {
        let (mut loaded, targets) = context.project.load_all();
        let mut experiments = loaded.resolve(&targets).experiments;
        let mut alone = context.store.runs();
        alone.retain(|run| !experiments.contains_key(run));
        let saved = in_parallel(&alone, |run| saved(context, run));
        experiments.extend(alone.into_iter().zip(saved).filter_map(|(run, resolved)| Some((run, resolved?))));
        let mut judged = Judged { experiments, other_forks: vec![], unread: vec![] };
        judged.add_broken(&loaded.library);
        judged
    }

    /// The experiments that files in `experiments/` declare now.
    pub fn planned(&self) -> impl Iterator<Item = &Resolved> {
        self.experiments.values().filter(move |resolved| self.is_read(&resolved.name))
    }

    /// Adds what files with problems fork from.
    fn add_broken(&mut self, library: &Library) {
        let names = library.experiment_names.iter().filter_map(|stem| Name::try_from(stem.as_str()).ok());
        for name in names.filter(|name| !self.is_read(name)).collect::<Vec<_>>() {
            match self.forks(&name, library) {
                Some(forks) => self.other_forks.extend(forks.into_iter().map(|id| (name.clone(), id))),
                None => self.unread.push(file(&name)),
            }
        }
    }

    /// Whether the file in `experiments/` is the one that speaks for an experiment.
    fn is_read(&self, name: &Name) -> bool {
        self.experiments.get(name).is_some_and(|resolved| resolved.origin.file == file(name))
    }

    /// The checkpoints that an experiment forks from which cannot be resolved; `None` where that cannot be known.
    fn forks(&self, name: &Name, library: &Library) -> Option<Vec<Id>> {
        let (mut at, mut step) = (name, u64::MAX);
        for _ in 0..=library.experiments.len() {
            let Parent::Checkpoint(reference) = &library.experiments.get(at)?.value.parent else { return Some(vec![]) };
            // A fork before its parent's own fork lies on the grandparent.
            step = step.min(reference.step);
            if let Some(parent) = self.experiments.get(&reference.experiment) {
                let leaves = parent.leaves.iter().filter(|leaf| is_meant(reference, leaf));
                return Some(leaves.map(|leaf| leaf.history.cut(step).id()).collect());
            }
            at = &reference.experiment;
        }
        None
    }
}

/// The path of an experiment's file as people know it.
fn file(name: &Name) -> String {
    Path::new("experiments").join(format!("{name}.ron")).display().to_string()
}

fn is_meant(reference: &Reference, leaf: &Leaf) -> bool {
    reference.branch.as_ref().is_none_or(|branch| *branch == leaf.key.branch)
        && reference.seed.is_none_or(|seed| leaf.key.seed == Some(seed))
}

/// The experiment as it was when it was last run.
fn saved(context: &Context, run: &Name) -> Option<Resolved> {
    let path = context.store.saved_experiment(run);
    if !path.is_file() {
        return None;
    }
    context.ready(&path).ok()?.resolution.experiments.remove(run)
}

/// What exists, as far as keeping it is concerned.
pub(crate) fn stored(store: &Store, inventory: &Inventory) -> Vec<Stored> {
    let stored = inventory.checkpoints.values().map(|found| Stored {
        id: found.manifest.id,
        step: found.manifest.step,
        parent: found.manifest.parent.as_ref().map(|parent| parent.id),
        folder: found.path.parent().map(|folder| below_runs(store, folder)).unwrap_or_default(),
        has_tensors: found.has_tensors,
    });
    stored.collect()
}

/// A path from `runs/` on, with slashes.
pub(crate) fn below_runs(store: &Store, path: &Path) -> String {
    let inner = path.strip_prefix(store.root()).unwrap_or(path);
    inner.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
