//! The real program under a clock that is set back, jumps, or runs fast or slowly: nothing of it is in the result.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rand::RngExt;
use runner::spec::Name;

use crate::form::{CORES, Form, Row, Skip};
use crate::machine::{self, Ended, PATIENCE};
use crate::state::{self, Bytes};
use crate::world::World;

const RUN: [&str; 4] = ["run", "leaves", "--device", "cpu"];

/// Clocks as faketime has them: set off, running fast and slowly, starting in another century, jumping at every look.
const CLOCKS: [&str; 7] = ["-10d", "+10y", "+0 x50", "+0 x0.1", "@2001-01-01 00:00:00", "-1d i600", "@2099-12-31 23:59:59"];

/// The library that lies about the time, as faketime names it.
fn library() -> Result<String, Skip> {
    let faketime = machine::find("faketime").ok_or_else(|| Skip("needs faketime".into()))?;
    let ended = machine::finish(Command::new(faketime).args(["-f", "+0", "env"]), PATIENCE).map_err(Skip)?;
    let preload = ended.stdout.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")).map(str::to_owned);
    preload.ok_or_else(|| Skip("needs a faketime that names its library".into()))
}

/// Runs under a clock, killed at the limit.
fn run_under(clock: &str, library: &str, world: &World, limit: Duration) -> Result<Ended, String> {
    let mut command = machine::runner(world.path(), &RUN);
    let ended = machine::finish(command.env("LD_PRELOAD", library).env("FAKETIME", clock), limit)?;
    // What the library leaves behind of a process that was killed.
    for left in ["faketime_shm_", "sem.faketime_sem_"] {
        let _ = fs::remove_file(format!("/dev/shm/{left}{}", ended.process));
    }
    Ok(ended)
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    let library = library()?;
    let undisturbed = World::new();
    let usual = machine::finish(&mut machine::runner(undisturbed.path(), &RUN), PATIENCE).unwrap();
    usual.success().unwrap();
    let expected = state::result(&undisturbed).unwrap();
    // Else this row would try nothing.
    let far = World::new();
    run_under("@2001-01-01 00:00:00", &library, &far, PATIENCE).unwrap().success().unwrap();
    let record = far.store().run_record(&Name::try_from("leaves").unwrap()).unwrap().unwrap();
    if !record.attempts[0].started.starts_with("2001-01-01") {
        return Err(Skip(format!("needs a faketime that works: it was {}", record.attempts[0].started)));
    }
    let rounds = form.pick(1, 5);
    let whole = form.trials("whole", rounds * CLOCKS.len() as u64, CORES, |number| {
        let clock = CLOCKS[number as usize % CLOCKS.len()];
        through(&[clock], None, &library, &expected).map_err(|what| format!("under {clock:?}: {what}"))
    });
    let cut = form.trials("cut", form.pick(5, 100), CORES, |number| {
        let mut random = form.random(0, number);
        let mut any = || CLOCKS[random.random_range(0..CLOCKS.len())];
        let clocks = [any(), any(), any()];
        let after = Duration::from_millis(random.random_range(30..(usual.took.as_millis() as u64).max(60)));
        through(&clocks, Some(after), &library, &expected).map_err(|what| format!("under {clocks:?} in turn: {what}"))
    });
    Ok(whole.and(cut))
}

/// Runs under each clock in turn, killed after a while under all but the last.
fn through(clocks: &[&str], after: Option<Duration>, library: &str, expected: &Bytes) -> Result<(), String> {
    let world = World::new();
    let (last, first) = clocks.split_last().ok_or("no clock")?;
    for clock in first {
        run_under(clock, library, &world, after.unwrap_or(PATIENCE))?;
        state::sound(&world.store())?;
    }
    run_under(last, library, &world, PATIENCE)?.success()?;
    state::same(expected, &world)
}
