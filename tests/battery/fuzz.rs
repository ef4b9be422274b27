//! Mutants of everything that is read: of RON files, spectra, manifests and histories, ledgers. No panic, and none is slow.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use runner::execute::Fake;
use runner::history::History;
use runner::lineage::{FileOrigin, Known, Library, resolve};
use runner::load::TextFile;
use runner::record::{Evaluation, Ledger, Manifest, MetricsRow, RunRecord, TensorsManifest};
use runner::spec::{Curriculum, Experiment, Name, Outline, Place};
use runner::store::decode;
use runner::task::mgf::Reader;
use runner::task::preprocess::{Preprocessing, prepare, prepare_unlabelled};
use runner::task::tokens::{Modification, Vocabulary};

use crate::form::{CORES, Form, Row, Skip, attempt};
use crate::state;
use crate::world::{LATE, LEAVES, TRUNK, World};

/// A mutant that takes longer, three times in a row, is bad.
const SLOW: Duration = Duration::from_millis(10);

const RON: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "..",
    "..=",
    "\"",
    "'",
    "//",
    "/*",
    "*/",
    "#![enable(implicit_some)]",
    "r#\"",
    "\"#",
    "\\u{202e}",
    "\\x",
    "\n",
    "\0",
    "\u{feff}",
    "é",
    "nan",
    "inf",
    "-inf",
    "-0.0",
    "1e308",
    "1e-400",
    "0x7f",
    "0b1",
    "1_000",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "9007199254740993",
    "0.1",
    "true",
    "None",
    "Some(",
    "()",
    "parent: ",
    "Scratch(",
    "Imported(",
    "Checkpoint(\"trunk@10\")",
    "\"trunk@10\"",
    "\"leaves/late#1@20\"",
    "curriculum: ",
    "Inherit",
    "Inline(",
    "File(\"late\")",
    "Moved(of: \"late\", loss: Precursor, to: 12)",
    "branches: [",
    "seeds: [1, 2]",
    "max_step: ",
    "save_every: 0",
    "keep: [5]",
    "clock: (1, 25)",
    "clock: (0, 0)",
    "library: (",
    "experiments: {",
    "curricula: {",
    "validation: [",
    "Mixture([(share: 0.5, data: ",
    "Mgf(files: [\"a.mgf\"])",
    "Synthetic(length: 7..=10)",
    "length: 10..=7",
    "stages: [",
    "(from: 0, loss: {CrossEntropy: 1.0})",
    "ramp: 4",
    "CrossEntropy",
    "Spectrum: 0.1",
    "change: (",
    "clip: None",
    "scale: {Precursor: 0.5}",
    "modifications: [Oxidation]",
    "best: \"easy/peptides\"",
    "reference: \"control\"",
    "ledger: false",
];

const MGF: &[&str] = &[
    "BEGIN IONS\n",
    "END IONS\n",
    "PEPMASS=",
    "CHARGE=",
    "SEQ=",
    "SEQUENCE=",
    "TITLE=",
    "RTINSECONDS=",
    "=",
    "\n",
    "\r",
    "\t",
    " ",
    "\0",
    "\u{feff}",
    "nan",
    "inf",
    "-",
    "1e308",
    "1e-320",
    "999999999999999999999",
    ".",
    "+",
    "2+ and 3+",
    "[UNIMOD:35]",
    "[",
    "]",
    "(",
    ")",
    "(+57.02)",
    "[+15.9949]",
    "é",
    "-17.027",
    "_.",
    "._",
    ",",
    "#",
    ";",
    "1 1\n",
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "\\ud800",
    "\\u0000",
    "\n",
    "\"format\": 2",
    "\"format\": 0",
    "\"format\"",
    "\"id\"",
    "\"step\"",
    "\"spans\": []",
    "\"tensors\"",
    "\"files\": []",
    "\"parent\": null",
    "\"end\": 0",
    "\"from\": 18446744073709551615",
    "{\"inf\":1}",
    "é",
    "\"steps\":18446744073709551615",
    "\"columns\":[]",
    "\"gradient x\"",
];

const MGF_SOUND: &str = "\u{feff}COM=a header\nCHARGE=2+ and 3+\n\nBEGIN IONS\r\nTITLE=one\nPEPMASS=464.7347 12345.6\nCHARGE=2+\n\
RTINSECONDS=985.4\nSEQ=PEPTIDEK\n147.1128\t10\n276.1554 20 1+\n391.1823 3e1\n504.2664 40\nEND IONS\n# a comment\nBEGIN IONS\n\
PEPMASS=485.7400\nSEQUENCE=[Acetyl]-PEPTIDEK\nCHARGE=2.0+\n98.0600 5\n227.1026 6\n227.1026 0\nEND IONS\n\nBEGIN IONS\nEND IONS\n";

/// Reads bytes that were made of the sound ones at a place.
type Read<'a> = dyn Fn(usize, &[u8]) -> bool + Sync + 'a;

/// Something that is read, what sound bytes of it are, the words mutants are made with, and how it is read.
struct Target<'a> {
    name: &'static str,
    sound: Vec<Vec<u8>>,
    words: &'static [&'static str],
    /// Whether anything could be read of the bytes, made of the sound ones at this place.
    read: Box<Read<'a>>,
}

pub fn run(form: &Form) -> Result<Row, Skip> {
    let world = World::new();
    state::done(world.run("trunk", &Fake::default())).unwrap();
    let count = form.pick(50_000, 1_000_000);
    let mut row = Row::default();
    for (part, target) in (0..).zip(targets(world.path())) {
        row = row.and(fuzz(form, part, &target, count));
    }
    Ok(row)
}

fn targets(project: &Path) -> Vec<Target<'static>> {
    let (ron, texts) = ron_texts();
    let (vocabulary, lax) = (vocabulary(), Preprocessing { fewest_peaks: 0, ..Preprocessing::default() });
    vec![
        Target {
            name: "ron",
            sound: texts,
            words: RON,
            read: Box::new(move |which, bytes| read_ron(ron[which], &String::from_utf8_lossy(bytes))),
        },
        Target {
            name: "mgf",
            sound: vec![MGF_SOUND.into()],
            words: MGF,
            read: Box::new(move |_, bytes| {
                let mut any = false;
                for entry in Reader::new(bytes).map_while(Result::ok) {
                    any |= prepare(&entry, &lax, &vocabulary, 20, &(1..=20)).is_ok();
                    let _ = prepare_unlabelled(&entry, &lax);
                }
                any
            }),
        },
        Target { name: "manifest", sound: files(project, is_json), words: JSON, read: Box::new(|_, bytes| read_json(bytes)) },
        Target { name: "ledger", sound: files(project, is_ledger), words: JSON, read: Box::new(|_, bytes| read_ledger(bytes)) },
    ]
}

fn fuzz(form: &Form, part: u64, target: &Target<'_>, count: u64) -> Row {
    assert!(!target.sound.is_empty(), "nothing sound to begin with");
    let (slowest, readable) = (Mutex::new(Duration::ZERO), AtomicU64::new(0));
    let mut row = form.trials(target.name, count, CORES, |number| {
        let mut random = form.random(part, number);
        let which = random.random_range(0..target.sound.len());
        let mutant = mutate(&target.sound[which], target.words, &mut random);
        let timed = || {
            let began = Instant::now();
            attempt(|| Ok((target.read)(which, &mutant))).map(|is_read| (is_read, began.elapsed()))
        };
        let shown =
            |what: String| format!("{what}: {}", mutant.escape_ascii().to_string().chars().take(400).collect::<String>());
        let (is_read, mut took) = timed().map_err(shown)?;
        readable.fetch_add(u64::from(is_read), Ordering::Relaxed);
        for _ in 0..2 {
            if took > SLOW {
                // The machine may have been busy.
                took = took.min(timed().map_err(shown)?.1);
            }
        }
        let mut slowest = slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        if took > SLOW { Err(shown(format!("it took {took:.1?}"))) } else { Ok(()) }
    });
    let readable = readable.into_inner();
    row.note(format!("{}: {readable} could be read, slowest {:.1?}", target.name, slowest.into_inner().unwrap()));
    if form.only.is_none() && readable * 200 < count {
        row.bad += 1;
        form.say_bad(target.name, 0, "hardly any mutant could be read: they try the first error over and over");
    }
    row
}

/// Flips, inserts, takes out, repeats, overwrites and cuts, a few times.
fn mutate(sound: &[u8], words: &[&str], random: &mut impl Rng) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    // Half of them are changed once, so that many can be read and go further.
    let changes = if random.random_range(0..2) == 0 { 1 } else { random.random_range(2..8) };
    for _ in 0..changes {
        let at = random.random_range(0..=bytes.len());
        let to = random.random_range(at..=bytes.len().min(at + 30));
        let word = words[random.random_range(0..words.len())].as_bytes();
        match random.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 | 2 => bytes.splice(at..at, word.iter().copied()).for_each(drop),
            3 => bytes.splice(at..to, word.iter().copied()).for_each(drop),
            4 => bytes.drain(at..to).for_each(drop),
            5 => {
                let piece = bytes[at..to].to_vec();
                let into = random.random_range(0..=bytes.len());
                bytes.splice(into..into, piece).for_each(drop);
            }
            6 if random.random_range(0..5) == 0 => bytes.truncate(at),
            _ if at < bytes.len() => bytes[at] ^= 1_u8 << random.random_range(0..8_u32),
            _ => bytes.extend(word),
        }
    }
    bytes
}

/// What kind of file a RON text is.
#[derive(Clone, Copy)]
enum Kind {
    Experiment,
    Curriculum,
}

/// The texts of the tests and those that are shipped.
fn ron_texts() -> (Vec<Kind>, Vec<Vec<u8>>) {
    let mut texts: Vec<(Kind, Vec<u8>)> =
        vec![(Kind::Experiment, TRUNK.into()), (Kind::Experiment, LEAVES.into()), (Kind::Curriculum, LATE.into())];
    for (folder, kind) in [("experiments", Kind::Experiment), ("curricula", Kind::Curriculum)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        texts.extend(paths.iter().map(|path| (kind, fs::read(path).unwrap())));
    }
    texts.into_iter().unzip()
}

/// Reads a text, checks it, and where it is sound resolves it among its neighbours.
fn read_ron(kind: Kind, text: &str) -> bool {
    let file = || TextFile { shown: "mutant.ron".into(), text: text.into(), outline: Outline::default() };
    let mut library;
    match kind {
        Kind::Experiment => {
            let Ok(value) = file().value(Experiment::check) else { return false };
            library = neighbours();
            library.experiments.insert(name("leaves"), known(value));
        }
        Kind::Curriculum => {
            let Ok(value) = file().value(Curriculum::check) else { return false };
            library = neighbours();
            library.curricula.insert(name("late"), known(value));
        }
    }
    let _ = resolve(&library, &[name("leaves")]);
    true
}

/// The usual project as a library.
fn neighbours() -> Library {
    static KNOWN: LazyLock<Library> = LazyLock::new(|| Library {
        experiments: BTreeMap::from([
            (name("trunk"), known(runner::spec::parse(TRUNK).unwrap())),
            (name("leaves"), known(runner::spec::parse(LEAVES).unwrap())),
        ]),
        curricula: BTreeMap::from([(name("late"), known(runner::spec::parse(LATE).unwrap()))]),
        ..Library::default()
    });
    KNOWN.clone()
}

fn known<T>(value: T) -> Known<T> {
    Known { value, origin: FileOrigin { file: "mutant.ron".into(), at: Place::root() } }
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn vocabulary() -> Vocabulary {
    Vocabulary::new(&[Modification::Acetyl, Modification::Carbamidomethyl])
}

fn is_json(file: &str) -> bool {
    file.ends_with(".json") || file.ends_with(".jsonl")
}

fn is_ledger(file: &str) -> bool {
    ["ledger.bin", "model.safetensors"].contains(&file)
}

/// Sound files of a run, chosen by their names.
fn files(project: &Path, is_wanted: fn(&str) -> bool) -> Vec<Vec<u8>> {
    let walk = walkdir::WalkDir::new(project.join("runs")).sort_by_file_name().into_iter().map(Result::unwrap);
    let wanted = walk.filter(|entry| entry.file_type().is_file() && is_wanted(&entry.file_name().to_string_lossy()));
    wanted.map(|entry| fs::read(entry.path()).unwrap()).filter(|bytes| !bytes.is_empty()).collect()
}

/// Reads bytes as everything that is written as JSON, as the store does: first as a value.
fn read_json(bytes: &[u8]) -> bool {
    let rows = bytes.split(|&byte| byte == b'\n').filter(|line| serde_json::from_slice::<MetricsRow>(line).is_ok()).count();
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return rows > 0 };
    let mut any = serde_json::from_value::<Manifest>(value.clone()).is_ok();
    any |= serde_json::from_value::<TensorsManifest>(value.clone()).is_ok();
    any |= serde_json::from_value::<RunRecord>(value.clone()).is_ok();
    if let Ok(evaluation) = serde_json::from_value::<Evaluation>(value.clone()) {
        let _ = evaluation.key();
        any = true;
    }
    if let Ok(history) = serde_json::from_value::<History>(value)
        && history.is_canonical()
    {
        let _ = history.id();
        any = true;
    }
    any
}

/// Reads bytes as a ledger and as tensors. A ledger that is read can be written and read again.
fn read_ledger(bytes: &[u8]) -> bool {
    let Ok(ledger) = Ledger::decode(bytes) else { return decode(bytes).is_ok() };
    let _ = ledger.broken_chain();
    let _ = ledger.row(ledger.to());
    assert!(Ledger::decode(&ledger.encode()).is_ok(), "a ledger that was read cannot be read again");
    true
}
