//! Folders with far more in them than anybody has, for tests of growth and for `cargo bench --bench costs`.
#![allow(dead_code, reason = "two programs share this file, and each uses a part of it")]

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use runner::history::{EVALUATOR, History, Root};
use runner::load::Project;
use runner::record::{
    Attempt, Evaluation, FORMAT, Numerics, ParentDigest, RunRecord, Scores, State, Status, Tensor, Tensors, Weights,
};
use runner::spec::Name;
use runner::store::{Disk, RealDisk, Segment, Store};
use runner::task::metrics::{Answer, Counts};

pub const TRUNK: &str = "(
    parent: Scratch(
        seed: 1,
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 1,
            latent_steps: 1, peaks: 20, length: 20),
        data: Synthetic(length: 7..=18),
        training: (batch: 4, lr: Cosine(peak: 1e-3, horizon: 100_000)),
    ),
    curriculum: File(\"phased\"),
    max_step: 100_000,
    save_every: 10_000,
    validation: [(name: \"easy\", data: Synthetic(source: (length: 7..=10)))],
)";

/// A folder with these experiments, by name and text, and the shipped curricula.
pub fn project(experiments: impl IntoIterator<Item = (String, String)>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["experiments", "curricula"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    for curriculum in ["early", "phased"] {
        let file = format!("curricula/{curriculum}.ron");
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file), folder.path().join(&file)).unwrap();
    }
    for (stem, text) in experiments {
        fs::write(folder.path().join(format!("experiments/{stem}.ron")), text).unwrap();
    }
    folder
}

/// Forks of the trunk with ten branches each, and lines of forks of forks, eight deep.
pub fn wide(count: usize) -> Vec<(String, String)> {
    let experiment = |index: usize| {
        let parent = match index % 8 {
            0 => "trunk@20_000".into(),
            depth => format!("e{:03}/b3@{}", index - 1, 20_000 + 1_000 * depth),
        };
        let mut text = format!("(parent: Checkpoint(\"{parent}\"), max_step: 40_000, branches: [\n");
        for branch in 0..10 {
            let curriculum = match branch % 3 {
                0 => "File(\"early\")".into(),
                1 => "Inherit".into(),
                _ => format!("Moved(of: \"phased\", loss: Precursor, to: {})", 28_000 + 100 * branch + index),
            };
            let lr = 1e-4 * (1 + branch) as f64 + 1e-8 * index as f64;
            writeln!(text, "(name: \"b{branch}\", curriculum: {curriculum}, change: (lr: Constant(rate: {lr}))),").unwrap();
        }
        (format!("e{index:03}"), text + "])")
    };
    (0..count).map(experiment).chain([("trunk".into(), TRUNK.into())]).collect()
}

/// Forks of forks of forks, a step after each other and each with a rate of its own.
pub fn chain(count: usize) -> Vec<(String, String)> {
    let experiment = |index: usize| {
        let fork = 20_000 + index;
        let parent = index.checked_sub(1).map_or("trunk".into(), |parent| format!("c{parent:05}"));
        let (lr, end) = (1e-4 + 1e-9 * index as f64, fork + 100);
        let change = format!("change: (lr: Constant(rate: {lr:e}))");
        let text = format!("(parent: Checkpoint(\"{parent}@{fork}\"), curriculum: Inherit, {change}, max_step: {end})");
        (format!("c{index:05}"), text)
    };
    (0..count).map(experiment).chain([("trunk".into(), TRUNK.into())]).collect()
}

/// A file of annotated spectra, 40 peaks and about a kilobyte each.
pub fn mgf(path: &Path, count: usize) {
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    let letters: Vec<char> = "GASPVTLNDQKEMHFRYW".chars().collect();
    for index in 0..count {
        // Peptides of eight residues, each another.
        let digit = |place: u32| letters[index / letters.len().pow(place) % letters.len()];
        let peptide: String = (0..7).map(digit).chain(['K']).collect();
        let mass: f64 = peptide.chars().map(mass).sum::<f64>() + 18.010_565;
        writeln!(file, "BEGIN IONS\nTITLE={index}\nPEPMASS={:.5}\nCHARGE=2+\nSEQ={peptide}", mass / 2.0 + 1.007_276).unwrap();
        for peak in 0..40 {
            writeln!(file, "{:.4} {:.1}", 120.0 + 17.3 * peak as f64 + index as f64 % 7.0, 10.0 + (peak * 37 % 100) as f64)
                .unwrap();
        }
        writeln!(file, "END IONS").unwrap();
    }
    file.flush().unwrap();
}

/// Monoisotopic mass of a residue, Da, near enough for a precursor to fit.
fn mass(residue: char) -> f64 {
    match residue {
        'G' => 57.021_46,
        'A' => 71.037_11,
        'S' => 87.032_03,
        'P' => 97.052_76,
        'V' => 99.068_41,
        'T' => 101.047_68,
        'L' => 113.084_06,
        'N' => 114.042_93,
        'D' => 115.026_94,
        'Q' => 128.058_58,
        'K' => 128.094_96,
        'E' => 129.042_59,
        'M' => 131.040_49,
        'H' => 137.058_91,
        'F' => 147.068_41,
        'R' => 156.101_11,
        'Y' => 163.063_33,
        _ => 186.079_31,
    }
}

/// Makes a file look as if it had not been touched for a minute, and waits until that, too, is long ago.
pub fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(60);
    OpenOptions::new().write(true).open(path).and_then(|file| file.set_modified(old)).unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
}

/// The whole history of the trunk's only leaf.
pub fn trunk(folder: &Path) -> History {
    let (mut loaded, name) = Project { root: folder.into() }.load(Path::new("trunk")).expect("a sound file");
    let resolution = loaded.resolve(std::slice::from_ref(&name));
    resolution.experiments[&name].leaves[0].history.clone()
}

/// A run with one checkpoint of its own root, an evaluation and a record.
pub fn save_run(store: &Store, history: &History, index: usize) {
    let name = Name::try_from(format!("run{index:05}")).expect("a name");
    let root = Root { seed: index as u64, ..history.root().clone() };
    let own = History::new(root, history.spans().iter().cloned(), 1_000);
    let parent = save(store, &store.run_folder(&name).join("main"), &own, None);
    let mut counts = Counts::default();
    let answer = Answer { predicted: &[], truth: &[], neutral_mass: 1.0, score: None };
    counts.add(&own.root().vocabulary(), answer);
    let scores =
        Scores { cross_entropy: 1.0, summary: counts.summary(), outcomes: [(3, false)].map(Into::into).into_iter().collect() };
    let (set, set_digest, tensors) = ("easy".into(), "0".repeat(64), parent.tensors);
    let evaluation = Evaluation {
        format: FORMAT,
        id: parent.id,
        step: parent.step,
        weights: Weights::Raw,
        tensors,
        set,
        set_digest,
        evaluator: EVALUATOR,
        scores,
    };
    store.save_evaluation(&name, &evaluation).expect("saved");
    let attempt = Attempt {
        started: "2026-11-25T10:00:00.000Z".into(),
        ended: Some("2026-11-25T10:10:00.000Z".into()),
        status: Status::Complete,
        command: vec!["runner".into(), "run".into()],
        provenance: Default::default(),
        numerics: Numerics { backend: "fake".into(), details: Default::default() },
        steps_trained: 1_000,
        failures: vec![],
    };
    let record = RunRecord { format: FORMAT, status: Status::Complete, attempts: vec![attempt] };
    store.save_run_record(&name, &record).expect("saved");
    store.save_experiment(&name, TRUNK).expect("saved");
}

/// Saves a checkpoint of a network of two numbers.
pub fn save(store: &Store, folder: &Path, history: &History, parent: Option<ParentDigest>) -> ParentDigest {
    let chain = Tensors::from([("chain".to_owned(), Tensor::counter(history.end()))]);
    let updates = Tensors::from([("updates".to_owned(), Tensor::counter(history.end()))]);
    let state = State { model: chain, ema: Tensors::default(), optimizer: updates };
    let details = (0..12).map(|n| (format!("detail {n}"), format!("some value of it, {n}"))).collect();
    let numerics = Numerics { backend: "fake".into(), details };
    let segment = Segment { history, parent, numerics: &numerics, metrics: b"", ledger: None, timing: b"" };
    let found = store.commit(folder, &segment, &state).expect("a checkpoint").found.manifest;
    ParentDigest { id: found.id, step: found.step, tensors: found.tensors }
}

/// Stdout of the program, which must succeed.
pub fn runner(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How many times longer `large` takes than `small`, each at its quickest: a machine with other work to do slows both.
pub fn growth(small: impl Fn(), large: impl Fn()) -> f64 {
    let begun = Instant::now();
    growth_by(&|| begun.elapsed().as_secs_f64(), &small, &large)
}

/// The same for work that this thread does itself, by the time that the system gives it: other work does not show.
pub fn own_growth(small: impl Fn(), large: impl Fn()) -> f64 {
    let begun = Instant::now();
    let given = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9)
    };
    growth_by(&|| given().unwrap_or_else(|| begun.elapsed().as_secs_f64()), &small, &large)
}

fn growth_by(seconds: &dyn Fn() -> f64, small: &dyn Fn(), large: &dyn Fn()) -> f64 {
    let took = |work: &dyn Fn()| {
        let begun = seconds();
        work();
        seconds() - begun
    };
    let pairs: Vec<(f64, f64)> = (0..4).map(|_| (took(small), took(large))).collect();
    let quickest = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).fold(f64::INFINITY, f64::min);
    let ratio = quickest(|pair| pair.1) / quickest(|pair| pair.0);
    println!("four times as much takes {ratio:.1} times as long");
    ratio
}

/// A disk that waits for nothing: folders of many runs are made in seconds.
pub struct QuickDisk;

impl Disk for QuickDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.append(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}
