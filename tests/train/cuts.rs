//! Signals at chosen places: between steps, inside an accumulation, inside a ramp, at a fork.

use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use runner::execute::{Event, Events, Outcome};
use runner::store::RealDisk;
use runner::train::{Burn, Choice};

use crate::world::{ALL, TRUNK, World};

pub fn burn() -> Burn {
    Burn::open(Choice::Cpu).unwrap()
}

pub fn run(world: &World, experiment: &str, jobs: usize) -> Outcome {
    world.run_with(experiment, &burn(), Arc::new(RealDisk), jobs, &|| false).unwrap()
}

/// Notes after how many questions whether to stop each update was done.
#[derive(Default)]
struct Clock {
    asked: AtomicU64,
    /// (experiment's leaf, step, questions asked when it was done).
    done: Mutex<Vec<(String, u64, u64)>>,
}

impl Events for Clock {
    fn on(&self, event: Event<'_>) {
        if let Event::Step { segment, step, .. } = event {
            self.done.lock().unwrap().push((segment.owner.to_string(), step, self.asked.load(Ordering::SeqCst)));
        }
    }
}

/// The real program brings an experiment to its end with so many threads for arithmetic and so many segments at once.
fn resume(world: &World, threads: usize, jobs: usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.env("RAYON_NUM_THREADS", threads.to_string()).arg("-C").arg(world.path());
    let output = command.args(["run", "leaves", "--device", "cpu", "--jobs", &jobs.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The matrix of places to stop at and of threads to go on with.
#[test]
fn stops_anywhere_and_any_number_of_threads_leave_the_same_bytes() {
    let undisturbed = World::new();
    let clock = Clock::default();
    let counting = || {
        clock.asked.fetch_add(1, Ordering::SeqCst);
        false
    };
    let outcome = runner::command::run::run_with(
        undisturbed.path(),
        std::path::Path::new("leaves"),
        &burn(),
        Arc::new(RealDisk),
        1,
        &counting,
        &clock,
    );
    assert_eq!(outcome.unwrap().steps_trained, ALL);
    let expected = undisturbed.result();
    let done = clock.done.into_inner().unwrap();
    // Questions within one update: the last of them falls between its micro-batches.
    let within = |owner: &str, step: u64| {
        let place = done.iter().position(|(name, at, _)| name == owner && *at == step).unwrap();
        let before = if place == 0 { 0 } else { done[place - 1].2 };
        (before, done[place].2)
    };
    let late = "leaves/late#1";
    let cases = [
        ("inside the trunk", within("trunk/main", 3).1),
        ("inside an accumulation of the trunk", within("trunk/main", 6).1 - 1),
        ("at the fork", within("trunk/main", 9).1),
        ("at the stage's edge", within(late, 15).0),
        ("inside the ramp and inside an accumulation", within(late, 17).1 - 1),
        ("past the ramp", within(late, 24).1),
    ];
    let mut tried = 0;
    for (what, questions) in cases {
        for (threads, jobs) in [(1, 1), (2, 2), (3, 1), (4, 3)] {
            let world = World::new();
            let asked = AtomicU64::new(0);
            let stop = || asked.fetch_add(1, Ordering::SeqCst) >= questions;
            let cut = world.run_with("leaves", &burn(), Arc::new(RealDisk), 1, &stop).unwrap();
            assert!(cut.interrupted && cut.steps_trained < ALL, "{what}: {cut:?}");
            resume(&world, threads, jobs);
            let record = world.store().run_record(&"leaves".try_into().unwrap()).unwrap().unwrap();
            let trained: u64 = record.attempts.iter().map(|attempt| attempt.steps_trained).sum();
            assert_eq!(trained, ALL, "{what}, {threads} threads: steps trained in all");
            assert_eq!(world.result(), expected, "{what}, then {threads} threads and {jobs} jobs");
            tried += 1;
        }
    }
    println!("{tried} combinations of places and threads: all bytes equal");
    // The negative control: one setting that differs in its last place, at one stage, gives other bytes.
    let other = World::new();
    other.write("curricula/late.ron", &crate::world::LATE.replace("Spectrum: 0.1,", "Spectrum: 0.100000001,"));
    run(&other, "leaves", 2);
    assert_ne!(other.result(), expected);
}

#[test]
fn inheriting_is_training_on() {
    let (forked, straight) = (World::new(), World::new());
    forked.write("experiments/on.ron", "(parent: Checkpoint(\"trunk@26\"), curriculum: Inherit, max_step: 40)");
    forked.write("experiments/trunk.ron", &TRUNK.replace("max_step: 20", "max_step: 26"));
    straight.write("experiments/trunk.ron", &TRUNK.replace("max_step: 20", "max_step: 40"));
    run(&forked, "on", 1);
    run(&straight, "trunk", 1);
    let end = |world: &World| {
        let inventory = world.store().inventory();
        let last = inventory.checkpoints.values().max_by_key(|found| found.manifest.step).unwrap().clone();
        let line = world.store().ancestry(&inventory, last.manifest.id).unwrap();
        let rows: Vec<u8> = line.iter().flat_map(|found| world.store().metrics(found).unwrap()).collect();
        (last.manifest.step, last.manifest.id, last.manifest.tensors, rows)
    };
    assert_eq!(end(&forked).0, 40);
    assert_eq!(end(&forked), end(&straight));
}
