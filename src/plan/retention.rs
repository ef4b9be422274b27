//! Which checkpoints keep their tensors, and why. Facts go in, every checkpoint's reasons come out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::Id;
use crate::lineage::{Leaf, LeafKey, Path, Resolved, Tree};
use crate::record::{Evaluation, Pin};
use crate::spec::Name;

/// Checkpoints that every line of training keeps against crashes.
pub const ROLLING: usize = 2;

/// A checkpoint that exists, as far as keeping it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub id: Id,
    pub step: u64,
    /// The checkpoint its segment began from.
    pub parent: Option<Id>,
    /// Where it lies, from `runs/` on: `<run>/<branch>/seed-<n>`, or `<run>/shared`.
    pub folder: String,
    pub has_tensors: bool,
}

impl Stored {
    pub fn run(&self) -> &str {
        self.folder.split('/').next().unwrap_or_default()
    }
}

/// Everything that decides.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub checkpoints: &'a [Stored],
    /// Experiments as their files say, or where a file is gone, as what was saved beside the run says.
    pub experiments: &'a BTreeMap<Name, Resolved>,
    /// What files with problems fork from, where that can be read all the same.
    pub other_forks: &'a [(Name, Id)],
    /// Files with problems that may fork from anything.
    pub unread: &'a [String],
    pub evaluations: &'a [Evaluation],
    pub pins: &'a BTreeMap<Id, Pin>,
    /// Runs of which a segment is being trained now.
    pub in_training: &'a BTreeSet<String>,
}

/// Why a checkpoint keeps its tensors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    End(LeafKey),
    /// The experiment forks here.
    Fork(Name),
    /// Leaves of the experiment part here.
    Part(Name),
    /// Something in another folder grew from it: that run, or that folder of its own run.
    Parent(String),
    Declared,
    StageStart,
    /// The best of a leaf by a metric.
    Best {
        leaf: String,
        by: String,
    },
    /// The last that its line of training has.
    Last,
    Pinned(Option<String>),
    Rolling,
    InTraining,
    /// Nothing that can be read says what it is for.
    Unexplained,
    /// A file that cannot be read may fork from it.
    Unread(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::End(leaf) => write!(f, "end of {leaf}"),
            Reason::Fork(experiment) => write!(f, "fork: {experiment} forks here"),
            Reason::Part(experiment) => write!(f, "leaves of {experiment} part here"),
            Reason::Parent(child) => write!(f, "parent of a checkpoint of {child}"),
            Reason::Declared => f.write_str("declared by keep"),
            Reason::StageStart => f.write_str("stage start"),
            Reason::Best { leaf, by } => write!(f, "best of {leaf} on {by}"),
            Reason::Last => f.write_str("last of its leaf"),
            Reason::Pinned(Some(note)) => write!(f, "pinned: {note}"),
            Reason::Pinned(None) => f.write_str("pinned"),
            Reason::Rolling => write!(f, "one of the last {ROLLING} against crashes"),
            Reason::InTraining => f.write_str("being trained now (locked)"),
            Reason::Unexplained => f.write_str("left alone: no experiment file that can be read leads here"),
            Reason::Unread(file) => write!(f, "left alone: `{file}` has problems and may fork here"),
        }
    }
}

/// Why each checkpoint that has tensors keeps them. One without a reason only guarded against crashes, and later ones
/// exist: its tensors may go.
pub fn verdicts(facts: &Facts<'_>) -> BTreeMap<Id, BTreeSet<Reason>> {
    let with_tensors = facts.checkpoints.iter().filter(|stored| stored.has_tensors);
    let mut judge = Judge {
        facts,
        stored: facts.checkpoints.iter().map(|stored| (stored.id, stored)).collect(),
        reasons: with_tensors.clone().map(|stored| (stored.id, BTreeSet::new())).collect(),
        steps: with_tensors.map(|stored| stored.step).collect(),
    };
    judge.files();
    judge.best();
    judge.children();
    judge.people_and_processes();
    judge.unexplained();
    judge.lines();
    judge.unread();
    judge.reasons
}

/// The checkpoints that experiments fork from, each with who forks.
pub fn forks(experiments: &BTreeMap<Name, Resolved>) -> impl Iterator<Item = (&Name, Id)> {
    let leaves = experiments.values().flat_map(|resolved| &resolved.leaves);
    leaves.filter_map(|leaf| Some((&leaf.key.experiment, leaf.history.ids([leaf.fork.as_ref()?.step])[0])))
}

struct Judge<'a> {
    facts: &'a Facts<'a>,
    stored: BTreeMap<Id, &'a Stored>,
    /// Only of checkpoints that have tensors.
    reasons: BTreeMap<Id, BTreeSet<Reason>>,
    /// Steps of checkpoints that have tensors.
    steps: BTreeSet<u64>,
}

impl<'a> Judge<'a> {
    fn keep(&mut self, id: Id, reason: Reason) {
        if let Some(reasons) = self.reasons.get_mut(&id) {
            reasons.insert(reason);
        }
    }

    /// What the experiments' files ask for: ends, forks, stage starts, declared steps, and where leaves part.
    fn files(&mut self) {
        for resolved in self.facts.experiments.values() {
            for leaf in &resolved.leaves {
                self.declared(leaf, &resolved.rhythm.keep);
            }
            self.parts(resolved);
        }
        for (name, id) in forks(self.facts.experiments) {
            self.keep(id, Reason::Fork(name.clone()));
        }
        for (name, id) in self.facts.other_forks {
            self.keep(*id, Reason::Fork(name.clone()));
        }
    }

    fn declared(&mut self, leaf: &Leaf, keep: &[u64]) {
        let stages = leaf.stages.iter().map(|stage| (stage.from, Reason::StageStart));
        let declared = keep.iter().map(|&step| (step, Reason::Declared));
        let mut asked: Vec<(u64, Reason)> = stages.chain(declared).filter(|(step, _)| is_own(leaf, *step)).collect();
        asked.push((leaf.history.end(), Reason::End(leaf.key.clone())));
        asked.sort();
        let ids = leaf.history.ids(asked.iter().map(|(step, _)| *step));
        for ((_, reason), id) in asked.into_iter().zip(ids) {
            self.keep(id, reason);
        }
    }

    fn parts(&mut self, resolved: &Resolved) {
        let leaves = &resolved.leaves;
        let paths: Vec<Path<'_>> =
            leaves.iter().map(|leaf| Path { history: &leaf.history, marks: vec![leaf.own_from()] }).collect();
        let tree = Tree::new(&paths);
        // All leaves of an experiment fork at one step.
        let fork = leaves.first().map_or(0, Leaf::own_from);
        for node in tree.nodes.iter().filter(|node| node.children.len() > 1) {
            // Where an experiment forks, its leaves part anyway.
            if fork < node.step {
                self.keep(node.id, Reason::Part(resolved.name.clone()));
            }
        }
    }

    /// The best of each leaf's own checkpoints that still have tensors.
    fn best(&mut self) {
        let mut scored: BTreeMap<Id, Vec<&Evaluation>> = BTreeMap::new();
        for evaluation in self.facts.evaluations {
            scored.entry(evaluation.id).or_default().push(evaluation);
        }
        for resolved in self.facts.experiments.values() {
            let Some((set, metric)) = &resolved.best else { continue };
            for leaf in &resolved.leaves {
                let own = self.own(leaf);
                let evaluations: Vec<&Evaluation> = own.iter().filter_map(|id| scored.get(id)).flatten().copied().collect();
                for id in best_of(&evaluations, set, metric) {
                    self.keep(id, Reason::Best { leaf: leaf.key.local(), by: format!("{set}/{metric}") });
                }
            }
        }
    }

    /// The checkpoints with tensors on a leaf's own steps, in order.
    fn own(&self, leaf: &Leaf) -> Vec<Id> {
        let own = self.steps.range(leaf.own_from()..).copied().take_while(|step| *step <= leaf.history.end());
        leaf.history.named(own.filter(|&step| is_own(leaf, step))).filter(|id| self.reasons.contains_key(id)).collect()
    }

    /// Whatever exists in another folder or run needs its parent, also where its own tensors are gone.
    fn children(&mut self) {
        for child in self.facts.checkpoints {
            let Some(parent) = child.parent.and_then(|id| self.stored.get(&id)).copied() else { continue };
            if parent.folder != child.folder {
                let who = if parent.run() == child.run() { child.folder.as_str() } else { child.run() };
                self.keep(parent.id, Reason::Parent(who.to_owned()));
            }
        }
    }

    fn people_and_processes(&mut self) {
        let facts = self.facts;
        for (id, pin) in facts.pins {
            self.keep(*id, Reason::Pinned(pin.note.clone()));
        }
        for stored in facts.checkpoints.iter().filter(|stored| facts.in_training.contains(stored.run())) {
            self.keep(stored.id, Reason::InTraining);
        }
    }

    /// A checkpoint is judged by its own run's file, if that leads to it.
    fn unexplained(&mut self) {
        let facts = self.facts;
        let mut runs: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
        for stored in facts.checkpoints {
            runs.entry(stored.run()).or_default().push(stored);
        }
        let mut explained: BTreeSet<Id> = BTreeSet::new();
        for (name, resolved) in facts.experiments {
            let here = runs.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            let steps: BTreeSet<u64> = here.iter().map(|stored| stored.step).collect();
            let own: BTreeSet<Id> = here.iter().map(|stored| stored.id).collect();
            for leaf in &resolved.leaves {
                let ids = leaf.history.ids(steps.iter().copied().filter(|&step| step <= leaf.history.end()));
                explained.extend(ids.into_iter().filter(|id| own.contains(id)));
            }
        }
        for stored in facts.checkpoints.iter().filter(|stored| !explained.contains(&stored.id)) {
            self.keep(stored.id, Reason::Unexplained);
        }
    }

    /// The last of each line of training, and against crashes the last few that nothing else keeps.
    fn lines(&mut self) {
        let lines = self.folder_lines();
        for last in lines.iter().filter_map(|line| line.first()) {
            self.keep(*last, Reason::Last);
        }
        let mut rolling: Vec<Id> = Vec::new();
        for line in &lines {
            rolling.extend(line.iter().filter(|id| self.only_guards(**id)).take(ROLLING));
        }
        for id in rolling {
            self.keep(id, Reason::Rolling);
        }
    }

    fn only_guards(&self, id: Id) -> bool {
        self.reasons[&id].iter().all(|reason| *reason == Reason::Last)
    }

    /// Lines of checkpoints with tensors inside a folder, each from its last one backwards.
    fn folder_lines(&self) -> Vec<Vec<Id>> {
        let passed: BTreeSet<Id> =
            self.stored.values().filter_map(|stored| self.before(stored)).map(|parent| parent.id).collect();
        let line = |last: &'a Stored| -> Vec<Id> {
            let back = std::iter::successors(Some(last), |stored| self.before(stored));
            back.filter(|stored| stored.has_tensors).map(|stored| stored.id).collect()
        };
        self.stored.values().copied().filter(|stored| !passed.contains(&stored.id)).map(line).collect()
    }

    /// The checkpoint before this one in the same folder.
    fn before(&self, stored: &Stored) -> Option<&'a Stored> {
        let parent = self.stored.get(&stored.parent?).copied()?;
        (parent.folder == stored.folder && parent.step < stored.step).then_some(parent)
    }

    /// What would go stays while a file may fork from it.
    fn unread(&mut self) {
        for reasons in self.reasons.values_mut().filter(|reasons| reasons.is_empty()) {
            reasons.extend(self.facts.unread.iter().cloned().map(Reason::Unread));
        }
    }
}

/// Whether a checkpoint at this step is the leaf's own, and not its parent's.
fn is_own(leaf: &Leaf, step: u64) -> bool {
    leaf.own_from() < step && step <= leaf.history.end()
}

/// The best of evaluations that stand in the order of their steps, once for each content the set has had; of equals the
/// earliest. Where the set is known by another name only, every set counts.
fn best_of(evaluations: &[&Evaluation], set: &Name, metric: &str) -> Vec<Id> {
    let is_named = |evaluation: &Evaluation| evaluation.set == set.as_str();
    let none_named = !evaluations.iter().any(|evaluation| is_named(evaluation));
    let mut best: BTreeMap<&str, (f64, Id)> = BTreeMap::new();
    for evaluation in evaluations.iter().filter(|evaluation| none_named || is_named(evaluation)) {
        let score = evaluation.scores.summary.all.named(metric).filter(|score| !score.is_nan());
        let Some(score) = score else { continue };
        let known = best.entry(&evaluation.set_digest).or_insert((score, evaluation.id));
        if score > known.0 {
            *known = (score, evaluation.id);
        }
    }
    best.into_values().map(|(_, id)| id).collect()
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
