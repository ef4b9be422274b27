//! The command line: one verb per file. The only part that prints.

mod attempts;
mod bench;
mod benched;
mod board;
mod check;
mod compare;
mod completions;
mod context;
mod devices;
mod diagnostics;
mod diff;
mod draw;
mod edits;
mod follow;
mod gc;
mod inspect;
mod judged;
mod ls;
mod new;
mod page_lineage;
mod pin;
mod plan;
mod progress;
mod provenance;
mod recorded;
mod refer;
mod rehearse;
mod report;
pub mod reproduce;
mod rm;
pub mod run;
mod saved;
mod show;
mod signals;
mod terminal;
mod tree;
pub mod verify;
mod versions;
mod why;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use diagnostics::Diagnostics;

/// Trains one network under staged loss weights, branches it at checkpoints, and compares the leaves.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
struct Cli {
    /// The folder that holds `experiments/`, `curricula/` and `runs/` [default: here, or the nearest above that has them]
    #[arg(short = 'C', value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Report every problem in all files, or in one experiment and what it needs
    Check(check::Args),
    /// Show what exists, what would be trained and why
    Plan(plan::Args),
    /// Train and evaluate whatever an experiment still lacks
    Run(run::Args),
    /// Try the whole experiment out in about a minute, small, and estimate the real thing
    Rehearse(rehearse::Args),
    /// Measure what training takes by batch size and where its time goes, or list the devices
    Bench(bench::Args),
    /// Say whether what a run has on disk is what its records claim
    Verify(verify::Args),
    /// Train a run's histories again elsewhere and say whether they came to the same
    Reproduce(reproduce::Args),
    /// Compare the leaves of an experiment
    Compare(compare::Args),
    /// Write a run's page, its comparison as JSON and CSV, and figures for papers
    Report(report::Args),
    /// List the runs
    Ls(ls::Args),
    /// Draw the lineage of all runs
    Tree(tree::Args),
    /// Show one run, leaf or checkpoint
    Show(show::Args),
    /// Say where two leaves part and in what
    Diff(diff::Args),
    /// Write files for TensorBoard, and keep them up to date while runs are trained
    Board(board::Args),
    /// Write an experiment or a curriculum to begin with, or the file that takes a leaf on
    New(new::Args),
    /// Say what a file of spectra holds and which can be used
    Inspect(inspect::Args),
    /// Take the tensors of checkpoints that nothing keeps, and what dead attempts left
    Gc(gc::Args),
    /// Keep a checkpoint's tensors for good, or list what is kept so
    Pin(pin::Args),
    /// Put a run, or a checkpoint and what follows it, into `runs/.trash`
    Rm(rm::Args),
    /// Print what a shell needs to complete commands
    Completions(completions::Args),
    /// Print the manual of the program, or of a verb
    Man(completions::ManArgs),
}

/// Why a command did not do what was asked; decides the exit code.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Disk, device, a loss that is not finite: exit 1.
    World(String),
    /// Files with problems: exit 2.
    Files(Box<Diagnostics>),
    /// Arguments: exit 2.
    Arguments(String),
    /// Not reproduced, or not verified: exit 3.
    Unproved(String),
    /// Compared, and the rule cannot decide yet: exit 4.
    Inconclusive(String),
    /// Stopped by a signal; running the same command goes on: exit 75.
    Interrupted,
    /// Stopped by a signal; nothing is kept of what this names, and the same command begins anew: exit 75 too.
    Abandoned(&'static str),
}

impl Fault {
    /// The message a person would read.
    fn into_text(self) -> String {
        match self {
            Fault::Files(diagnostics) => diagnostics.to_string(),
            Fault::World(message) | Fault::Arguments(message) | Fault::Unproved(message) | Fault::Inconclusive(message) => {
                message
            }
            Fault::Interrupted => "interrupted; everything so far is saved, the same command goes on".into(),
            Fault::Abandoned(what) => format!("interrupted; nothing is kept of {what}, the same command begins anew"),
        }
    }
}

impl From<crate::store::StoreError> for Fault {
    fn from(error: crate::store::StoreError) -> Fault {
        Fault::World(error.to_string())
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let directory = cli.directory.as_deref();
    let result = match cli.verb {
        Verb::Check(args) => check::main(directory, &args),
        Verb::Plan(args) => plan::main(directory, &args),
        Verb::Run(args) => run::main(directory, &args),
        Verb::Rehearse(args) => rehearse::main(directory, &args),
        Verb::Bench(args) => bench::main(directory, &args),
        Verb::Verify(args) => verify::main(directory, &args),
        Verb::Reproduce(args) => reproduce::main(directory, &args),
        Verb::Compare(args) => compare::main(directory, &args),
        Verb::Report(args) => report::main(directory, &args),
        Verb::Ls(args) => ls::main(directory, &args),
        Verb::Tree(args) => tree::main(directory, &args),
        Verb::Show(args) => show::main(directory, &args),
        Verb::Diff(args) => diff::main(directory, &args),
        Verb::Board(args) => board::main(directory, &args),
        Verb::New(args) => new::main(directory, &args),
        Verb::Inspect(args) => inspect::main(directory, &args),
        Verb::Gc(args) => gc::main(directory, &args),
        Verb::Pin(args) => pin::main(directory, &args),
        Verb::Rm(args) => rm::main(directory, &args),
        Verb::Completions(args) => completions::main(&args),
        Verb::Man(args) => completions::manual(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => exit(fault),
    }
}

fn exit(fault: Fault) -> ExitCode {
    let (code, before) = match fault {
        Fault::World(_) => (1, "error: "),
        Fault::Arguments(_) => (2, "error: "),
        Fault::Files(_) => (2, ""),
        Fault::Unproved(_) => (3, ""),
        Fault::Inconclusive(_) => (4, "inconclusive: "),
        Fault::Interrupted | Fault::Abandoned(_) => (75, ""),
    };
    note(&format!("{before}{}", fault.into_text()));
    ExitCode::from(code)
}

/// Data goes to stdout. A reader that has closed its end (as `head` does) is no error.
fn print(text: &str) -> Result<(), Fault> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Fault::World(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Fault> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Fault::World(error.to_string()))?;
    print(&(text + "\n"))
}

/// Messages go to stderr.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}
