//! The fault battery: the runner is killed, starved, lied to and damaged, and the bytes it ends with must be the same.
//!
//! `cargo test --release --test battery` runs the short form, `BATTERY=long` before it the long one; `SEED=n` tries others; the
//! name of a row behind `--` runs that row alone. A bad trial says at once how to make it again.

#[path = "../core/world.rs"]
mod world;

mod clock;
mod damage;
mod disk;
mod form;
mod fuzz;
mod huge;
mod kills;
mod laptop;
mod leaves;
mod machine;
mod names;
mod power;
mod state;
mod syscalls;
mod victim;
mod writes;

use std::process::ExitCode;
use std::time::Instant;

use form::{Form, Row, Skip, attempt, hear_panics};

type Run = fn(&Form) -> Result<Row, Skip>;

/// Name, how, and what runs it.
static ROWS: [(&str, &str, Run); 12] = [
    ("kills", "kill -9 of the program at random times, started again until it is done", kills::run),
    ("writes", "each change of the disk fails once", writes::run),
    ("syscalls", "killed, no space, I/O error at each system call", syscalls::run),
    ("damage", "bits flipped, files cut, emptied, deleted, swapped", damage::run),
    ("disk", "full disk, no inodes left, read-only disk", disk::run),
    ("fuzz", "mutants of RON, MGF, manifests and ledgers", fuzz::run),
    ("leaves", "not finite, panic, no memory in one leaf", leaves::run),
    ("names", "names that escape, links that lead outside", names::run),
    ("clock", "clock set back, jumping, running fast", clock::run),
    ("huge", "huge, endless and special files, long lineages", huge::run),
    ("reproduce", "a planted unit in the last place is found at its step and tensor", laptop::run),
    ("power", "power lost at random times (snapshots of the device)", power::run),
];

/// A row of the table at the end.
struct Line {
    cells: [String; 6],
    is_bad: bool,
    is_skipped: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, folder, experiment] = &arguments[..]
        && verb == "victim"
    {
        return victim::main(folder, experiment);
    }
    // What `cargo test` and nextest pass to every test binary.
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            ROWS.iter().for_each(|(name, ..)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    hear_panics();
    let variable = |name: &str| std::env::var(name).ok();
    let seed: u64 = variable("SEED").and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let long = variable("BATTERY").is_some_and(|form| form == "long");
    println!("SEED={seed}, {} form", if long { "long" } else { "short" });
    let lines: Vec<Line> = chosen(&arguments).map(|row| line(row, &Form::new(row.0, long, seed, variable("TRIAL")))).collect();
    print_table(&lines);
    let failed = lines.iter().filter(|line| line.is_bad).count();
    let skipped = lines.iter().filter(|line| line.is_skipped).count();
    println!("{} passed, {failed} failed, {skipped} skipped", lines.len() - failed - skipped);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The row that is named, else those whose names contain an argument, else all.
fn chosen(arguments: &[String]) -> impl Iterator<Item = &'static (&'static str, &'static str, Run)> {
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let named = |name: &str| words.iter().any(|word| *word == name);
    let is_named = ROWS.iter().any(|(name, ..)| named(name));
    let wanted = |name: &str| match is_named {
        true => named(name),
        false => words.is_empty() || words.iter().any(|word| name.contains(word.as_str())),
    };
    let rows: Vec<_> = ROWS.iter().filter(|(name, ..)| wanted(name)).collect();
    rows.into_iter()
}

fn line((name, how, run): &(&'static str, &'static str, Run), form: &Form) -> Line {
    println!("{name}: {how} ..");
    let began = Instant::now();
    // A panic is a bad row and stops no other.
    let (row, skipped) = match attempt(|| Ok(run(form))) {
        Ok(Ok(row)) => (row, None),
        Ok(Err(Skip(why))) => (Row::default(), Some(why)),
        Err(panic) => {
            form.say_bad("row", 0, &panic);
            (Row { bad: 1, notes: vec![panic.chars().take(80).collect()], ..Row::default() }, None)
        }
    };
    let note = match &skipped {
        None => row.notes.join("; "),
        // Left out by this form, not for want of something.
        Some(why) if why.starts_with('-') => why.clone(),
        Some(why) => {
            eprintln!("SKIPPED: {name}: {why}");
            format!("SKIPPED: {why}")
        }
    };
    let seconds = format!("{:.1}", began.elapsed().as_secs_f64());
    Line {
        cells: [(*name).into(), (*how).into(), row.tried.to_string(), row.bad.to_string(), seconds, note],
        // A row that tried nothing proved nothing.
        is_bad: row.bad > 0 || skipped.is_none() && row.tried == 0 && form.only.is_none(),
        is_skipped: skipped.is_some(),
    }
}

fn print_table(lines: &[Line]) {
    let head = ["fault", "how", "tried", "bad", "seconds", "note"].map(str::to_owned);
    let rows: Vec<&[String; 6]> = [&head].into_iter().chain(lines.iter().map(|line| &line.cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    println!();
    for row in rows {
        let cell = |column: usize| match column {
            2..=4 => format!("{:>1$}", row[column], widths[column]),
            5 => row[column].clone(),
            _ => format!("{:<1$}", row[column], widths[column]),
        };
        println!("{}", (0..6).map(cell).collect::<Vec<_>>().join(" | "));
    }
    println!();
}
