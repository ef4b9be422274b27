//! Facts made by hand, and which checkpoints stay by them.

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
