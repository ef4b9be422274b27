//! What counts is history, not text.

use runner::execute::Fake;

use crate::world::{ALL, LATE, LEAVES, TRUNK, World};

/// Runs `leaves`, edits a file, runs again.
fn edited(file: &str, text: &str) -> Result<u64, String> {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    world.write(file, text);
    let outcome = world.run("leaves", &Fake::default())?;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    Ok(outcome.steps_trained)
}

#[test]
fn comments_names_and_rhythm_train_nothing() {
    assert_eq!(edited("experiments/leaves.ron", &format!("// a comment\n{LEAVES}")), Ok(0));
    assert_eq!(edited("curricula/late.ron", &LATE.replace("(from: 15,", "(from: 15, name: \"late\",")), Ok(0));
    assert_eq!(
        edited("experiments/leaves.ron", &LEAVES.replace("max_step: 30,", "max_step: 30, save_every: 7, log_every: 3,")),
        Ok(0)
    );
    assert_eq!(edited("experiments/leaves.ron", &LEAVES.replace("max_step: 30,", "max_step: 20,")), Ok(0));
}

#[test]
fn extensions_train_what_is_new() {
    assert_eq!(edited("experiments/leaves.ron", &LEAVES.replace("max_step: 30", "max_step: 33")), Ok(6 * 3));
    assert_eq!(edited("experiments/leaves.ron", &LEAVES.replace("[1, 2]", "[1, 2, 3]")), Ok((ALL - 10) / 2));
    let branch = "branches: [(name: \"more\", curriculum: Inherit, change: (dropout: 0.5)),";
    assert_eq!(edited("experiments/leaves.ron", &LEAVES.replace("branches: [", branch)), Ok(2 * 20));
    let stage = LATE.replace("])", "    (from: 40, loss: {CrossEntropy: 1.0}),\n])");
    assert_eq!(edited("curricula/late.ron", &stage), Ok(0), "a stage that has not been reached");
    let set = "max_step: 30, validation: [(name: \"other\", data: Synthetic(source: (length: 9..=10)), spectra: 3)],";
    assert_eq!(edited("experiments/leaves.ron", &LEAVES.replace("max_step: 30,", set)), Ok(0), "evaluates and trains nothing");
}

#[test]
fn edits_of_trained_steps_are_refused_with_the_first_difference() {
    let message = edited("curricula/late.ron", &LATE.replace("Precursor: 0.05", "Precursor: 0.06")).unwrap_err();
    assert!(message.contains("`leaves/late#1` is trained to step 30"), "{message}");
    let difference = "another history: from step 15 on, Precursor 0..0.05 over 15..19 to 0..0.06 over 15..19";
    assert!(message.contains(difference), "{message}");
    assert!(message.contains("--replace"), "{message}");
    let message = edited("experiments/trunk.ron", &TRUNK.replace("batch: 4", "batch: 8")).unwrap_err();
    assert!(message.contains("another history: from step 0 on, batch 4 to 8"), "{message}");
    // Of other roots it is said in what they differ, too.
    let message = edited("experiments/trunk.ron", &TRUNK.replace("seed: 42", "seed: 43")).unwrap_err();
    assert!(message.contains("another history: from the root on, weights fresh weights of seed 42 to fresh"), "{message}");
}

#[test]
fn a_saved_file_is_complete_in_itself() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    let saved = std::fs::read_to_string(world.path().join("runs/leaves/leaves.ron")).unwrap();
    let alone = World::new();
    std::fs::remove_dir_all(alone.path().join("experiments")).unwrap();
    std::fs::remove_dir_all(alone.path().join("curricula")).unwrap();
    alone.write("leaves.ron", &saved);
    assert_eq!(alone.run("leaves.ron", &Fake::default()).unwrap().steps_trained, ALL);
    assert_eq!(alone.result(), world.result());
    let again = std::fs::read_to_string(alone.path().join("runs/leaves/leaves.ron")).unwrap();
    assert_eq!(saved, again, "saving a saved file changes nothing");
}
