//! Going on under the versions of our code's parts that a run recorded: what `--from-recorded` does.

use super::Fault;
use super::context::{Context, Ready};
use crate::history::Versions;
use crate::lineage::Library;
use crate::plan::{Plan, Segment};
use crate::spec::{Experiment, Name, Parent};

/// Resolves every experiment that has run before under the versions that its deepest checkpoint was trained with.
pub(super) fn take_recorded(context: &Context, library: &mut Library) -> Result<(), Fault> {
    let inventory = context.store.inventory();
    let names: Vec<Name> = library.experiments.keys().cloned().collect();
    for name in names {
        let folder = context.store.run_folder(&name);
        let own = inventory.checkpoints.values().filter(|found| found.path.starts_with(&folder));
        let Some(deepest) = own.max_by_key(|found| found.manifest.step) else { continue };
        let history = context.store.history(deepest)?;
        let from = first_own_step(&library.experiments[&name].value);
        library.versions.insert(name, Versions::of(&history, from, &context.versions));
    }
    Ok(())
}

fn first_own_step(experiment: &Experiment) -> u64 {
    match &experiment.parent {
        Parent::Checkpoint(reference) => reference.step,
        Parent::Scratch(_) | Parent::Imported(_) => 0,
    }
}

/// Refuses a plan that needs versions of parts which this program does not compute, and says what to do.
pub(super) fn refuse_other_versions(context: &Context, ready: &Ready, plan: &Plan) -> Result<(), Fault> {
    let differences =
        |segment: &Segment| Versions::of(&segment.history, segment.from, &context.versions).differences(&context.versions);
    let mut needs = plan.segments.iter().map(|segment| (segment, differences(segment)));
    let Some((segment, differences)) = needs.find(|(_, differences)| !differences.is_empty()) else { return Ok(()) };
    let (owner, from) = (&segment.owner, segment.from);
    let list = differences.iter().map(|(part, there, here)| format!("`{part}` version {there} (this runner computes {here})"));
    let list = list.collect::<Vec<_>>().join(", ");
    Err(Fault::Arguments(format!(
        "`{owner}` was recorded under other code, and from step {from} on needs {list}\n  = help: {}",
        way_out(context, &ready.name, segment)
    )))
}

fn way_out(context: &Context, name: &Name, segment: &Segment) -> String {
    let (history, from) = (&segment.history, segment.from);
    let recorded = context.store.run_record(name).ok().flatten().and_then(|record| record.attempts.into_iter().next_back());
    let fact = |key: &str| recorded.as_ref().and_then(|attempt| attempt.provenance.get(key).cloned());
    let program = match (fact("runner"), fact("program")) {
        (Some(version), Some(program)) => format!("runner {version} (program {program}, see `runs/{name}/record.json`)"),
        _ => "the runner that recorded it".into(),
    };
    let root_fits = Versions::of(&history.cut(history.start()), 0, &context.versions) == context.versions;
    match root_fits {
        true => format!(
            "train it on with {program}; or go on under this runner's code with a new experiment, `parent: Checkpoint(\"{}@{from}\")`, and `--from-recorded`",
            segment.owner
        ),
        false => format!(
            "train it on with {program}; or start from its weights, `parent: Imported(file: \"../model.safetensors\", ..)`, as the network or the data are made otherwise now"
        ),
    }
}
