//! `runner bench` through the binary: what it says of a micro experiment, and that it leaves nothing behind.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::World;

fn bench(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(world.path()).arg("bench").args(arguments).output().unwrap()
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let output = bench(world, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything that lies in the project.
fn files(world: &World) -> BTreeSet<PathBuf> {
    walkdir::WalkDir::new(world.path()).into_iter().map(|entry| entry.unwrap().into_path()).collect()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no number `{name}` in {value}"))
}

#[test]
fn a_micro_experiment_is_measured_and_nothing_is_left() {
    let world = World::new();
    let before = files(&world);
    let measured = json(&world, &["leaves", "--device", "cpu", "--seconds", "0.3", "--batches", "8,4"]);
    assert_eq!(files(&world), before, "nothing is written, under `runs/` or beside it");
    assert_eq!(measured["leaf"], "leaves/late#1");
    assert_eq!((number(&measured, "max_step"), number(&measured, "steps_of_leaf")), (30.0, 30.0));
    assert_eq!(number(&measured, "steps_left"), crate::world::ALL as f64);
    let rows = measured["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 8]);
    for row in rows {
        assert_eq!(number(row, "micro_batch"), 2.0, "its own micro-batch stays");
        let (rate, seconds) = (number(row, "steps_per_second"), number(row, "seconds_per_step"));
        assert!((rate * seconds - 1.0).abs() < 1e-9 && number(row, "steps_timed") >= 1.0);
        assert!((number(row, "samples_per_second") / rate / number(row, "batch") - 1.0).abs() < 1e-9);
        assert!((number(row, "seconds_of_leaf") / seconds / 30.0 - 1.0).abs() < 1e-9);
        let parts = row["parts"].as_array().unwrap();
        let names: Vec<&str> = parts.iter().map(|part| part["part"].as_str().unwrap()).collect();
        assert_eq!(names, ["data", "forward", "backward", "optimizer", "ledger", "metrics", "checkpoint"]);
        assert!(parts.iter().all(|part| number(part, "share") > 0.0), "{row}");
        let sum: f64 = parts.iter().map(|part| number(part, "share")).sum();
        assert!((0.9..1.01).contains(&sum), "{sum}: {row}");
        assert!(number(row, "seconds_making_a_batch") > 0.0 && number(row, "seconds_per_checkpoint") > 0.0);
        let (peak, predicted) = (number(row, "peak_memory_bytes"), number(row, "predicted_memory_bytes"));
        assert!(peak > 1e6 && predicted > 1e6 && peak < 50.0 * predicted, "{peak} and {predicted} bytes");
    }
}

#[test]
fn the_own_batch_is_the_middle_one_and_people_get_tables() {
    let world = World::new();
    let output = bench(&world, &["trunk", "--device", "cpu", "--seconds", "0"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let first: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first.iter().filter(|word| ["2", "4", "8"].contains(word)).count(), 6, "{text}");
    assert!(text.contains("steps/s") && text.contains("backward") && text.contains("to step 20"), "{text}");
}

#[test]
fn devices_are_listed() {
    let world = World::new();
    let devices = json(&world, &["--devices"]);
    assert!(number(&devices["cpu"], "cores") >= 1.0 && devices["gpus"].is_array(), "{devices}");
    assert_eq!(devices["build_has_cuda"], cfg!(feature = "cuda"));
    let text = String::from_utf8(bench(&world, &["--devices"]).stdout).unwrap();
    assert!(text.contains("cpu") && text.contains("`--device auto` takes"), "{text}");
    assert!(!world.path().join("runs").exists());
}

#[test]
fn what_cannot_be_measured_is_said() {
    let world = World::new();
    for (arguments, what) in [
        (&["trunk", "--batches", "0"][..], "0"),
        (&["trunk", "--seconds", "soon"][..], "--seconds"),
        (&["trunk", "--devices"][..], "--devices"),
        (&[] as &[&str], "EXPERIMENT"),
    ] {
        let output = bench(&world, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(what), "{arguments:?}: {output:?}");
    }
    let missing = bench(&world, &["trunk", "--device", "cuda:99", "--seconds", "0"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("cuda") || said.contains("NVIDIA"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_stopped_bench_says_that_nothing_is_kept() {
    let world = World::new();
    let before = files(&world);
    let mut child = Command::new(env!("CARGO_BIN_EXE_runner"))
        .arg("-C")
        .arg(world.path())
        .args(["bench", "trunk", "--device", "cpu", "--seconds", "600", "--batches", "4"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // Signals are listened to by then.
    said.find(|line| line.contains("training a batch of 4")).expect("it begins");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = said.collect();
    assert_eq!(child.wait().unwrap().code(), Some(75), "{rest:?}");
    let rest = rest.join("\n");
    assert!(rest.contains("nothing is kept of a bench, the same command begins anew") && !rest.contains("saved"), "{rest}");
    assert_eq!(files(&world), before);
}
