//! What lies in a run's folder, and what may be called as it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use runner::execute::Fake;
use runner::spec::InRun;

use crate::world::{ALL, LEAVES, World};

#[test]
fn beside_its_branches_a_run_holds_only_what_no_branch_can_be_called() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    for verb in ["report", "board"] {
        let output = Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(world.path()).args([verb, "leaves"]).output();
        assert!(output.as_ref().is_ok_and(|output| output.status.success()), "{verb}: {output:?}");
    }
    let entries = fs::read_dir(world.path().join("runs/leaves")).unwrap();
    let found: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let branches = ["late", "moved", "control", "leaves.ron"];
    let known: BTreeSet<String> =
        branches.into_iter().chain(InRun::ALL.into_iter().map(InRun::name)).map(str::to_owned).collect();
    assert_eq!(found, known);
}

/// Evidence of attempts that went wrong is called so, and lies deeper.
#[test]
fn a_run_or_a_branch_may_be_called_as_evidence_is() {
    let world = World::new();
    world.write("experiments/lost-cause.ron", &LEAVES.replace("\"control\"", "\"damaged-10\""));
    assert_eq!(world.run("lost-cause", &Fake::default()).unwrap().steps_trained, ALL);
    let plan = Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(world.path()).args(["plan", "lost-cause"]).output();
    let plan = String::from_utf8(plan.unwrap().stdout).unwrap();
    assert!(plan.contains(" steps in all, ") && plan.contains("; 0 to train"), "{plan}");
    let found = world.store().inventory().checkpoints.into_values();
    let (in_run, in_branch) = (world.path().join("runs/lost-cause"), world.path().join("runs/lost-cause/damaged-10"));
    let (of_run, of_branch): (Vec<_>, Vec<_>) =
        found.filter(|found| found.path.starts_with(&in_run)).partition(|found| !found.path.starts_with(&in_branch));
    assert!(!of_run.is_empty() && !of_branch.is_empty());
}
