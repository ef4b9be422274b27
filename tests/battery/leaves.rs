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
use crate::world::{LEAVES, TRUNK, World, undisturbed};

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

/// A project whose training needs more memory than the start of the program: wide, in large batches, and short.
fn hungry() -> World {
    let world = World::new();
    let trunk = TRUNK.replace("hidden: 16", "hidden: 64").replace("batch: 4, micro_batch: 2", "batch: 32, micro_batch: 32");
    world.write("experiments/trunk.ron", &trunk);
    world.write("experiments/leaves.ron", &LEAVES.replace("max_step: 30", "max_step: 14"));
    world
}

/// The real program. With one arena: where a thread cannot have its own, every allocation asks the system, and that is slow.
fn program(world: &World) -> Command {
    let mut command = machine::runner(world.path(), &RUN);
    command.env("MALLOC_ARENA_MAX", "1");
    command
}

/// The real program with too little memory: of its address space, or of its control group.
fn memory(form: &Form) -> Row {
    let undisturbed = hungry();
    let usual = machine::finish(&mut program(&undisturbed), PATIENCE).unwrap();
    usual.success().unwrap();
    let expected = state::result(&undisturbed).unwrap();
    let in_training = AtomicU64::new(0);
    let share = |part: u64, number: u64, of_kib: u64| of_kib * form.random(part, number).random_range(60..104) / 100;
    let mut row = form.trials("address-space", form.pick(5, 80), 1, |number| {
        let kib = share(1, number, usual.address_kib);
        let starved = |world: &World| machine::finish(&mut machine::bounded(&program(world), kib), PATIENCE);
        starve(&starved, &expected, &in_training).map_err(|what| format!("{kib} KiB of address space: {what}"))
    });
    match Group::new().and_then(|group| group.needed_kib().map(|needed| (group, needed))) {
        Ok((group, needed)) => {
            row = row.and(form.trials("group", form.pick(5, 80), 1, |number| {
                let kib = share(2, number, needed);
                let starved = |world: &World| group.run(world, kib);
                starve(&starved, &expected, &in_training).map_err(|what| format!("{kib} KiB in its group: {what}"))
            }));
        }
        Err(why) => row.lacks(&format!("memory of a control group: {why}")),
    }
    let in_training = in_training.into_inner();
    row.note(format!("{in_training} times memory ended it while it trained"));
    if in_training == 0 && form.only.is_none() {
        row.bad += 1;
        form.say_bad("address-space", 0, "memory never ended it while it trained: the limits are wrong");
    }
    row
}

/// Runs starved, then as usual.
fn starve(starved: &dyn Fn(&World) -> Result<Ended, String>, expected: &Bytes, in_training: &AtomicU64) -> Result<(), String> {
    let world = hungry();
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
    let again = machine::finish(&mut program(&world), PATIENCE)?;
    again.success().map_err(|what| format!("with memory: {what}"))?;
    state::same(expected, &world).map_err(|what| format!("with memory: {what}"))
}

/// A control group for memory, gone when dropped.
struct Group {
    folder: PathBuf,
    /// Files of the largest allowed and of the largest used, bytes.
    limit: &'static str,
    peak: &'static str,
}

impl Group {
    fn new() -> Result<Group, String> {
        let name = format!("battery-{}", std::process::id());
        let kinds = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            ("/sys/fs/cgroup", "memory.max", "memory.peak"),
        ];
        let mut why = "there is none".to_owned();
        for (parent, limit, peak) in kinds.into_iter().filter(|kind| Path::new(kind.0).join("cgroup.procs").exists()) {
            let group = Group { folder: Path::new(parent).join(&name), limit, peak };
            match fs::create_dir(&group.folder) {
                Ok(()) if group.folder.join(limit).exists() => return Ok(group),
                Ok(()) => why = format!("`{}` has no {limit}", group.folder.display()),
                Err(error) => why = format!("`{}`: {error}", group.folder.display()),
            }
        }
        Err(why)
    }

    /// What an undisturbed run uses.
    fn needed_kib(&self) -> Result<u64, String> {
        self.run(&hungry(), 8 << 20)?.success()?;
        let peak = self.folder.join(self.peak);
        let text = fs::read_to_string(&peak).map_err(|error| format!("`{}`: {error}", peak.display()))?;
        let bytes = text.trim().parse::<u64>().map_err(|error| format!("`{}`: {error}", peak.display()))?;
        Ok(bytes / 1024)
    }

    fn run(&self, world: &World, kib: u64) -> Result<Ended, String> {
        let limit = self.folder.join(self.limit);
        fs::write(&limit, (kib * 1024).to_string()).map_err(|error| format!("`{}`: {error}", limit.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&self.folder).arg(machine::RUNNER);
        command.arg("-C").arg(world.path()).args(RUN).env("MALLOC_ARENA_MAX", "1").env("RUST_BACKTRACE", "0");
        machine::finish(&mut command, PATIENCE)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
