//! From what a person writes to what it names: a run, a leaf, a history, or a checkpoint that exists.
//! `experiment/branch#seed@step`, `@latest` or `@best`; branch and seed are left out where there is only one.

use std::collections::BTreeSet;
use std::path::Path;

use super::Fault;
use super::context::{Context, Ready, grouped};
use crate::history::History;
use crate::lineage::{Leaf, LeafKey};
use crate::spec::{Name, closest};
use crate::store::{Found, Inventory};

/// A checkpoint that exists, and the leaf by which it was named.
pub(crate) struct Referred<'a> {
    pub leaf: LeafKey,
    pub found: &'a Found,
}

impl Referred<'_> {
    /// The reference written out, also where it was `@latest` or `@best`.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.leaf, self.found.manifest.step)
    }
}

/// What stands behind the `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Step(u64),
    Latest,
    Best,
}

/// The checkpoint that a text names.
pub(crate) fn checkpoint<'a>(context: &Context, inventory: &'a Inventory, text: &str) -> Result<Referred<'a>, Fault> {
    let (path, at) = split(text)?;
    let Some(at) = at else {
        let form = "write `experiment/branch#seed@step`, `@latest` or `@best`";
        return Err(Fault::Arguments(format!("`{text}` names no checkpoint: {form}")));
    };
    let (ready, branch) = experiment(context, path)?;
    let leaves = leaves(&ready, branch, text)?;
    let find = |leaf: &Leaf| find(context, &ready, inventory, leaf, at);
    let found = find(leaves[0])?;
    for other in &leaves[1..] {
        // What leaves share is the same checkpoint, whichever of them is named.
        if find(other).map(|found| found.manifest.id).ok() != Some(found.manifest.id) {
            return Err(several(&leaves, text));
        }
    }
    Ok(Referred { leaf: leaves[0].key.clone(), found })
}

/// The history that a text names; without a step, and `@latest`, the whole leaf as its file has it.
pub(crate) fn history(context: &Context, text: &str) -> Result<History, Fault> {
    let (path, at) = split(text)?;
    let (ready, branch) = experiment(context, path)?;
    let leaf = leaf(&ready, branch, text)?;
    match at {
        Some(At::Step(step)) => within(leaf, step).map(|()| leaf.history.cut(step)),
        Some(At::Best) => Ok(leaf.history.cut(best(context, &ready, &context.inventory(), leaf)?.manifest.step)),
        Some(At::Latest) | None => Ok(leaf.history.clone()),
    }
}

/// The run that a text names: a folder under `runs/`.
pub(crate) fn run(context: &Context, text: &str) -> Result<Name, Fault> {
    let runs = context.store.runs();
    if let Some(name) = runs.iter().find(|name| name.as_str() == text) {
        return Ok(name.clone());
    }
    let help = match closest(text, runs.iter().map(Name::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`runner ls` lists the runs".to_owned(),
    };
    Err(Fault::Arguments(format!("there is no run `{}`; {help}", text.escape_default())))
}

/// The experiment of `experiment/branch#seed`, and the rest.
pub(crate) fn experiment<'a>(context: &Context, path: &'a str) -> Result<(Ready, &'a str), Fault> {
    let (name, branch) = match path.split_once('/') {
        Some(("experiments", _)) => (path, ""),
        Some((name, branch)) => (name, branch),
        None => path.split_once('#').map_or((path, ""), |(name, _)| (name, &path[name.len()..])),
    };
    let ready = match saved_alone(context, name) {
        Some(saved) => context.ready(&saved)?,
        None => context.ready(Path::new(name))?,
    };
    Ok((ready, branch))
}

/// What was saved beside a run whose own file is gone.
fn saved_alone(context: &Context, name: &str) -> Option<std::path::PathBuf> {
    let run = Name::try_from(name).ok()?;
    let written = context.project.root.join("experiments").join(format!("{name}.ron"));
    let saved = context.store.saved_experiment(&run);
    (!written.exists() && saved.is_file()).then_some(saved)
}

/// The leaf that `branch#seed`, `branch` or `#seed` names; nothing names the only one.
pub(crate) fn leaf<'a>(ready: &'a Ready, branch: &str, text: &str) -> Result<&'a Leaf, Fault> {
    let found = leaves(ready, branch, text)?;
    let first = found[0];
    // Several replicates of one branch part nowhere but in their seeds: the first stands for the branch.
    match found.iter().all(|leaf| leaf.key.branch == first.key.branch) {
        true => Ok(first),
        false => Err(several(&found, text)),
    }
}

/// The leaves, at least one, that `branch#seed`, `branch` or `#seed` fits.
fn leaves<'a>(ready: &'a Ready, branch: &str, text: &str) -> Result<Vec<&'a Leaf>, Fault> {
    let leaves = &ready.resolved().leaves;
    let fits = |leaf: &&Leaf| {
        let local = leaf.key.local();
        branch.is_empty()
            || local == branch
            || leaf.key.branch.as_str() == branch
            || branch.starts_with('#') && local.ends_with(branch)
    };
    let found: Vec<&Leaf> = leaves.iter().filter(fits).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known: Vec<String> = leaves.iter().map(|leaf| leaf.key.local()).collect();
    let near = closest(branch, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
    let near = near.unwrap_or_default();
    Err(Fault::Arguments(format!("`{text}` names no leaf; {near}there are `{}`", known.join("`, `"))))
}

fn several(leaves: &[&Leaf], text: &str) -> Fault {
    let known: Vec<String> = leaves.iter().map(|leaf| leaf.key.local()).collect();
    Fault::Arguments(format!("`{text}` names several leaves: write one of `{}`", known.join("`, `")))
}

fn split(text: &str) -> Result<(&str, Option<At>), Fault> {
    let Some((path, at)) = text.rsplit_once('@') else { return Ok((text, None)) };
    let at = match at {
        "latest" => At::Latest,
        "best" => At::Best,
        step => match step.replace('_', "").parse() {
            Ok(step) => At::Step(step),
            Err(_) => {
                return Err(Fault::Arguments(format!("`{text}` does not end in a whole step, `latest` or `best`")));
            }
        },
    };
    Ok((path, Some(at)))
}

/// A leaf's checkpoint that exists.
fn find<'a>(context: &Context, ready: &Ready, inventory: &'a Inventory, leaf: &Leaf, at: At) -> Result<&'a Found, Fault> {
    let existing = existing(inventory, leaf);
    match at {
        At::Best => best(context, ready, inventory, leaf),
        At::Latest => existing.last().copied().ok_or_else(|| none_yet(leaf)),
        At::Step(step) => {
            within(leaf, step)?;
            let found = existing.iter().copied().find(|found| found.manifest.step == step);
            found.ok_or_else(|| no_such_step(leaf, step, &existing))
        }
    }
}

/// The checkpoints that exist on a leaf's history, its ancestors' included, in the order of their steps.
fn existing<'a>(inventory: &'a Inventory, leaf: &Leaf) -> Vec<&'a Found> {
    let steps: BTreeSet<u64> =
        inventory.checkpoints.values().map(|found| found.manifest.step).filter(|&step| step <= leaf.history.end()).collect();
    leaf.history.ids(steps).into_iter().filter_map(|id| inventory.checkpoints.get(&id)).collect()
}

/// The leaf's own checkpoint with the best metric, by the set as it is now; of equals the earliest.
fn best<'a>(context: &Context, ready: &Ready, inventory: &'a Inventory, leaf: &Leaf) -> Result<&'a Found, Fault> {
    let without = |why: String| Fault::Arguments(format!("`{}` has no best checkpoint: {why}", leaf.key));
    let Some((set, metric)) = &ready.resolved().best else {
        return Err(without("its experiment has no validation set".into()));
    };
    let material = context.material(ready)?;
    let sets = material.sets.get(&ready.name).map_or(&[][..], Vec::as_slice);
    let digest = sets.iter().find(|known| known.name == *set).map(|known| known.digest.as_str());
    let score = |found: &Found| {
        let of =
            |known: &&crate::record::Evaluation| known.id == found.manifest.id && Some(known.set_digest.as_str()) == digest;
        inventory.evaluations.iter().find(of)?.scores.summary.all.named(metric)
    };
    let own = existing(inventory, leaf).into_iter().filter(|found| found.manifest.step > leaf.own_from());
    let scored = own.filter_map(|found| Some((score(found)?, found)));
    let best = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, found)| found).ok_or_else(|| without(format!("none was evaluated on `{set}/{metric}` yet")))
}

fn within(leaf: &Leaf, step: u64) -> Result<(), Fault> {
    match (leaf.history.start()..=leaf.history.end()).contains(&step) {
        true => Ok(()),
        false => {
            let ends = format!("`{}` runs from step {} to {}", leaf.key, leaf.history.start(), leaf.history.end());
            Err(Fault::Arguments(ends))
        }
    }
}

fn none_yet(leaf: &Leaf) -> Fault {
    let experiment = &leaf.key.experiment;
    Fault::Arguments(format!("`{}` has no checkpoint yet; `runner run {experiment}` trains it", leaf.key))
}

fn no_such_step(leaf: &Leaf, step: u64, existing: &[&Found]) -> Fault {
    let steps = || existing.iter().map(|found| found.manifest.step);
    let (below, above) = (steps().rfind(|known| *known < step), steps().find(|known| *known > step));
    let near: Vec<String> = [below, above].into_iter().flatten().map(grouped).collect();
    match &near[..] {
        [] => none_yet(leaf),
        [only] => Fault::Arguments(format!("`{}` has no checkpoint at step {step}; the nearest is at {only}", leaf.key)),
        near => {
            let near = near.join(" and ");
            Fault::Arguments(format!("`{}` has no checkpoint at step {step}; the nearest are at {near}", leaf.key))
        }
    }
}
