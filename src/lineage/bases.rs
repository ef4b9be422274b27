//! What each leaf of an experiment starts from: fresh weights, imported ones, or a checkpoint of the parent.

use std::collections::BTreeSet;

use super::course::Course;
use super::resolve::{Faults, File};
use super::resolved::{Fork, Leaf, Resolved};
use crate::history::{History, Origin, Root};
use crate::spec::{Name, Parent, Place, Reference, Training};

/// Where a leaf's own settings begin and what they start from.
pub(super) struct Base {
    /// The history so far; its end is the fork.
    pub history: History,
    pub fork: Option<Fork>,
    pub seed: u64,
    pub training: Training,
    /// The parent's curriculum, for branches that inherit it.
    pub course: Option<Course>,
    /// The seed that distinguishes the leaf from its siblings, if any does.
    pub replicate: Option<u64>,
}

impl File<'_> {
    /// What each leaf of a root starts from: one for each seed.
    pub fn roots(&self, faults: &mut Faults) -> Option<Vec<Base>> {
        let (model, data, training, imported) = match &self.experiment.parent {
            Parent::Scratch(root) => (&root.model, &root.data, &root.training, None),
            Parent::Imported(root) => (&root.model, &root.data, &root.training, Some(root)),
            Parent::Checkpoint(_) => return None,
        };
        let parent = Place::root().field("parent");
        let source = self.source(data, &parent.field("data"), faults);
        let origin = match imported {
            None => Some(Origin::Initial),
            Some(root) => self.imported(root, faults),
        };
        let (source, origin) = (source?, origin?);
        let declared = self.experiment.root_seed();
        let seeds =
            if self.experiment.seeds.is_empty() { declared.into_iter().collect() } else { self.experiment.seeds.clone() };
        let base = |seed: u64| {
            let root = Root {
                // Imported weights are the same whatever the seed of the streams.
                seed: if imported.is_some() { 0 } else { seed },
                origin: origin.clone(),
                model: model.clone(),
                model_version: self.library.versions(self.name).model,
                data: source.clone(),
            };
            let start = root.first_step();
            let replicate = self.experiment.seeds.contains(&seed).then_some(seed);
            Base {
                history: History::new(root, [], start),
                fork: None,
                seed,
                training: training.clone(),
                course: None,
                replicate,
            }
        };
        Some(seeds.into_iter().map(base).collect())
    }

    /// What each leaf of a fork starts from: one for each seed, or for each seed of the parent.
    pub fn forks(&self, reference: &Reference, parent: &Resolved, faults: &mut Faults) -> Option<Vec<Base>> {
        let place = Place::root().field("parent").index(0);
        let branch = self.parent_branch(reference, parent, faults)?;
        let replicates: Vec<&Leaf> = parent.leaves.iter().filter(|leaf| leaf.key.branch == branch).collect();
        let matching: Vec<&Leaf> = match reference.seed {
            None => replicates.clone(),
            Some(seed) => replicates.iter().copied().filter(|leaf| leaf.key.seed == Some(seed)).collect(),
        };
        if matching.is_empty() {
            let seeds: Vec<String> =
                replicates.iter().filter_map(|leaf| leaf.key.seed).map(|seed| format!("#{seed}")).collect();
            let help = match seeds.is_empty() {
                true => "leave `#..` out: the parent declares no `seeds`".into(),
                false => format!("its seeds are {}", seeds.join(", ")),
            };
            self.fault(faults, &place, format!("`{}` has no such seed", parent.name), help);
            return None;
        }
        if matching.len() > 1 && !self.experiment.seeds.is_empty() {
            let help = format!("write the seed of the parent, `{}@{}`, or leave `seeds` out", matching[0].key, reference.step);
            self.fault(
                faults,
                &Place::root().field("seeds"),
                "the parent has several seeds, and this fork has `seeds` of its own",
                help,
            );
            return None;
        }
        let (start, end) = (matching[0].history.start(), matching[0].history.end());
        if reference.step > end || reference.step < start {
            let help = format!("fork at a step from {start} to {end}, or raise `max_step` of `{}`", parent.name);
            self.fault(
                faults,
                &place,
                format!("`{}` ends at step {end}: it has no step {}", parent.name, reference.step),
                help,
            );
            return None;
        }
        if self.experiment.max_step <= reference.step {
            let message = format!("`max_step` {} is not past the fork at {}", self.experiment.max_step, reference.step);
            self.fault(faults, &Place::root().field("max_step"), message, "write a step past the fork");
            return None;
        }
        let base = |leaf: &Leaf, seed: Option<u64>| Base {
            history: leaf.history.cut(reference.step),
            fork: Some(Fork { parent: leaf.key.clone(), step: reference.step }),
            seed: seed.unwrap_or(leaf.history.settings(reference.step).seed),
            training: leaf.training.clone(),
            course: Some(leaf.course.clone()),
            replicate: seed.or(if matching.len() > 1 { leaf.key.seed } else { None }),
        };
        Some(match self.experiment.seeds.is_empty() {
            true => matching.iter().map(|leaf| base(leaf, None)).collect(),
            false => self.experiment.seeds.iter().map(|&seed| base(matching[0], Some(seed))).collect(),
        })
    }

    fn parent_branch(&self, reference: &Reference, parent: &Resolved, faults: &mut Faults) -> Option<Name> {
        let place = Place::root().field("parent").index(0);
        let branches: BTreeSet<&Name> = parent.leaves.iter().map(|leaf| &leaf.key.branch).collect();
        let names = branches.iter().map(|name| name.as_str()).collect::<Vec<_>>().join("`, `");
        match &reference.branch {
            Some(branch) if branches.contains(branch) => Some(branch.clone()),
            Some(branch) => {
                self.fault(
                    faults,
                    &place,
                    format!("`{}` has no branch `{branch}`", parent.name),
                    format!("its branches are `{names}`"),
                );
                None
            }
            None if branches.len() == 1 => branches.first().map(|&name| name.clone()),
            None => {
                let first = branches.first().map_or("", |name| name.as_str());
                let help = format!("write `{}/{first}@{}`; its branches are `{names}`", parent.name, reference.step);
                self.fault(faults, &place, format!("`{}` has several branches", parent.name), help);
                None
            }
        }
    }
}
