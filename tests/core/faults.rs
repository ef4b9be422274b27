//! Disks that fail, losses that are not finite, panics, damaged files: nothing good is lost, nothing bad is used.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runner::execute::{Fake, Fault};
use runner::store::{FailingDisk, RealDisk};

use crate::world::{World, undisturbed};

#[test]
fn every_change_of_the_disk_fails_once() {
    let expected = undisturbed();
    let mut runs = 0;
    for n in 0.. {
        let world = World::new();
        let disk = Arc::new(FailingDisk::after(n));
        let outcome = world.run_on("leaves", &Fake::default(), disk.clone(), 1, &|| false);
        if !disk.has_failed() {
            break;
        }
        runs += 1;
        let failed = outcome.map_or(true, |outcome| !outcome.failures.is_empty());
        assert!(failed, "change {n} failed and nobody noticed");
        let inventory = world.store().inventory();
        assert!(inventory.damaged.is_empty(), "change {n}: {:?}", inventory.damaged);
        inventory.checkpoints.values().for_each(|found| world.store().verify(found).unwrap());
        let outcome = world.run("leaves", &Fake::default()).unwrap();
        assert!(outcome.failures.is_empty(), "after change {n}: {:?}", outcome.failures);
        assert_eq!(world.result(), expected, "after change {n}");
    }
    println!("{runs} changes of the disk, each failed once: 0 bad");
    assert!(runs > 300, "only {runs} changes were made");
}

#[test]
fn a_loss_that_is_not_finite_stops_its_leaf_alone() {
    let world = World::new();
    let fake = Fake { faults: vec![Fault::NotFinite { seed: 1, step: 17 }], ..Fake::default() };
    let outcome = world.run("leaves", &fake).unwrap();
    assert_eq!(outcome.failures.len(), 3, "the three branches of seed 1: {:?}", outcome.failures);
    assert!(outcome.failures[0].contains("leaves/late#1: `Spectrum` is NaN at step 17"), "{:?}", outcome.failures);
    let ends = world.store().inventory().checkpoints.values().filter(|found| found.manifest.step == 30).count();
    assert_eq!(ends, 3, "the branches of seed 2 go on");
    let evidence = world.named("lost-");
    assert_eq!(evidence.len(), 3);
    assert!(fs::read_to_string(evidence[0].join("failure.json")).unwrap().contains("step 17"));
    // The cause is mended: the leaves go on from the last good checkpoint, and the evidence stays.
    assert!(world.run("leaves", &Fake::default()).unwrap().failures.is_empty());
    assert_eq!(world.result(), undisturbed());
    assert_eq!(world.named("lost-").len(), 3);
}

#[test]
fn a_panic_in_one_leaf_leaves_the_others_alone() {
    let world = World::new();
    let fake = Fake { faults: vec![Fault::Panic { seed: 2, step: 25 }], ..Fake::default() };
    let outcome = world.run("leaves", &fake).unwrap();
    assert_eq!(outcome.failures.len(), 3);
    assert!(outcome.failures[0].contains("planted at step 25"), "{:?}", outcome.failures);
    assert!(world.run("leaves", &Fake::default()).unwrap().failures.is_empty());
    assert_eq!(world.result(), undisturbed());
    assert!(world.named(".live-").is_empty(), "what the panicked attempts left was taken for running");
    assert!(world.named("lost-").is_empty(), "trained again and equal, it is forgotten");
}

#[test]
fn a_damaged_start_is_put_aside_and_the_one_before_it_used() {
    let expected = undisturbed();
    let world = World::new();
    world.write("experiments/leaves.ron", &crate::world::LEAVES.replace("max_step: 30", "max_step: 20"));
    world.run("leaves", &Fake::default()).unwrap();
    let tensors = world.named("model.safetensors");
    let last = tensors.iter().find(|path| path.to_string_lossy().contains("late/seed-1/20-")).unwrap();
    let mut bytes = fs::read(last).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(last, bytes).unwrap();
    world.write("experiments/leaves.ron", crate::world::LEAVES);
    let outcome = world.run("leaves", &Fake::default()).unwrap();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(world.named("damaged-").len(), 1);
    let ends = |result: &std::collections::BTreeMap<String, Vec<u8>>| -> Vec<(String, Vec<u8>)> {
        result.iter().filter(|(name, _)| name.contains("@30")).map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    };
    assert_eq!(ends(&world.result()), ends(&expected));
}

#[test]
fn a_damaged_fork_is_put_aside_once_for_all_its_leaves() {
    for jobs in [1, 4] {
        let world = World::new();
        world.run("trunk", &Fake::default()).unwrap();
        let tensors = world.named("model.safetensors");
        let fork = tensors.iter().find(|path| path.to_string_lossy().contains("main/10-")).unwrap();
        let mut bytes = fs::read(fork).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(fork, bytes).unwrap();
        let outcome = world.run_on("leaves", &Fake::default(), Arc::new(RealDisk), jobs, &|| false).unwrap();
        assert!(outcome.failures.is_empty(), "{jobs} jobs: {:?}", outcome.failures);
        assert_eq!(world.named("damaged-").len(), 1);
        let (result, expected) = (world.result(), undisturbed());
        assert!(expected.iter().all(|(name, bytes)| result.get(name) == Some(bytes)), "{jobs} jobs");
    }
}

#[test]
fn a_damaged_evaluation_is_made_again() {
    let world = World::new();
    world.run("leaves", &Fake::default()).unwrap();
    let expected = world.result();
    let folder = world.path().join("runs/leaves/evaluations");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "{").unwrap();
    assert!(world.run("leaves", &Fake::default()).unwrap().failures.is_empty());
    assert_eq!(world.result(), expected);
}

#[test]
fn other_results_for_an_equal_history_raise_an_alarm() {
    let world = World::new();
    world.write(
        "experiments/trunk.ron",
        &crate::world::TRUNK.replace("max_step: 20", "max_step: 60").replace("evaluate_every: 10", "evaluate_every: 60"),
    );
    world.run("trunk", &Fake::default()).unwrap();
    world.write("experiments/odd.ron", "(parent: Checkpoint(\"trunk@20\"), curriculum: Inherit, seeds: [7], max_step: 22)");
    // To start from 20, whose tensors were thinned out, its steps are trained again, now by a machine that errs.
    let outcome = world.run("odd", &Fake { drift: 1, ..Fake::default() }).unwrap();
    assert!(outcome.failures.iter().any(|failure| failure.contains("equal histories must give equal bits")), "{outcome:?}");
}

#[test]
fn a_start_from_another_machine_is_used_and_said() {
    let world = World::new();
    world.run("trunk", &Fake::default()).unwrap();
    let outcome = world.run("leaves", &Fake { machine: "other".into(), ..Fake::default() }).unwrap();
    assert!(outcome.failures.is_empty());
    assert!(world.warnings.lock().unwrap().iter().any(|text| text.contains("another machine or build")));
    let plan =
        Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(world.path()).args(["plan", "leaves"]).output().unwrap();
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains("what exists was trained by 2 machines or builds"), "{plan}");
}

/// Where equal bits are not promised, a checkpoint is never taken for the one that was trained here.
#[test]
fn what_another_machine_has_saved_meanwhile_stays_and_is_gone_on_from() {
    let other = World::new();
    other.run("trunk", &Fake::default()).unwrap();
    let ready = other.named("5-").pop().unwrap();
    let world = World::new();
    let asked = AtomicU64::new(0);
    // The other machine's checkpoint at 5 arrives while this one trains towards it.
    let stop = || {
        if asked.fetch_add(1, Ordering::SeqCst) == 2 {
            let (from, to) = (other.path().join("runs"), world.path().join("runs"));
            for entry in walkdir::WalkDir::new(&ready).into_iter().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
                let target = to.join(entry.path().strip_prefix(&from).unwrap());
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::copy(entry.path(), target).unwrap();
            }
        }
        false
    };
    let here = Fake { machine: "other".into(), drift: 1, ..Fake::default() };
    let outcome = world.run_on("trunk", &here, Arc::new(RealDisk), 1, &stop).unwrap();
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    assert!(world.named("5-").contains(&world.path().join(ready.strip_prefix(other.path()).unwrap())));
    // All later checkpoints grew from it: every parent is the one that is there.
    let inventory = world.store().inventory();
    for found in inventory.checkpoints.values() {
        world.store().verify(found).unwrap();
        let Some(parent) = &found.manifest.parent else { continue };
        assert_eq!(inventory.checkpoints[&parent.id].manifest.tensors, parent.tensors, "{}", found.path.display());
    }
    let machines: BTreeSet<&String> =
        inventory.checkpoints.values().map(|found| &found.manifest.numerics.details["machine"]).collect();
    assert_eq!(machines.len(), 2);
}

#[test]
fn tensors_are_not_put_back_from_another_machine_with_other_bits() {
    let world = World::new();
    world.write(
        "experiments/trunk.ron",
        &crate::world::TRUNK.replace("max_step: 20", "max_step: 60").replace("evaluate_every: 10", "evaluate_every: 60"),
    );
    world.run("trunk", &Fake::default()).unwrap();
    let before = world.result();
    world.write("experiments/odd.ron", "(parent: Checkpoint(\"trunk@20\"), curriculum: Inherit, seeds: [7], max_step: 22)");
    let other = Fake { machine: "other".into(), drift: 1, ..Fake::default() };
    let outcome = world.run("odd", &other).unwrap();
    assert!(outcome.failures[0].contains("begin at a step whose tensors are kept"), "{outcome:?}");
    assert_eq!(world.result(), before);
    // The machine that trained it, or one with equal bits, can.
    assert!(world.run("odd", &Fake { machine: "third".into(), ..Fake::default() }).unwrap().failures.is_empty());
}
