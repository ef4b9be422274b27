//! A project far larger than anybody's still answers within seconds, and what must not grow does not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runner::command::run::run_with;
use runner::execute::{Fake, Silent};
use runner::load::{Digests, Project};
use runner::plan::{Existing, Plan};
use runner::record::DataCache;
use runner::store::{Disk, Locked, RealDisk, Store, sealed};

mod folders;

use folders::{QuickDisk, TRUNK, age, chain, growth, mgf, own_growth, project, runner, save, save_run, trunk, wide};

/// Far above what is measured (about a second), and far below what a quadratic way would take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Loads, resolves and plans everything; the numbers of leaves and segments.
fn plan_everything(project: &Project) -> (usize, usize) {
    let started = Instant::now();
    let (mut loaded, targets) = project.load_all();
    let read = started.elapsed();
    let resolution = loaded.resolve(&targets);
    assert!(loaded.problems.is_empty(), "{:#?}", &loaded.problems[..1]);
    let resolved = started.elapsed();
    let (mut leaves, mut segments) = (0, 0);
    for target in &targets {
        let plan = Plan::new(&resolution.experiments, target, &Existing::default(), &BTreeMap::new());
        leaves += plan.members.iter().filter(|member| member.is_target).count();
        segments += plan.segments.len();
    }
    let all = started.elapsed();
    println!("{} experiments, {leaves} leaves, {segments} segments", targets.len());
    println!("read {read:.2?}, resolved {:.2?}, planned {:.2?}", resolved - read, all - resolved);
    assert!(all < PATIENCE, "{all:?}");
    (leaves, segments)
}

#[test]
fn a_thousand_experiments_with_ten_thousand_branches() {
    let folder = project(wide(1_000));
    let (leaves, _) = plan_everything(&Project { root: folder.path().into() });
    assert_eq!(leaves, 10_001);
}

/// A fork whose branches leave the common way one after the other.
fn shedding(branches: usize, seeds: &str) -> tempfile::TempDir {
    let mut text = "(parent: Checkpoint(\"trunk@20_000\"), max_step: 40_000, branches: [\n".to_owned();
    for branch in 0..branches {
        // Half of them share their way for a while, none is the same as another.
        let to = 22_000 + 5 * branch;
        writeln!(text, "(name: \"b{branch}\", curriculum: Moved(of: \"phased\", loss: Precursor, to: {to})),").unwrap();
    }
    text += &format!("], seeds: {seeds})");
    project([("trunk".into(), TRUNK.into()), ("wide".into(), text)])
}

#[test]
fn one_experiment_with_ten_thousand_leaves() {
    let folder = shedding(2_000, "[1, 2, 3, 4, 5]");
    let (leaves, segments) = plan_everything(&Project { root: folder.path().into() });
    assert_eq!(leaves, 10_001);
    assert!(segments >= 10_000, "{segments}");
}

#[test]
fn a_line_of_forks_costs_its_length_and_not_its_square() {
    let (short, long) = (project(chain(500)), project(chain(2_000)));
    let plan = |folder: &tempfile::TempDir, last: &str| {
        let drawn = runner(folder.path(), &["plan", last]);
        assert!(drawn.len() < 1_000_000, "{} bytes", drawn.len());
    };
    // Sixteen times, where every fork goes through all that was before it.
    let ratio = growth(|| plan(&short, "c00499"), || plan(&long, "c01999"));
    assert!(ratio < 11.0, "{ratio}");
}

/// How many times longer planning alone takes in the second folder, which has four times as much of it.
fn planning_grows((few, last_of_few): (&Path, &str), (many, last_of_many): (&Path, &str)) -> f64 {
    let resolved = |root: &Path, last: &str| {
        let (mut loaded, target) = Project { root: root.into() }.load(Path::new(last)).unwrap();
        (loaded.resolve(std::slice::from_ref(&target)).experiments, target)
    };
    let (few, many) = (resolved(few, last_of_few), resolved(many, last_of_many));
    let plan = |(experiments, target): &(BTreeMap<_, _>, _)| {
        let plan = Plan::new(experiments, target, &Existing::default(), &BTreeMap::new());
        // As a drawing of the tree asks; lists of leaves may be as long as they are.
        let lone = |node: &usize| plan.targets(*node).len() == 1;
        assert!((0..plan.tree.nodes.len()).rev().take_while(lone).count() > 0);
    };
    // Several times: the system counts in milliseconds.
    own_growth(|| (0..5).for_each(|_| plan(&few)), || (0..5).for_each(|_| plan(&many)))
}

#[test]
fn planning_a_line_of_forks_goes_once_through_it() {
    let (short, long) = (project(chain(1_250)), project(chain(5_000)));
    // Sixteen times, where each fork goes through all that come after it.
    let ratio = planning_grows((short.path(), "c01249"), (long.path(), "c04999"));
    assert!(ratio < 8.0, "{ratio}");
}

#[test]
fn planning_leaves_that_part_one_after_the_other_goes_once_through_them() {
    let (few, many) = (shedding(500, "[1]"), shedding(2_000, "[1]"));
    let ratio = planning_grows((few.path(), "wide"), (many.path(), "wide"));
    assert!(ratio < 8.0, "{ratio}");
}

#[test]
fn a_line_of_thousands_of_forks_needs_no_deep_stack() {
    let folder = project(chain(4_000));
    let root = folder.path().to_path_buf();
    let plan = move || {
        let (mut loaded, target) = Project { root }.load(Path::new("c03999")).unwrap();
        let resolution = loaded.resolve(std::slice::from_ref(&target));
        Plan::new(&resolution.experiments, &target, &Existing::default(), &BTreeMap::new()).segments.len()
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(plan).unwrap();
    assert_eq!(thread.join().unwrap(), 4_001);
}

#[test]
fn a_list_of_runs_costs_their_number() {
    let with_runs = |count: usize| {
        let folder = project([("trunk".to_owned(), TRUNK.to_owned())]);
        let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
        let history = trunk(folder.path());
        (0..count).for_each(|index| save_run(&store, &history, index));
        folder
    };
    let (few, many) = (with_runs(1_000), with_runs(4_000));
    assert_eq!(runner(few.path(), &["ls"]).lines().count(), 1_001);
    // Sixteen times, where each run's row goes through all checkpoints.
    let ratio = growth(|| drop(runner(few.path(), &["ls"])), || drop(runner(many.path(), &["ls"])));
    assert!(ratio < 10.0, "{ratio}");
}

/// A disk that counts what is done to it, and the bytes that are written.
#[derive(Default)]
struct CountingDisk {
    changes: AtomicU64,
    bytes: AtomicU64,
}

impl CountingDisk {
    fn count(&self, bytes: &[u8]) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

impl Disk for CountingDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.count(b"");
        RealDisk.create_folder(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes);
        RealDisk.write(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.count(b"");
        RealDisk.append(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.count(b"");
        RealDisk.rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.count(b"");
        RealDisk.remove_folder(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Locked> {
        self.count(b"");
        RealDisk.lock(path)
    }
}

#[test]
fn going_on_costs_the_same_at_every_step() {
    let resumed = |step: u64| {
        let text = TRUNK.replace("100_000", &(step + 10).to_string()).replace("10_000", &step.to_string());
        let folder = project([("trunk".to_owned(), text.replace("save_every", "evaluate_every: 10_000_000, save_every"))]);
        let store = Store::new(folder.path().join("runs"), Arc::new(QuickDisk));
        save(&store, &folder.path().join("runs/trunk/main"), &trunk(folder.path()).cut(step), None);
        let (fake, disk) = (Fake::default(), Arc::new(CountingDisk::default()));
        run_with(folder.path(), Path::new("trunk"), &fake, disk.clone(), 1, &|| false, &Silent).unwrap();
        assert_eq!(fake.steps.load(Ordering::Relaxed), 10);
        (disk.changes.load(Ordering::Relaxed), disk.bytes.load(Ordering::Relaxed))
    };
    let (early, late) = (resumed(10_010), resumed(10_000_010));
    assert_eq!(early.0, late.0, "changes of the disk");
    // Larger steps have a few more digits, and a later history has a few more spans.
    assert!(late.1 < early.1 + 20_000, "{} and {} bytes", early.1, late.1);
}

const FILES: &str = "(
    parent: Scratch(
        seed: 1,
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 1,
            latent_steps: 1, peaks: 50, length: 12),
        data: Mgf(files: [\"data/some.mgf\"], held_out: 0.2),
        training: (batch: 4, lr: Constant(rate: 1e-3)),
    ),
    curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1.0})]),
    max_step: 10,
    validation: [(name: \"held_out\", data: Mgf(files: [\"data/some.mgf\"]), spectra: 20)],
)";

fn with_data() -> tempfile::TempDir {
    let folder = project([("real".to_owned(), FILES.to_owned())]);
    fs::create_dir(folder.path().join("data")).unwrap();
    mgf(&folder.path().join("data/some.mgf"), 300);
    folder
}

#[test]
fn a_second_question_reads_no_data() {
    let folder = with_data();
    let file = folder.path().join("data/some.mgf");
    age(&file);
    let project = Project { root: folder.path().into() };
    let mut first = Digests::believing(DataCache::default(), "test");
    project.load_with(Path::new("real"), &mut first).unwrap();
    assert_eq!(first.read, 1, "one file, named twice");
    let mut second = Digests::believing(first.news().unwrap(), "test");
    project.load_with(Path::new("real"), &mut second).unwrap();
    assert_eq!((second.read, second.news()), (0, None));
    let mut training = Digests::fresh(first.news().unwrap());
    project.load_with(Path::new("real"), &mut training).unwrap();
    assert_eq!(training.read, 1, "training believes nothing");
}

#[test]
fn the_cache_of_data_may_be_damaged_or_lost() {
    let folder = with_data();
    age(&folder.path().join("data/some.mgf"));
    let cache = folder.path().join("runs/.cache/data.json");
    let plan = || runner(folder.path(), &["plan", "real", "--json"]);
    let first = plan();
    let sound = fs::read(&cache).unwrap();
    assert_eq!(plan(), first);
    assert_eq!(fs::read(&cache).unwrap(), sound, "nothing new is nothing written");
    for damaged in [&sound[..sound.len() / 2], b"", b"{}", b"null"] {
        fs::write(&cache, damaged).unwrap();
        assert_eq!(plan(), first);
        assert_eq!(fs::read(&cache).unwrap(), sound, "it is made anew");
    }
    fs::remove_dir_all(folder.path().join("runs")).unwrap();
    assert_eq!(plan(), first);
    fs::remove_dir_all(folder.path().join("runs")).unwrap();
    fs::write(folder.path().join("runs"), "where nothing can be written").unwrap();
    assert_eq!(plan(), first);
}

#[test]
fn training_reads_its_data_whatever_is_remembered() {
    let ids = |folder: &Path| {
        run_with(folder, Path::new("real"), &Fake::default(), Arc::new(QuickDisk), 1, &|| false, &Silent).unwrap();
        Store::new(folder.join("runs"), Arc::new(QuickDisk)).inventory().checkpoints.into_keys().collect::<Vec<_>>()
    };
    let honest = with_data();
    let (folder, wrong) = (with_data(), "0".repeat(64));
    age(&folder.path().join("data/some.mgf"));
    let before = runner(folder.path(), &["plan", "real", "--json"]);
    let path = folder.path().join("runs/.cache/data.json");
    let mut cache: DataCache = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    cache.files.values_mut().for_each(|seen| seen.what.clone_from(&wrong));
    fs::write(&path, sealed(&cache)).unwrap();
    // A plan believes it, until it reads the file for its spectra; from then on it is forgotten.
    let mut plan = Command::new(env!("CARGO_BIN_EXE_runner"));
    let output = plan.arg("-C").arg(folder.path()).args(["plan", "real"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(runner(folder.path(), &["plan", "real", "--json"]), before);
    fs::write(&path, sealed(&cache)).unwrap();
    assert_eq!(ids(folder.path()), ids(honest.path()));
    assert!(runner(folder.path(), &["plan", "real"]).contains("exists"), "and what it read is remembered");
}
