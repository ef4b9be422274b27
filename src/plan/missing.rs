//! What has not been measured of checkpoints that are kept, and can be measured without training.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{Builder, Owner, Segment};
use super::steps::{Save, evaluation_steps};
use crate::history::Id;
use crate::spec::Name;

/// A kept checkpoint of which something has not been measured on a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The experiment whose set it is, and in whose run the record belongs.
    pub experiment: Name,
    pub id: Id,
    pub step: u64,
    pub set: Name,
}

impl Builder<'_> {
    /// Checkpoints that exist, should have been evaluated, and have not been.
    pub fn evaluations(
        &self,
        owners: &[Owner],
        saves: &[Vec<Save>],
        sets: &BTreeMap<Name, Vec<(Name, String)>>,
    ) -> Vec<Missing> {
        let mut missing = Vec::new();
        for (index, node) in self.tree.nodes.iter().enumerate() {
            let experiment = owners[index].experiment();
            let rhythm = &self.experiments[experiment].rhythm;
            let is_end = node.ends.iter().any(|&member| self.members[member].key.experiment == *experiment);
            let due = evaluation_steps(node.from, node.step, rhythm, is_end);
            for save in saves[index].iter().filter(|save| due.contains(&save.step) && self.existing.has_tensors(save.id)) {
                for (set, digest) in sets.get(experiment).into_iter().flatten() {
                    if !self.existing.evaluations.contains(&(save.id, digest.clone())) {
                        missing.push(Missing {
                            experiment: experiment.clone(),
                            id: save.id,
                            step: save.step,
                            set: set.clone(),
                        });
                    }
                }
            }
        }
        missing
    }

    /// States that should have been probed, have not been, and have their checkpoints' tensors. What a segment probes on its
    /// way is not among them.
    pub fn probes(&self, owners: &[Owner], segments: &[Segment], sets: &BTreeMap<Name, Vec<(Name, String)>>) -> Vec<Missing> {
        let trained: BTreeMap<usize, u64> = segments.iter().map(|segment| (segment.node, segment.from)).collect();
        // Several edges begin where a fork is: its state is probed once.
        let mut seen: BTreeSet<(Id, &str)> = BTreeSet::new();
        let mut missing = Vec::new();
        for (index, node) in self.tree.nodes.iter().enumerate() {
            let experiment = owners[index].experiment();
            let Some(sets) = sets.get(experiment) else { continue };
            let mut steps = self.wanted[index].probes.clone();
            if let Some(from) = trained.get(&index) {
                steps.split_off(from);
            }
            let ids = self.members[node.first].history.ids(steps.iter().copied());
            for (step, id) in steps.into_iter().zip(ids).filter(|(_, id)| self.existing.has_tensors(*id)) {
                for (set, digest) in sets {
                    if !self.existing.probes.contains(&(id, digest.clone())) && seen.insert((id, digest)) {
                        missing.push(Missing { experiment: experiment.clone(), id, step, set: set.clone() });
                    }
                }
            }
        }
        missing
    }
}
