//! One leaf goes wrong: a loss that is not finite, a panic, no memory. The others end, or a later run does, the record tells,
//! and once the cause is gone the result is the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;
use runner::execute::{Fake, Fault};
use runner::record::Status;
use runner::spec::Name;
use runner::store::RealDisk;

use crate::form::{CORES, Form, Row, Skip};
use crate::machine::{self, Ended, PATIENCE};
use crate::state::{self, Bytes};
use crate::world::{World, undisturbed};

/// The trunk's seed, and the leaves'.
const TRUNK_SEED: u64 = 42;
const RUN: [&str; 4] = ["run", "leaves", "--device", "cpu"];

pub fn run(form: &Form) -> Result<Row, Skip> {
    let expected = undisturbed();
    let places: Vec<(u64, u64)> =
        (0..10).map(|step| (TRUNK_SEED, step)).chain((10..30).flat_map(|s| [(1, s), (2, s)])).collect();
    let count = form.pick(10, 2 * places.len() as u64);
    let row = form.trials("fault", count, CORES, |number| {
        let mut random = form.random(0, number);
        // Each place in the long form, random ones in the short.
        let place = if form.long { number as usize / 2 } else { random.random_range(0..places.len()) };
        let (seed, step) = places[place];
        let fault = match number.is_multiple_of(2) {
            true => Fault::NotFinite { seed, step },
            false => Fault::Panic { seed, step },
        };
        faulty(fault, seed, &expected).map_err(|what| format!("{fault:?}: {what}"))
    });
    Ok(row.and(memory(form)))
}

fn faulty(fault: Fault, seed: u64, expected: &Bytes) -> Result<(), String> {
    let world = World::new();
    let fake = Fake { faults: vec![fault], ..Fake::default() };
    let outcome = world.run_on("leaves", &fake, Arc::new(RealDisk), 2, &|| false)?;
    if outcome.failures.is_empty() {
        return Err("nobody noticed".into());
    }
    state::sound(&world.store())?;
    let inventory = world.store().inventory();
    let ends = inventory.checkpoints.values().filter(|found| found.manifest.step == 30).count();
    let others = if seed == TRUNK_SEED { 0 } else { 3 };
    if ends != others {
        return Err(format!("{ends} leaves came to their end, not the {others} of the other seed"));
    }
    let record = world.store().run_record(&Name::try_from("leaves")?).map_err(|error| error.to_string())?;
    let record = record.ok_or("there is no record")?;
    let told = record.attempts.last().is_some_and(|attempt| attempt.ended.is_some() && attempt.failures == outcome.failures);
    if record.status != Status::Failed || !told {
        return Err(format!("the record does not tell: {:?}", record.attempts.last()));
    }
    state::done(world.run("leaves", &Fake::default())).map_err(|what| format!("mended: {what}"))?;
    state::same(expected, &world).map_err(|what| format!("mended: {what}"))
}

/// The real program with too little memory: of its address space, or of its control group.
fn memory(form: &Form) -> Row {
    let undisturbed = World::new();
    machine::finish(&mut machine::runner(undisturbed.path(), &RUN), PATIENCE).unwrap().success().unwrap();
    let expected = state::result(&undisturbed).unwrap();
    let in_training = AtomicU64::new(0);
    let mut row = form.trials("address-space", form.pick(6, 80), 1, |number| {
        let mib = form.random(1, number).random_range(44..200);
        let starved = |world: &World| {
            let mut command = machine::bounded(&machine::runner(world.path(), &RUN), mib * 1024);
            machine::finish(&mut command, PATIENCE)
        };
        starve(&starved, &expected, &in_training).map_err(|what| format!("{mib} MiB of address space: {what}"))
    });
    match Group::new() {
        Ok(group) => {
            row = row.and(form.trials("group", form.pick(5, 60), 1, |number| {
                let kib = form.random(2, number).random_range(3_000..14_000);
                let starved = |world: &World| group.run(world, kib);
                starve(&starved, &expected, &in_training).map_err(|what| format!("{kib} KiB in its group: {what}"))
            }));
        }
        Err(why) => row.lacks(&format!("memory of a control group: {why}")),
    }
    row.note(format!("{} times memory ended it while it trained", in_training.into_inner()));
    row
}

/// Runs starved, then as usual.
fn starve(starved: &dyn Fn(&World) -> Result<Ended, String>, expected: &Bytes, in_training: &AtomicU64) -> Result<(), String> {
    let world = World::new();
    let ended = starved(&world)?;
    if ended.timed_out {
        return ended.civil();
    }
    state::sound(&world.store())?;
    if ended.is_success() {
        return state::same(expected, &world).map_err(|what| format!("it ended well, and {what}"));
    }
    if ended.stderr.contains(": training ") {
        in_training.fetch_add(1, Ordering::Relaxed);
    }
    let record = world.store().run_record(&Name::try_from("leaves")?).map_err(|error| error.to_string())?;
    // Where the process lived on to write it.
    if let Some(attempt) = record.and_then(|record| record.attempts.into_iter().next_back())
        && attempt.ended.is_some()
        && attempt.failures.is_empty()
    {
        return Err(format!("the record tells of no failure, and it ended so: {}", ended.said()));
    }
    let again = machine::finish(&mut machine::runner(world.path(), &RUN), PATIENCE)?;
    again.success().map_err(|what| format!("with memory: {what}"))?;
    state::same(expected, &world).map_err(|what| format!("with memory: {what}"))
}

/// A control group for memory, gone when dropped.
struct Group {
    folder: PathBuf,
    limit: &'static str,
}

impl Group {
    fn new() -> Result<Group, String> {
        let name = format!("battery-{}", std::process::id());
        let kinds = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        let mut why = "there is none".to_owned();
        for (parent, limit) in kinds.into_iter().filter(|(parent, _)| Path::new(parent).join("cgroup.procs").exists()) {
            let group = Group { folder: Path::new(parent).join(&name), limit };
            match fs::create_dir(&group.folder) {
                Ok(()) if group.folder.join(limit).exists() => return Ok(group),
                Ok(()) => why = format!("`{}` has no {limit}", group.folder.display()),
                Err(error) => why = format!("`{}`: {error}", group.folder.display()),
            }
        }
        Err(why)
    }

    fn run(&self, world: &World, kib: u64) -> Result<Ended, String> {
        let limit = self.folder.join(self.limit);
        fs::write(&limit, (kib * 1024).to_string()).map_err(|error| format!("`{}`: {error}", limit.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&self.folder).arg(machine::RUNNER);
        command.arg("-C").arg(world.path()).args(RUN);
        machine::finish(&mut command, PATIENCE)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
