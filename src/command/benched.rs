//! One batch size of `runner bench`: trains for a while, saves into a folder that is removed, and adds up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Fault;
use super::bench::last_span;
use super::context::Context;
use crate::execute::{Executor, Part, Parts, Start, Stepped, Trainee, forget_peak_memory, peak_memory};
use crate::history::{History, Origin, Settings, Span};
use crate::lineage::{Leaf, Rhythm};
use crate::plan::{Footprint, Material};
use crate::record::{Ledger, Measured, MetricsRow, State};
use crate::report::{Bench, BenchRow, PartTime};
use crate::store::{RealDisk, Segment, Store};

/// More updates than anybody waits for: the feed needs an end.
const MOST_STEPS: u64 = 1_000_000_000;
/// Checkpoints that are saved; the middle one counts.
const SAVES: usize = 3;

/// A batch size on its way to a row.
pub(super) struct Trial<'a> {
    pub context: &'a Context,
    pub leaf: &'a Leaf,
    pub material: &'a Material,
    /// How often it logs, and whether a ledger is kept.
    pub rhythm: &'a Rhythm,
    pub executor: &'a dyn Executor,
    pub settings: Settings,
    pub footprint: Footprint,
    pub stop: &'a dyn Fn() -> bool,
}

/// A network in training, as `run` drives it.
struct Side<'a> {
    trainee: Box<dyn Trainee>,
    history: History,
    step: u64,
    log_every: u64,
    ledger: Option<Ledger>,
    metrics: Vec<u8>,
    /// What is done outside of the trainee.
    own: Parts,
    stop: &'a dyn Fn() -> bool,
}

/// Updates that were timed.
struct Window {
    steps: u64,
    seconds: f64,
}

fn failed(failure: crate::execute::Failure) -> Fault {
    Fault::World(failure.to_string())
}

impl Trial<'_> {
    /// The row of this batch size; `None` where it was stopped.
    pub fn run(&self, bench: &Bench, seconds: f64) -> Result<Option<BenchRow>, Fault> {
        forget_peak_memory();
        let mut side = self.start()?;
        // The first update prepares: threads, memory, kernels.
        if side.window(0.0)?.is_none() {
            return Ok(None);
        }
        // On a GPU taking the time of the parts slows updates down, so their speed is measured before.
        let undisturbed = match self.executor.numerics().is_gpu() {
            true => Some(side.window(seconds)?),
            false => None,
        };
        side.trainee.time_parts();
        let timed = side.window(seconds)?;
        let (Some(timed), Some(fast)) = (&timed, undisturbed.as_ref().unwrap_or(&timed)) else { return Ok(None) };
        let saving = self.saving(&mut side)?;
        Ok(Some(self.row(bench, &side, fast, timed, saving)))
    }

    fn start(&self) -> Result<Side<'_>, Fault> {
        let root = self.leaf.history.root().clone();
        let from = last_span(self.leaf).from;
        let history = History::new(root, [Span { from, settings: self.settings.clone() }], from + MOST_STEPS);
        let sampler = self.material.samplers.get(&Material::root_id(&self.leaf.history)).cloned();
        let sampler = sampler.ok_or_else(|| Fault::World("its data were not made".into()))?;
        let rhythm = self.rhythm;
        let start = Start { history: &history, step: from, state: self.state(), sampler, ledger: rhythm.ledger };
        let trainee = self.executor.start(start).map_err(failed)?;
        let chain = Ledger::first_chain(Material::root_id(&self.leaf.history));
        let ledger = rhythm.ledger.then(|| Ledger::new(from, chain, &trainee.traced()));
        let (metrics, own, log_every) = (vec![], Parts::default(), rhythm.log_every);
        Ok(Side { trainee, history, step: from, log_every, ledger, metrics, own, stop: self.stop })
    }
}

impl Side<'_> {
    /// Makes updates for so many seconds, and one at least; `None` where it was stopped.
    fn window(&mut self, seconds: f64) -> Result<Option<Window>, Fault> {
        self.own = Parts::default();
        let begun = Instant::now();
        let mut steps = 0;
        while steps == 0 || begun.elapsed().as_secs_f64() < seconds {
            let read = steps == 0 || self.step.is_multiple_of(self.log_every);
            if (self.stop)() {
                return Ok(None);
            }
            let Stepped::Done(measured) = self.trainee.step(read, self.stop).map_err(failed)? else { return Ok(None) };
            if let Some(measured) = measured {
                self.log(&measured)?;
            }
            self.step += 1;
            steps += 1;
        }
        self.note_entries()?;
        Ok(Some(Window { steps, seconds: begun.elapsed().as_secs_f64() }))
    }

    /// What `run` does after an update that is logged.
    fn log(&mut self, measured: &Measured) -> Result<(), Fault> {
        let begun = Instant::now();
        let row = MetricsRow::new(&self.history.at(self.step), measured);
        serde_json::to_writer(&mut self.metrics, &row).map_err(|error| Fault::World(error.to_string()))?;
        self.metrics.push(b'\n');
        self.own.add(Part::Metrics, begun.elapsed().as_secs_f64());
        self.note_entries()
    }

    fn note_entries(&mut self) -> Result<(), Fault> {
        let begun = Instant::now();
        if let Some(ledger) = &mut self.ledger {
            self.trainee.entries().map_err(failed)?.iter().for_each(|entry| ledger.push(entry));
        }
        self.own.add(Part::Ledger, begun.elapsed().as_secs_f64());
        Ok(())
    }
}

impl Trial<'_> {
    /// Imported weights where the root has them: none else are asked for, as their values change no time.
    fn state(&self) -> Option<State> {
        let Origin::Imported { digest, .. } = &self.leaf.history.root().origin else { return None };
        let model = self.material.imported.get(digest).cloned()?;
        Some(State { model, ..State::default() })
    }

    /// Seconds that saving a checkpoint takes, from reading the state to the bytes on the disk under `runs/`.
    fn saving(&self, side: &mut Side) -> Result<f64, Fault> {
        let folder = Removed::new(&self.context.store);
        let store = Store::new(&folder.path, Arc::new(RealDisk));
        let numerics = self.executor.numerics();
        let history = side.history.cut(side.step);
        let mut took = Vec::with_capacity(SAVES);
        for save in 0..SAVES {
            let begun = Instant::now();
            let state = side.trainee.state().map_err(failed)?;
            let ledger = side.ledger.as_mut().map(|ledger| {
                ledger.end(&state);
                ledger.encode()
            });
            let (metrics, ledger) = (side.metrics.as_slice(), ledger.as_deref());
            let segment = Segment { history: &history, parent: None, numerics: &numerics, metrics, ledger, timing: b"" };
            store.commit(&folder.path.join(save.to_string()), &segment, &state)?;
            took.push(begun.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        Ok(took[SAVES / 2])
    }

    /// `fast` gives the speed, `timed` is what the parts were timed in; a checkpoint takes `saving` seconds.
    fn row(&self, bench: &Bench, side: &Side, fast: &Window, timed: &Window, saving: f64) -> BenchRow {
        let saving_per_step = saving / bench.save_every.max(1) as f64;
        let per_step = |window: &Window| window.seconds / window.steps as f64 + saving_per_step;
        let inside = side.trainee.parts().unwrap_or_default();
        let mut parts = Parts::default();
        for part in Part::ALL {
            parts.add(part, (inside.of(part) + side.own.of(part)) / timed.steps as f64);
        }
        parts.add(Part::Checkpoint, saving_per_step);
        let whole = per_step(timed);
        let part_time = |part: Part| {
            let seconds_per_step = parts.of(part);
            PartTime { part: part.name(), seconds_per_step, share: seconds_per_step / whole }
        };
        let seconds_per_step = per_step(fast);
        BenchRow {
            batch: self.settings.batch,
            micro_batch: self.settings.micro_batch,
            steps_timed: fast.steps,
            seconds_per_step,
            steps_per_second: 1.0 / seconds_per_step,
            samples_per_second: f64::from(self.settings.batch) / seconds_per_step,
            seconds_of_leaf: bench.steps_of_leaf as f64 * seconds_per_step,
            seconds_left: bench.steps_left as f64 * seconds_per_step,
            peak_memory_bytes: side.trainee.device_memory().unwrap_or_else(peak_memory),
            predicted_memory_bytes: self.footprint.bytes(),
            parts: Part::ALL.map(part_time).to_vec(),
            seconds_making_a_batch: inside.making_batches / timed.steps as f64,
            seconds_per_checkpoint: saving,
        }
    }
}

/// A bench's folder, which goes when this does; with it goes a `runs/` that was made for it.
struct Removed {
    path: PathBuf,
    made: Option<PathBuf>,
}

impl Removed {
    fn new(store: &Store) -> Removed {
        let runs = store.root();
        Removed { path: store.bench_folder(), made: (!runs.exists()).then(|| runs.to_path_buf()) }
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        // What cannot be removed is no reason to lose what was measured; only an empty folder is removed at all.
        let _ = std::fs::remove_dir_all(&self.path);
        if let Some(runs) = &self.made {
            let _ = std::fs::remove_dir(runs);
        }
    }
}
