//! Parts of the code whose mathematics changed since a run: what does not apply is named, and what can go on goes on.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use runner::command::run::Trial;
use runner::execute::{Fake, Outcome};
use runner::history::Versions;
use runner::store::RealDisk;

use crate::world::{ALL, LATE, LEAVES, World};

/// Runs as a program would whose parts have these versions.
fn run(world: &World, experiment: &str, versions: Versions, from_recorded: bool) -> Result<Outcome, String> {
    let (executor, disk) = (&Fake::default(), Arc::new(RealDisk));
    let stop = &|| false;
    let trial = Trial { directory: world.path(), executor, disk, jobs: 1, stop, events: world, versions, from_recorded };
    trial.run(Path::new(experiment))
}

fn newer() -> Versions {
    Versions { spectrum: Versions::CURRENT.spectrum + 1, ..Versions::CURRENT }
}

fn plan(world: &World, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    let output = command.arg("-C").arg(world.path()).args(["plan", "leaves"]).args(arguments).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn only_what_used_a_part_is_renamed_and_why_is_said() {
    let world = World::new();
    assert_eq!(run(&world, "leaves", newer(), false).unwrap().steps_trained, ALL);
    let (text, _) = plan(&world, &["--why"]);
    assert!(text.contains("from step 15 on its history is another"), "{text}");
    let (there, here) = (newer().spectrum, Versions::CURRENT.spectrum);
    assert!(text.contains(&format!("version of Spectrum: {there} there, {here} here")), "{text}");
    // The trunk has no spectrum loss before 24, `late` from 15 on, `control` from 24 on; for each of two seeds.
    let again = run(&world, "leaves", Versions::CURRENT, false).unwrap();
    assert_eq!(again.steps_trained, 2 * (15 + 15 + 6));
    assert!(plan(&world, &["--why"]).0.contains("every checkpoint in the folders of these segments applies"));
}

#[test]
fn edits_are_traced_to_their_file_line_and_field() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    world.write("curricula/late.ron", &LATE.replace("Precursor: 0.05", "Precursor: 0.06"));
    let (text, _) = plan(&world, &["--why"]);
    assert!(text.contains("Precursor: 0..0.05 over 15..19 there, 0..0.06 over 15..19 here"), "{text}");
    assert!(text.contains("see `curricula/late.ron`, line 3 (stages[1].loss)"), "{text}");
    world.write("curricula/late.ron", LATE);
    world.write("experiments/trunk.ron", &crate::world::TRUNK.replace("batch: 4", "batch: 6"));
    let (text, _) = plan(&world, &["--why"]);
    assert!(text.contains("batch: 4 there, 6 here; see `experiments/trunk.ron`, line 7 (parent.training.batch)"), "{text}");
    world.write("experiments/trunk.ron", &crate::world::TRUNK.replace("seed: 42", "seed: 43"));
    let (text, _) = plan(&world, &["--why"]);
    assert!(text.contains("weights: fresh weights of seed 42 there, fresh weights of seed 43 here"), "{text}");
}

#[test]
fn what_was_recorded_goes_on_where_this_program_can() {
    let world = World::new();
    run(&world, "leaves", newer(), false).unwrap();
    let (text, error) = plan(&world, &["--from-recorded"]);
    assert!(text.contains("0 to train") && error.is_empty(), "{text}{error}");
    assert_eq!(run(&world, "leaves", Versions::CURRENT, true).unwrap().steps_trained, 0);
    // Steps that need the other code cannot be trained here, and the message says what can be done.
    world.write("experiments/leaves.ron", &LEAVES.replace("max_step: 30", "max_step: 32"));
    let message = run(&world, "leaves", Versions::CURRENT, true).unwrap_err();
    let (there, here) = (newer().spectrum, Versions::CURRENT.spectrum);
    let needed = format!("from step 30 on needs `Spectrum` version {there} (this runner computes {here})");
    assert!(message.contains(&needed), "{message}");
    assert!(message.contains("parent: Checkpoint(\"leaves/late#1@30\")"), "{message}");
    // And it can be done.
    world.write("experiments/leaves.ron", LEAVES);
    world.write("experiments/on.ron", "(parent: Checkpoint(\"leaves/late#1@30\"), curriculum: Inherit, max_step: 35)");
    assert_eq!(run(&world, "on", Versions::CURRENT, true).unwrap().steps_trained, 5);
}
