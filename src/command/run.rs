//! `runner run`: trains and evaluates whatever an experiment still lacks. Running it again goes on, or finds nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::attempts::{Attempts, now};
use super::compare;
use super::context::{Context, Ready, existing, grouped};
use super::diagnostics::counted;
use super::edits::refuse_edits;
use super::progress::{Progress, Stages, brief};
use super::provenance::provenance;
use super::report;
use super::saved::saved_text;
use super::signals::Stop;
use super::versions::refuse_other_versions;
use super::{Fault, note, print};
use crate::execute::{Event, Events, Executor, Job, Outcome, check_precision, free_memory};
use crate::history::{Id, Versions};
use crate::plan::{Material, Plan, Segment};
use crate::record::{Attempt, Numerics, RunRecord, Status};
use crate::spec::Name;
use crate::store::{Inventory, Store};
use crate::task::footprint::Machine;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file, or its name
    experiment: PathBuf,
    /// Where to train: `auto`, `cpu`, `cuda` or `cuda:1`
    #[arg(long, default_value = "auto")]
    device: String,
    /// Segments trained at once [default: one for each core on a CPU, one on a GPU]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Put the experiment's old run into `runs/.trash` and train again
    #[arg(long)]
    replace: bool,
    /// Go on under the versions of the code's parts that were recorded when the experiment, or its ancestors, were trained
    #[arg(long)]
    from_recorded: bool,
    /// The comparison at the end as JSON
    #[arg(long)]
    json: bool,
}

/// Plans in a row that put damaged checkpoints aside before it is given up.
const MOST_PLANS: usize = 20;

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context { from_recorded: args.from_recorded, ..Context::open(directory)? };
    let ready = context.ready(&args.experiment)?;
    let executor = open(&args.device)?;
    let jobs = args.jobs.unwrap_or_else(|| default_jobs(&executor.numerics()));
    let stop = Stop::listen()?;
    if args.replace && context.store.run_folder(&ready.name).exists() {
        let to = context.store.trash(&ready.name)?;
        note(&format!("the old run is in `{}`", context.store.shown(&to)));
    }
    let began = Instant::now();
    let progress = Progress::new(Stages::of(&ready));
    let work = Work { context: &context, ready: &ready, executor: &*executor, jobs, stop: &|| stop.asked(), events: &progress };
    let outcome = refreshing(&context, &ready, || work.carry_out())?;
    let finished = finish(&context, &ready, &outcome, began.elapsed(), args.json);
    if outcome.steps_trained > 0 && report::write(&context, &ready).is_ok() {
        note(&format!("the report is `runs/{0}/report.html`", ready.name));
    }
    finished
}

/// How often the report is written anew while training goes on; longer where writing it takes its time.
const REFRESH: Duration = Duration::from_secs(30);

/// Works, and keeps the run's report up to date meanwhile. The report is a view: that it cannot be written stops nothing.
fn refreshing<T>(context: &Context, ready: &Ready, work: impl FnOnce() -> T) -> T {
    let (done, over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut pause = REFRESH;
            while over.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                let _ = report::write(context, ready);
                pause = REFRESH.max(begun.elapsed() * 100);
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(feature = "train")]
pub(crate) fn open(device: &str) -> Result<Box<dyn Executor>, Fault> {
    let choice = device.parse().map_err(Fault::Arguments)?;
    let burn = crate::train::Burn::open(choice).map_err(|error| Fault::World(error.to_string()))?;
    if choice == crate::train::Choice::Auto {
        note(&format!("`--device auto` took {}", super::devices::taken(&burn.numerics())));
    }
    Ok(Box::new(burn))
}

#[cfg(not(feature = "train"))]
pub(crate) fn open(_: &str) -> Result<Box<dyn Executor>, Fault> {
    Err(Fault::World("this runner was built without `train` and cannot train; build it with default features".into()))
}

/// Leaves on a CPU share its cores; a GPU is for one.
pub(crate) fn default_jobs(numerics: &Numerics) -> usize {
    match numerics.is_gpu() {
        true => 1,
        false => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// The end table, and what went wrong.
pub(crate) fn finish(context: &Context, ready: &Ready, outcome: &Outcome, took: Duration, json: bool) -> Result<(), Fault> {
    if outcome.steps_trained > 0 {
        let rate = outcome.steps_trained as f64 / took.as_secs_f64();
        note(&format!(
            "trained {} steps in {}, {rate:.0} steps/s with evaluations and saving",
            grouped(outcome.steps_trained),
            brief(took)
        ));
    }
    if outcome.interrupted {
        return Err(Fault::Interrupted);
    }
    if outcome.failures.is_empty() {
        if outcome.steps_trained == 0 {
            note(&format!("`{}` is done: nothing to train", ready.name));
        }
        return compare::show(context, ready, json);
    }
    if !json {
        print(&compare::text(context, ready)?)?;
    }
    Err(Fault::World(format!("{}:\n  {}", counted(outcome.failures.len(), "failure"), outcome.failures.join("\n  "))))
}

/// Everything needed to bring an experiment to its end. Public for tests, which carry it out with a fake.
pub struct Work<'a> {
    pub(crate) context: &'a Context,
    pub(crate) ready: &'a Ready,
    pub(crate) executor: &'a dyn Executor,
    pub(crate) jobs: usize,
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
    pub(crate) events: &'a dyn Events,
}

impl Work<'_> {
    /// Plans and carries out until nothing is left, or something stands in the way.
    pub(crate) fn carry_out(&self) -> Result<Outcome, Fault> {
        let store = &self.context.store;
        let mut inventory = self.context.inventory();
        refuse_edits(self.context, self.ready, &inventory)?;
        let material = self.context.material(self.ready)?;
        let mut total = Outcome::default();
        let mut begun: Option<Attempts> = None;
        for _ in 0..MOST_PLANS {
            let plan = self.ready.plan(&inventory, &material.set_digests());
            if plan.is_done() {
                break;
            }
            refuse_other_versions(self.context, self.ready, &plan)?;
            if begun.is_none() {
                self.check_precision(&plan)?;
                self.warn_of_memory(&plan);
                self.self_test(&plan, &material)?;
                self.warn_of_locks(store)?;
                begun = Some(self.begin(&plan, &inventory)?);
            }
            let job = Job {
                plan: &plan,
                store,
                executor: self.executor,
                material: &material,
                best: self.best(),
                planned_parents: self.planned_parents(&inventory)?,
                jobs: self.jobs,
                stop: self.stop,
                events: self.events,
            };
            let outcome = crate::execute::run(&job, inventory);
            let again = outcome.plan_again && !outcome.interrupted;
            total.steps_trained += outcome.steps_trained;
            total.interrupted = outcome.interrupted;
            if !again {
                total.failures = outcome.failures;
                break;
            }
            inventory = store.inventory();
        }
        let inventory = store.inventory();
        let is_done = |name: &Name| {
            Plan::new(&self.ready.resolution.experiments, name, &existing(&inventory), &material.set_digests()).is_done()
        };
        match begun {
            Some(attempts) => {
                attempts.names.iter().try_for_each(|name| self.save_text(name, &inventory))?;
                attempts.end(store, self.status(&total), &total, &is_done)?;
            }
            None => self.save_text(&self.ready.name, &inventory)?,
        }
        self.settle(&inventory, &is_done)?;
        Ok(total)
    }

    /// Notes down that a run is done which a killed attempt had brought to its end: with nothing left to train, nobody else would.
    fn settle(&self, inventory: &Inventory, is_done: &dyn Fn(&Name) -> bool) -> Result<(), Fault> {
        for name in self.ready.resolution.experiments.keys() {
            let Some(record) = self.context.store.run_record(name)? else { continue };
            if record.status != Status::Complete && is_done(name) {
                self.save_text(name, inventory)?;
                self.context.store.save_run_record(name, &RunRecord { status: Status::Complete, ..record })?;
            }
        }
        Ok(())
    }

    fn status(&self, outcome: &Outcome) -> Status {
        match (outcome.interrupted, outcome.failures.is_empty()) {
            (true, _) => Status::Interrupted,
            (false, true) => Status::Complete,
            (false, false) => Status::Failed,
        }
    }

    /// What the device does not compute is refused while nothing is trained.
    fn check_precision(&self, plan: &Plan) -> Result<(), Fault> {
        let checked = |segment: &Segment| check_precision(self.executor, &segment.history, segment.from);
        plan.segments.iter().try_for_each(checked).map_err(|failure| Fault::World(format!("{failure}; nothing was trained")))
    }

    /// Ground truth through every source that will be trained on.
    fn self_test(&self, plan: &Plan, material: &Material) -> Result<(), Fault> {
        let mut tested: BTreeSet<Id> = BTreeSet::new();
        for segment in &plan.segments {
            let root = Material::root_id(&segment.history);
            if let Some(sampler) = material.samplers.get(&root).filter(|_| tested.insert(root)) {
                let result = self.executor.self_test(segment.history.root(), sampler);
                result.map_err(|failure| Fault::World(format!("{failure}; nothing was trained")))?;
            }
        }
        Ok(())
    }

    /// Says where training may need more memory than the machine has free. A GPU's own memory is not asked.
    fn warn_of_memory(&self, plan: &Plan) {
        let free = free_memory();
        let machine = self.executor.numerics().machine();
        if machine == Machine::Gpu || free == 0 {
            return;
        }
        let at_once = self.jobs.min(plan.segments.len());
        let warning = plan.footprint(machine).and_then(|footprint| footprint.warning(at_once, free));
        if let Some(text) = warning {
            self.events.on(Event::Warning(text));
        }
    }

    fn warn_of_locks(&self, store: &Store) -> Result<(), Fault> {
        if !store.locks_work()? {
            let text = "file locks do not work on this file system: two runners may do the same work, the results stay right";
            self.events.on(Event::Warning(text.into()));
        }
        Ok(())
    }

    fn best(&self) -> BTreeMap<Name, (Name, String)> {
        let experiments = self.ready.resolution.experiments.values();
        experiments.filter_map(|resolved| Some((resolved.name.clone(), resolved.best.clone()?))).collect()
    }

    /// Checkpoints that training never thins: what anything that exists or is planned grew from, and what people pinned.
    fn planned_parents(&self, inventory: &Inventory) -> Result<BTreeSet<Id>, Fault> {
        let judged = super::judged::Judged::read(self.context);
        let planned = crate::plan::forks(&judged.experiments).map(|(_, id)| id);
        let broken = judged.other_forks.iter().map(|(_, id)| *id);
        let mut kept: BTreeSet<Id> = planned.chain(broken).chain(self.context.store.pins()?.into_keys()).collect();
        for child in inventory.checkpoints.values() {
            let parent = child.manifest.parent.as_ref().and_then(|parent| inventory.checkpoints.get(&parent.id));
            kept.extend(parent.filter(|parent| parent.path.parent() != child.path.parent()).map(|parent| parent.manifest.id));
        }
        Ok(kept)
    }

    fn save_text(&self, name: &Name, inventory: &Inventory) -> Result<(), Fault> {
        let frozen = compare::frozen_rule(self.context, name);
        let text = saved_text(name, &self.ready.loaded, &self.ready.resolution, inventory, frozen);
        Ok(self.context.store.save_experiment(name, &text)?)
    }

    /// Writes down, before anything is trained, what is going to be: the saved files and an incomplete record.
    fn begin(&self, plan: &Plan, inventory: &Inventory) -> Result<Attempts, Fault> {
        let owners = plan.segments.iter().map(|segment| segment.owner.experiment().clone());
        let names: BTreeSet<Name> = owners.chain([self.ready.name.clone()]).collect();
        let attempt = Attempt {
            started: now(),
            ended: None,
            status: Status::Incomplete,
            command: std::env::args().collect(),
            provenance: provenance(&self.context.project.root),
            numerics: self.executor.numerics(),
            steps_trained: 0,
            failures: vec![],
        };
        let attempts = Attempts { names, attempt, target: self.ready.name.clone() };
        for name in &attempts.names {
            self.save_text(name, inventory)?;
            attempts.write(&self.context.store, name)?;
        }
        Ok(attempts)
    }
}

/// What a test carries out: `runner run` with everything that varies in its hands.
pub struct Trial<'a> {
    pub directory: &'a Path,
    pub executor: &'a dyn Executor,
    pub disk: std::sync::Arc<dyn crate::store::Disk>,
    pub jobs: usize,
    pub stop: &'a (dyn Fn() -> bool + Sync),
    pub events: &'a dyn Events,
    /// What the program is taken to compute.
    pub versions: Versions,
    pub from_recorded: bool,
}

impl Trial<'_> {
    /// Brings an experiment to its end.
    ///
    /// # Errors
    /// The message a person would read.
    pub fn run(&self, experiment: &Path) -> Result<Outcome, String> {
        self.carry_out(experiment).map_err(Fault::into_text)
    }

    fn carry_out(&self, experiment: &Path) -> Result<Outcome, Fault> {
        let opened = Context::open(Some(self.directory))?;
        let store = Store::new(opened.project.runs(), self.disk.clone());
        let context = Context { store, versions: self.versions.clone(), from_recorded: self.from_recorded, ..opened };
        let ready = context.ready(experiment)?;
        let (executor, jobs, stop, events) = (self.executor, self.jobs, self.stop, self.events);
        Work { context: &context, ready: &ready, executor, jobs, stop, events }.carry_out()
    }
}

/// Brings an experiment to its end with a given executor, under this program's own versions.
///
/// # Errors
/// The message a person would read.
pub fn run_with(
    directory: &Path,
    experiment: &Path,
    executor: &dyn Executor,
    disk: std::sync::Arc<dyn crate::store::Disk>,
    jobs: usize,
    stop: &(dyn Fn() -> bool + Sync),
    events: &dyn Events,
) -> Result<Outcome, String> {
    let versions = Versions::CURRENT;
    Trial { directory, executor, disk, jobs, stop, events, versions, from_recorded: false }.run(experiment)
}
