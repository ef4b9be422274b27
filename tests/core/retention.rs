//! What keeps its tensors and what goes: `gc`, `pin` and `rm`, with the program as people call it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runner::execute::Fake;

use crate::world::{ALL, LEAVES, TRUNK, World, undisturbed};

/// Sets the times of all that lies at a path so many seconds back.
fn age(path: &Path, seconds: u64) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
    let all = walkdir::WalkDir::new(path).into_iter().map(|entry| entry.unwrap().into_path());
    all.for_each(|path| fs::File::open(path).unwrap().set_modified(then).unwrap());
}

/// A number that no process has: the largest one allowed is below it.
const DEAD: u32 = 4_194_304;

/// Exit code, stdout and stderr.
fn runner(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(world.path()).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code().unwrap(), stdout, stderr)
}

/// What `gc` says of each checkpoint and leftover: whether it goes, and why.
fn gc(world: &World, arguments: &[&str]) -> BTreeMap<String, (bool, String)> {
    let (code, stdout, stderr) = runner(world, &[&["gc", "--json"][..], arguments].concat());
    assert_eq!(code, 0, "{stderr}");
    let shown: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let rows = shown["rows"].as_array().unwrap().iter().map(|row| {
        let why: Vec<String> = row["why"].as_array().unwrap().iter().map(text).collect();
        (text(&row["what"]), (row["goes"].as_bool().unwrap(), why.join(", ")))
    });
    rows.collect()
}

fn going(verdicts: &BTreeMap<String, (bool, String)>) -> Vec<&str> {
    verdicts.iter().filter(|(_, (goes, _))| *goes).map(|(what, _)| what.as_str()).collect()
}

/// Everything under `runs/`, byte by byte.
fn files(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let walk = walkdir::WalkDir::new(world.path().join("runs")).into_iter().map(|entry| entry.unwrap().into_path());
    walk.map(|path| (path.clone(), if path.is_file() { fs::read(path).unwrap() } else { vec![] })).collect()
}

/// Steps of the checkpoints that have their tensors.
fn with_tensors(world: &World) -> Vec<u64> {
    let inventory = world.store().inventory();
    let found = inventory.checkpoints.values().filter(|found| found.has_tensors);
    let mut steps: Vec<u64> = found.map(|found| found.manifest.step).collect();
    steps.sort_unstable();
    steps
}

const LONG: &str = "max_step: 60, keep: [15]";

/// The trunk's file with another end, evaluated there only.
fn trunk(max_step: &str) -> String {
    TRUNK.replace("max_step: 20", max_step).replace("evaluate_every: 10", "evaluate_every: 60")
}

/// A trunk trained to 60. It has tensors at 10 (`leaves` forks), 15 (declared), 24 (a stage starts), 50, 55, and 60.
fn long() -> World {
    let world = World::new();
    world.write("experiments/trunk.ron", &trunk(LONG));
    world.run("trunk", &Fake::default()).unwrap();
    assert_eq!(with_tensors(&world), [10, 15, 24, 50, 55, 60]);
    world
}

/// The same, and then nobody asks for 10 and 15 any more.
fn long_and_unasked() -> World {
    let world = long();
    unask(&world);
    world
}

fn unask(world: &World) {
    world.write("experiments/trunk.ron", &trunk("max_step: 60"));
    fs::remove_file(world.path().join("experiments/leaves.ron")).unwrap();
}

#[test]
fn what_is_asked_for_survives_and_the_reason_is_said() {
    let world = long();
    let verdicts = gc(&world, &[]);
    assert_eq!(going(&verdicts), [""; 0], "{verdicts:?}");
    let why = |step: u64| verdicts[&format!("trunk/main@{step}")].1.as_str();
    assert_eq!(why(10), "fork: leaves forks here");
    assert_eq!(why(15), "declared by keep");
    assert_eq!(why(24), "stage start");
    assert_eq!(why(50), "one of the last 2 against crashes");
    assert_eq!(why(60), "end of trunk/main, best of main on easy/token_accuracy, last of its leaf");
    let (_, table, _) = runner(&world, &["gc", "--dry-run"]);
    for part in ["trunk/main@10", "stays  fork: leaves forks here", "0 B would be freed: 0 checkpoints go, 6 checkpoints stay"]
    {
        assert!(table.contains(part), "{part}:\n{table}");
    }
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_gc_then_does() {
    let world = long_and_unasked();
    let before = files(&world);
    let said = gc(&world, &["--dry-run"]);
    assert_eq!(files(&world), before);
    assert_eq!(going(&said), ["trunk/main@10", "trunk/main@15"]);
    assert_eq!(said["trunk/main@10"].1, "only guarded against crashes, and later ones exist");
    assert_eq!(gc(&world, &[]), said);
    assert_eq!(with_tensors(&world), [24, 50, 55, 60]);
    assert!(world.named(".thinned-").is_empty());
    let after = files(&world);
    assert_eq!(going(&gc(&world, &[])), [""; 0], "a second time there is nothing to do");
    assert_eq!(files(&world), after);
}

#[test]
fn training_and_gc_judge_alike() {
    let world = World::new();
    world.write("experiments/trunk.ron", &trunk("max_step: 60").replace("evaluate_every: 60", "evaluate_every: 5"));
    world.run("trunk", &Fake::default()).unwrap();
    world.run("leaves", &Fake::default()).unwrap();
    let verdicts = gc(&world, &[]);
    assert_eq!(going(&verdicts), [""; 0], "{verdicts:?}");
    let best = verdicts.values().filter(|(_, why)| why.contains("best of main on easy/token_accuracy"));
    assert_eq!(best.count(), 1, "{verdicts:?}");
    let parting = verdicts.iter().filter(|(_, (_, why))| why.contains("leaves of leaves part here"));
    assert_eq!(parting.count(), 4, "12 and 15 of both seeds: {verdicts:?}");
    assert!(verdicts["trunk/main@10"].1.contains("parent of a checkpoint of leaves"), "{verdicts:?}");
}

#[test]
fn what_gc_leaves_is_enough_to_go_on() {
    let (taken, whole) = (long_and_unasked(), long_and_unasked());
    gc(&taken, &[]);
    for world in [&taken, &whole] {
        world.write("experiments/trunk.ron", &trunk("max_step: 80"));
        let outcome = world.run("trunk", &Fake::default()).unwrap();
        assert_eq!((outcome.steps_trained, outcome.failures.len()), (20, 0));
    }
    assert_eq!(taken.result(), whole.result());
    // What was taken comes back when somebody asks for it again.
    for world in [&taken, &whole] {
        world.write("experiments/leaves.ron", LEAVES);
        assert!(world.run("leaves", &Fake::default()).unwrap().failures.is_empty());
    }
    assert_eq!(taken.result(), whole.result());
}

#[test]
fn a_run_without_a_file_is_judged_by_what_was_saved_or_left_alone() {
    let world = long();
    fs::remove_dir_all(world.path().join("experiments")).unwrap();
    let verdicts = gc(&world, &["--dry-run"]);
    assert_eq!(going(&verdicts), ["trunk/main@10"]);
    assert_eq!(verdicts["trunk/main@15"].1, "declared by keep");
    world.write("experiments/torn.ron", "(");
    let verdicts = gc(&world, &["--dry-run"]);
    assert_eq!(going(&verdicts), [""; 0], "{verdicts:?}");
    assert!(verdicts["trunk/main@10"].1.contains("`experiments/torn.ron` has problems"), "{verdicts:?}");
    fs::remove_file(world.path().join("experiments/torn.ron")).unwrap();
    fs::remove_file(world.path().join("runs/trunk/trunk.ron")).unwrap();
    let (_, _, stderr) = runner(&world, &["gc"]);
    assert!(stderr.contains("`trunk` is left alone"), "{stderr}");
    assert_eq!(with_tensors(&world), [10, 15, 24, 50, 55, 60]);
}

#[test]
fn a_file_with_problems_still_keeps_what_it_forks_from() {
    let world = long_and_unasked();
    world.write("experiments/later.ron", "(parent: Checkpoint(\"trunk@10\"), curriculum: File(\"nowhere\"), max_step: 30)");
    let verdicts = gc(&world, &[]);
    assert_eq!(going(&verdicts), ["trunk/main@15"]);
    assert_eq!(verdicts["trunk/main@10"].1, "fork: later forks here");
}

#[test]
fn gc_of_one_run_leaves_the_others() {
    let world = long_and_unasked();
    world.write("experiments/other.ron", &trunk(LONG).replace("seed: 42", "seed: 43"));
    world.run("other", &Fake::default()).unwrap();
    assert!(gc(&world, &["other"]).keys().all(|what| what.starts_with("other/main@")));
    assert_eq!(going(&gc(&world, &["trunk"])), ["trunk/main@10", "trunk/main@15"]);
    let (code, _, stderr) = runner(&world, &["gc", "trank"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no run `trank`; did you mean `trunk`?"), "{stderr}");
}

#[test]
fn what_is_being_trained_stays() {
    let world = long_and_unasked();
    fs::create_dir(world.path().join("runs/trunk/main/.live-60-abcd1234")).unwrap();
    let lock = world.store().lock("abcd1234").unwrap().unwrap();
    let verdicts = gc(&world, &[]);
    assert_eq!(going(&verdicts), [""; 0]);
    assert_eq!(verdicts["trunk/main@10"].1, "being trained now (locked)");
    let (code, _, stderr) = runner(&world, &["rm", "trunk"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`runs/trunk/main` is being trained now"), "{stderr}");
    drop(lock);
    assert_eq!(going(&gc(&world, &[])), ["trunk/main@10", "trunk/main@15"]);
    assert_eq!(world.named(".live-").len(), 1, "the next run collects it");
}

#[test]
fn pins_keep_listed_and_removed() {
    let world = long_and_unasked();
    assert_eq!(runner(&world, &["pin"]).1, "no pins; `runner pin experiment/branch#seed@step` makes one\n");
    assert_eq!(runner(&world, &["pin", "trunk@10", "--note", "for the talk"]).0, 0);
    assert_eq!(runner(&world, &["pin", "trunk@best"]).0, 0);
    let (_, list, _) = runner(&world, &["pin"]);
    for part in ["trunk/main@10", "kept  for the talk", "trunk/main@60"] {
        assert!(list.contains(part), "{part}:\n{list}");
    }
    let verdicts = gc(&world, &[]);
    assert_eq!(going(&verdicts), ["trunk/main@15"]);
    assert_eq!(verdicts["trunk/main@10"].1, "pinned: for the talk");
    let (code, _, stderr) = runner(&world, &["rm", "trunk@10"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`trunk/main@") && stderr.contains("is pinned"), "{stderr}");
    // A pin that cannot be read is a pin all the same.
    let id = world.store().pins().unwrap().into_values().find(|pin| pin.reference == "trunk/main@10").unwrap().id;
    fs::write(world.path().join(format!("runs/.pins/{id}.json")), "{").unwrap();
    assert!(gc(&world, &[])["trunk/main@10"].1.starts_with("pinned: this pin cannot be read"));
    for reference in ["trunk@10", "trunk/main@60"] {
        assert_eq!(runner(&world, &["pin", "--remove", reference]).0, 0);
    }
    assert!(world.store().pins().unwrap().is_empty());
    assert!(world.named(".tmp-").is_empty());
    let (code, _, stderr) = runner(&world, &["pin", "--remove", "trunk@10"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`trunk@10` is not pinned"), "{stderr}");
    assert_eq!(going(&gc(&world, &[])), ["trunk/main@10"]);
}

#[test]
fn references_name_what_exists() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    let refused = |reference: &str, message: &str| {
        let (code, _, stderr) = runner(&world, &["pin", reference]);
        assert_eq!(code, 2, "{reference}: {stderr}");
        assert!(stderr.contains(message), "{reference}: {stderr}");
    };
    refused("leaves/late#1@17", "`leaves/late#1` has no checkpoint at step 17; the nearest are at 15 and 20");
    refused("trunk@3", "`trunk/main` has no checkpoint at step 3; the nearest is at 5");
    refused("trunk@21", "`trunk/main` runs from step 0 to 20");
    refused("leaves/late@20", "`leaves/late@20` names several leaves: write one of `late#1`, `late#2`");
    refused("leaves/lat#1@20", "did you mean `late#1`?");
    refused("leaves/late#1", "names no checkpoint: write `experiment/branch#seed@step`, `@latest` or `@best`");
    refused("leaves/late#1@soon", "does not end in a whole step, `latest` or `best`");
    refused("laeves@20", "did you mean `experiments/leaves.ron`?");
    // The leaves share the trunk: whichever is meant, it is the same checkpoint.
    for reference in ["leaves@10", "leaves/late#2@latest", "leaves/control#1@best"] {
        assert_eq!(runner(&world, &["pin", reference]).0, 0, "{reference}");
    }
    let pins = world.store().pins().unwrap();
    assert!(pins.values().any(|pin| pin.reference == "leaves/late#2@30"), "{pins:?}");
    let (code, difference, _) = runner(&world, &["diff", "leaves/late#1@best", "leaves/late#1"]);
    assert_eq!(code, 0, "{difference}");
}

#[test]
fn rm_refuses_while_there_are_children_and_names_them() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    let before = files(&world);
    let refused = |what: &str, messages: &[&str]| {
        let (code, _, stderr) = runner(&world, &["rm", what]);
        assert_eq!(code, 2, "{what}: {stderr}");
        for message in messages {
            assert!(stderr.contains(message), "{message}:\n{stderr}");
        }
    };
    let planned = "`experiments/leaves.ron` forks from `trunk/main@10`";
    refused("trunk", &["`runs/leaves/shared/12-", "grew from step 10", planned, "= help: "]);
    refused("trunk@5", &["`runs/leaves/shared/12-", planned]);
    refused("leaves/late#1@12", &["`runs/leaves/late/seed-1/20-", "grew from step 15", "`runs/leaves/moved/seed-1/"]);
    refused("leaves@10", &["is a checkpoint of another run, `runs/trunk/main/10-"]);
    refused("leaves/late", &["neither a run nor a checkpoint"]);
    assert_eq!(files(&world), before);
    // The files alone are reason enough, also where nothing has grown yet.
    let world = World::new();
    world.run("trunk", &Fake::default()).unwrap();
    let (code, _, stderr) = runner(&world, &["rm", "trunk"]);
    assert!(code == 2 && stderr.contains(planned), "{stderr}");
}

#[test]
fn what_was_removed_is_trained_again_to_the_same_bytes() {
    let expected = undisturbed();
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    let (code, removed, stderr) = runner(&world, &["rm", "leaves/late#1@25", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(removed.contains("runs/.trash/leaves-0") && removed.contains("late/seed-1/30-"), "{removed}");
    assert_eq!(world.run("leaves", &Fake::default()).unwrap().steps_trained, 10);
    assert_eq!(world.result(), expected);
    assert_eq!(runner(&world, &["rm", "leaves"]).0, 0);
    assert!(!world.path().join("runs/leaves").exists());
    assert_eq!(world.run("leaves", &Fake::default()).unwrap().steps_trained, ALL - 10);
    assert_eq!(world.result(), expected);
    assert!(world.path().join("runs/.trash/leaves-1/leaves.ron").exists());
    assert!(!gc(&world, &[])["runs/.trash"].0);
    assert!(gc(&world, &["--trash"])["runs/.trash"].0);
    assert!(!world.path().join("runs/.trash").exists());
    assert_eq!(world.result(), expected);
}

#[test]
#[cfg(target_os = "linux")]
fn what_dead_attempts_left_goes() {
    let world = long();
    let folder = world.path().join("runs/trunk/main");
    let last = world.store().inventory().checkpoints.into_values().find(|found| found.manifest.step == 60).unwrap().path;
    let make = |path: PathBuf| {
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("model.safetensors"), [0_u8; 100]).unwrap();
        path
    };
    let process = std::process::id();
    let unfinished = make(folder.join(format!(".tmp-70-abcdef12-{DEAD}-ThreadId1")));
    let thinned = make(last.join(format!(".thinned-{DEAD}")));
    let record = world.path().join(format!("runs/trunk/.tmp-record.json-{DEAD}-ThreadId1"));
    fs::write(&record, "{").unwrap();
    let alive = folder.join(format!(".tmp-75-abcdef12-{process}-ThreadId1"));
    fs::create_dir(&alive).unwrap();
    let (lost, damaged) = (make(folder.join("lost-3-0")), make(folder.join("damaged-5-abcdef12-0")));
    fs::write(lost.join("failure.json"), "{}").unwrap();

    // Just written, it may be the work of a process on another machine.
    assert!(going(&gc(&world, &["--dry-run"])).is_empty());
    [&unfinished, &thinned, &record, &alive].iter().for_each(|path| age(path, 600));
    let said = gc(&world, &["--dry-run"]);
    assert!([&unfinished, &thinned, &record, &alive, &lost, &damaged].iter().all(|path| path.exists()));
    assert_eq!(gc(&world, &[]), said);
    assert!([&unfinished, &thinned, &record].iter().all(|path| !path.exists()), "{said:?}");
    assert!([&alive, &lost, &damaged].iter().all(|path| path.exists()), "{said:?}");
    assert_eq!(said.len() - going(&said).len(), 6 + 3);

    // Another machine's process may have the number of one that lives here: what is old is dead.
    age(&alive, 2 * 3_600);
    gc(&world, &["--evidence"]);
    assert!([&alive, &lost, &damaged].iter().all(|path| !path.exists()));
    assert_eq!(with_tensors(&world), [10, 15, 24, 50, 55, 60]);
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_killed_bench_left_goes_with_the_next_one() {
    let world = World::new();
    let make = |process: u32| {
        let path = world.path().join(format!("runs/.bench-{process}"));
        fs::create_dir_all(path.join("0/.tmp-5-abcdef12-7-ThreadId1")).unwrap();
        fs::write(path.join("0/.tmp-5-abcdef12-7-ThreadId1/model.safetensors"), [0_u8; 100]).unwrap();
        path
    };
    let (dead, alive) = (make(DEAD), make(std::process::id()));
    age(&alive, 600);
    // Without burn there is no device, and it ends there: what is left behind is looked at before.
    let bench = || runner(&world, &["bench", "trunk", "--device", "cpu", "--seconds", "0"]);
    bench();
    assert!(dead.exists() && alive.exists(), "just written, it may be the work of a process on another machine");
    age(&dead, 600);
    let said = gc(&world, &["--dry-run"]);
    assert_eq!(going(&said), [format!("runs/.bench-{DEAD}")]);
    bench();
    assert!(!dead.exists() && alive.exists());
}
