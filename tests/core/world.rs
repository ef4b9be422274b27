//! A small project in a folder of its own.
#![allow(dead_code, reason = "two test binaries share this file, and each uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runner::command::run::run_with;
use runner::execute::{Event, Events, Executor, Fake, Outcome};
use runner::store::{Disk, RealDisk, Store};

pub const TRUNK: &str = r#"(
    parent: Scratch(
        seed: 42,
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 2, latent_steps: 1,
            peaks: 20, length: 12),
        data: Synthetic(length: 7..=10),
        training: (batch: 4, micro_batch: 2, lr: Cosine(peak: 1e-3, horizon: 100), ema: 0.99),
    ),
    curriculum: Inline(stages: [
        (from: 0, loss: {CrossEntropy: 1.0}),
        (from: 24, loss: {CrossEntropy: 1.0, Spectrum: 0.2}, ramp: 8),
    ]),
    max_step: 20,
    save_every: 5, evaluate_every: 10, log_every: 2,
    validation: [(name: "easy", data: Synthetic(source: (length: 7..=8)), spectra: 4)],
)"#;

pub const LEAVES: &str = r#"(
    parent: Checkpoint("trunk@10"),
    branches: [
        (name: "late", curriculum: File("late")),
        (name: "moved", curriculum: Moved(of: "late", loss: Precursor, to: 12)),
        (name: "control", curriculum: Inherit),
    ],
    seeds: [1, 2],
    max_step: 30,
)"#;

pub const LATE: &str = r#"(stages: [
    (from: 0, loss: {CrossEntropy: 1.0}),
    (from: 15, loss: {CrossEntropy: 1.0, Spectrum: 0.1, Precursor: 0.05}, ramp: 4, data: (length: 7..=9, noise_peaks: 2)),
])"#;

/// The trunk to 10, then for each seed 10 to 12 for all three branches, 12 to 15 for `late` and `control`, the rest apart.
pub const ALL: u64 = 10 + 2 * (2 + 3 + 18 + 2 * 15);

/// A project's folder, and events counted while it runs.
pub struct World {
    pub folder: tempfile::TempDir,
    pub warnings: std::sync::Mutex<Vec<String>>,
}

impl Events for World {
    fn on(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.warnings.lock().unwrap().push(text);
        }
    }
}

/// In memory where there is such a place: these tests wait for the disk thousands of times.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

impl World {
    /// A project with a trunk to 20, three branches from its step 10 under two seeds, and one curriculum.
    pub fn new() -> World {
        let world = World { folder: folder(), warnings: Default::default() };
        world.write("experiments/trunk.ron", TRUNK);
        world.write("experiments/leaves.ron", LEAVES);
        world.write("curricula/late.ron", LATE);
        world
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn store(&self) -> Store {
        Store::new(self.path().join("runs"), Arc::new(RealDisk))
    }

    pub fn run(&self, experiment: &str, fake: &Fake) -> Result<Outcome, String> {
        self.run_on(experiment, fake, Arc::new(RealDisk), 1, &|| false)
    }

    pub fn run_on(
        &self,
        experiment: &str,
        fake: &Fake,
        disk: Arc<dyn Disk>,
        jobs: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Outcome, String> {
        self.run_with(experiment, fake, disk, jobs, stop)
    }

    pub fn run_with(
        &self,
        experiment: &str,
        executor: &dyn Executor,
        disk: Arc<dyn Disk>,
        jobs: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Outcome, String> {
        run_with(self.path(), Path::new(experiment), executor, disk, jobs, stop, self)
    }

    /// Runs, and stops as a signal would after so many questions whether to stop.
    pub fn run_interrupted(&self, experiment: &str, questions: u64) -> Outcome {
        let asked = AtomicU64::new(0);
        let stop = || asked.fetch_add(1, Ordering::SeqCst) >= questions;
        self.run_on(experiment, &Fake::default(), Arc::new(RealDisk), 1, &stop).unwrap()
    }

    /// Everything that must be the same whatever happened on the way: the tensors of each checkpoint that has them at the
    /// end of a leaf or at a fork, the metrics joined along each leaf's lineage, and the evaluations.
    pub fn result(&self) -> BTreeMap<String, Vec<u8>> {
        let store = self.store();
        let inventory = store.inventory();
        let mut result = BTreeMap::new();
        for found in inventory.checkpoints.values() {
            let children = inventory
                .checkpoints
                .values()
                .filter(|c| c.manifest.parent.as_ref().is_some_and(|p| p.id == found.manifest.id))
                .count();
            if children == 1 {
                continue;
            }
            let name = format!("{}@{}", found.manifest.id.short(), found.manifest.step);
            let metrics =
                store.ancestry(&inventory, found.manifest.id).unwrap().iter().flat_map(|f| store.metrics(f).unwrap()).collect();
            result.insert(format!("{name} metrics"), metrics);
            let line = store.ancestry(&inventory, found.manifest.id).unwrap();
            let ledgers = line.iter().map(|f| store.ledger(f).unwrap().expect("a ledger is kept"));
            let words = |ledger: runner::record::Ledger| -> Vec<u64> {
                (ledger.from()..ledger.to()).flat_map(|step| ledger.row(step).unwrap().to_vec()).collect()
            };
            let ledger: Vec<u8> = ledgers.flat_map(words).flat_map(u64::to_le_bytes).collect();
            result.insert(format!("{name} ledger"), ledger);
            let last = store.ledger(found).unwrap().unwrap().last_chain();
            result.insert(format!("{name} chain"), last.to_le_bytes().to_vec());
            result.insert(format!("{name} tensors"), found.manifest.tensors.clone().into_bytes());
            store.verify(found).unwrap();
        }
        for evaluation in &inventory.evaluations {
            let key = format!("evaluation {}@{} {}", evaluation.id.short(), evaluation.step, evaluation.set);
            result.insert(key, serde_json::to_vec(evaluation).unwrap());
        }
        result
    }

    /// Files and folders under `runs/` whose names begin so.
    pub fn named(&self, prefix: &str) -> Vec<PathBuf> {
        let walk = walkdir::WalkDir::new(self.path().join("runs")).into_iter().filter_map(Result::ok);
        walk.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(walkdir::DirEntry::into_path).collect()
    }
}

/// What an undisturbed run gives.
pub fn undisturbed() -> BTreeMap<String, Vec<u8>> {
    let world = World::new();
    let outcome = world.run("leaves", &Fake::default()).unwrap();
    assert_eq!(outcome, Outcome { steps_trained: ALL, ..Outcome::default() });
    world.result()
}
