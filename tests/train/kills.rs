//! The real program, killed at random times and by signals, and started again until it is done.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use runner::task::random::{Purpose, stream};

use crate::cuts::run;
use crate::world::World;

/// Times the program is killed before it may finish.
const KILLS: u64 = 30;

fn command(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.arg("-C").arg(world.path()).args(["run", "leaves", "--device", "cpu"]).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn killed_at_random_times_it_ends_with_the_same_bytes() {
    let undisturbed = World::new();
    run(&undisturbed, "leaves", 2);
    let expected = undisturbed.result();
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let mut random = stream(seed, Purpose::Noise, 0, 0);
    let mut world = World::new();
    let (mut kills, mut finished) = (0, 0);
    while kills < KILLS {
        let mut child = command(&world).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.random_range(20..400)));
        match child.try_wait().unwrap() {
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
            Some(status) => {
                assert!(status.success(), "{status}");
                assert_eq!(world.result(), expected, "after {kills} kills");
                (world, finished) = (World::new(), finished + 1);
            }
        }
        assert!(world.store().inventory().damaged.is_empty());
    }
    assert!(command(&world).status().unwrap().success());
    assert_eq!(world.result(), expected);
    println!("{kills} kills, {} runs brought to their end, 0 corrupt, all bytes equal", finished + 1);
}

#[test]
fn several_programs_share_the_work_and_one_is_killed() {
    let undisturbed = World::new();
    run(&undisturbed, "leaves", 2);
    for programs in [2, 5, 8] {
        let world = World::new();
        world.write("experiments/leaves.ron", &crate::world::LEAVES.replace("max_step: 30", "max_step: 30, save_every: 3"));
        let mut children: Vec<Child> = (0..programs).map(|_| command(&world).args(["--jobs", "1"]).spawn().unwrap()).collect();
        std::thread::sleep(Duration::from_millis(300));
        children[0].kill().unwrap();
        children[0].wait().unwrap();
        for child in &mut children[1..] {
            assert!(child.wait().unwrap().success(), "of {programs} programs one failed");
        }
        assert_eq!(world.result(), undisturbed.result(), "{programs} programs");
        assert!(world.store().inventory().damaged.is_empty());
    }
}

/// Sends a signal and waits for the end; the exit code and the seconds until then.
#[cfg(unix)]
fn signalled(child: &mut Child, signals: &[&str]) -> (Option<i32>, f64) {
    let begun = Instant::now();
    for signal in signals {
        Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
    }
    (child.wait().unwrap().code(), begun.elapsed().as_secs_f64())
}

#[cfg(unix)]
#[test]
fn a_signal_saves_and_says_so_with_its_exit_code() {
    for signal in ["-INT", "-TERM", "-USR1"] {
        let world = World::new();
        world.write("experiments/leaves.ron", &crate::world::LEAVES.replace("max_step: 30", "max_step: 30_000"));
        let mut child = command(&world).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1_500));
        assert!(child.try_wait().unwrap().is_none(), "it ended before the signal");
        let (code, took) = signalled(&mut child, &[signal]);
        assert_eq!(code, Some(75), "{signal}");
        assert!(took < 5.0, "{signal}: {took} s");
        let inventory = world.store().inventory();
        assert!(inventory.checkpoints.values().any(|found| !found.manifest.step.is_multiple_of(5)), "saved at the very step");
        assert!(world.named(".live-").is_empty());
        inventory.checkpoints.values().for_each(|found| world.store().verify(found).unwrap());
    }
}

/// A world whose trunk is evaluated for minutes at step 10, and the program in the middle of it.
#[cfg(unix)]
fn evaluating() -> (World, Child) {
    let world = World::new();
    world.write("experiments/trunk.ron", &crate::world::TRUNK.replace("spectra: 4", "spectra: 100_000"));
    let mut child = command(&world).spawn().unwrap();
    let is_saved = || world.store().inventory().checkpoints.values().any(|found| found.manifest.step == 10);
    let begun = Instant::now();
    while !is_saved() {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    (world, child)
}

#[cfg(unix)]
#[test]
fn a_signal_in_the_middle_of_an_evaluation_is_heard() {
    let (world, mut child) = evaluating();
    let (code, took) = signalled(&mut child, &["-TERM"]);
    assert_eq!(code, Some(75));
    assert!(took < 5.0, "{took} s");
    assert!(world.store().inventory().evaluations.is_empty(), "nothing half done is kept");
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let (world, mut child) = evaluating();
    let (code, took) = signalled(&mut child, &["-TERM", "-INT"]);
    assert_eq!(code, Some(75));
    assert!(took < 1.0, "{took} s");
    world.write("experiments/trunk.ron", crate::world::TRUNK);
    run(&world, "leaves", 2);
    let undisturbed = World::new();
    run(&undisturbed, "leaves", 2);
    assert_eq!(world.result(), undisturbed.result());
}
