//! From leaves and what exists to what is left to do.

use std::collections::{BTreeMap, BTreeSet};

use super::deciding::{Wanted, owners, wanted};
use super::footprint::Footprint;
use super::missing::Missing;
use super::steps::{Keep, Save, evaluation_steps, save_steps};
use crate::history::{History, Id};
use crate::lineage::{Leaf, LeafKey, Path, Resolved, Tree};
use crate::spec::Name;
use crate::task::footprint::Machine;

/// What there is already, by what it is and not by where it lies.
#[derive(Clone, Debug, Default)]
pub struct Existing {
    /// Checkpoints by name: their step, and whether they have their tensors.
    pub checkpoints: BTreeMap<Id, (u64, bool)>,
    /// Evaluations as (checkpoint, digest of the set).
    pub evaluations: BTreeSet<(Id, String)>,
    /// Probes of the loss, the same way.
    pub probes: BTreeSet<(Id, String)>,
}

impl Existing {
    pub(super) fn has_tensors(&self, id: Id) -> bool {
        self.checkpoints.get(&id).is_some_and(|(_, has_tensors)| *has_tensors)
    }

    /// The deepest checkpoint with tensors that lies on a history strictly between two steps, wherever it was cut.
    fn deepest(&self, history: &History, from: u64, to: u64, steps: &BTreeSet<u64>) -> Option<(u64, Id)> {
        let between: Vec<u64> = steps.range(from + 1..to.max(from + 1)).copied().collect();
        let ids = history.ids(between.iter().copied());
        between.into_iter().zip(ids).rfind(|(_, id)| self.has_tensors(*id))
    }
}

/// Whose folder a segment belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Leaf(LeafKey),
    /// Several leaves of this experiment.
    Shared(Name),
}

impl Owner {
    pub fn experiment(&self) -> &Name {
        match self {
            Owner::Leaf(key) => &key.experiment,
            Owner::Shared(name) => name,
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Leaf(key) => key.fmt(f),
            Owner::Shared(name) => write!(f, "{name}/shared"),
        }
    }
}

/// A leaf that takes part in a plan: one of the target's, or an ancestor's as far as it is forked from.
#[derive(Clone, Debug)]
pub struct Member {
    pub key: LeafKey,
    pub history: History,
    pub is_target: bool,
    /// Step from which the leaf's own experiment decides.
    pub own_from: u64,
}

/// An uninterrupted stretch of training.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The node of the tree that the segment leads to.
    pub node: usize,
    pub owner: Owner,
    /// The settings of every step up to the segment's end.
    pub history: History,
    /// First step to train.
    pub from: u64,
    /// The checkpoint to start from; `None` is the root's first weights.
    pub start: Option<Id>,
    /// Step at which the edge of the tree begins; before `from` where a part of it exists already.
    pub begins: u64,
    /// Checkpoints of the whole edge, in order; the last is the segment's end.
    pub saves: Vec<Save>,
    /// Steps at which to evaluate; `from` among them where an evaluation of what was trained before is due.
    pub evaluate: BTreeSet<u64>,
    /// Steps at which the terms of the loss are probed on fixed spectra: around the edges of stages.
    pub probe: BTreeSet<u64>,
    pub log_every: u64,
    /// Whether the bits of every update are kept.
    pub ledger: bool,
    pub why: String,
}

impl Segment {
    pub fn to(&self) -> u64 {
        self.history.end()
    }

    pub fn end(&self) -> Id {
        self.saves.last().expect("a segment ends in a checkpoint").id
    }

    pub fn steps(&self) -> u64 {
        self.to() - self.from
    }

    /// The checkpoint to save at a step, if one is due.
    pub fn save_at(&self, step: u64) -> Option<&Save> {
        let place = self.saves.binary_search_by_key(&step, |save| save.step);
        place.ok().map(|place| &self.saves[place])
    }
}

/// What is left to do for an experiment.
#[derive(Clone, Debug)]
pub struct Plan {
    pub target: Name,
    pub tree: Tree,
    pub members: Vec<Member>,
    /// Owner of the edge above each node of the tree.
    pub owners: Vec<Owner>,
    /// Segments to train, parents first.
    pub segments: Vec<Segment>,
    pub evaluations: Vec<Missing>,
    /// Probes that can still be made, as the checkpoints of their states are kept.
    pub probes: Vec<Missing>,
    /// Every checkpoint that some lineage of the plan starts or ends at: never to be thinned.
    pub kept: BTreeSet<Id>,
    /// The target's leaves as members, by the nodes they end at.
    ends: Vec<(usize, usize)>,
}

impl Plan {
    /// Plans `target`. `sets` gives the digests of each experiment's validation sets.
    pub fn new(
        experiments: &BTreeMap<Name, Resolved>,
        target: &Name,
        existing: &Existing,
        sets: &BTreeMap<Name, Vec<(Name, String)>>,
    ) -> Plan {
        let line = std::iter::successors(Some(&experiments[target]), |resolved| experiments.get(resolved.parent.as_ref()?));
        let leaves: BTreeMap<&LeafKey, &Leaf> =
            line.flat_map(|resolved| &resolved.leaves).map(|leaf| (&leaf.key, leaf)).collect();
        let members = members(&experiments[target], &leaves);
        let marks = |member: &Member| -> Vec<u64> {
            // A fork wants a node of its own even where the histories do not part there.
            members
                .iter()
                .filter(|other| other.history.common_step(&member.history) >= Some(other.own_from))
                .map(|other| other.own_from)
                .collect()
        };
        let mut own_marks: Vec<Vec<u64>> = members
            .iter()
            .map(|member| match members.len() {
                ..=64 => marks(member),
                // Marks only refine the tree; in large plans each member's own fork is enough.
                _ => vec![member.own_from],
            })
            .collect();
        own_marks.iter_mut().for_each(|marks| {
            marks.sort_unstable();
            marks.dedup();
        });
        let paths: Vec<Path<'_>> =
            members.iter().zip(own_marks).map(|(member, marks)| Path { history: &member.history, marks }).collect();
        let tree = Tree::new(&paths);
        let own: Vec<&Leaf> = members.iter().map(|member| leaves[&member.key]).collect();
        let owners = owners(&tree, &members);
        let wanted = wanted(&tree, &members, &own, &owners);
        let builder = Builder { experiments, existing, wanted, members: &members, tree: &tree };
        let saves: Vec<Vec<Save>> = (0..tree.nodes.len()).map(|node| builder.saves(node, &owners[node])).collect();
        let segments = builder.segments(&owners, &saves);
        let evaluations = builder.evaluations(&owners, &saves, sets);
        let probes = builder.probes(&owners, &segments, sets);
        let kept = tree.nodes.iter().map(|node| node.id).collect();
        let ends = tree.nodes.iter().enumerate().flat_map(|(index, node)| node.ends.iter().map(move |&member| (index, member)));
        let ends = ends.filter(|(_, member)| members[*member].is_target).collect();
        Plan { target: target.clone(), members, owners, segments, evaluations, probes, kept, ends, tree }
    }

    /// The target's leaves whose lineage runs through a segment.
    pub fn leaves(&self, segment: &Segment) -> impl Iterator<Item = &LeafKey> {
        self.targets(segment.node).into_iter().map(|member| &member.key)
    }

    /// The target's leaves whose lineage runs through the edge above a node.
    pub fn targets(&self, node: usize) -> Vec<&Member> {
        let below = self.tree.below(node);
        let place = |node: usize| self.ends.partition_point(|(end, _)| *end < node);
        let mut members: Vec<usize> =
            self.ends[place(below.start)..place(below.end)].iter().map(|(_, member)| *member).collect();
        members.sort_unstable();
        members.into_iter().map(|member| &self.members[member]).collect()
    }

    /// Updates still to be made.
    pub fn steps_to_train(&self) -> u64 {
        self.segments.iter().map(Segment::steps).sum()
    }

    /// Updates of all the target's leaves if each were trained from its root on its own.
    pub fn steps_unshared(&self) -> u64 {
        self.members.iter().filter(|member| member.is_target).map(|member| member.history.end() - member.history.start()).sum()
    }

    /// The most memory that one of its segments takes on a machine, estimated; nothing where none is left to train.
    pub fn footprint(&self, machine: Machine) -> Option<Footprint> {
        Footprint::largest(self.segments.iter().map(|segment| (&segment.history, segment.from)), machine)
    }

    /// Updates of the whole tree, trained or not.
    pub fn steps_shared(&self) -> u64 {
        self.tree.nodes.iter().map(|node| node.step - node.from).sum()
    }

    pub fn is_done(&self) -> bool {
        self.segments.is_empty() && self.evaluations.is_empty() && self.probes.is_empty()
    }
}

/// The target's leaves, and their ancestors' as far as they are forked from; ancestors first.
fn members(target: &Resolved, leaves: &BTreeMap<&LeafKey, &Leaf>) -> Vec<Member> {
    let mut ancestors: Vec<(&LeafKey, u64)> = Vec::new();
    let mut places: BTreeMap<&LeafKey, usize> = BTreeMap::new();
    for leaf in &target.leaves {
        let mut fork = leaf.fork.as_ref();
        let mut needed = u64::MAX;
        while let Some(at) = fork {
            // A fork before its parent's own fork needs no more of the grandparent than that.
            needed = needed.min(at.step);
            let place = *places.entry(&at.parent).or_insert(ancestors.len());
            match ancestors.get_mut(place) {
                Some((_, step)) if *step >= needed => break,
                Some((_, step)) => *step = needed,
                None => ancestors.push((&at.parent, needed)),
            }
            fork = leaves.get(&at.parent).and_then(|parent| parent.fork.as_ref());
        }
    }
    let ancestor = |(key, step): (&LeafKey, u64)| {
        let leaf = leaves.get(key)?;
        Some(Member { key: key.clone(), history: leaf.history.cut(step), is_target: false, own_from: leaf.own_from() })
    };
    let own = |leaf: &Leaf| Member {
        key: leaf.key.clone(),
        history: leaf.history.clone(),
        is_target: true,
        own_from: leaf.own_from(),
    };
    ancestors.into_iter().rev().filter_map(ancestor).chain(target.leaves.iter().map(own)).collect()
}

pub(super) struct Builder<'a> {
    pub experiments: &'a BTreeMap<Name, Resolved>,
    pub existing: &'a Existing,
    /// What is wanted on the edge above each node.
    pub wanted: Vec<Wanted>,
    pub members: &'a [Member],
    pub tree: &'a Tree,
}

impl Builder<'_> {
    /// Why the node itself is kept.
    fn keep(&self, node: usize) -> Keep {
        let node = &self.tree.nodes[node];
        if node.ends.iter().any(|&member| self.members[member].is_target) { Keep::End } else { Keep::Fork }
    }

    fn saves(&self, node: usize, owner: &Owner) -> Vec<Save> {
        let at = &self.tree.nodes[node];
        let rhythm = &self.experiments[owner.experiment()].rhythm;
        let steps = save_steps(at.from, at.step, rhythm, &self.wanted[node].stage_starts, self.keep(node));
        let history = &self.members[at.first].history;
        let ids = history.ids(steps.keys().copied());
        steps.into_iter().zip(ids).map(|((step, keep), id)| Save { step, id, keep }).collect()
    }

    fn segments(&self, owners: &[Owner], saves: &[Vec<Save>]) -> Vec<Segment> {
        let nodes = &self.tree.nodes;
        // Whether a child's segment starts from the node's checkpoint. Children come after their parents.
        let mut wanted = vec![false; nodes.len()];
        let mut segments = Vec::new();
        let steps: BTreeSet<u64> = self.existing.checkpoints.values().map(|(step, _)| *step).collect();
        for (index, node) in nodes.iter().enumerate().rev() {
            let ends_here = node.ends.iter().any(|&member| self.members[member].is_target);
            let end_missing = ends_here && !self.existing.checkpoints.contains_key(&node.id);
            let start_missing = wanted[index] && !self.existing.has_tensors(node.id);
            if !end_missing && !start_missing {
                continue;
            }
            let history = &self.members[node.first].history;
            let reached = self.existing.deepest(history, node.from, node.step, &steps);
            let (from, start) = match (reached, node.parent) {
                (Some((step, id)), _) => (step, Some(id)),
                (None, Some(parent)) => {
                    wanted[parent] = true;
                    (node.from, Some(nodes[parent].id))
                }
                (None, None) => (node.from, None),
            };
            let why = self.why(index, end_missing, reached.is_some());
            segments.push(self.segment(index, owners[index].clone(), &saves[index], from, start, why));
        }
        segments.reverse();
        segments
    }

    fn why(&self, node: usize, end_missing: bool, resumed: bool) -> String {
        let node = &self.tree.nodes[node];
        let known = self.existing.checkpoints.contains_key(&node.id);
        let reason = match (end_missing, known) {
            (true, _) => "its end does not exist yet",
            (false, true) => "its tensors were thinned out and leaves start from it",
            (false, false) => "leaves start from its end, which does not exist yet",
        };
        if resumed { format!("{reason}; goes on from the last checkpoint") } else { reason.into() }
    }

    fn segment(&self, index: usize, owner: Owner, saves: &[Save], from: u64, start: Option<Id>, why: String) -> Segment {
        let node = &self.tree.nodes[index];
        let rhythm = &self.experiments[owner.experiment()].rhythm;
        let is_end = node.ends.iter().any(|&member| self.members[member].key.experiment == *owner.experiment());
        Segment {
            node: index,
            history: self.members[node.first].history.cut(node.step),
            from,
            start,
            saves: saves.to_vec(),
            begins: node.from,
            evaluate: evaluation_steps(node.from, node.step, rhythm, is_end).split_off(&from),
            probe: self.wanted[index].probes.range(from..=node.step).copied().collect(),
            log_every: rhythm.log_every,
            ledger: rhythm.ledger,
            why,
            owner,
        }
    }
}
