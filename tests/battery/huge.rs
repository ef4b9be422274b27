//! Files that are huge, endless or no files at all, steps without end, long lineages: a clear answer, soon, in bounded memory.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use runner::execute::Fake;

use crate::form::{CORES, Form, Row, Skip};
use crate::machine::{self, Ended, PATIENCE};
use crate::state;
use crate::world::{LATE, LEAVES, TRUNK, World};

/// Address space of a process here, KiB: less than the huge file.
const MOST_KIB: u64 = 1_500_000;
/// The most memory a process may really use, KiB.
const BOUNDED_KIB: u64 = 300_000;
/// Longest answer about anything that is not itself huge.
const SOON: Duration = Duration::from_secs(10);

const HUGE: u64 = 5 << 30;

const SPECTRUM: &str = "BEGIN IONS\nTITLE=one\nPEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPTIDEK\n147.1128 10\n276.1554 20\nEND IONS\n";

/// A trunk that trains on a file of spectra.
fn on_spectra() -> String {
    TRUNK.replace("Synthetic(length: 7..=10)", "Mgf(files: [\"data/a.mgf\"])")
}

type Trial<'a> = (String, Box<dyn Fn() -> Result<(), String> + Sync + 'a>);

pub fn run(form: &Form) -> Result<Row, Skip> {
    let mut row = tried(form, "spectra", &spectra(form));
    row = row.and(tried(form, "special", &special()));
    row = row.and(tried(form, "runs", &special_in_runs()));
    Ok(row.and(tried(form, "lineage", &lineages(form))))
}

fn tried(form: &Form, part: &str, trials: &[Trial<'_>]) -> Row {
    form.trials(part, trials.len() as u64, CORES, |number| {
        let (what, trial) = &trials[number as usize];
        trial().map_err(|why| format!("{what}: {why}"))
    })
}

/// Runs the program with little address space, and sees that it used little of it.
fn within(folder: &Path, arguments: &[&str], limit: Duration) -> Result<Ended, String> {
    let ended = machine::finish(&mut machine::bounded(&machine::runner(folder, arguments), MOST_KIB), limit)?;
    is_bounded(&ended)?;
    Ok(ended)
}

fn is_bounded(ended: &Ended) -> Result<(), String> {
    ended.civil()?;
    match ended.peak_kib < BOUNDED_KIB {
        true => Ok(()),
        false => Err(format!("it used {} KiB of memory; {}", ended.peak_kib, ended.said())),
    }
}

/// An error where it failed without one of these words.
fn names(ended: &Ended, words: &[&str]) -> Result<(), String> {
    let said = words.iter().any(|word| ended.stderr.contains(word));
    if ended.is_success() || said { Ok(()) } else { Err(format!("the message names nothing: {}", ended.said())) }
}

fn spectra(form: &Form) -> Vec<Trial<'static>> {
    let mut trials: Vec<Trial<'static>> = Vec::new();
    let mut add = |what: &str, limit: Duration, usable: Option<u64>, write: fn(&mut File)| {
        trials.push((what.into(), Box::new(move || inspect(limit, usable, write))));
    };
    add("a spectrum and 5 GB of zeros", PATIENCE, None, |file| {
        file.write_all(SPECTRUM.as_bytes()).unwrap();
        file.set_len(HUGE).unwrap();
    });
    add("a spectrum and one with a line of 5 GB", PATIENCE, None, |file| {
        file.write_all(format!("{SPECTRUM}BEGIN IONS\nTITLE=").as_bytes()).unwrap();
        file.seek(SeekFrom::Start(HUGE)).unwrap();
        file.write_all(b"\nEND IONS\n").unwrap();
    });
    add("a first line of 5 GB", PATIENCE, None, |file| file.set_len(HUGE).unwrap());
    add("a million peaks", SOON, Some(1), |file| write_peaks(file, 1_000_000 - 2));
    add("more than a million peaks", SOON, Some(0), |file| write_peaks(file, 1_000_100));
    add("three million peaks", SOON, Some(0), |file| write_peaks(file, 3_000_000));
    trials.push(("training on a spectrum of a million peaks".into(), Box::new(|| train_on(|file| write_peaks(file, 900_000)))));
    if form.long {
        trials.push((
            "training on a spectrum and 5 GB of zeros".into(),
            Box::new(|| {
                train_on(|file| {
                    file.write_all(SPECTRUM.as_bytes()).unwrap();
                    file.set_len(HUGE).unwrap();
                })
            }),
        ));
    }
    trials
}

/// The spectrum with so many further peaks.
fn write_peaks(file: &mut File, peaks: u32) {
    let mut text = SPECTRUM.trim_end_matches("END IONS\n").to_owned();
    for peak in 0..peaks {
        writeln!(text, "{:.4} {}", 60.0 + f64::from(peak) * 0.0005, peak % 977 + 1).unwrap();
    }
    file.write_all((text + "END IONS\n").as_bytes()).unwrap();
}

fn inspect(limit: Duration, usable: Option<u64>, write: fn(&mut File)) -> Result<(), String> {
    let folder = machine::folder();
    write(&mut File::create(folder.path().join("a.mgf")).unwrap());
    let file = folder.path().join("a.mgf");
    let ended = within(folder.path(), &["inspect", file.to_str().unwrap(), "--fewest-peaks", "1", "--json"], limit)?;
    names(&ended, &["a.mgf"])?;
    let Some(usable) = usable else { return Ok(()) };
    let found: serde_json::Value = serde_json::from_str(&ended.stdout).map_err(|error| format!("{error}: {}", ended.said()))?;
    match found["usable"].as_u64() == Some(usable) {
        true => Ok(()),
        false => Err(format!("{} are usable, not {usable}", found["usable"])),
    }
}

/// Asks for a plan and runs it with the fake executor, within bounded memory: done, or an error that names the file.
fn train_on(write: fn(&mut File)) -> Result<(), String> {
    let world = machine::empty_world();
    world.write("experiments/trunk.ron", &on_spectra());
    world.write("data/a.mgf", "");
    write(&mut File::create(world.path().join("data/a.mgf")).unwrap());
    names(&within(world.path(), &["plan", "trunk"], PATIENCE)?, &["data/a.mgf"])?;
    let ended = machine::finish(&mut machine::bounded(&machine::victim(world.path(), "trunk"), MOST_KIB), PATIENCE)?;
    is_bounded(&ended)?;
    names(&ended, &["data/a.mgf"])
}

/// What may stand in place of a file.
const SPECIAL: [&str; 3] = ["a pipe", "a folder", "an endless device"];

/// Puts something special in the place of a file.
fn replace(path: &Path, kind: &str) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match kind {
        "a pipe" => machine::system("mkfifo", &[path.to_str().unwrap()]).unwrap(),
        "a folder" => fs::create_dir(path).unwrap(),
        _ => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
    }
}

/// Something special in place of a file that people write.
fn special() -> Vec<Trial<'static>> {
    const FILES: [(&str, &[&str]); 8] = [
        ("experiments/trunk.ron", &["run", "trunk", "--device", "cpu"]),
        ("experiments/trunk.ron", &["run", "leaves", "--device", "cpu"]),
        ("experiments/trunk.ron", &["check"]),
        ("curricula/late.ron", &["run", "leaves", "--device", "cpu"]),
        ("data/a.mgf", &["run", "spectra", "--device", "cpu"]),
        ("data/a.mgf", &["check"]),
        ("data/a.mgf", &["inspect", "data/a.mgf"]),
        ("weights.safetensors", &["plan", "imported"]),
    ];
    let mut trials: Vec<Trial<'static>> = Vec::new();
    for (file, arguments) in FILES {
        for kind in SPECIAL {
            trials.push((
                format!("{kind} as `{file}`, {}", arguments.join(" ")),
                Box::new(move || {
                    let world = World::new();
                    match file {
                        "data/a.mgf" => world.write("experiments/spectra.ron", &on_spectra()),
                        "weights.safetensors" => world.write("experiments/imported.ron", &imported()),
                        _ => {}
                    }
                    replace(&world.path().join(file), kind);
                    // `inspect` takes a path as the shell would give it.
                    let path = world.path().join(file);
                    let arguments: Vec<&str> =
                        arguments.iter().map(|word| if *word == file { path.to_str().unwrap() } else { *word }).collect();
                    let ended = within(world.path(), &arguments, SOON)?;
                    if ended.is_success() {
                        return Err("it was taken for a file".into());
                    }
                    let name = file.rsplit('/').next().unwrap_or(file);
                    // An experiment is called by its name alone.
                    names(&ended, &[name, name.strip_suffix(".ron").unwrap_or(name)])
                }),
            ));
        }
    }
    trials
}

fn imported() -> String {
    TRUNK.replace("Scratch(", "Imported(file: \"weights.safetensors\", step: 0,")
}

/// Something special in place of a file that the runner wrote.
fn special_in_runs() -> Vec<Trial<'static>> {
    let world = World::new();
    state::done(world.run("leaves", &Fake::default())).unwrap();
    let inventory = world.store().inventory();
    let fork = inventory.checkpoints.values().find(|found| found.manifest.step == 10).unwrap();
    let fork = fork.path.strip_prefix(world.path()).unwrap().to_str().unwrap().to_owned();
    let evaluations = world.path().join("runs/leaves/evaluations");
    let evaluation = fs::read_dir(evaluations).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let of_fork = [
        "MANIFEST.json",
        "history.json",
        "metrics.jsonl",
        "ledger.bin",
        "tensors/MANIFEST.json",
        "tensors/model.safetensors",
        "tensors/optimizer.safetensors",
    ];
    let others = ["record.json", "leaves.ron", &format!("evaluations/{evaluation}")].map(|file| format!("runs/leaves/{file}"));
    let files: Vec<String> = of_fork.iter().map(|file| format!("{fork}/{file}")).chain(others).collect();
    let world = std::sync::Arc::new(world);
    let mut trials: Vec<Trial<'static>> = Vec::new();
    for file in files {
        for kind in SPECIAL {
            let (file, world) = (file.clone(), world.clone());
            trials.push((format!("{kind} as `{file}`"), Box::new(move || read_special(&world, &file, kind))));
        }
    }
    trials
}

fn read_special(base: &World, file: &str, kind: &str) -> Result<(), String> {
    let world = machine::copied(base);
    replace(&world.path().join(file), kind);
    let parts: Vec<&str> = file.split('/').collect();
    // The file, or the checkpoint that it belongs to.
    let words = [parts[parts.len() - 1], parts[3.min(parts.len() - 1)]];
    let verbs: [&[&str]; 6] = [&["ls"], &["tree"], &["show", "trunk"], &["plan", "leaves"], &["compare", "leaves"], &["check"]];
    for verb in verbs {
        let answer = within(world.path(), verb, SOON).and_then(|ended| names(&ended, &words));
        answer.map_err(|what| format!("{}: {what}", verb.join(" ")))?;
    }
    // More to train, so that the fork is read: another branch, and further steps.
    let more = LEAVES.replace("branches: [", "branches: [(name: \"more\", curriculum: Inherit, change: (dropout: 0.5)),");
    world.write("experiments/leaves.ron", &more.replace("max_step: 30", "max_step: 31"));
    let ended = machine::finish(&mut machine::bounded(&machine::victim(world.path(), "leaves"), MOST_KIB), SOON)?;
    is_bounded(&ended).map_err(|what| format!("run: {what}"))?;
    names(&ended, &words).map_err(|what| format!("run: {what}"))
}

/// Lineages as long as nobody's, and steps as many.
fn lineages(form: &Form) -> Vec<Trial<'static>> {
    let mut trials: Vec<Trial<'static>> = Vec::new();
    for depth in form.pick(vec![1_000], vec![1_000, 5_000]) {
        trials.push((format!("a lineage of {depth} experiments"), Box::new(move || long_lineage(depth))));
    }
    for (what, old, new) in [
        ("10^15 steps, each saved", "max_step: 20,\n    save_every: 5", "max_step: 1_000_000_000_000_000,\n    save_every: 1"),
        ("as many steps as can be written", "max_step: 20", "max_step: 18_446_744_073_709_551_615"),
        ("4 billion validation spectra", "spectra: 4", "spectra: 4_000_000_000"),
        ("a batch of 4 billion", "batch: 4,", "batch: 4_000_000_000,"),
        ("a hidden width of 4 billion", "hidden: 16", "hidden: 4_000_000_000"),
        ("lengths to 1,000", "length: 12", "length: 1_000"),
    ] {
        trials.push((
            what.into(),
            Box::new(move || {
                let world = machine::empty_world();
                assert!(TRUNK.contains(old), "`{old}` is not in the trunk any more");
                world.write("experiments/trunk.ron", &TRUNK.replace(old, new));
                for verb in ["check", "plan"] {
                    let arguments = if verb == "check" { &["check"][..] } else { &["plan", "trunk"][..] };
                    let answer = within(world.path(), arguments, SOON).and_then(|ended| names(&ended, &["trunk"]));
                    answer.map_err(|what| format!("{verb}: {what}"))?;
                }
                Ok(())
            }),
        ));
    }
    trials
}

fn long_lineage(depth: u64) -> Result<(), String> {
    let world = machine::empty_world();
    world.write("curricula/late.ron", LATE);
    world.write("experiments/e0.ron", TRUNK);
    for place in 1..=depth {
        let parent = place - 1;
        let text = format!("(parent: Checkpoint(\"e{parent}@{place}\"), curriculum: Inherit, max_step: {})", place + 20);
        world.write(&format!("experiments/e{place}.ron"), &text);
    }
    let last = format!("e{depth}");
    for arguments in [&["plan", last.as_str()][..], &["plan", last.as_str(), "--json"][..], &["check"][..]] {
        let ended = machine::finish(&mut machine::runner(world.path(), arguments), SOON)?;
        ended.success().map_err(|what| format!("{}: {what}", arguments.join(" ")))?;
    }
    Ok(())
}
