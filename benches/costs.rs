//! What the bookkeeping costs, by size: `cargo bench --bench costs`, also with `--no-default-features`.
//!
//! Every row is the median of a few calls of the program itself, in a folder made for it. What must not grow with a size
//! stands in rows that differ in that size alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use runner::command::run::run_with;
use runner::execute::{Fake, Silent};
use runner::store::Store;

#[path = "../tests/folders/mod.rs"]
mod folders;

use folders::{QuickDisk, TRUNK, age, chain, mgf, project, save, save_run, trunk, wide};

/// Calls behind each row.
const TIMES: usize = 5;

fn main() {
    // `cargo test --benches` asks whether it runs at all.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    println!("{:<52} {:>10} {:>10}", "what", "time", "memory");
    shipped();
    resuming(if quick { 100 } else { 1 });
    experiments(if quick { 10 } else { 1 });
    data(if quick { 10 } else { 1 });
    runs(if quick { 100 } else { 1 });
    checkpoints(if quick { 100 } else { 1 });
}

/// Planning each shipped file, in a folder without and with runs.
fn shipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["experiments", "curricula"] {
        fs::create_dir(folder.path().join(part)).expect("a folder");
        for file in fs::read_dir(shipped.join(part)).expect("shipped files").filter_map(Result::ok) {
            fs::copy(file.path(), folder.path().join(part).join(file.file_name())).expect("a copy");
        }
    }
    fs::create_dir(folder.path().join("data")).expect("a folder");
    mgf(&folder.path().join("data/spectra.mgf"), 1_000);
    let mut stems: Vec<String> = fs::read_dir(folder.path().join("experiments"))
        .expect("shipped files")
        .filter_map(|file| Some(file.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    stems.sort();
    for stem in &stems {
        row(&format!("plan {stem}, nothing trained"), folder.path(), &["plan", stem]);
    }
    run(folder.path(), "precursor_timing");
    for stem in stems.iter().filter(|stem| !stem.ends_with("_full")) {
        row(&format!("plan {stem}, beside runs"), folder.path(), &["plan", stem]);
    }
}

/// Many experiments, and a long line of them.
fn experiments(part: usize) {
    let many = project(wide(1_000 / part));
    let target = format!("e{:03}", 1_000 / part - 1);
    row(&format!("check {} experiments, {} branches", 1_000 / part, 10_000 / part), many.path(), &["check"]);
    row(&format!("plan the last of {}", 1_000 / part), many.path(), &["plan", &target]);
    row(&format!("ls beside {}", 1_000 / part), many.path(), &["ls"]);
    for count in [1_250, 2_500, 5_000].map(|count| count / part) {
        let line = project(chain(count));
        row(&format!("check a line of {count} experiments"), line.path(), &["check"]);
        row(&format!("plan the last of a line of {count}"), line.path(), &["plan", &format!("c{:05}", count - 1)]);
    }
}

/// Files of spectra: the first plan reads them, the next ones do not.
fn data(part: usize) {
    for count in [4_000, 16_000, 64_000].map(|count| count / part) {
        let real = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/real_spectra.ron"));
        let folder = project([("real".to_owned(), real.expect("a shipped file"))]);
        fs::create_dir(folder.path().join("data")).expect("a folder");
        let file = folder.path().join("data/spectra.mgf");
        mgf(&file, count);
        let size = fs::metadata(&file).expect("a file").len() / 1_000_000;
        age(&file);
        let (seconds, memory) = call(folder.path(), &["plan", "real"]);
        show(&format!("plan {count} spectra ({size} MB), first time"), seconds, memory);
        row(&format!("plan {count} spectra, again"), folder.path(), &["plan", "real"]);
    }
}

/// Listing many runs.
fn runs(part: usize) {
    for count in [2_500, 10_000].map(|count| count / part) {
        let folder = project([("trunk".to_owned(), TRUNK.to_owned())]);
        let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
        let history = trunk(folder.path());
        for index in 0..count {
            save_run(&store, &history, index);
        }
        // Of what has just changed nothing is remembered.
        std::thread::sleep(std::time::Duration::from_millis(2_100));
        let (seconds, memory) = call(folder.path(), &["ls"]);
        show(&format!("ls {count} runs, first time"), seconds, memory);
        row(&format!("ls {count} runs, again"), folder.path(), &["ls"]);
        row(&format!("plan beside {count} runs"), folder.path(), &["plan", "trunk"]);
    }
}

/// A leaf with many checkpoints.
fn checkpoints(part: u64) {
    for count in [10, 2_500, 10_000].map(|count: u64| (count / part).max(1)) {
        let folder = project([("trunk".to_owned(), TRUNK.replace("10_000", "10"))]);
        let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
        let history = trunk(folder.path());
        let (leaf, mut parent) = (folder.path().join("runs/trunk/main"), None);
        for step in (1..=count).map(|n| n * 10) {
            let committed = save(&store, &leaf, &history.cut(step), parent);
            parent = Some(committed);
        }
        row(&format!("plan a leaf with {count} checkpoints"), folder.path(), &["plan", "trunk"]);
    }
}

/// Going on for ten steps from a deep checkpoint, with an executor that does nothing.
fn resuming(part: u64) {
    for step in [10, 100_000, 10_000_000].map(|step: u64| (step / part).max(10)) {
        let mut calls: Vec<f64> = (0..TIMES).map(|_| resumed(step)).collect();
        calls.sort_by(f64::total_cmp);
        show(&format!("run the ten steps after step {step}"), calls[TIMES / 2], None);
    }
}

fn resumed(step: u64) -> f64 {
    let text = TRUNK.replace("100_000", &(step + 10).to_string()).replace("10_000", &step.to_string());
    let folder = project([("trunk".to_owned(), text)]);
    let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
    save(&store, &folder.path().join("runs/trunk/main"), &trunk(folder.path()).cut(step), None);
    let begun = Instant::now();
    run(folder.path(), "trunk");
    begun.elapsed().as_secs_f64()
}

/// A row of the table: median seconds, and peak memory where the system tells.
fn row(what: &str, folder: &Path, arguments: &[&str]) {
    let mut calls: Vec<(f64, Option<u64>)> = (0..TIMES).map(|_| call(folder, arguments)).collect();
    calls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (seconds, memory) = calls[TIMES / 2];
    show(what, seconds, memory);
}

fn show(what: &str, seconds: f64, memory: Option<u64>) {
    let memory = memory.map_or("-".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    println!("{what:<52} {:>7.1} ms {memory:>10}", seconds * 1e3);
}

/// Seconds, and the most memory in bytes, of a call of the program.
fn call(folder: &Path, arguments: &[&str]) -> (f64, Option<u64>) {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_runner"))
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most = None;
    while child.try_wait().expect("the program can be waited for").is_none() {
        most = high_water(&status).max(most);
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    (begun.elapsed().as_secs_f64(), most)
}

fn high_water(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}

fn run(folder: &Path, experiment: &str) {
    run_with(folder, Path::new(experiment), &Fake::default(), Arc::new(QuickDisk), 1, &|| false, &Silent)
        .expect("the experiment is run");
}
