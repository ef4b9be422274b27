//! A small run is killed at each of its system calls, and each that changes the disk fails for want of space and with an I/O
//! error: what is there is sound, what was acknowledged is there, and the next run ends with the same bytes.
//!
//! strace counts the calls of each thread apart. So the planning thread is traced from the start, and the thread that trains
//! by a tracer of its own, which the victim starts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runner::execute::Fake;

use crate::form::{CORES, Form, Row, Skip};
use crate::machine::{self, Ended};
use crate::state::{self, Bytes};
use crate::victim::{ATTACH, UNTRACED};
use crate::world::World;

/// One segment, two checkpoints, one evaluation.
const TINY: &str = r#"(
    parent: Scratch(
        seed: 42,
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 2, latent_steps: 1,
            peaks: 20, length: 12),
        data: Synthetic(length: 7..=10),
        training: (batch: 4, micro_batch: 2, lr: Cosine(peak: 1e-3, horizon: 100), ema: 0.99),
    ),
    curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1.0})]),
    max_step: 4,
    save_every: 2, evaluate_every: 4, log_every: 2,
    validation: [(name: "easy", data: Synthetic(source: (length: 7..=8)), spectra: 2)],
)"#;

/// Calls at which it is killed; `?`: where this kind of machine has the call.
const KILLED_AT: &str = "?openat,?write,?pwrite64,?fsync,?fdatasync,?rename,?renameat,?renameat2,?mkdir,?mkdirat,?ftruncate,\
                         ?unlink,?unlinkat,?rmdir,?flock,?close";
/// Calls that fail.
const FAIL: [&str; 14] = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "ftruncate",
    "unlink",
    "unlinkat",
    "rmdir",
];

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Thread {
    Plans,
    Trains,
}

/// The n-th call of a kind in a thread, and what happens at it.
#[derive(Clone, Debug)]
struct Injection {
    thread: Thread,
    call: String,
    number: u64,
    what: &'static str,
}

impl Injection {
    fn is_kill(&self) -> bool {
        self.what.starts_with("signal")
    }
}

fn tiny() -> World {
    let world = machine::empty_world();
    world.write("experiments/tiny.ron", TINY);
    world
}

/// Runs the victim with a thread under strace.
fn traced(strace: &Path, world: &World, thread: Thread, arguments: &[&str]) -> Result<Ended, String> {
    let mut command = match thread {
        Thread::Plans => {
            let mut command = Command::new(strace);
            command.args(arguments).arg(std::env::current_exe().unwrap());
            command.args(machine::victim_arguments(world.path(), "tiny")).env("PATH", "");
            command
        }
        Thread::Trains => {
            let mut command = machine::victim(world.path(), "tiny");
            command.env(ATTACH, [&[strace.to_str().unwrap()][..], arguments].concat().join("\n"));
            command
        }
    };
    machine::finish(&mut command, LIMIT)
}

/// The calls a thread makes once it has come to the project, as injections.
fn injections(strace: &Path, thread: Thread) -> Result<Vec<Injection>, String> {
    let world = tiny();
    let folder = machine::folder();
    let log = folder.path().join("log");
    let trace = format!("trace={KILLED_AT}");
    let ended = traced(strace, &world, thread, &["-qq", "-y", "-o", log.to_str().unwrap(), "-e", &trace])?;
    if ended.status.code() == Some(UNTRACED) {
        return Err("strace cannot attach to a thread".into());
    }
    ended.success()?;
    let project = world.path().to_str().unwrap();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut touched = thread == Thread::Trains;
    let mut injections = Vec::new();
    for line in fs::read_to_string(&log).map_err(|error| error.to_string())?.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            continue;
        }
        let number = counts.entry(call.to_owned()).or_default();
        *number += 1;
        let ours = line.contains(project);
        touched |= ours;
        if !touched {
            continue;
        }
        let fails = ours && FAIL.contains(&call);
        let what = ["signal=SIGKILL"].into_iter().chain(["error=ENOSPC", "error=EIO"].into_iter().filter(|_| fails));
        injections.extend(what.map(|what| Injection { thread, call: call.to_owned(), number: *number, what }));
    }
    Ok(injections)
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    let Some(strace) = machine::find("strace") else { return Err(Skip("needs strace".into())) };
    let undisturbed = tiny();
    state::done(undisturbed.run("tiny", &Fake::default())).unwrap();
    let expected = state::result(&undisturbed).unwrap();
    let mut all = injections(&strace, Thread::Plans).map_err(|why| Skip(format!("needs strace that may trace: {why}")))?;
    let mut lacking = None;
    match injections(&strace, Thread::Trains) {
        Ok(trains) => all.extend(trains),
        Err(why) => lacking = Some(why),
    }
    let every = form.pick(5, 1);
    let chosen: Vec<Injection> = all.iter().skip((form.seed % every) as usize).step_by(every as usize).cloned().collect();
    let hit = AtomicU64::new(0);
    let mut row = form.trials("call", chosen.len() as u64, CORES, |number| {
        let injection = &chosen[number as usize];
        trial(&strace, injection, &expected, &hit).map_err(|what| format!("{injection:?}: {what}"))
    });
    let kills = chosen.iter().filter(|injection| injection.is_kill()).count();
    let killed = hit.into_inner();
    row.note(format!("{} calls and errors in a run, every {every}. tried; {killed} of {kills} kills hit", all.len()));
    if form.only.is_none() && killed * 10 < kills as u64 * 9 {
        row.bad += 1;
        form.say_bad("call", 0, &format!("only {killed} of {kills} kills hit: the calls were miscounted"));
    }
    if let Some(why) = lacking {
        row.lacks(&format!("the thread that trains: {why}"));
    }
    Ok(row)
}

fn trial(strace: &Path, injection: &Injection, expected: &Bytes, hit: &AtomicU64) -> Result<(), String> {
    let world = tiny();
    let trace = format!("trace={}", injection.call);
    let inject = format!("inject={}:{}:when={}", injection.call, injection.what, injection.number);
    let arguments = ["-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let ended = traced(strace, &world, injection.thread, &arguments)?;
    if ended.timed_out || ended.stderr.contains("panicked at") || ended.status.code() == Some(UNTRACED) {
        return Err(ended.said());
    }
    if injection.is_kill() && ended.signal() == Some(9) {
        hit.fetch_add(1, Ordering::Relaxed);
    }
    state::sound(&world.store())?;
    state::acknowledged(&world.store(), &ended.stdout)?;
    if ended.is_success() {
        state::same(expected, &world).map_err(|what| format!("it ended well, and {what}"))?;
    }
    let again = machine::finish(&mut machine::victim(world.path(), "tiny"), LIMIT)?;
    again.success().map_err(|what| format!("run again: {what}"))?;
    state::same(expected, &world).map_err(|what| format!("run again: {what}"))
}
