//! `runner rm`: puts a run, or a checkpoint and what follows it in its folder, into `runs/.trash`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::Context;
use super::diagnostics::counted;
use super::judged::Judged;
use super::{Fault, note, print_json, refer};
use crate::history::Id;
use crate::spec::Name;
use crate::store::{Found, Inventory};

/// Children that are named in a refusal.
const SHOWN: usize = 12;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run, or a checkpoint of one: `experiment/branch#seed@step`, `@latest` or `@best`
    what: String,
    /// What was removed as JSON
    #[arg(long)]
    json: bool,
}

/// What is to go.
struct Going<'a> {
    run: Name,
    /// The run's folder with everything in it, and not only checkpoints.
    is_whole: bool,
    checkpoints: Vec<&'a Found>,
}

#[derive(Debug, Serialize)]
struct Removed {
    trash: String,
    checkpoints: Vec<String>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let inventory = context.inventory();
    let going = match args.what.contains('@') {
        true => checkpoint_and_after(&context, &inventory, &args.what)?,
        false => whole_run(&context, &inventory, &args.what)?,
    };
    refuse_training(&context, &going)?;
    refuse_children(&context, &inventory, &going, &args.what)?;
    refuse_pins(&context, &going)?;
    let to = remove(&context, &going)?;
    let trash = context.store.shown(&to);
    let removed = counted(going.checkpoints.len(), "checkpoint");
    note(&format!("`{}` is in `{trash}` with {removed}; `runner gc --trash` removes it for good", args.what));
    let checkpoints = going.checkpoints.iter().map(|found| context.store.shown(&found.path)).collect();
    if args.json { print_json(&Removed { trash, checkpoints }) } else { Ok(()) }
}

fn remove(context: &Context, going: &Going<'_>) -> Result<PathBuf, Fault> {
    Ok(match going.is_whole {
        true => context.store.trash(&going.run)?,
        false => context.store.trash_checkpoints(&going.run, &going.checkpoints)?,
    })
}

fn whole_run<'a>(context: &Context, inventory: &'a Inventory, text: &str) -> Result<Going<'a>, Fault> {
    if text.contains(['/', '#']) {
        let form = "write a run's name, or a checkpoint, `experiment/branch#seed@step`";
        return Err(Fault::Arguments(format!("`{text}` is neither a run nor a checkpoint: {form}")));
    }
    let run = refer::run(context, text)?;
    let folder = context.store.run_folder(&run);
    let checkpoints = inventory.checkpoints.values().filter(|found| found.path.starts_with(&folder)).collect();
    Ok(Going { run, is_whole: true, checkpoints })
}

/// The checkpoint, and all that descend from it in the same folder.
fn checkpoint_and_after<'a>(context: &Context, inventory: &'a Inventory, text: &str) -> Result<Going<'a>, Fault> {
    let referred = refer::checkpoint(context, inventory, text)?;
    let run = referred.leaf.experiment.clone();
    if !referred.found.path.starts_with(context.store.run_folder(&run)) {
        let shown = context.store.shown(&referred.found.path);
        return Err(Fault::Arguments(format!("`{text}` is a checkpoint of another run, `{shown}`: name it by that one")));
    }
    let folder = referred.found.path.parent();
    let mut here: Vec<&Found> = inventory.checkpoints.values().filter(|found| found.path.parent() == folder).collect();
    here.sort_by_key(|found| found.manifest.step);
    let mut ids = BTreeSet::from([referred.found.manifest.id]);
    let mut checkpoints = vec![referred.found];
    for found in here {
        if found.manifest.parent.as_ref().is_some_and(|parent| ids.contains(&parent.id)) && ids.insert(found.manifest.id) {
            checkpoints.push(found);
        }
    }
    Ok(Going { run, is_whole: false, checkpoints })
}

fn refuse_training(context: &Context, going: &Going<'_>) -> Result<(), Fault> {
    let folder = context.store.run_folder(&going.run);
    match context.store.in_training()?.iter().find(|trained| trained.starts_with(&folder)) {
        None => Ok(()),
        Some(trained) => {
            let shown = context.store.shown(trained);
            Err(Fault::Arguments(format!("`{shown}` is being trained now: stop the runner that trains it, or wait")))
        }
    }
}

fn refuse_pins(context: &Context, going: &Going<'_>) -> Result<(), Fault> {
    let pins = context.store.pins()?;
    match going.checkpoints.iter().find_map(|found| pins.get(&found.manifest.id)) {
        None => Ok(()),
        Some(pin) => {
            let reference = &pin.reference;
            Err(Fault::Arguments(format!(
                "`{reference}` is pinned: take the pin away first, `runner pin --remove {reference}`"
            )))
        }
    }
}

/// What grew from it would stand without its history, and what is planned would train it again.
fn refuse_children(context: &Context, inventory: &Inventory, going: &Going<'_>, what: &str) -> Result<(), Fault> {
    let ids: BTreeSet<Id> = going.checkpoints.iter().map(|found| found.manifest.id).collect();
    let judged = Judged::read(context);
    for file in &judged.unread {
        note(&format!("warning: `{file}` has problems: whether it forks from `{what}` is not known"));
    }
    let mut children = existing_children(context, inventory, &ids);
    children.extend(planned_children(&judged, going, &ids));
    if children.is_empty() {
        return Ok(());
    }
    let more = children.len().saturating_sub(SHOWN);
    children.truncate(SHOWN);
    if more > 0 {
        children.push(format!("and {more} more"));
    }
    let help = "remove what grew from it first, with `runner rm`, and move files that fork from it out of `experiments/`";
    Err(Fault::Arguments(format!("`{what}` has children:\n  {}\n  = help: {help}", children.join("\n  "))))
}

fn existing_children(context: &Context, inventory: &Inventory, going: &BTreeSet<Id>) -> Vec<String> {
    let staying = inventory.checkpoints.values().filter(|found| !going.contains(&found.manifest.id));
    let child = |found: &Found| {
        let parent = found.manifest.parent.as_ref().filter(|parent| going.contains(&parent.id))?;
        Some((context.store.shown(&found.path), parent.step))
    };
    let mut children: Vec<(String, u64)> = staying.filter_map(child).collect();
    children.sort();
    children.into_iter().map(|(path, step)| format!("`{path}` grew from step {step}")).collect()
}

/// Files in `experiments/` that fork from the run, or from a checkpoint that is to go.
fn planned_children(judged: &Judged, going: &Going<'_>, ids: &BTreeSet<Id>) -> Vec<String> {
    let mut children = Vec::new();
    for resolved in judged.planned().filter(|resolved| resolved.name != going.run) {
        let forks = resolved.leaves.iter().filter_map(|leaf| Some((leaf, leaf.fork.as_ref()?)));
        let needs = forks.into_iter().find(|(leaf, fork)| {
            going.is_whole && fork.parent.experiment == going.run || ids.contains(&leaf.history.ids([fork.step])[0])
        });
        if let Some((_, fork)) = needs {
            children.push(format!("`{}` forks from `{}@{}`", resolved.origin.file, fork.parent, fork.step));
        }
    }
    for (name, id) in judged.other_forks.iter().filter(|(name, _)| *name != going.run) {
        if ids.contains(id) {
            children.push(format!("`experiments/{name}.ron` forks from it"));
        }
    }
    children
}
