//! `runner rehearse`: the whole experiment in about a minute, with a small network and few steps, in a folder of its own; then
//! what the real thing would take: its time from one real micro-batch, memory and disk by count.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::context::{Context, Ready, existing, grouped};
use super::progress::{Progress, Stages, brief};
use super::run::{Work, default_jobs, finish, open};
use super::signals::Stop;
use super::{Fault, note, print, print_json};
use crate::execute::{Executor, Start};
use crate::history::{History, Settings, Span};
use crate::lineage::{in_f32, shrink, small};
use crate::plan::{Footprint, Keep, Material, Plan, about};
use crate::record::{Tensor, Tensors};
use crate::spec::{InRun, Name, Parent, Precision, render_ron};
use crate::store::{RealDisk, Store, encode};
use crate::task::model::Recursive;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file, or its name
    experiment: PathBuf,
    /// Where to train: `auto`, `cpu`, `cuda` or `cuda:1`
    #[arg(long, default_value = "auto")]
    device: String,
    /// Updates of the whole rehearsal
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    steps: u64,
    /// Samples of the micro-batch that is timed at full size [default: the experiment's, at most 4 on a CPU]
    #[arg(long, value_name = "N")]
    samples: Option<u32>,
    /// The estimate as JSON, without the rehearsal's comparison
    #[arg(long)]
    json: bool,
}

/// Samples timed on a CPU: at full size each may take seconds.
const CPU_SAMPLES: u32 = 4;

/// What the real experiment would take.
#[derive(Debug, Serialize)]
struct Estimate {
    /// Updates still to be made.
    steps: u64,
    /// The micro-batch that was timed.
    samples_timed: u32,
    seconds_timed: f64,
    seconds_per_step: f64,
    seconds: f64,
    memory_bytes: u64,
    disk_bytes: f64,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let ready = context.ready(&args.experiment)?;
    let executor = open(&args.device)?;
    let stop = Stop::listen()?;
    let begun = Instant::now();
    let lacks = lacking(&ready, &*executor);
    if let Some(precision) = lacks {
        note(&format!("this device does not compute in {precision:?}: rehearsed and timed in f32"));
    }
    let (small_context, small_ready) = smaller(&context, &ready, args.steps, lacks.is_some())?;
    let plan = small_ready.plan(&small_context.store.inventory(), &small_context.material(&small_ready)?.set_digests());
    note(&format!(
        "rehearsing `{}` in `{}`: {} updates with a network {} wide",
        ready.name,
        context.store.shown(small_context.store.root()),
        grouped(plan.steps_shared()),
        small(model_of(&ready)?).hidden
    ));
    let progress = Progress::new(Stages::of(&small_ready));
    let jobs = default_jobs(&executor.numerics());
    let (executor, events) = (&*executor, &progress);
    let work = Work { context: &small_context, ready: &small_ready, executor, jobs, stop: &|| stop.asked(), events };
    let outcome = work.carry_out()?;
    let took = begun.elapsed();
    if outcome.interrupted {
        return Err(Fault::Abandoned("a rehearsal"));
    }
    if !args.json || !outcome.failures.is_empty() {
        finish(&small_context, &small_ready, &outcome, took, false)?;
        super::report::write(&small_context, &small_ready)?;
        let page = small_context.store.in_run(&small_ready.name, InRun::Page);
        note(&format!("its report is `{}`", context.store.shown(&page)));
    }
    let estimate = estimate(&context, &ready, executor, args.samples)?;
    match args.json {
        true => print_json(&estimate),
        false => print(&text(&ready.name, &estimate)),
    }
}

fn model_of(ready: &Ready) -> Result<&Recursive, Fault> {
    let leaf = ready.resolved().leaves.first().ok_or_else(|| Fault::World("the experiment has no leaf".into()))?;
    Ok(leaf.history.root().model.recursive())
}

/// The number format that the experiment asks for and the device lacks.
fn lacking(ready: &Ready, executor: &dyn Executor) -> Option<Precision> {
    let histories = ready.resolved().leaves.iter().map(|leaf| &leaf.history);
    let asked = histories.flat_map(|history| history.settings_from(0)).map(|settings| settings.precision);
    asked.into_iter().find(|&precision| !executor.computes(precision))
}

/// The experiment made small, saved in a folder of its own that is made anew.
fn smaller(context: &Context, ready: &Ready, steps: u64, in_f32_only: bool) -> Result<(Context, Ready), Fault> {
    let folder = context.store.root().join(".rehearsed").join(ready.name.as_str());
    let old = Store::new(&folder, Arc::new(RealDisk));
    if folder.exists() {
        old.remove_all()?;
    }
    let whole = Plan::new(&ready.resolution.experiments, &ready.name, &Default::default(), &Default::default());
    let divisor = whole.steps_shared().div_ceil(steps.max(1)).max(1);
    let weights = folder.join("imported.safetensors");
    let experiment = shrink(&ready.loaded.library, &ready.name, divisor, &weights.display().to_string())
        .map_err(|error| Fault::World(format!("the experiment cannot be made small: {error}")))?;
    let experiment = if in_f32_only { in_f32(experiment) } else { experiment };
    let store = Store::new(folder.join("runs"), Arc::new(RealDisk));
    if imports(ready) {
        save(&old, "imported.safetensors", &encode(&first_weights(&small(model_of(ready)?))).map_err(Fault::World)?)?;
    }
    let name = format!("{}.ron", ready.name);
    save(&old, &name, render_ron(&experiment).as_bytes())?;
    let small = Context {
        project: context.project.clone(),
        store,
        versions: context.versions.clone(),
        from_recorded: false,
        believes: false,
    };
    let ready = small.ready(&folder.join(name))?;
    Ok((small, ready))
}

fn save(store: &Store, name: &str, bytes: &[u8]) -> Result<(), Fault> {
    Ok(store.save_file(name, bytes)?)
}

fn imports(ready: &Ready) -> bool {
    ready.loaded.library.experiments.values().any(|known| matches!(known.value.parent, Parent::Imported(_)))
}

fn first_weights(model: &Recursive) -> Tensors {
    let parameters = model.parameters();
    let first = parameters
        .iter()
        .enumerate()
        .map(|(index, parameter)| (parameter.path.clone(), Tensor::f32(parameter.shape.clone(), parameter.initial(0, index))));
    first.collect()
}

/// Times one micro-batch of the real network and scales it.
fn estimate(context: &Context, ready: &Ready, executor: &dyn Executor, samples: Option<u32>) -> Result<Estimate, Fault> {
    let inventory = context.store.inventory();
    let material = context.material(ready)?;
    let plan = Plan::new(&ready.resolution.experiments, &ready.name, &existing(&inventory), &material.set_digests());
    let leaf = ready.resolved().leaves.first().ok_or_else(|| Fault::World("the experiment has no leaf".into()))?;
    let last = leaf.history.settings(leaf.history.end().saturating_sub(1)).clone();
    let most = if executor.numerics().is_gpu() { last.micro_batch } else { last.micro_batch.min(CPU_SAMPLES) };
    let samples = samples.unwrap_or(most).clamp(1, last.batch);
    note(&format!("timing a micro-batch of {samples} at full size"));
    let seconds = time(executor, &leaf.history, &last, samples, &material)?;
    let seconds_per_step = seconds * f64::from(last.batch) / f64::from(samples);
    let steps = plan.steps_to_train();
    let values: usize = model_of(ready)?.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let machine = executor.numerics().machine();
    let footprint = plan.footprint(machine).unwrap_or_else(|| Footprint::new(leaf.history.root(), &last, machine));
    Ok(Estimate {
        steps,
        samples_timed: samples,
        seconds_timed: seconds,
        seconds_per_step,
        seconds: seconds_per_step * steps as f64,
        memory_bytes: footprint.bytes(),
        disk_bytes: disk(&plan, values, model_of(ready)?.parameters().len(), !executor.numerics().is_gpu()),
    })
}

/// Seconds of an update with one micro-batch of so many samples; the first one, which also prepares, is not counted.
fn time(
    executor: &dyn Executor,
    history: &History,
    settings: &Settings,
    samples: u32,
    material: &Material,
) -> Result<f64, Fault> {
    let precision = if executor.computes(settings.precision) { settings.precision } else { Precision::F32 };
    let settings = Settings { batch: samples, micro_batch: samples, precision, ..settings.clone() };
    let root = history.root().clone();
    let begin = root.first_step();
    let short = History::new(root, [Span { from: begin, settings }], begin + 2);
    let sampler = material.samplers.get(&Material::root_id(history)).cloned();
    let sampler = sampler.ok_or_else(|| Fault::World("its data were not made".into()))?;
    let failed = |failure: crate::execute::Failure| Fault::World(failure.to_string());
    let state =
        material.imported.values().next().map(|model| crate::record::State { model: model.clone(), ..Default::default() });
    let mut trainee = executor.start(Start { history: &short, step: begin, state, sampler, ledger: false }).map_err(failed)?;
    trainee.step(true, &|| false).map_err(failed)?;
    let begun = Instant::now();
    trainee.step(true, &|| false).map_err(failed)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Bytes under `runs/` at the end: tensors that are kept, the last two of every stretch against crashes, and ledgers.
fn disk(plan: &Plan, values: usize, tensors: usize, ledger_of_tensors: bool) -> f64 {
    let checkpoint = values as f64 * 4.0 * 4.0;
    let kept: usize = plan
        .segments
        .iter()
        .map(|segment| {
            let lasting = segment.saves.iter().filter(|save| save.keep > Keep::Rolling).count();
            lasting + (segment.saves.len() - lasting).min(crate::plan::ROLLING)
        })
        .sum();
    let columns = 9 + if ledger_of_tensors { 2 * tensors } else { 0 };
    let rows: f64 = plan.segments.iter().filter(|segment| segment.ledger).map(|segment| segment.steps() as f64).sum();
    kept as f64 * checkpoint + rows * columns as f64 * 8.0
}

fn text(name: &Name, estimate: &Estimate) -> String {
    let time = match Duration::try_from_secs_f64(estimate.seconds) {
        Ok(time) if estimate.seconds < 2.0 * 86_400.0 => brief(time),
        _ => format!("{:.1} days", estimate.seconds / 86_400.0),
    };
    format!(
        "\nthe real `{name}` from here on: {} updates of {:.3} s, {time} one after the other; about {} of memory and {} of disk\n\
         (the time is from one micro-batch of {} samples that took {:.3} s; evaluations and saving come on top, a few per cent)\n",
        grouped(estimate.steps),
        estimate.seconds_per_step,
        about(estimate.memory_bytes),
        about(estimate.disk_bytes as u64),
        estimate.samples_timed,
        estimate.seconds_timed
    )
}
