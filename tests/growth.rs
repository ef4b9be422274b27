//! What is looked at while a project and its runs grow long costs their length at most, and where only the end is asked for,
//! not even that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use runner::command::run::run_with;
use runner::execute::{Fake, Silent};
use runner::history::{History, Root};
use runner::lineage::Resolved;
use runner::load::Project;
use runner::plan::{Facts, Stored, verdicts};
use runner::spec::Name;
use runner::store::Store;

mod folders;

use folders::{QuickDisk, TRUNK, growth, own_growth, project, runner, save, trunk};

#[test]
fn following_reads_the_end_of_what_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
    let line = |step: usize| format!("{{\"step\":{step},\"what\":\"{}\"}}\n", "x".repeat(200));
    let leaf = |lines: usize| {
        let leaf = folder.path().join(format!("runs/run{lines}/main"));
        let live = leaf.join(".live-0-lock");
        fs::create_dir_all(&live).unwrap();
        // The last one is still being written.
        let text: String = (0..lines).map(line).chain(["{\"step\":".to_owned()]).collect();
        fs::write(live.join("metrics.jsonl"), &text).unwrap();
        fs::write(live.join("timing.jsonl"), "").unwrap();
        let watched = store.watch(&leaf).unwrap();
        assert_eq!(watched.row.map(|row| row.len() + 1), lines.checked_sub(1).map(|last| line(last).len()));
        assert_eq!(watched.timing, None);
        leaf
    };
    let (few, many) = (leaf(10), leaf(100_000));
    leaf(0);
    leaf(1);
    let often = |leaf: &Path| (0..200).for_each(|_| assert!(store.watch(leaf).is_some()));
    // Ten thousand times, where all is read for the last line.
    let ratio = own_growth(|| often(&few), || often(&many));
    assert!(ratio < 3.0, "{ratio}");
}

#[test]
fn a_line_longer_than_others_is_found_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
    let leaf = folder.path().join("runs/run/main");
    let live = leaf.join(".live-7-lock");
    fs::create_dir_all(&live).unwrap();
    for length in [0, 1, 4_094, 4_095, 4_096, 4_097, 32_767, 32_768, 100_000] {
        let long = "y".repeat(length);
        for (text, last) in
            [(format!("{long}\n"), &long), (format!("before\n{long}\n"), &long), (format!("{long}\nafter\n"), &"after".into())]
        {
            fs::write(live.join("metrics.jsonl"), text).unwrap();
            assert_eq!(store.watch(&leaf).unwrap().row.as_deref(), Some(last.as_bytes()), "{length}");
        }
    }
}

#[test]
fn a_curve_for_people_is_the_one_for_programs_with_rows_left_out() {
    for (steps, save_every) in [(1_000, 130), (19, 5), (20, 20), (21, 7), (1, 1)] {
        let text = TRUNK.replace("max_step: 100_000", &format!("max_step: {steps}"));
        let text =
            text.replace("save_every: 10_000", &format!("save_every: {save_every}, log_every: 1, evaluate_every: 10_000"));
        let folder = project([("trunk".to_owned(), text)]);
        run_with(folder.path(), Path::new("trunk"), &Fake::default(), Arc::new(QuickDisk), 1, &|| false, &Silent).unwrap();
        let all: serde_json::Value = serde_json::from_str(&runner(folder.path(), &["show", "trunk", "--json"])).unwrap();
        let all: Vec<u64> =
            all["leaves"][0]["rows"].as_array().unwrap().iter().map(|row| row["step"].as_u64().unwrap()).collect();
        assert_eq!(all, (0..steps).collect::<Vec<u64>>());
        let every = all.len().div_ceil(20).max(1);
        let shown = runner(folder.path(), &["show", "trunk"]);
        let curve = shown.lines().skip_while(|line| !line.contains("gradient")).skip(1).take_while(|line| !line.is_empty());
        let step = |line: &str| line.split_whitespace().next().unwrap().replace([' ', ',', '_'], "").parse::<u64>().unwrap();
        assert_eq!(curve.map(step).collect::<Vec<_>>(), all.into_iter().step_by(every).collect::<Vec<_>>(), "{shown}");
    }
}

#[test]
fn judging_what_to_keep_goes_once_through_runs_and_checkpoints() {
    let folder = project([("trunk".to_owned(), TRUNK.to_owned())]);
    let (mut loaded, name) = Project { root: folder.path().into() }.load(Path::new("trunk")).unwrap();
    let trunk: Resolved = loaded.resolve(std::slice::from_ref(&name)).experiments[&name].clone();
    let case = |count: u64| {
        let name = |index: u64| Name::try_from(format!("run{index:05}")).unwrap();
        let mut experiments: BTreeMap<Name, Resolved> = BTreeMap::new();
        let mut checkpoints = Vec::new();
        for index in 0..count {
            let mut leaf = trunk.leaves[0].clone();
            let root = Root { seed: index, ..leaf.history.root().clone() };
            leaf.history = History::new(root, leaf.history.spans().iter().cloned(), leaf.history.end());
            let (step, folder) = (leaf.history.end(), format!("{}/main", name(index)));
            checkpoints.push(Stored { id: leaf.history.id(), step, parent: None, folder, has_tensors: true });
            experiments.insert(name(index), Resolved { name: name(index), leaves: vec![leaf], ..trunk.clone() });
        }
        (experiments, checkpoints)
    };
    let judge = |(experiments, checkpoints): &(BTreeMap<Name, Resolved>, Vec<Stored>)| {
        let facts = Facts {
            checkpoints,
            experiments,
            other_forks: &[],
            unread: &[],
            evaluations: &[],
            pins: &BTreeMap::new(),
            in_training: &BTreeSet::new(),
        };
        assert_eq!(verdicts(&facts).len(), checkpoints.len());
    };
    let (few, many) = (case(1_000), case(4_000));
    // Sixteen times, where each run's file goes through all checkpoints.
    let ratio = own_growth(|| judge(&few), || judge(&many));
    assert!(ratio < 8.0, "{ratio}");
}

#[test]
fn the_tree_of_a_run_goes_once_through_its_line() {
    let with_checkpoints = |count: u64| {
        let folder = project([("trunk".to_owned(), TRUNK.to_owned())]);
        let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
        let (history, leaf, mut parent) = (trunk(folder.path()), folder.path().join("runs/trunk/main"), None);
        for step in 1..=count {
            parent = Some(save(&store, &leaf, &history.cut(step), parent));
        }
        folder
    };
    let (few, many) = (with_checkpoints(1_000), with_checkpoints(4_000));
    let tree = |folder: &tempfile::TempDir| assert_eq!(runner(folder.path(), &["tree", "trunk"]).lines().count(), 1);
    // Sixteen times, where each checkpoint goes back to the first one.
    let ratio = growth(|| tree(&few), || tree(&many));
    assert!(ratio < 8.0, "{ratio}");
}
