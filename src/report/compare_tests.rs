//! Whole comparisons of made-up records: the words for what a reader must be able to rely on.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::lineage::{FileOrigin, Known, Leaf, Library, resolve};
use crate::record::{Evaluation, MetricsRow, Outcomes, Probe, Probed, Scores, Weights};
use crate::report::{Settled, Style, csv, page, text};
use crate::spec::{Experiment, Name, Place, parse};
use crate::task::loss::Loss;
use crate::task::metrics::Counts;

const TRUNK: &str = "(parent: Scratch(seed: 1, model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1,
    supervision_steps: 1, latent_steps: 1, peaks: 20, length: 12), data: Synthetic(length: 7..=10),
    training: (batch: 4, lr: Constant(rate: 1e-3))), max_step: 20, curriculum: Inline(stages: [
    (from: 0, loss: {CrossEntropy: 1})]))";
const LATE: &str = "(name: \"late\", curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1}),
    (from: 14, loss: {CrossEntropy: 1, Precursor: 0.1}, data: (noise_peaks: 1))])),";
const CONTROL: &str = "(name: \"control\", curriculum: Inherit),";

/// Leaves that fork at 10 and end at 30.
struct Case {
    leaves: Vec<Leaf>,
    evaluations: Vec<Vec<Evaluation>>,
    probes: Vec<Vec<Probe>>,
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn resolved(branches: &[&str], seeds: &str) -> Vec<Leaf> {
    let branches = branches.concat();
    let leaves = format!("(parent: Checkpoint(\"trunk@10\"), branches: [{branches}], seeds: {seeds}, max_step: 30)");
    let mut library = Library::default();
    for (stem, text) in [("trunk", TRUNK), ("leaves", &leaves)] {
        let value: Experiment = parse(text).unwrap();
        let origin = FileOrigin { file: format!("{stem}.ron"), at: Place::root() };
        library.experiments.insert(name(stem), Known { value, origin });
    }
    let mut resolution = resolve(&library, &[name("leaves")]);
    assert!(resolution.faults.is_empty(), "{:?}", resolution.faults);
    resolution.experiments.remove(&name("leaves")).unwrap().leaves
}

fn evaluation(leaf: &Leaf, step: u64, accuracy: f64) -> Evaluation {
    let mut summary = Counts::default().summary();
    summary.all.spectra = 4;
    summary.all.token_accuracy = accuracy;
    let outcomes = if accuracy > 0.55 { "8+ 7+ 3 0" } else { "8+ 2 3 0" };
    let outcomes = Outcomes::try_from(outcomes.to_owned()).unwrap();
    Evaluation {
        format: 1,
        id: leaf.history.ids([step])[0],
        step,
        weights: Weights::Raw,
        tensors: String::new(),
        set: "hard".into(),
        set_digest: "digest".into(),
        evaluator: 1,
        scores: Scores { cross_entropy: 1.0 - accuracy, summary, outcomes },
    }
}

impl Case {
    /// `accuracy` is that of a branch and a seed at the end; before, leaves have half of it, and the trunk a tenth at the fork.
    fn new(branches: &[&str], seeds: &str, accuracy: impl Fn(&str, u64) -> f64) -> Case {
        let leaves = resolved(branches, seeds);
        let of = |leaf: &Leaf| {
            let end = accuracy(leaf.key.branch.as_str(), leaf.key.seed.unwrap());
            vec![evaluation(leaf, 10, 0.1), evaluation(leaf, 20, end / 2.0), evaluation(leaf, 30, end)]
        };
        let evaluations = leaves.iter().map(of).collect();
        let probes = leaves.iter().map(probes).collect();
        Case { leaves, evaluations, probes }
    }

    fn compared(&self, rule: Option<&Decide>) -> Comparison {
        let found = self.evaluations.iter().zip(&self.probes);
        let records: Vec<LeafRecords<'_>> =
            self.leaves.iter().zip(found).map(|(leaf, (evaluations, probes))| records(leaf, evaluations, probes)).collect();
        let facts =
            SetFacts { name: "hard".into(), digest: "digest".into(), commonest_residue: 0.1, frequency_cross_entropy: None };
        let asked = Asked { experiment: "leaves", reference: "control", rule, rule_change: None };
        compare(&asked, &records, &[facts])
    }

    /// The page without its curves.
    fn page(&self, comparison: &Comparison) -> page::Page {
        let branch =
            |name: &str| page::Branch { name: name.to_owned(), reference: name == comparison.reference, stages: vec![] };
        let mut branches: Vec<page::Branch> = self.leaves.iter().map(|leaf| branch(leaf.key.branch.as_str())).collect();
        branches.dedup();
        let told = page::Told { question: None, comparison, leaves: &[], sets: &[], record: None, updated: "now".to_owned() };
        page::page(&told, page::Lineage { branches, leaves: vec![], nodes: vec![] })
    }
}

/// Around the fork at 10 and the stage at 14.
fn probes(leaf: &Leaf) -> Vec<Probe> {
    let terms = BTreeMap::from([(Loss::CrossEntropy, 2.0), (Loss::Spectrum, 0.8), (Loss::Precursor, 3.0)]);
    let probed = Probed { set: "hard".into(), set_digest: "digest".into(), spectra: 64, terms };
    let probe = |step: u64| Probe { id: leaf.history.ids([step])[0], step, sets: vec![probed.clone()] };
    [10, 11, 13, 14, 15, 17, 24, 30].map(probe).into()
}

fn records<'a>(leaf: &'a Leaf, evaluations: &'a [Evaluation], probes: &'a [Probe]) -> LeafRecords<'a> {
    let row = |step: u64| {
        let weights = leaf.history.at(step).weights;
        let terms: BTreeMap<_, _> = weights.keys().map(|loss| (*loss, 2.0)).collect();
        let total = weights.values().sum::<f64>() * 2.0;
        MetricsRow { step, weights, terms, total, gradient_norm: 1.0, rate: 1e-3, batch: 4, length: (7, 10) }
    };
    LeafRecords {
        key: leaf.key.clone(),
        curriculum: format!("of {}", leaf.key.branch),
        history: &leaf.history,
        own_from: leaf.own_from(),
        written_weights: leaf.written_weights(),
        turns: BTreeSet::from([14]),
        rows: (0..30).map(row).collect(),
        evaluations: evaluations.iter().collect(),
        probes: probes.iter().map(|probe| (probe.step, vec![probe])).collect(),
        pairing: String::new(),
    }
}

fn rule(at_least: f64) -> Decide {
    Decide { metric: "hard/token_accuracy".into(), at_least }
}

/// Seeds that scatter a little, each branch its own way.
fn noise(branch: &str, seed: u64) -> f64 {
    let table = if branch == "control" { [0.002, -0.001, 0.001, -0.002] } else { [-0.001, 0.002, -0.002, 0.001] };
    table[seed as usize % 4]
}

#[test]
fn leaves_equal_by_construction_are_said_to_be() {
    let twin = "(name: \"twin\", curriculum: Inherit),";
    let case = Case::new(&[twin, CONTROL], "[1, 2, 3]", |_, seed| 0.5 + noise("control", seed));
    let found = case.compared(Some(&rule(0.01)));
    assert_eq!(
        found.conclusion.line,
        "no detectable difference: `twin` and `control` are the same training, token accuracy on `hard`: `control` stays \
         (rule: hard/token_accuracy, at least 0.01)"
    );
    assert_eq!(found.conclusion.settled, Settled::Decided);
    assert_eq!(found.heads[0].difference.to_string(), "identical to step 30, the end of both");
    let shown = text(&found, Some("does it?"), Style::default());
    assert!(shown.contains("no detectable difference (the same training)"), "{shown}");
    assert!(shown.find("no detectable difference:") < shown.find("twin against control: identical to step 30"), "{shown}");
}

#[test]
fn branches_that_are_one_training_count_once() {
    let again = LATE.replace("late", "again");
    let other = "(name: \"other\", curriculum: Inherit, change: (dropout: 0.2)),";
    let accuracy = |branch: &str, seed: u64| match branch {
        "late" | "again" => 0.51 + noise("late", seed),
        "other" => 0.505 + noise("other", seed),
        _ => 0.5 + noise(branch, seed),
    };
    let once = Case::new(&[LATE, other, CONTROL], "[1, 2, 3]", accuracy).compared(None);
    let twice = Case::new(&[LATE, &again, other, CONTROL], "[1, 2, 3]", accuracy).compared(None);
    let found = |comparison: &Comparison, branch: &str| {
        let scores = comparison.sets[0].branches.iter().find(|scores| scores.branch == branch).unwrap();
        scores.differences["token_accuracy"].clone()
    };
    for branch in ["late", "other"] {
        assert_eq!(found(&once, branch), found(&twice, branch), "a name more changes what is said of {branch}");
    }
    assert_eq!(found(&twice, "again"), found(&twice, "late"));
    assert!(found(&once, "late").p < Some(1.0));
    let said = "one training, which counts once: `late`, `again`";
    assert!(twice.remarks.iter().any(|remark| remark == said), "{:?}", twice.remarks);
    assert!(!once.remarks.iter().any(|remark| remark.contains("counts once")), "{:?}", once.remarks);
}

#[test]
fn a_planted_effect_names_the_curriculum_and_not_one_loss() {
    let case = Case::new(&[LATE, CONTROL], "[1, 2, 3]", |branch, seed| {
        0.5 + noise(branch, seed) + if branch == "late" { 0.1 } else { 0.0 }
    });
    let found = case.compared(Some(&rule(0.01)));
    let line = &found.conclusion.line;
    assert!(line.starts_with("`late` (curriculum of late, "), "{line}");
    assert!(line.contains(" settings differ) is better than `control`: token accuracy on `hard` +"), "{line}");
    assert!(
        line.contains(" points (95 %: +") && line.ends_with("3 seeds) (rule: hard/token_accuracy, at least 0.01)"),
        "{line}"
    );
    assert!(!line.contains("Precursor"), "{line}");
    assert!(found.settings_that_differ.contains(&"Precursor".to_owned()) && found.settings_that_differ.len() > 1);
    assert!(found.remarks.iter().any(|remark| remark.contains("holds for this one trunk")), "{:?}", found.remarks);
    // Less than what matters is better all the same, and the reference stays.
    let small = case.compared(Some(&rule(0.5)));
    assert!(small.conclusion.line.contains("less than what matters: `control` stays"), "{}", small.conclusion.line);
    assert_eq!(small.conclusion.settled, Settled::Decided);
    // One setting that differs may be named.
    let dropout = "(name: \"late\", curriculum: Inherit, change: (dropout: 0.5)),";
    let single = Case::new(&[dropout, CONTROL], "[1, 2, 3]", |branch, seed| {
        0.5 + noise(branch, seed) + if branch == "late" { 0.1 } else { 0.0 }
    });
    let line = single.compared(None).conclusion.line;
    assert!(line.starts_with("`late` (only dropout differs) is better than `control`"), "{line}");
}

#[test]
fn two_seeds_give_numbers_and_no_verdict() {
    let case = Case::new(&[LATE, CONTROL], "[1, 2]", |branch, _| if branch == "late" { 0.9 } else { 0.5 });
    let found = case.compared(None);
    assert_eq!(found.conclusion.line, "no verdict: 2 seeds, and a verdict takes 3 or more");
    assert_eq!(found.conclusion.settled, Settled::NoRule);
    let shown = text(&found, None, Style::default());
    assert!(shown.contains("numbers only") && shown.contains("+40.00"), "{shown}");
    assert!(shown.contains("note: 2 seeds: numbers, no verdict; 3 or more show the spread"), "{shown}");
    let ruled = case.compared(Some(&rule(0.01)));
    assert_eq!(ruled.conclusion.settled, Settled::Inconclusive);
    assert!(ruled.conclusion.line.starts_with("inconclusive: 2 seeds, and a verdict takes 3 or more"));
}

#[test]
fn what_cannot_be_told_yet_says_how_many_more_seeds() {
    let case = Case::new(&[LATE, CONTROL], "[1, 2, 3]", |branch, seed| {
        0.5 + 10.0 * noise(branch, seed) + if branch == "late" { 0.01 } else { 0.0 }
    });
    let found = case.compared(Some(&rule(0.02)));
    let line = &found.conclusion.line;
    assert!(line.starts_with("inconclusive: `late`") && line.contains(": under-powered: about "), "{line}");
    assert_eq!(found.conclusion.settled, Settled::Inconclusive);
    assert!(found.remarks.iter().any(|remark| remark.starts_with("settle on a number of seeds")));
}

#[test]
fn seeds_that_have_not_been_trained_are_left_out() {
    let mut case = Case::new(&[LATE, CONTROL], "[1, 2, 3, 4]", |branch, seed| 0.5 + noise(branch, seed));
    for (leaf, evaluations) in case.leaves.iter().zip(&mut case.evaluations) {
        if leaf.key.local() == "late#4" {
            evaluations.truncate(1);
        }
    }
    let found = case.compared(None);
    assert_eq!((found.step, found.seed_list), (Some(30), vec![Some(1), Some(2), Some(3)]));
    assert!(found.remarks.iter().any(|remark| remark.starts_with("seed 4 is left out")), "{:?}", found.remarks);
}

#[test]
fn other_batches_are_compared_at_equal_samples() {
    let larger = "(name: \"late\", curriculum: Inherit, change: (batch: 8)),";
    let case = Case::new(
        &[larger, CONTROL],
        "[1, 2, 3]",
        |branch, seed| {
            if branch == "late" { 0.9 } else { 0.5 + noise(branch, seed) }
        },
    );
    let equal = case.compared(None).equal_samples.unwrap();
    // Ten steps of 4 before the fork, then ten of 8 or twenty of 4.
    assert_eq!(equal.samples, 40 + 80);
    assert_eq!(equal.steps, BTreeMap::from([("late".to_owned(), 20), ("control".to_owned(), 30)]));
    let scores = |branch: &str| {
        let found = equal.sets[0].branches.iter().find(|scores| scores.branch == branch).unwrap();
        found.metrics["token_accuracy"].mean
    };
    assert!((scores("late") - 0.45).abs() < 1e-9 && scores("control") > 0.49);
    let same = Case::new(&[LATE, CONTROL], "[1, 2, 3]", |_, _| 0.5);
    assert_eq!(same.compared(None).equal_samples, None);
}

#[test]
fn steps_to_reach_count_those_that_never_come_there_as_later() {
    let case = Case::new(&[LATE, CONTROL], "[1, 2, 3]", |branch, seed| match (branch, seed) {
        ("late", 1) => 0.5,
        ("late", _) => 0.9,
        _ => 0.3,
    });
    let found = case.compared(None);
    let progress = &found.progress[0];
    let late = progress.branches.iter().find(|found| found.branch == "late").unwrap();
    let at = |tenths: usize| (late.milestones[tenths - 1].steps.clone(), late.milestones[tenths - 1].median);
    assert_eq!(at(1), (vec![10, 10, 10], Some(10.0)));
    assert_eq!(at(4), (vec![30, 20, 20], Some(20.0)));
    assert_eq!(at(8), (vec![30, 30], Some(30.0)));
    let control = progress.branches.iter().find(|found| found.branch == "control").unwrap();
    assert_eq!((control.milestones[3].steps.len(), control.milestones[3].median), (0, None));
    assert_eq!((late.best.values.clone(), late.best_steps.clone()), (vec![0.5, 0.9, 0.9], vec![30, 30, 30]));
}

#[test]
fn moved_branches_are_shown_as_a_response() {
    let at = |step: u64| {
        format!(
            "(name: \"at_{step}\", curriculum: Inline(stages: [(from: 0, loss: {{CrossEntropy: 1}}),
            (from: {step}, loss: {{CrossEntropy: 1, Precursor: 0.1}})])),"
        )
    };
    let (early, late, control) = (at(24), at(14), at(18).replace("at_18", "control"));
    let case = Case::new(&[&early, &late, &control], "[1, 2, 3]", |branch, seed| 0.5 + noise(branch, seed));
    let sweep = case.compared(None).sweep.unwrap();
    let points: Vec<(Option<u64>, bool)> =
        sweep.curves[0].points.iter().map(|point| (point.onset.to, point.is_reference)).collect();
    assert_eq!(points, [(Some(14), false), (Some(18), true), (Some(24), false)]);
    assert!(sweep.curves[0].null_band.unwrap() > 0.0);
    let shown = text(&case.compared(None), None, Style::default());
    assert!(shown.contains("when Precursor begins: token accuracy on hard"), "{shown}");
}

#[test]
fn branches_clamped_by_the_fork_are_one_point_for_every_reader() {
    let at = |step: u64| {
        format!(
            "(name: \"at_{step}\", curriculum: Inline(stages: [(from: 0, loss: {{CrossEntropy: 1}}),
            (from: {step}, loss: {{CrossEntropy: 1, Precursor: 0.1}}, ramp: 3)])),"
        )
    };
    let control = at(18).replace("at_18", "control");
    let case = Case::new(&[&at(24), &at(4), &at(2), &control], "[1, 2, 3]", |branch, seed| match branch {
        "at_4" | "at_2" => 0.6 + noise("same", seed),
        _ => 0.5 + noise(branch, seed),
    });
    let found = case.compared(None);
    let points = &found.sweep.as_ref().unwrap().curves[0].points;
    let steps: Vec<(Option<u64>, String)> = points.iter().map(|point| (point.onset.to, point.onset.names())).collect();
    assert_eq!(steps, [(Some(10), "at_2, at_4".into()), (Some(18), "control".into()), (Some(24), "at_24".into())]);
    let mean = points[0].mean;
    assert!((mean - 0.1).abs() < 0.01, "{mean}");
    let json = serde_json::to_value(&found).unwrap();
    let point = &json["sweep"]["curves"][0]["points"][0];
    assert_eq!((&point["onset"]["to"], &point["onset"]["branches"][1]["written"]), (&10.into(), &4.into()));
    let table = csv(&found);
    for (branch, text) in [("at_2", ""), ("at_4", "; the same training as at_2")] {
        let line = format!("\r\nsweep,{branch},,hard,token_accuracy,10,{mean},");
        let rest = table.split(&line).nth(1).unwrap_or_else(|| panic!("{table}"));
        let written = branch.trim_start_matches("at_");
        let cell = format!("written {written}, clamped by the fork{text}");
        assert!(rest.lines().next().unwrap().ends_with(&format!(",\"{cell}\"")), "{rest}");
    }
    let shown = text(&found, None, Style::default());
    assert!(shown.contains("10, clamped") && shown.contains("`at_2`, `at_4` (written 2 to 4, on from 10)"), "{shown}");
    let response = &case.page(&found).responses[0];
    let drawn: Vec<(u64, Vec<usize>, f64)> =
        response.points.iter().map(|point| (point.to, point.branches.clone(), point.difference.value)).collect();
    assert_eq!(drawn, [(10, vec![2, 1], mean), (18, vec![3], 0.0), (24, vec![0], points[2].mean)]);
    assert_eq!(response.points[0].written.as_deref(), Some("written 2 to 4"));
    assert!(response.note.starts_with("clamped by the fork, as Precursor was to begin before it: `at_2`"), "{}", response.note);
}

#[test]
fn sentences_count_many_branches_and_tables_have_them_all() {
    let branch = |index: usize| format!("(name: \"b{index}\", curriculum: Inherit, change: (dropout: 0.{index})),");
    let branches: Vec<String> = (1..10).map(branch).chain([CONTROL.to_owned()]).collect();
    let branches: Vec<&str> = branches.iter().map(String::as_str).collect();
    let case = Case::new(&branches, "[1, 2, 3]", |branch, seed| match branch {
        "b1" => 0.7 + noise("b1", seed),
        "control" => 0.5 + noise("control", seed),
        _ => 0.5 + 30.0 * noise(branch, seed),
    });
    let found = case.compared(Some(&rule(0.01)));
    assert!(found.conclusion.line.contains("; not decided: 8 branches (rule:"), "{}", found.conclusion.line);
    let shown = text(&found, None, Style::default());
    assert!(shown.contains("b6 against control: identical") && !shown.contains("b7 against control"), "{shown}");
    assert!(shown.contains("and 3 more branches, whose settings are in comparison.csv"), "{shown}");
    assert!(csv(&found).contains("\r\ndifference of settings,b9,"));
}

#[test]
fn everything_is_in_the_text_and_in_the_csv() {
    let case = Case::new(&[LATE, CONTROL], "[1, 2, 3]", |branch, seed| {
        0.5 + noise(branch, seed) + if branch == "late" { 0.1 } else { 0.0 }
    });
    let found = case.compared(Some(&rule(0.01)));
    let narrow = text(&found, Some("a question"), Style { width: Some(80), colour: false });
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    for part in ["token accuracy against control", "jumps at the stage edges", "the same spectra under both", "first reached"] {
        assert!(narrow.contains(part), "{part}:\n{narrow}");
    }
    let table = csv(&found);
    assert!(table.starts_with("section,branch,seed,set,metric,step,value,low,high,seeds,text\r\n"));
    for part in
        ["\r\nscore,late,1,hard,token_accuracy,30,0.6", "\r\nverdict,late,,hard,token_accuracy,30,", "same spectra,late,2,hard"]
    {
        assert!(table.contains(part), "{part}:\n{table}");
    }
    let verdict = table.lines().find(|line| line.starts_with("verdict,late,,hard,token_accuracy")).unwrap();
    assert!(verdict.ends_with(",3,better"), "{verdict}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["sets"][0]["branches"][0]["differences"]["token_accuracy"]["judgement"], "better");
}
