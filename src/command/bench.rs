//! `runner bench`: what an update of an experiment takes by batch size, part for part, from real updates that are kept
//! nowhere.

use std::path::{Path, PathBuf};

use super::benched::Trial;
use super::context::{Context, Ready, grouped};
use super::run::open;
use super::signals::Stop;
use super::{Fault, devices, note, print, print_json, terminal};
use crate::execute::{Executor, caught, free_memory};
use crate::history::{Settings, Span};
use crate::lineage::{Leaf, Rhythm};
use crate::plan::{Footprint, Material, about, is_out_of_memory};
use crate::report::{Bench, NotTried};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file, or its name
    #[arg(required_unless_present = "devices")]
    experiment: Option<PathBuf>,
    /// Batch sizes to try, as `8,16` [default: half the experiment's own, its own, and twice it]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    batches: Vec<u32>,
    /// Seconds to train at each batch size, after one update that is not counted; one is always counted
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Where to train: `auto`, `cpu`, `cuda` or `cuda:1`
    #[arg(long, default_value = "auto")]
    device: String,
    /// List what there is to train on, with memory and driver, and train nothing
    #[arg(long, conflicts_with_all = ["experiment", "batches", "seconds", "device"])]
    devices: bool,
    /// Everything as JSON
    #[arg(long)]
    json: bool,
}

/// An experiment is measured for an hour at a batch size at most.
const LONGEST_SECONDS: f64 = 3_600.0;

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    match (0.0..=LONGEST_SECONDS).contains(&value) {
        true => Ok(value),
        false => Err(format!("take 0 to {LONGEST_SECONDS} seconds")),
    }
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let Some(experiment) = args.experiment.as_ref().filter(|_| !args.devices) else { return devices::list(args.json) };
    let context = Context::open(directory)?;
    let ready = context.ready(experiment)?;
    if let Err(error) = context.store.remove_dead_benches() {
        note(&format!("warning: {error}"));
    }
    let executor = open(&args.device)?;
    let stop = Stop::listen()?;
    let leaf = ready.resolved().leaves.first().ok_or_else(|| Fault::World("the experiment has no leaf".into()))?;
    let material = context.material(&ready)?;
    let mut bench = described(&context, &ready, leaf, &material, &*executor);
    let asked = batches(&args.batches, last_span(leaf).settings.batch);
    let (rhythm, stopped) = (&ready.resolved().rhythm, || stop.asked());
    let subject = Subject { context: &context, leaf, material: &material, rhythm, executor: &*executor, stop: &stopped };
    let finished = subject.measure(&mut bench, &asked, args.seconds);
    if args.json {
        print_json(&bench)?;
    } else {
        print(&bench.shown(terminal::style()))?;
    }
    if !finished? {
        note(&format!("stopped: {} of {} batch sizes were measured", bench.rows.len(), asked.len()));
        return Err(Fault::Abandoned("a bench"));
    }
    Ok(())
}

/// What is known before anything is measured.
fn described(context: &Context, ready: &Ready, leaf: &Leaf, material: &Material, executor: &dyn Executor) -> Bench {
    let plan = ready.plan(&context.inventory(), &material.set_digests());
    Bench {
        experiment: ready.name.to_string(),
        leaf: leaf.key.to_string(),
        settings_from: last_span(leaf).from,
        device: devices::taken(&executor.numerics()),
        max_step: leaf.history.end(),
        steps_of_leaf: leaf.history.end() - leaf.history.start(),
        steps_of_plan: plan.steps_shared(),
        steps_left: plan.steps_to_train(),
        save_every: ready.resolved().rhythm.save_every,
        rows: vec![],
        not_tried: vec![],
    }
}

/// The settings a leaf ends under: the last stage is the dearest, as curricula are made.
pub(super) fn last_span(leaf: &Leaf) -> &Span {
    leaf.history.spans().last().expect("a leaf has a step to train")
}

/// The batch sizes to try, smallest first: what grew for a large one is not counted for a small one.
fn batches(asked: &[u32], own: u32) -> Vec<u32> {
    let mut batches = if asked.is_empty() { vec![own / 2, own, own.saturating_mul(2)] } else { asked.to_vec() };
    batches.retain(|&batch| batch > 0);
    batches.sort_unstable();
    batches.dedup();
    batches
}

/// Settings with another batch. What was trained whole stays whole; a micro-batch of its own stays as it is.
fn with_batch(settings: &Settings, batch: u32) -> Settings {
    let whole = settings.micro_batch >= settings.batch;
    let micro_batch = if whole { batch } else { settings.micro_batch.min(batch) };
    Settings { batch, micro_batch, ..settings.clone() }
}

/// What is measured, and with what.
struct Subject<'a> {
    context: &'a Context,
    leaf: &'a Leaf,
    material: &'a Material,
    rhythm: &'a Rhythm,
    executor: &'a dyn Executor,
    stop: &'a dyn Fn() -> bool,
}

impl Subject<'_> {
    /// Measures one batch size after the other; false where it was stopped.
    fn measure(&self, bench: &mut Bench, asked: &[u32], seconds: f64) -> Result<bool, Fault> {
        for &batch in asked {
            let settings = with_batch(&last_span(self.leaf).settings, batch);
            let footprint = Footprint::new(self.leaf.history.root(), &settings, self.executor.numerics().machine());
            if let Some(why) = too_large(&footprint, self.executor) {
                bench.not_tried.push(NotTried { batch, why });
                continue;
            }
            note(&format!("training a batch of {}: about {} of memory", grouped(batch.into()), about(footprint.bytes())));
            let Subject { context, leaf, material, rhythm, executor, stop } = *self;
            let trial = Trial { context, leaf, material, rhythm, executor, settings, footprint, stop };
            let ran = caught(|| trial.run(bench, seconds)).unwrap_or_else(|failure| Err(Fault::World(failure.to_string())));
            match ran {
                Err(Fault::World(message)) if is_out_of_memory(&message) => {
                    bench.not_tried.push(NotTried { batch, why: footprint.exhausted() });
                }
                ran => match ran? {
                    Some(row) => bench.rows.push(row),
                    None => return Ok(false),
                },
            }
        }
        Ok(true)
    }
}

/// Why a batch is not tried: on the CPU, running out of memory would end the program without a word.
fn too_large(footprint: &Footprint, executor: &dyn Executor) -> Option<String> {
    let free = free_memory();
    let is_known = !executor.numerics().is_gpu() && free > 0;
    footprint.warning(1, free).filter(|_| is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_batch_is_tried_with_its_half_and_its_double() {
        assert_eq!(batches(&[], 192), [96, 192, 384]);
        assert_eq!(batches(&[], 1), [1, 2]);
        assert_eq!(batches(&[16, 8, 16], 192), [8, 16]);
    }

    #[test]
    fn seconds_are_sensible() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["-1", "nan", "1e9", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
