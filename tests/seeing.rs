//! What people see: files for TensorBoard, drawings, new files, completions and listings. A fake executor trains; the real
//! binary shows.

#[path = "core/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use runner::execute::Fake;
use runner::lineage::Leaf;
use runner::load::Project;
use runner::report::columns;
use runner::spec::{Curriculum, parse};
use runner::task::metrics::NAMES;
use serde_json::Value;

use world::{TRUNK, World};

/// Bits of values by tag and step.
type Scalars = BTreeMap<(String, u64), u32>;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.arg("-C").arg(folder).args(arguments);
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

fn runner(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// What a command that must succeed says on stdout.
fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = runner(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that must be refused says on stderr.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = runner(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The leaves of an experiment as its file has them.
fn leaves(world: &World, experiment: &str) -> Vec<Leaf> {
    let (mut loaded, name) = Project { root: world.path().into() }.load(Path::new(experiment)).unwrap();
    let resolution = loaded.resolve(std::slice::from_ref(&name));
    resolution.experiments[&name].leaves.clone()
}

fn board_file(world: &World, leaf: &Leaf) -> PathBuf {
    let branch = world.path().join(format!("runs/{}/tensorboard/{}", leaf.key.experiment, leaf.key.branch));
    let folder = leaf.key.seed.map_or(branch.clone(), |seed| branch.join(format!("seed-{seed}")));
    folder.join("events.out.tfevents.0000000000.runner")
}

/// The scalars that a leaf's metrics, joined along its lineage, and its evaluations make.
fn recorded(world: &World, leaf: &Leaf) -> Scalars {
    let store = world.store();
    let inventory = store.inventory();
    let mut scalars = Scalars::new();
    let mut add = |tag: String, step: u64, value: f64| {
        assert_eq!(scalars.insert((tag, step), (value as f32).to_bits()), None, "the metrics themselves repeat a step");
    };
    for found in store.lineage(&inventory, &leaf.history).unwrap() {
        let metrics = store.metrics(found).unwrap();
        for line in metrics.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let row: Value = serde_json::from_slice(line).unwrap();
            let step = row["step"].as_u64().unwrap();
            for (name, field) in [("loss", "terms"), ("weight", "weights")] {
                for (loss, value) in row[field].as_object().unwrap() {
                    add(format!("{name}/{loss}"), step, value.as_f64().unwrap());
                }
            }
            add("loss/total".into(), step, row["total"].as_f64().unwrap());
            add("rate".into(), step, row["rate"].as_f64().unwrap());
            add("gradient_norm".into(), step, row["gradient_norm"].as_f64().unwrap());
            add("length/longest".into(), step, row["length"][1].as_f64().unwrap());
        }
    }
    for found in &inventory.evaluations {
        if found.step > leaf.history.end() || leaf.history.ids([found.step])[0] != found.id {
            continue;
        }
        let figures = &found.scores.summary.all;
        let named = NAMES.into_iter().map(|name| (name, figures.named(name)));
        let others = [("cross_entropy", Some(found.scores.cross_entropy)), ("mass_error_ppm", figures.mass_error_ppm)];
        for (name, value) in named.chain(others) {
            if let Some(value) = value {
                add(format!("eval/{}/{name}", found.set), found.step, value);
            }
        }
    }
    scalars
}

/// A field of a protocol buffer.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Whole(u64),
    Double(f64),
    Float(f32),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    unreachable!()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Whole(varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            5 => Field::Float(f32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
            other => panic!("a field of wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// CRC-32C, bit by bit, masked as in event files.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Reads an event file to its end: every checksum, every field, each scalar once.
fn decoded(mut bytes: &[u8]) -> Scalars {
    let mut scalars = Scalars::new();
    let mut is_first = true;
    let mut before = 0.0;
    while !bytes.is_empty() {
        let length = take(&mut bytes, 8);
        let sum = take(&mut bytes, 4);
        assert_eq!(sum, checksum(length).to_le_bytes());
        let data = take(&mut bytes, u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let sum = take(&mut bytes, 4);
        assert_eq!(sum, checksum(data).to_le_bytes());
        let (mut time, mut step, mut summary) = (0.0, 0, None);
        for field in fields(data) {
            match field {
                (1, Field::Double(value)) => time = value,
                (2, Field::Whole(value)) => step = value,
                (3, Field::Bytes(version)) => assert!(is_first && version == b"brain.Event:2"),
                (5, Field::Bytes(bytes)) => summary = Some(bytes),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(summary.is_none(), is_first, "the version comes first and only there");
        assert!(time >= before, "time goes back at step {step}");
        (before, is_first) = (time, false);
        for (_, value) in fields(summary.unwrap_or_default()) {
            let Field::Bytes(value) = value else { panic!("{value:?}") };
            let [(1, Field::Bytes(tag)), (2, Field::Float(number))] = fields(value)[..] else { panic!("{value:?}") };
            let tag = String::from_utf8(tag.to_vec()).unwrap();
            assert_eq!(scalars.insert((tag.clone(), step), number.to_bits()), None, "{tag} at {step} is there twice");
        }
    }
    scalars
}

/// Brings the boards of an experiment up to date; they hold what was recorded, no more and no less.
fn boards_agree(world: &World, experiment: &str) -> usize {
    said(world.path(), &["board", experiment, "--once"]);
    let mut scalars = 0;
    for leaf in leaves(world, experiment) {
        let (expected, file) = (recorded(world, &leaf), board_file(world, &leaf));
        let found = if file.exists() { decoded(&fs::read(&file).unwrap()) } else { Scalars::new() };
        let tags = |scalars: &Scalars| scalars.keys().map(|(tag, _)| tag.clone()).collect::<BTreeSet<_>>();
        assert_eq!(tags(&found), tags(&expected), "{}", leaf.key);
        assert_eq!(found, expected, "{}", leaf.key);
        scalars += found.len();
    }
    scalars
}

#[test]
fn boards_hold_what_was_recorded_whatever_cuts_there_were() {
    let world = World::new();
    let mut before = 0;
    for questions in [12, 25, 35, 45] {
        world.run_interrupted("leaves", questions);
        let now = boards_agree(&world, "leaves");
        assert!(now > before, "nothing new after {questions} questions");
        before = now;
    }
    world.run("leaves", &Fake::default()).unwrap();
    assert!(boards_agree(&world, "leaves") > before);
    boards_agree(&world, "trunk");

    let leaf = &leaves(&world, "leaves")[0];
    let file = board_file(&world, leaf);
    let right = fs::read(&file).unwrap();
    for wrong in [right[..right.len() / 2].to_vec(), [&right[..], b"and more"].concat(), b"something else".to_vec(), vec![]] {
        fs::write(&file, wrong).unwrap();
        said(world.path(), &["board", "leaves", "--once"]);
        assert!(fs::read(&file).unwrap() == right);
    }

    let elsewhere = tempfile::tempdir().unwrap();
    let table = said(world.path(), &["board", "--once", "--into", elsewhere.path().to_str().unwrap()]);
    assert!(table.contains("leaves/moved#2") && table.contains("trunk/main"), "{table}");
    let copy = elsewhere.path().join("leaves/late/seed-1/events.out.tfevents.0000000000.runner");
    assert!(fs::read(copy).unwrap() == right);
    // What is written beside the data is not taken for data.
    assert!(world.store().inventory().damaged.is_empty());
    assert_eq!(world.run("leaves", &Fake::default()).unwrap().steps_trained, 0);
}

/// A root of thirty steps that is saved at its end.
fn alone(world: &World) -> Leaf {
    let text = TRUNK.replace("save_every: 5", "save_every: 100").replace("max_step: 20", "max_step: 30");
    world.write("experiments/alone.ron", &text);
    leaves(world, "alone").remove(0)
}

#[test]
fn what_is_being_trained_is_on_the_board() {
    let world = World::new();
    let leaf = alone(&world);
    let file = board_file(&world, &leaf);
    let fake = Fake { pause: Duration::from_millis(100), ..Fake::default() };
    let mut has_seen = false;
    std::thread::scope(|scope| {
        let training = scope.spawn(|| world.run("alone", &fake).unwrap());
        while !training.is_finished() {
            // Not there yet at first.
            let output = runner(world.path(), &["board", "alone", "--once"]);
            if output.status.success() && file.exists() {
                let scalars = decoded(&fs::read(&file).unwrap());
                let saved = world.store().inventory().checkpoints.values().map(|found| found.manifest.step).max().unwrap_or(0);
                has_seen |= scalars.keys().any(|(_, step)| *step >= saved);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(has_seen, "nothing was shown before it was saved");
    boards_agree(&world, "alone");
}

/// Waits for a process that must come to its end.
fn ended(mut child: Child) -> Output {
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("still there: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_board_follows_a_run_to_its_end() {
    let world = World::new();
    let leaf = alone(&world);
    let mut following = command(world.path(), &["board", "alone", "--follow"]);
    following.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = following.spawn().unwrap();
    let fake = Fake { pause: Duration::from_millis(60), ..Fake::default() };
    world.run("alone", &fake).unwrap();
    let output = ended(child);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("following `alone`; Ctrl-C ends"), "{output:?}");
    assert_eq!(decoded(&fs::read(board_file(&world, &leaf)).unwrap()), recorded(&world, &leaf));
}

/// Names and texts of the RON files in a folder of the repository.
fn shipped(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "ron"));
    files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())).collect()
}

fn assert_fits(text: &str, width: usize) {
    let wide = text.lines().find(|line| columns(line) > width);
    assert_eq!(wide, None, "wider than {width}:\n{text}");
}

#[test]
fn shipped_curricula_are_drawn_at_any_width() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("drawing.svg");
    for (stem, text) in shipped("curricula") {
        let curriculum: Curriculum = parse(&text).unwrap();
        let names: Vec<&str> = curriculum.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
        for width in [80, 160] {
            let drawn = said(root, &["show", &stem, "--plot", "--width", &width.to_string()]);
            assert_fits(&drawn, width);
            let missing = names.iter().find(|name| !drawn.contains(*name));
            assert_eq!(missing, None, "{stem} at {width}:\n{drawn}");
            let bases: Vec<&str> = drawn.lines().filter(|line| line.contains('└')).collect();
            let is_marked = |base: &&str| base.matches('┴').count() == names.len();
            assert!(!bases.is_empty() && bases.iter().all(is_marked), "{stem}:\n{drawn}");
        }
        said(root, &["show", &format!("curricula/{stem}.ron"), "--svg", svg.to_str().unwrap()]);
        let picture = fs::read_to_string(&svg).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(names.iter().all(|name| picture.contains(&format!(">{name}</text>"))), "{picture}");
        let table = said(root, &["show", &stem]);
        assert!(names.iter().all(|name| table.contains(name)), "{table}");
    }
    let drawn = said(root, &["show", "phased", "--plot", "--width", "80"]);
    assert!(drawn.contains("╵20,000") && drawn.contains("Precursor, weight") && drawn.contains("0.08 ┤"), "{drawn}");
}

#[test]
fn leaves_are_drawn_with_their_fork() {
    let world = World::new();
    for width in [80, 160] {
        let drawn = said(world.path(), &["show", "leaves/late#1", "--plot", "--width", &width.to_string()]);
        assert_fits(&drawn, width);
        for part in ["leaves/late#1", "│fork, from 0", "from 15", "learning rate", "noise peaks", "Spectrum, weight"] {
            assert!(drawn.contains(part), "{part}:\n{drawn}");
        }
    }
    assert!(refused(world.path(), &["show", "leaves", "--plot"]).contains("names several leaves"));
    let misspelt = refused(world.path(), &["show", "laet", "--plot"]);
    assert!(misspelt.contains("did you mean `curricula/late.ron`?"), "{misspelt}");
}

#[test]
fn new_files_pass_the_check_and_nothing_is_written_over() {
    let world = World::new();
    let folder = world.path();
    let asked = ["--branch", "a=late", "--branch", "b=late:spectrum@18", "--branch", "c=inherit", "--seeds", "1,2,3"];
    let new = [&["new", "experiment", "probe", "--parent", "trunk@10", "--max-step", "40"][..], &asked].concat();
    assert_eq!(said(folder, &new), "experiments/probe.ron\n");
    assert_eq!(said(folder, &["new", "curriculum", "mine", "--from", "late"]), "curricula/mine.ron\n");
    assert_eq!(said(folder, &["new", "curriculum", "empty", "--from", "blank"]), "curricula/empty.ron\n");
    assert_eq!(said(folder, &["new", "--from", "leaves/late#1", "--max-step", "50", "winner"]), "experiments/winner.ron\n");
    assert_eq!(said(folder, &["new", "--from", "leaves/late", "--max-step", "50"]), "experiments/leaves_late_to_50.ron\n");
    assert!(said(folder, &["check"]).contains("without problems"));

    let probe = leaves(&world, "probe");
    assert_eq!(probe.len(), 9);
    assert_eq!((probe[0].own_from(), probe[0].history.end()), (10, 40));
    let winner = leaves(&world, "winner");
    let late = &leaves(&world, "leaves")[0];
    assert_eq!(winner.len(), 1);
    assert_eq!(winner[0].history.cut(30), late.history, "the leaf itself, trained on");
    assert_eq!(leaves(&world, "leaves_late_to_50").len(), 2);
    let text = fs::read_to_string(folder.join("experiments/winner.ron")).unwrap();
    assert!(text.contains("`leaves/late#1`") && text.contains(&late.history.id().short()), "{text}");
    let copied = fs::read_to_string(folder.join("curricula/mine.ron")).unwrap();
    assert!(copied.contains("copy of `late`") && copied.contains(world::LATE), "{copied}");

    assert!(refused(folder, &new).contains("is there already"));
    assert!(refused(folder, &["new", "curriculum", "Late", "--from", "blank"]).contains("is there already"));
    assert!(
        refused(folder, &["new", "--from", "leaves/late#1", "--max-step", "20", "short"]).contains("`max_step` 20 is not past")
    );
    let misspelt = ["new", "experiment", "odd", "--parent", "trunk@10", "--max-step", "40", "--branch", "a=laet"];
    assert!(refused(folder, &misspelt).contains("did you mean `late`?"));
    for name in ["short", "odd"] {
        assert!(!folder.join(format!("experiments/{name}.ron")).exists(), "{name}: what would not pass the check stays away");
    }
    refused(folder, &["new", "experiment", "../odd", "--parent", "trunk@10", "--max-step", "40", "--branch", "a=late"]);
    refused(folder, &["new"]);
}

/// The verbs as the help lists them.
fn verbs() -> Vec<String> {
    let help = said(Path::new("."), &["--help"]);
    let list = help.split_once("Commands:\n").unwrap().1;
    let lines = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("     "));
    lines.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn shells_and_manuals_know_every_verb() {
    let verbs = verbs();
    assert!(verbs.len() > 15 && verbs.contains(&"board".to_owned()), "{verbs:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = said(Path::new("."), &["completions", shell]);
        let missing: Vec<&String> = verbs.iter().filter(|verb| !script.contains(verb.as_str())).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
    }
    assert!(said(Path::new("."), &["man"]).contains(".TH runner"));
    for verb in verbs.iter().filter(|verb| *verb != "help") {
        assert!(said(Path::new("."), &["man", verb]).contains(".TH"), "{verb}");
    }
    assert!(refused(Path::new("."), &["man", "bord"]).contains("did you mean `board`?"));
}

#[test]
fn colour_is_for_terminals_or_where_it_is_asked_for() {
    let world = World::new();
    world.run("trunk", &Fake::default()).unwrap();
    for arguments in [&["ls"][..], &["show", "trunk"], &["show", "late"], &["show", "late", "--plot"]] {
        let plain = said(world.path(), arguments);
        assert!(!plain.contains('\x1b'), "{plain:?}");
        let forced = command(world.path(), arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
        assert!(String::from_utf8(forced.stdout).unwrap().contains("\x1b["), "{arguments:?}");
        let refused = command(world.path(), arguments).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
        assert!(!refused.stdout.contains(&0x1b), "{arguments:?}");
    }
}
