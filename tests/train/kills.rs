//! The real program, killed at random times and by signals, and started again until it is done.

use std::process::{Command, Stdio};
use std::time::Duration;

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

#[cfg(unix)]
#[test]
fn a_signal_saves_and_says_so_with_its_exit_code() {
    let world = World::new();
    world.write("experiments/leaves.ron", &crate::world::LEAVES.replace("max_step: 30", "max_step: 30_000"));
    let mut child = command(&world).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(child.try_wait().unwrap().is_none(), "it ended before the signal");
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let inventory = world.store().inventory();
    assert!(inventory.checkpoints.values().any(|found| !found.manifest.step.is_multiple_of(5)), "saved at the very step");
    assert!(world.named(".live-").is_empty());
    inventory.checkpoints.values().for_each(|found| world.store().verify(found).unwrap());
}
