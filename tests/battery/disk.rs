//! A disk that is full, without inodes, or read-only: a clear error with a path, what is there is sound, and once there is room
//! the result is the same bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;
use runner::execute::Fake;

use crate::form::{CORES, Form, Row, Skip, attempt};
use crate::machine::{self, Mount, PATIENCE};
use crate::state::{self, Bytes};
use crate::world::{LATE, LEAVES, TRUNK, World, undisturbed};

/// The usual project on a file system in memory of its own; bound in this order, the project goes before the mount.
fn mounted(options: &str) -> Result<(Mount, World), String> {
    let mount = Mount::memory(options)?;
    let world = machine::world_in(tempfile::tempdir_in(mount.path()).map_err(|error| error.to_string())?);
    for (name, text) in [("experiments/trunk.ron", TRUNK), ("experiments/leaves.ron", LEAVES), ("curricula/late.ron", LATE)] {
        world.write(name, text);
    }
    Ok((mount, world))
}

/// An error where a failed run does not say what and where.
fn is_clear(outcome: Result<(), String>, what: &str) -> Result<(), String> {
    match outcome {
        Ok(()) => Err(format!("it should have failed: {what}")),
        Err(message) if message.contains("runs/") && message.contains(what) => Ok(()),
        Err(message) => Err(format!("the message is not clear: {message}")),
    }
}

/// File systems that are too small, as options of their mount.
fn sizes(form: &Form) -> Vec<String> {
    let mut random = form.random(0, 0);
    let mut near = |middle: u64| middle + random.random_range(0..middle / 8);
    let kib: Vec<u64> = match form.long {
        false => [100, 180, 300, 480, 700, 950].into_iter().map(&mut near).collect(),
        true => (3..48).map(|n| near(n * 32)).collect(),
    };
    let inodes: Vec<u64> = match form.long {
        false => [30, 60, 120, 240].into_iter().map(&mut near).collect(),
        true => (3..50).map(|n| near(n * 9)).collect(),
    };
    let sized = kib.into_iter().map(|kib| format!("size={kib}k"));
    sized.chain(inodes.into_iter().map(|inodes| format!("size=64m,nr_inodes={inodes}"))).collect()
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    if let Err(why) = Mount::memory("size=1m") {
        return Err(Skip(format!("needs root and mount: {why}")));
    }
    let expected = undisturbed();
    let sizes = sizes(form);
    let filled = AtomicU64::new(0);
    let mut row = form.trials("full", sizes.len() as u64, CORES, |number| {
        let options = &sizes[number as usize];
        let was_full = full(options, &expected).map_err(|what| format!("{options}: {what}"))?;
        filled.fetch_add(u64::from(was_full), Ordering::Relaxed);
        Ok(())
    });
    row.note(format!("{} of {} disks were too small", filled.into_inner(), sizes.len()));
    let stops = form.pick(6, 60);
    Ok(row.and(form.trials("read-only", stops, CORES, |number| {
        let questions = form.random(1, number).random_range(1..150);
        read_only(questions, &expected).map_err(|what| format!("after {questions} questions: {what}"))
    })))
}

fn full(options: &str, expected: &Bytes) -> Result<bool, String> {
    let (mount, world) = mounted(options)?;
    let outcome = attempt(|| state::done(world.run("leaves", &Fake::default())));
    let was_full = outcome.is_err();
    if was_full {
        is_clear(outcome, "No space left on device")?;
    }
    state::sound(&world.store())?;
    mount.again("size=64m,nr_inodes=100000")?;
    state::done(world.run("leaves", &Fake::default())).map_err(|what| format!("with room: {what}"))?;
    state::same(expected, &world).map_err(|what| format!("with room: {what}"))?;
    Ok(was_full)
}

fn read_only(questions: u64, expected: &Bytes) -> Result<(), String> {
    let (mount, world) = mounted("size=64m")?;
    if !world.run_interrupted("leaves", questions).interrupted {
        return Err("it was done before it was stopped".into());
    }
    mount.again("ro")?;
    is_clear(attempt(|| state::done(world.run("leaves", &Fake::default()))), "Read-only file system")?;
    let ended = machine::finish(&mut machine::runner(world.path(), &["run", "leaves", "--device", "cpu"]), PATIENCE)?;
    ended.civil()?;
    if ended.status.code() != Some(1) {
        return Err(format!("the program should end with 1: {}", ended.said()));
    }
    is_clear(Err(ended.stderr), "Read-only file system")?;
    state::sound(&world.store())?;
    mount.again("rw")?;
    state::done(world.run("leaves", &Fake::default())).map_err(|what| format!("writable again: {what}"))?;
    state::same(expected, &world).map_err(|what| format!("writable again: {what}"))
}
