//! Whatever cuts a run had, its result is the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use runner::execute::Fake;
use runner::record::{RunRecord, Status};
use runner::store::{LocklessDisk, RealDisk};

use crate::world::{ALL, LEAVES, TRUNK, World, undisturbed};

#[test]
fn a_finished_run_has_nothing_to_do() {
    let world = World::new();
    let fake = Fake::default();
    world.run("leaves", &fake).unwrap();
    let before = fake.steps.load(Ordering::Relaxed);
    let again = world.run("leaves", &fake).unwrap();
    assert_eq!((again.steps_trained, fake.steps.load(Ordering::Relaxed)), (0, before));
    assert!(world.store().run_record(&"leaves".try_into().unwrap()).unwrap().is_some());
}

/// As after a kill between the last of a parent's checkpoints and the end of the run that trained it on the way.
#[test]
fn what_a_killed_attempt_had_finished_is_noted_down_as_finished() {
    let world = World::new();
    world.run("trunk", &Fake::default()).unwrap();
    world.run("leaves", &Fake::default()).unwrap();
    let name = "trunk".try_into().unwrap();
    let (store, saved) = (world.store(), world.path().join("runs/trunk/trunk.ron"));
    let (record, text) = (store.run_record(&name).unwrap().unwrap(), std::fs::read_to_string(&saved).unwrap());
    assert_eq!(record.status, Status::Complete);
    store.save_run_record(&name, &RunRecord { status: Status::Incomplete, ..record.clone() }).unwrap();
    std::fs::write(&saved, &text[..text.len() / 2]).unwrap();
    assert_eq!(world.run("leaves", &Fake::default()).unwrap().steps_trained, 0);
    assert_eq!(store.run_record(&name).unwrap(), Some(record));
    assert_eq!(std::fs::read_to_string(&saved).unwrap(), text);
}

#[test]
fn stopping_anywhere_changes_nothing() {
    let expected = undisturbed();
    let mut questions = 0;
    loop {
        let world = World::new();
        let interrupted = world.run_interrupted("leaves", questions).interrupted;
        world.run("leaves", &Fake::default()).unwrap();
        assert_eq!(world.result(), expected, "stopped after {questions} questions");
        if !interrupted {
            break;
        }
        questions += 3;
    }
    assert!(questions > 200, "only {questions} questions were asked: the run was not cut everywhere");
}

#[test]
fn a_drifting_executor_is_told_from_a_sound_one() {
    // The negative control of the test above: were results not compared, this would pass too.
    let world = World::new();
    world.run("leaves", &Fake { drift: 1, ..Fake::default() }).unwrap();
    assert_ne!(world.result(), undisturbed());
}

#[test]
fn the_trunk_is_trained_once_and_only_to_the_fork() {
    let world = World::new();
    assert_eq!(world.run("leaves", &Fake::default()).unwrap().steps_trained, ALL);
    assert_eq!(world.run("trunk", &Fake::default()).unwrap().steps_trained, 10);
    world.write("experiments/more.ron", &LEAVES.replace("max_step: 30", "max_step: 35").replace("[1, 2]", "[1, 2, 3]"));
    // Seeds 1 and 2 go on from 30 where `leaves` ended, the third grows from the same trunk.
    assert_eq!(world.run("more", &Fake::default()).unwrap().steps_trained, 6 * 5 + (2 + 3 + 23 + 2 * 20));
}

#[test]
fn inheriting_is_training_on() {
    let (forked, straight) = (World::new(), World::new());
    forked.write("experiments/on.ron", "(parent: Checkpoint(\"trunk@10\"), curriculum: Inherit, max_step: 30)");
    straight.write("experiments/trunk.ron", &TRUNK.replace("max_step: 20", "max_step: 30"));
    forked.run("on", &Fake::default()).unwrap();
    straight.run("trunk", &Fake::default()).unwrap();
    let end = |world: &World| {
        let inventory = world.store().inventory();
        let last = inventory.checkpoints.values().max_by_key(|found| found.manifest.step).unwrap().clone();
        let rows: Vec<u8> = world
            .store()
            .ancestry(&inventory, last.manifest.id)
            .unwrap()
            .iter()
            .flat_map(|f| world.store().metrics(f).unwrap())
            .collect();
        (last.manifest.id, last.manifest.tensors.clone(), rows)
    };
    assert_eq!(end(&forked), end(&straight));
}

#[test]
fn several_jobs_and_several_runners_share_the_work() {
    let world = World::new();
    let fake = Fake::default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| world.run_on("leaves", &fake, Arc::new(RealDisk), 4, &|| false).unwrap());
        }
    });
    assert_eq!(world.result(), undisturbed());
    assert_eq!(fake.steps.load(Ordering::Relaxed), ALL, "something was trained twice");
}

#[test]
fn runners_at_once_take_different_segments() {
    for runners in [2, 8] {
        let world = World::new();
        let fakes: Vec<Fake> = (0..runners).map(|_| Fake { pause: Duration::from_millis(2), ..Fake::default() }).collect();
        std::thread::scope(|scope| {
            for fake in &fakes {
                scope.spawn(|| world.run_on("leaves", fake, Arc::new(RealDisk), 1, &|| false).unwrap());
            }
        });
        assert_eq!(world.result(), undisturbed());
        let trained: Vec<u64> = fakes.iter().map(|fake| fake.steps.load(Ordering::Relaxed)).collect();
        assert_eq!(trained.iter().sum::<u64>(), ALL, "something was trained twice: {trained:?}");
        let busy = trained.iter().filter(|&&steps| steps > 0).count();
        assert!(busy >= 2, "the others only waited: {trained:?}");
    }
}

#[test]
fn without_file_locks_the_result_is_the_same() {
    for runners in [2, 5] {
        let world = World::new();
        let fake = Fake { pause: Duration::from_millis(1), ..Fake::default() };
        std::thread::scope(|scope| {
            for _ in 0..runners {
                scope.spawn(|| {
                    let outcome = world.run_on("leaves", &fake, Arc::new(LocklessDisk), 1, &|| false).unwrap();
                    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
                });
            }
        });
        assert_eq!(world.result(), undisturbed());
        assert!(fake.steps.load(Ordering::Relaxed) > ALL, "without locks work is done twice");
        assert!(world.warnings.lock().unwrap().iter().any(|text| text.contains("file locks do not work")));
        assert!(world.named(".live-").is_empty() && world.named("lost-").is_empty());
    }
}

#[test]
fn a_stop_within_an_evaluation_is_taken_up_there() {
    let expected = undisturbed();
    // Found by counting: the questions of the trunk's first evaluation come after those of its first ten steps.
    let mut within = 0;
    for questions in 20..80 {
        let world = World::new();
        assert!(world.run_interrupted("leaves", questions).interrupted);
        let inventory = world.store().inventory();
        let at_ten = inventory.checkpoints.values().any(|found| found.manifest.step == 10);
        if at_ten && inventory.evaluations.is_empty() {
            within += 1;
            let again = world.run("leaves", &Fake::default()).unwrap();
            assert_eq!(again.steps_trained, ALL - 10);
            assert_eq!(world.result(), expected);
        }
    }
    assert!(within >= 3, "only {within} stops fell into the evaluation");
}

#[test]
fn only_the_last_rolling_checkpoints_keep_their_tensors() {
    let world = World::new();
    world.write(
        "experiments/trunk.ron",
        &TRUNK.replace("max_step: 20", "max_step: 60, keep: [15]").replace("evaluate_every: 10", "evaluate_every: 60"),
    );
    world.run("trunk", &Fake::default()).unwrap();
    let inventory = world.store().inventory();
    let mut kept: Vec<u64> =
        inventory.checkpoints.values().filter(|found| found.has_tensors).map(|found| found.manifest.step).collect();
    kept.sort_unstable();
    // 10: `leaves` forks there. 15: declared. 24: a stage starts. 50, 55: rolling. 60: the end.
    assert_eq!(kept, [10, 15, 24, 50, 55, 60]);
    assert_eq!(inventory.checkpoints.len(), 13, "their histories and metrics stay");
}

#[test]
fn thinned_tensors_come_back_when_a_leaf_needs_them() {
    let world = World::new();
    world.write(
        "experiments/trunk.ron",
        &TRUNK.replace("max_step: 20", "max_step: 60").replace("evaluate_every: 10", "evaluate_every: 60"),
    );
    world.run("trunk", &Fake::default()).unwrap();
    let before = world.store().inventory();
    world.write("experiments/odd.ron", "(parent: Checkpoint(\"trunk@20\"), curriculum: Inherit, seeds: [7], max_step: 22)");
    let thinned = before.checkpoints.values().find(|found| found.manifest.step == 20).unwrap();
    assert!(!thinned.has_tensors);
    let outcome = world.run("odd", &Fake::default()).unwrap();
    let after = world.store().inventory();
    assert!(after.checkpoints[&thinned.manifest.id].has_tensors);
    assert_eq!(after.checkpoints[&thinned.manifest.id].manifest, thinned.manifest);
    assert!(outcome.failures.is_empty() && outcome.steps_trained >= 2 + 5, "{outcome:?}");
}

/// Which states were probed on which sets, with how many records of each.
fn probed(world: &World) -> BTreeMap<(u64, String), usize> {
    let mut all = BTreeMap::new();
    for probe in world.store().inventory().probes {
        let key = (probe.step, format!("{} {:?}", probe.id, probe.sets));
        *all.entry(key).or_default() += 1;
    }
    all
}

#[test]
fn the_loss_is_probed_around_every_edge_wherever_training_was_stopped() {
    let whole = World::new();
    whole.run("leaves", &Fake::default()).unwrap();
    let expected: Vec<(u64, String)> = probed(&whole).into_keys().collect();
    let steps: BTreeSet<u64> = expected.iter().map(|(step, _)| *step).collect();
    // The fork at 10, the moved loss at 12, the stage at 15, some updates after each, and the end.
    assert!([10, 11, 12, 13, 15, 16, 18, 25, 30].iter().all(|step| steps.contains(step)), "{steps:?}");
    for questions in (1..400).step_by(17) {
        let world = World::new();
        world.run_interrupted("leaves", questions);
        world.run("leaves", &Fake::default()).unwrap();
        let found: Vec<(u64, String)> = probed(&world).into_keys().collect();
        assert_eq!(found, expected, "stopped at question {questions}");
    }
}

/// What the seeds share lies in one folder: going on with one of them takes nothing of the other's.
#[test]
fn shared_stretches_of_several_seeds_do_not_take_each_others_tensors() {
    for questions in (60..400).step_by(23) {
        for jobs in [1, 2] {
            let world = World::new();
            let stopped = std::sync::atomic::AtomicU64::new(0);
            let stop = || stopped.fetch_add(1, Ordering::Relaxed) > questions;
            world.run_on("leaves", &Fake::default(), Arc::new(RealDisk), 2, &stop).unwrap();
            let outcome = world.run_on("leaves", &Fake::default(), Arc::new(RealDisk), jobs, &|| false).unwrap();
            assert!(outcome.failures.is_empty(), "{questions}, {jobs}: {:?}", outcome.failures);
            assert!(world.named("damaged-").is_empty(), "{questions}, {jobs}");
            assert_eq!(world.result(), undisturbed(), "{questions}, {jobs}");
        }
    }
}
