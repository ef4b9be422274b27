//! Claims are checked: a run is reproduced or the first difference named, and records that were changed are found.

use std::fs;
use std::path::{Path, PathBuf};

use runner::command::reproduce::reproduce_with;
use runner::command::verify::verify_with;
use runner::execute::{Fake, Fault};
use runner::record::Part;
use runner::report::{Reproduction, Verdict, Verification};

use crate::world::{LATE, World};

fn finished() -> World {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    world
}

fn reproduce(world: &World, fake: &Fake) -> Reproduction {
    reproduce_with(world.path(), Path::new("leaves"), None, fake, world).unwrap()
}

fn verify(world: &World) -> Verification {
    verify_with(world.path(), Path::new("leaves"), &Fake::default(), 0).unwrap()
}

fn only(world: &World, end: &str) -> PathBuf {
    let found = walkdir::WalkDir::new(world.path().join("runs/leaves")).into_iter().filter_map(Result::ok);
    let mut found: Vec<PathBuf> =
        found.map(walkdir::DirEntry::into_path).filter(|path| path.to_string_lossy().contains(end)).collect();
    found.sort();
    found.remove(0)
}

#[test]
fn an_equal_run_is_identical_and_leaves_nothing_behind() {
    let world = finished();
    let answer = reproduce(&world, &Fake::default());
    assert_eq!(answer.verdict, Verdict::Identical, "{answer}");
    assert_eq!(answer.evidence.leaves.len(), 6);
    assert!(answer.evidence.evaluations >= 6 && answer.cause.is_none(), "{answer}");
    assert!(!world.path().join("runs/.reproduced/leaves").exists());
    assert!(world.named("leaves.ron").len() == 1);
}

#[test]
fn cuts_do_not_hinder_the_comparison() {
    let world = World::new();
    for questions in [40, 90, 160] {
        world.run_interrupted("leaves", questions);
    }
    world.run("leaves", &Fake::default()).unwrap();
    assert_eq!(reproduce(&world, &Fake::default()).verdict, Verdict::Identical);
    assert!(verify(&world).is_sound(), "{}", verify(&world));
}

#[test]
fn a_flipped_bit_is_found_at_its_step_and_tensor() {
    let world = finished();
    for (seed, step, place) in [(42, 7, "trunk/main"), (1, 13, "leaves/shared"), (2, 29, "leaves/control#2")] {
        let answer = reproduce(&world, &Fake { faults: vec![Fault::Flip { seed, step }], ..Fake::default() });
        let (name, parting) = answer.first.clone().unwrap();
        assert_eq!((answer.verdict, parting.step, parting.part), (Verdict::Differs, step, Part::Update), "{answer}");
        assert_eq!(parting.what, "value chain");
        let others = answer.evidence.stretches.iter().filter(|s| s.parting.as_ref().is_some_and(|p| p.step == step));
        let names: Vec<String> = others.map(|stretch| stretch.name.clone()).collect();
        assert!(names.iter().any(|name| name == place), "{place} is not among {names:?}, first {name}");
        assert!(answer.cause.unwrap().contains("optimizer"));
        fs::remove_dir_all(world.path().join("runs/.reproduced")).unwrap();
    }
}

#[test]
fn a_saved_file_alone_is_reproduced_in_an_empty_folder() {
    let world = finished();
    let saved = fs::read_to_string(world.path().join("runs/leaves/leaves.ron")).unwrap();
    let alone = World::new();
    fs::remove_dir_all(alone.path().join("experiments")).unwrap();
    fs::remove_dir_all(alone.path().join("curricula")).unwrap();
    alone.write("leaves.ron", &saved);
    let run = alone.path().join("leaves.ron");
    let answer = reproduce_with(alone.path(), &run, None, &Fake::default(), &alone).unwrap();
    assert_eq!((answer.verdict, answer.evidence.leaves.len()), (Verdict::Identical, 6), "{answer}");
    let drift = Fake { drift: 1, ..Fake::default() };
    let answer = reproduce_with(alone.path(), &run, None, &drift, &alone).unwrap();
    assert_eq!(answer.verdict, Verdict::Differs);
    assert!(answer.to_string().contains("the first step can be found"), "{answer}");
}

#[test]
fn another_machine_is_named_as_the_cause() {
    let world = finished();
    let same_bits = Fake { machine: "other".into(), ..Fake::default() };
    assert_eq!(reproduce(&world, &same_bits).verdict, Verdict::Identical);
    let answer = reproduce(&world, &Fake { drift: 1, ..same_bits });
    assert_eq!(answer.verdict, Verdict::Differs, "the fake's terms are far off");
    assert!(answer.cause.as_ref().unwrap().contains("another machine or build"), "{answer}");
    assert!(answer.to_string().contains("numerics: machine  to other"), "{answer}");
}

#[test]
fn an_edited_curriculum_is_found_at_its_step() {
    let world = finished();
    let path = world.path().join("runs/leaves/leaves.ron");
    let saved = fs::read_to_string(&path).unwrap();
    let edited = saved.replace("Precursor: 0.05", "Precursor: 0.06");
    assert_ne!(saved, edited);
    fs::write(&path, edited).unwrap();
    let answer = reproduce(&world, &Fake::default());
    assert_eq!(answer.verdict, Verdict::Differs);
    assert!(answer.cause.as_ref().unwrap().contains("from step 15 on, Precursor"), "{answer}");
    assert!(verify(&world).problems.iter().any(|problem| problem.contains("from step 15 on, Precursor")));
    // The other way: an edited file of the project does not touch what is saved.
    fs::write(&path, saved).unwrap();
    world.write("curricula/late.ron", &LATE.replace("0.05", "0.06"));
    assert_eq!(reproduce(&world, &Fake::default()).verdict, Verdict::Identical);
}

#[test]
fn sound_records_are_verified_and_segments_trained_again() {
    let world = finished();
    let answer = verify_with(world.path(), Path::new("leaves"), &Fake::default(), 5).unwrap();
    assert!(answer.is_sound(), "{answer}");
    assert_eq!((answer.spots.len(), answer.without_ledger), (5, 0), "{answer}");
    assert_eq!(answer.batches, Some(answer.updates));
    assert!(answer.spots.iter().all(|spot| spot.equal));
    let faulty = Fake { drift: 1, ..Fake::default() };
    let answer = verify_with(world.path(), Path::new("leaves"), &faulty, 3).unwrap();
    assert_eq!(answer.problems.len(), 3, "{answer}");
    assert!(answer.spots.iter().all(|spot| spot.parting.is_some()));
}

/// Rewrites a file of a checkpoint and its digest in the manifest, as somebody would who wants it to look sound.
fn forge(checkpoint: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(checkpoint.join(name)).unwrap();
    let before = runner::record::FileDigest::of(name, &bytes);
    change(&mut bytes);
    let after = runner::record::FileDigest::of(name, &bytes);
    fs::write(checkpoint.join(name), bytes).unwrap();
    let manifest = fs::read(checkpoint.join("MANIFEST.json")).unwrap();
    let mut manifest: runner::record::Manifest = serde_json::from_slice(&manifest).unwrap();
    let listed = manifest.files.iter_mut().find(|file| **file == before).unwrap();
    *listed = after;
    fs::write(checkpoint.join("MANIFEST.json"), runner::store::sealed(&manifest)).unwrap();
}

#[test]
fn forged_records_are_found_although_their_digests_agree() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, &str, Change, &str); 4] = [
        (
            "ledger.bin",
            "late/seed-1/20-",
            |bytes| *bytes.iter_mut().rev().nth(40).unwrap() ^= 1,
            "does not follow from those before",
        ),
        (
            "metrics.jsonl",
            "late/seed-1/20-",
            |bytes| replace(bytes, "\"CrossEntropy\":0.", "\"CrossEntropy\":1."),
            "do not agree",
        ),
        (
            "metrics.jsonl",
            "late/seed-1/20-",
            |bytes| replace(bytes, "\"batch\":4", "\"batch\":8"),
            "under the settings of its history",
        ),
        (
            "history.json",
            "late/seed-1/20-",
            |bytes| replace(bytes, "\"batch\": 4", "\"batch\": 8"),
            "does not give the checkpoint's name",
        ),
    ];
    for (name, place, change, expected) in cases {
        let world = finished();
        forge(&only(&world, place), name, change);
        let answer = verify(&world);
        assert!(answer.problems.iter().any(|problem| problem.contains(expected)), "{name}: {expected}:\n{answer}");
    }
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(std::mem::take(bytes)).unwrap();
    let changed = text.replacen(from, to, 1);
    assert_ne!(text, changed, "`{from}` is not there");
    *bytes = changed.into_bytes();
}

#[test]
fn damage_of_any_file_is_found_and_named() {
    for name in ["history.json", "metrics.jsonl", "ledger.bin", "model.safetensors", "optimizer.safetensors", "MANIFEST.json"] {
        let world = finished();
        let file = only(&world, name);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&file, bytes).unwrap();
        let answer = verify(&world);
        assert!(!answer.is_sound(), "{name}");
        let folder = file.ancestors().find(|path| path.join("history.json").exists()).unwrap().file_name().unwrap();
        let folder = folder.to_string_lossy().into_owned();
        assert!(answer.problems.iter().any(|problem| problem.contains(&folder)), "{name}, {folder}: {answer}");
    }
}

#[test]
fn a_run_without_a_ledger_is_still_compared_by_its_rows() {
    let world = World::new();
    world.write("experiments/trunk.ron", &crate::world::TRUNK.replace("max_step: 20,", "max_step: 20, ledger: false,"));
    world.run("leaves", &Fake::default()).unwrap();
    assert!(world.named("ledger.bin").is_empty());
    assert!(verify(&world).is_sound());
    assert_eq!(reproduce(&world, &Fake::default()).verdict, Verdict::Identical);
    let answer = reproduce(&world, &Fake { faults: vec![Fault::Flip { seed: 1, step: 17 }], ..Fake::default() });
    let (_, parting) = answer.first.clone().unwrap();
    assert!(!parting.exact && (17..=20).contains(&parting.step), "{answer}");
}

#[test]
fn a_rule_that_cannot_decide_is_said_with_its_exit_code() {
    let world = World::new();
    let ruled = crate::world::LEAVES.replace("seeds:", "decide: (metric: \"easy/token_accuracy\", at_least: 0.01), seeds:");
    world.write("experiments/leaves.ron", &ruled);
    world.run("leaves", &Fake::default()).unwrap();
    let compare = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runner"));
        command.arg("-C").arg(world.path()).args(["compare", "leaves"]).output().unwrap()
    };
    assert_eq!(compare().status.code(), Some(4), "two seeds are numbers and no verdict");
    // The rule was frozen when training began; what is written now is printed and does not decide.
    world.write("experiments/leaves.ron", &ruled.replace("0.01", "0.5"));
    let text = String::from_utf8(compare().stdout).unwrap();
    assert!(text.contains("rule: easy/token_accuracy, at least 0.01") && text.contains("when training began"), "{text}");
}
