//! Probes and evaluations that are missing are made from the tensors of kept checkpoints; those whose tensors are gone stay
//! missing, and nothing is claimed of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use runner::execute::{Fake, Outcome};
use runner::history::Id;
use runner::record::Probed;

use crate::world::{LEAVES, TRUNK, World};

const EASY: &str = "(name: \"easy\", data: Synthetic(source: (length: 7..=8)), spectra: 4)";
const OTHER: &str = "(name: \"other\", data: Synthetic(source: (length: 9..=10)), spectra: 3)";

fn json(world: &World, verb: &str, experiment: &str) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    let output = command.arg("-C").arg(world.path()).args([verb, experiment, "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// All that is known of states: by name and digest of the set.
fn probed(world: &World) -> BTreeMap<(Id, String), Probed> {
    let probes = world.store().inventory().probes.into_iter();
    let keyed = probes.flat_map(|probe| probe.sets.into_iter().map(move |set| ((probe.id, set.set_digest.clone()), set)));
    keyed.collect()
}

/// The part of it that is about states whose tensors are there.
fn of_kept(world: &World, mut probed: BTreeMap<(Id, String), Probed>) -> BTreeMap<(Id, String), Probed> {
    let checkpoints = world.store().inventory().checkpoints;
    probed.retain(|(id, _), _| checkpoints.get(id).is_some_and(|found| found.has_tensors));
    probed
}

#[test]
fn lost_probes_of_kept_checkpoints_are_made_again_and_the_others_stay_missing() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    let all = probed(&world);
    let kept = of_kept(&world, all.clone());
    assert!(kept.len() > 10 && all.len() > kept.len() + 10, "{} of {}", kept.len(), all.len());
    fs::remove_dir_all(world.path().join("runs/leaves/probes")).unwrap();
    let plan = json(&world, "plan", "leaves");
    assert_eq!((plan["probes"].as_array().unwrap().len(), plan["segments"].as_array().unwrap().len()), (kept.len(), 0));
    assert_eq!(world.run("leaves", &Fake::default()).unwrap(), Outcome::default());
    assert_eq!(probed(&world), kept, "made again from tensors, they are what they were in training");
    assert_eq!(json(&world, "plan", "leaves")["probes"], serde_json::json!([]), "and then nothing is left to do");
}

#[test]
fn a_damaged_probe_of_a_fork_is_replaced() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    let before = probed(&world);
    let fork = |path: &PathBuf| {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        record["probes"].as_array().unwrap().iter().all(|probe| probe["step"] == 10)
    };
    let files = fs::read_dir(world.path().join("runs/leaves/probes")).unwrap().map(|entry| entry.unwrap().path());
    let forks: Vec<PathBuf> = files.filter(fork).collect();
    assert!(!forks.is_empty());
    forks.iter().for_each(|path| fs::write(path, "{").unwrap());
    assert_eq!(world.run("leaves", &Fake::default()).unwrap(), Outcome::default());
    assert!(world.store().inventory().damaged.is_empty());
    assert_eq!(probed(&world), before);
}

#[test]
fn a_set_that_is_added_later_is_probed_where_checkpoints_are_kept_and_shows_a_jump_where_all_of_it_was_seen() {
    let world = World::new();
    // All states at which the fork and the moved loss at 12 are looked at are kept; after the stages at 15 and 24 some are not.
    let with = |sets: &str| LEAVES.replace("max_step: 30,", &format!("max_step: 30, keep: [11, 13], validation: [{sets}],"));
    world.write("experiments/leaves.ron", &with(EASY));
    world.run("leaves", &Fake::default()).unwrap();
    let before = probed(&world);
    world.write("experiments/leaves.ron", &with(&format!("{EASY}, {OTHER}")));
    assert_eq!(world.run("leaves", &Fake::default()).unwrap(), Outcome::default(), "it trains nothing");
    let after = probed(&world);
    assert!(before.iter().all(|(key, probed)| after.get(key) == Some(probed)));
    let ids = |probed: &BTreeMap<(Id, String), Probed>| probed.keys().map(|(id, _)| *id).collect::<Vec<_>>();
    let new: BTreeMap<(Id, String), Probed> = after.into_iter().filter(|(key, _)| !before.contains_key(key)).collect();
    assert!(new.values().all(|probed| probed.set == "other"));
    assert_eq!(ids(&new), ids(&of_kept(&world, before)));
    let comparison = json(&world, "compare", "leaves");
    let jumps = |set: &str| -> BTreeSet<(String, u64)> {
        let all = comparison["jumps"].as_array().unwrap().iter().filter(|jump| jump["set"] == set);
        all.map(|jump| (jump["branch"].as_str().unwrap().to_owned(), jump["step"].as_u64().unwrap())).collect()
    };
    let edges = [("control", 10), ("control", 24), ("late", 10), ("late", 15), ("moved", 10), ("moved", 12), ("moved", 15)];
    assert_eq!(jumps("easy"), edges.map(|(branch, step)| (branch.to_owned(), step)).into());
    let seen = [("control", 10), ("late", 10), ("moved", 10), ("moved", 12)];
    assert_eq!(jumps("other"), seen.map(|(branch, step)| (branch.to_owned(), step)).into());
}

#[test]
fn what_training_thins_meanwhile_is_not_taken_for_damaged() {
    let world = World::new();
    let trunk = |steps: &str, sets: &str| {
        let text = TRUNK.replace("max_step: 20", steps).replace("evaluate_every: 10", "evaluate_every: 5");
        world.write("experiments/trunk.ron", &text.replace(&format!("[{EASY}]"), &format!("[{sets}]")));
    };
    trunk("max_step: 60", EASY);
    world.run("trunk", &Fake::default()).unwrap();
    trunk("max_step: 80", &format!("{EASY}, {OTHER}"));
    let missing = json(&world, "plan", "trunk")["evaluations"].as_array().unwrap().len();
    let outcome = world.run("trunk", &Fake::default()).unwrap();
    assert_eq!((outcome.steps_trained, outcome.failures.len()), (20, 0), "{:?}", outcome.failures);
    assert!(world.named("damaged-").is_empty(), "{:?}", world.named("damaged-"));
    let evaluated =
        world.store().inventory().evaluations.iter().filter(|found| found.set == "other" && found.step <= 60).count();
    assert!((1..missing).contains(&evaluated), "{evaluated} of {missing}: some were thinned before");
    assert!(json(&world, "plan", "trunk")["evaluations"].as_array().unwrap().is_empty());
}
