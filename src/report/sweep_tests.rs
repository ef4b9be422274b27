use super::*;
use crate::lineage::{FileOrigin, Known, Leaf, Library, resolve};
use crate::report::LeafRecords;
use crate::spec::{Curriculum, Experiment, Name, Place as At, parse};

const ROOT: &str = "(parent: Scratch(seed: 1, model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1,
    supervision_steps: 1, latent_steps: 1, peaks: 20, length: 12), data: Synthetic(length: 7..=10),
    training: (batch: 4, lr: Constant(rate: 1e-3))), max_step: 100, branches: [BRANCHES])";
const STAGES: &str = "(stages: [(from: 0, loss: {CrossEntropy: 1}),
    (from: 20, loss: {CrossEntropy: 1, Precursor: 0.1}, ramp: 4, data: (noise_peaks: 1)),
    (from: 40, loss: {CrossEntropy: 1, Precursor: 0.2}, data: (noise_peaks: 2))])";

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

const TRUNK: &str = "(name: \"trunk\", curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1}),
    (from: 25, loss: {CrossEntropy: 1}, data: (noise_peaks: 1))]))";

/// Leaves of `b`, whose parent, where it has one, is `a`.
fn leaves(text: &str, trunk: &str) -> Vec<Leaf> {
    let origin = || FileOrigin { file: "a.ron".into(), at: At::root() };
    let mut library = Library::default();
    for (stem, text) in [("a", roots(trunk)), ("b", text.to_owned())] {
        let value: Experiment = parse(&text).unwrap();
        library.experiments.insert(name(stem), Known { value, origin: origin() });
    }
    let value: Curriculum = parse(STAGES).unwrap();
    library.curricula.insert(name("late"), Known { value, origin: origin() });
    let mut resolution = resolve(&library, &[name("b")]);
    assert!(resolution.faults.is_empty(), "{:?}", resolution.faults);
    resolution.experiments.remove(&name("b")).unwrap().leaves
}

fn records(leaves: &[Leaf]) -> Vec<LeafRecords<'_>> {
    leaves.iter().map(record).collect()
}

fn record(leaf: &Leaf) -> LeafRecords<'_> {
    LeafRecords {
        key: leaf.key.clone(),
        curriculum: String::new(),
        history: &leaf.history,
        own_from: leaf.own_from(),
        written_weights: leaf.written_weights(),
        turns: Default::default(),
        rows: vec![],
        evaluations: vec![],
        probes: std::collections::BTreeMap::new(),
        pairing: String::new(),
    }
}

fn found(text: &str, loss: Loss) -> Vec<Onset> {
    found_after(TRUNK, text, loss)
}

fn found_after(trunk: &str, text: &str, loss: Loss) -> Vec<Onset> {
    let leaves = leaves(text, trunk);
    let records = records(&leaves);
    onsets(&records.iter().collect::<Vec<_>>(), loss)
}

fn roots(branches: &str) -> String {
    ROOT.replace("BRANCHES", branches)
}

fn forks(branches: &str) -> String {
    format!("(parent: Checkpoint(\"a@30\"), branches: [{branches}], max_step: 100)")
}

/// `30: early (written 10), sooner`.
fn told(onsets: &[Onset]) -> Vec<String> {
    let one = |begun: &Begun| {
        let written = begun.written.map(|written| format!(" (written {written})"));
        begun.branch.clone() + &written.unwrap_or_default()
    };
    let onset = |onset: &Onset| {
        let branches: Vec<String> = onset.branches.iter().map(one).collect();
        format!("{}: {}", onset.to.map_or("never".to_owned(), |to| to.to_string()), branches.join(", "))
    };
    onsets.iter().map(onset).collect()
}

fn moved(name: &str, to: u64) -> String {
    format!("(name: \"{name}\", curriculum: Moved(of: \"late\", loss: Precursor, to: {to})),")
}

#[test]
fn moved_branches_are_a_sweep_whatever_they_are_called() {
    let written = "(name: \"as_it_is\", curriculum: File(\"late\")), (name: \"other\", curriculum: Inline(stages: [
        (from: 0, loss: {CrossEntropy: 1, Precursor: 0.3})])),";
    let branches = roots(&(moved("late_one", 60) + &moved("early_one", 10) + written + &moved("never", 500)));
    let expected = ["10: early_one", "20: as_it_is", "60: late_one", "never: never"];
    assert_eq!(told(&found(&branches, Loss::Precursor)), expected);
    assert!(found(&branches, Loss::Spectrum).is_empty());
}

#[test]
fn another_weight_or_another_noise_is_no_sweep() {
    let inline = |weight: f64, noise: u32, from: u64| {
        format!(
            "(name: \"b{from}\", curriculum: Inline(stages: [(from: 0, loss: {{CrossEntropy: 1}}, data: (noise_peaks: {noise})),
            (from: {from}, loss: {{CrossEntropy: 1, Precursor: {weight}}}, data: (noise_peaks: {noise}))])),"
        )
    };
    let members = |parts: &[String]| found(&roots(&parts.concat()), Loss::Precursor).len();
    assert_eq!(members(&[inline(0.1, 1, 10), inline(0.1, 1, 20), inline(0.1, 1, 30)]), 3);
    assert_eq!(members(&[inline(0.1, 1, 10), inline(0.2, 1, 20), inline(0.1, 1, 30)]), 2);
    assert_eq!(members(&[inline(0.1, 1, 10), inline(0.1, 2, 20), inline(0.1, 1, 30)]), 2);
}

/// The weight rises at 20 and at 40 of the curriculum: of a series begun before the fork at 30 another part is trained.
#[test]
fn a_branch_clamped_by_its_fork_stands_at_the_fork() {
    let as_it_is = "(name: \"as_it_is\", curriculum: File(\"late\")),";
    let early = [("at_0", 0), ("at_5", 5), ("at_10", 10), ("in_its_ramp", 28)].map(|(name, to)| moved(name, to)).concat();
    let late = [("on_it", 30), ("at_50", 50), ("never", 500)].map(|(name, to)| moved(name, to)).concat();
    let onsets = found(&forks(&(late + as_it_is + &early)), Loss::Precursor);
    let expected = [
        "30: at_0 (written 0), at_5 (written 5), at_10 (written 10)",
        "30: as_it_is (written 20)",
        "30: in_its_ramp (written 28)",
        "30: on_it",
        "50: at_50",
        "never: never",
    ];
    assert_eq!(told(&onsets), expected);
    assert_eq!((onsets[0].step(), onsets[0].names()), ("30, clamped".into(), "at_0, at_5, at_10".into()));
    let clamped = Sweep { loss: Loss::Precursor, onsets, curves: vec![] }.clamped().unwrap();
    assert_eq!(
        clamped,
        "clamped by the fork, as Precursor was to begin before it: `at_0`, `at_5`, `at_10` (written 0 to 10, on from 30), \
         `as_it_is` (written 20, on from 30), `in_its_ramp` (written 28, on from 30); branches at one point are one training"
    );
}

#[test]
fn where_all_are_clamped_to_other_parts_of_one_series_they_are_one_sweep() {
    // Trained are the series' steps 30 to 100 and 1 to 71.
    let onsets = found(&forks(&(moved("first", 0) + &moved("last", 29))), Loss::Precursor);
    assert_eq!(told(&onsets), ["30: first (written 0)", "30: last (written 29)"]);
}

#[test]
fn a_clamped_branch_with_weights_of_its_own_is_no_part() {
    let other = |weight: f64| {
        format!(
            "(name: \"other\", curriculum: Inline(stages: [(from: 0, loss: {{CrossEntropy: 1, Precursor: {weight}}}),
            (from: 20, loss: {{CrossEntropy: 1, Precursor: {weight}}}, data: (noise_peaks: 1)),
            (from: 40, loss: {{CrossEntropy: 1, Precursor: {weight}}}, data: (noise_peaks: 2))])),"
        )
    };
    let found = |weight| told(&found(&forks(&(moved("at_5", 5) + &moved("at_50", 50) + &other(weight))), Loss::Precursor));
    assert_eq!(found(0.3), ["30: at_5 (written 5)", "50: at_50"]);
    // With the weight that the clamped have arrived at it is their very training, and has its onset with them.
    assert_eq!(found(0.2), ["30: other (written 0), at_5 (written 5)", "50: at_50"]);
}

#[test]
fn a_parent_that_was_trained_with_the_loss_clamps_nothing() {
    let trunk = "(name: \"trunk\", curriculum: File(\"late\"))";
    let branches = forks(&("(name: \"on\", curriculum: Inherit),".to_owned() + &moved("off_until_60", 60)));
    assert_eq!(told(&found_after(trunk, &branches, Loss::Precursor)), ["30: on", "60: off_until_60"]);
}
