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
mod tests {
    use super::*;
    use crate::lineage::{FileOrigin, Known, Library, resolve};
    use crate::record::{FORMAT, Scores, Weights};
    use crate::spec::{Experiment, Place, parse};
    use crate::task::metrics::Counts;

    const TRUNK: &str = r#"(
        parent: Scratch(
            seed: 42,
            model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 2,
                latent_steps: 1, peaks: 20, length: 12),
            data: Synthetic(length: 7..=10),
            training: (batch: 4, lr: Constant(rate: 1e-3)),
        ),
        curriculum: Inline(stages: [
            (from: 0, loss: {CrossEntropy: 1.0}),
            (from: 24, loss: {CrossEntropy: 1.0, Spectrum: 0.2}),
        ]),
        max_step: 60,
        save_every: 5,
        keep: [15],
        validation: [(name: "easy", data: Synthetic(source: (length: 7..=8)), spectra: 4)],
    )"#;
    const LEAVES: &str = r#"(
        parent: Checkpoint("trunk@10"),
        branches: [
            (name: "more", curriculum: Inherit, change: (dropout: 0.5)),
            (name: "on", curriculum: Inherit),
        ],
        max_step: 20,
    )"#;
    const SAVED: [u64; 13] = [5, 10, 15, 20, 24, 25, 30, 35, 40, 45, 50, 55, 60];

    /// Facts that own what they hold.
    #[derive(Default)]
    struct Case {
        checkpoints: Vec<Stored>,
        experiments: BTreeMap<Name, Resolved>,
        other_forks: Vec<(Name, Id)>,
        unread: Vec<String>,
        evaluations: Vec<Evaluation>,
        pins: BTreeMap<Id, Pin>,
        in_training: BTreeSet<String>,
    }

    impl Case {
        /// Experiments by name and text, and the trunk's checkpoints.
        fn new(texts: &[(&str, &str)], saved: &[u64]) -> Case {
            let mut library = Library::default();
            for (stem, text) in texts {
                let value: Experiment = parse(text).unwrap();
                let origin = FileOrigin { file: format!("experiments/{stem}.ron"), at: Place::root() };
                library.experiments.insert(name(stem), Known { value, origin });
            }
            let targets: Vec<Name> = library.experiments.keys().cloned().collect();
            let resolution = resolve(&library, &targets);
            assert!(resolution.faults.is_empty(), "{:?}", resolution.faults);
            let mut case = Case { experiments: resolution.experiments, ..Case::default() };
            case.line("trunk", 0, "trunk/main", None, saved);
            case
        }

        /// Adds checkpoints of a leaf, each grown from the one before it.
        fn line(&mut self, experiment: &str, leaf: usize, folder: &str, start: Option<Id>, steps: &[u64]) {
            let history = &self.experiments[&name(experiment)].leaves[leaf].history;
            let mut before = start;
            for (&step, id) in steps.iter().zip(history.ids(steps.iter().copied())) {
                let parent = before.replace(id);
                self.checkpoints.push(Stored { id, step, parent, folder: folder.into(), has_tensors: true });
            }
        }

        fn at(&self, folder: &str, step: u64) -> &Stored {
            self.checkpoints.iter().find(|stored| stored.folder == folder && stored.step == step).unwrap()
        }

        fn evaluate(&mut self, step: u64, digest: &str, token_accuracy: f64) {
            let mut summary = Counts::default().summary();
            summary.all.token_accuracy = token_accuracy;
            self.evaluations.push(Evaluation {
                format: FORMAT,
                id: self.at("trunk/main", step).id,
                step,
                weights: Weights::Raw,
                tensors: String::new(),
                set: "easy".into(),
                set_digest: digest.into(),
                evaluator: 1,
                scores: Scores { cross_entropy: 1.0, summary, outcomes: crate::record::Outcomes::default() },
            });
        }

        fn verdicts(&self) -> BTreeMap<Id, BTreeSet<Reason>> {
            verdicts(&Facts {
                checkpoints: &self.checkpoints,
                experiments: &self.experiments,
                other_forks: &self.other_forks,
                unread: &self.unread,
                evaluations: &self.evaluations,
                pins: &self.pins,
                in_training: &self.in_training,
            })
        }

        fn why(&self, folder: &str, step: u64) -> String {
            let reasons = &self.verdicts()[&self.at(folder, step).id];
            reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }

        /// Steps of the trunk's checkpoints that go.
        fn going(&self) -> Vec<u64> {
            let verdicts = self.verdicts();
            let goes = |stored: &&Stored| verdicts.get(&stored.id).is_some_and(BTreeSet::is_empty);
            let trunk = self.checkpoints.iter().filter(|stored| stored.folder == "trunk/main");
            trunk.filter(goes).map(|stored| stored.step).collect()
        }
    }

    fn name(text: &str) -> Name {
        Name::try_from(text).unwrap()
    }

    #[test]
    fn what_the_files_ask_for_stays() {
        let case = Case::new(&[("trunk", TRUNK), ("leaves", LEAVES)], &SAVED);
        assert_eq!(case.going(), [5, 25, 30, 35, 40, 45]);
        assert_eq!(case.why("trunk/main", 10), "fork: leaves forks here");
        assert_eq!(case.why("trunk/main", 15), "declared by keep");
        assert_eq!(case.why("trunk/main", 20), "end of leaves/on", "inheriting is training on");
        assert_eq!(case.why("trunk/main", 24), "stage start");
        assert_eq!(case.why("trunk/main", 55), "one of the last 2 against crashes");
        assert_eq!(case.why("trunk/main", 60), "end of trunk/main, last of its leaf");
        let alone = Case::new(&[("trunk", TRUNK)], &SAVED);
        assert_eq!(alone.going(), [5, 10, 20, 25, 30, 35, 40, 45], "nobody forks");
    }

    #[test]
    fn the_last_counts_among_those_against_crashes() {
        let case = Case::new(&[("trunk", TRUNK)], &SAVED[..8]);
        assert_eq!(case.why("trunk/main", 35), "last of its leaf, one of the last 2 against crashes");
        assert_eq!(case.going(), [5, 10, 20, 25]);
        let mut thinned = case;
        thinned.checkpoints[7].has_tensors = false;
        assert_eq!(thinned.why("trunk/main", 30), "last of its leaf, one of the last 2 against crashes");
    }

    #[test]
    fn the_parent_of_anything_that_exists_stays() {
        let mut case = Case::new(&[("trunk", TRUNK), ("leaves", LEAVES)], &SAVED);
        let (at_10, at_20) = (case.at("trunk/main", 10).id, case.at("trunk/main", 20).id);
        case.line("leaves", 0, "leaves/more", Some(at_10), &[15, 20]);
        case.experiments.remove(&name("leaves"));
        assert_eq!(case.why("trunk/main", 10), "parent of a checkpoint of leaves");
        let more = "leaves/more";
        assert!(case.why(more, 15).contains("no experiment file that can be read"), "{}", case.why(more, 15));
        // A child without tensors is a child all the same; one in the same folder is the next of its line.
        case.checkpoints.iter_mut().filter(|stored| stored.folder == more).for_each(|stored| stored.has_tensors = false);
        assert_eq!(case.why("trunk/main", 10), "parent of a checkpoint of leaves");
        case.checkpoints.last_mut().unwrap().folder = "trunk/other".into();
        case.checkpoints.last_mut().unwrap().parent = Some(at_20);
        assert_eq!(case.why("trunk/main", 20), "parent of a checkpoint of trunk/other");
    }

    #[test]
    fn every_line_of_a_shared_folder_is_guarded() {
        let leaves = LEAVES.replace("max_step: 20", "max_step: 60, keep: [20]");
        let mut case = Case::new(&[("trunk", TRUNK), ("leaves", leaves.as_str())], &[5, 10]);
        let at_10 = case.at("trunk/main", 10).id;
        case.line("leaves", 0, "leaves/shared", Some(at_10), &[15, 20, 25, 30]);
        // One history needs no tensors of the other.
        case.line("leaves", 1, "leaves/shared", Some(at_10), &[30, 35, 40, 45]);
        let verdicts = case.verdicts();
        let goes = |stored: &&Stored| verdicts[&stored.id].is_empty();
        let going: Vec<u64> = case.checkpoints.iter().filter(goes).map(|stored| stored.step).collect();
        assert_eq!(going, [15, 30, 35]);
        assert_eq!(case.why("leaves/shared", 20), "declared by keep");
    }

    #[test]
    fn leaves_part_at_a_kept_checkpoint() {
        let inline = "Inline(stages: [(from: 0, loss: {CrossEntropy: 1.0}), (from: 12, loss: {CrossEntropy: 2.0})])";
        let leaves = LEAVES.replace("curriculum: Inherit, change: (dropout: 0.5)", &format!("curriculum: {inline}"));
        let mut case = Case::new(&[("trunk", TRUNK), ("leaves", leaves.as_str())], &[5, 10]);
        let at_10 = case.at("trunk/main", 10).id;
        case.line("leaves", 0, "leaves/shared", Some(at_10), &[12]);
        assert!(case.why("leaves/shared", 12).starts_with("leaves of leaves part here"), "{}", case.why("leaves/shared", 12));
        assert!(!case.why("trunk/main", 10).contains("part"), "{}", case.why("trunk/main", 10));
    }

    #[test]
    fn the_best_stays_and_of_equals_the_earliest() {
        let mut case = Case::new(&[("trunk", TRUNK)], &SAVED);
        for (step, accuracy) in [(20, 0.4), (30, 0.7), (40, 0.7), (45, f64::NAN)] {
            case.evaluate(step, "now", accuracy);
        }
        assert_eq!(case.why("trunk/main", 30), "best of main on easy/token_accuracy");
        assert_eq!(case.going(), [5, 10, 20, 25, 35, 40, 45]);
        // Before the set was changed, another one was the best.
        case.evaluate(25, "before", 0.1);
        assert_eq!(case.going(), [5, 10, 20, 35, 40, 45]);
        let best = case.checkpoints.iter_mut().find(|stored| stored.step == 30).unwrap();
        best.has_tensors = false;
        assert_eq!(case.why("trunk/main", 40), "best of main on easy/token_accuracy", "the best that can still be had");
    }

    #[test]
    fn people_and_processes_are_respected() {
        let mut case = Case::new(&[("trunk", TRUNK)], &SAVED);
        let pinned = case.at("trunk/main", 20).id;
        let pin = Pin { format: FORMAT, id: pinned, reference: "trunk@20".into(), note: Some("for the talk".into()) };
        case.pins.insert(pinned, pin);
        case.other_forks.push((name("broken"), case.at("trunk/main", 25).id));
        assert_eq!(case.why("trunk/main", 20), "pinned: for the talk");
        assert_eq!(case.why("trunk/main", 25), "fork: broken forks here");
        assert_eq!(case.going(), [5, 10, 30, 35, 40, 45]);
        case.unread.push("experiments/torn.ron".into());
        assert_eq!(case.why("trunk/main", 30), "left alone: `experiments/torn.ron` has problems and may fork here");
        case.unread.clear();
        case.in_training.insert("trunk".into());
        assert_eq!(case.why("trunk/main", 30), "being trained now (locked)");
        case.in_training.clear();
        case.experiments.clear();
        assert_eq!(case.going(), [] as [u64; 0], "without a file nothing can be judged");
    }
}
