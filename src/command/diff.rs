//! `runner diff A B`: where two leaves part and in what.

use std::path::Path;

use super::context::{Context, Ready};
use super::{Fault, print, print_json};
use crate::history::History;
use crate::lineage::Leaf;
use crate::report::divergence;
use crate::spec::closest;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A leaf, `experiment/branch#seed`, or a checkpoint, `experiment/branch#seed@step`
    a: String,
    /// The other one
    b: String,
    /// The difference as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let (a, b) = (history(&context, &args.a)?, history(&context, &args.b)?);
    let difference = divergence(&a, &b);
    match args.json {
        true => print_json(&difference),
        false => print(&format!("{difference}\n")),
    }
}

/// The history that a text names.
fn history(context: &Context, text: &str) -> Result<History, Fault> {
    let (path, step) = match text.rsplit_once('@') {
        Some((path, "latest")) => (path, None),
        Some((path, step)) => {
            let step: u64 =
                step.parse().map_err(|_| Fault::Arguments(format!("`{text}` does not end in a whole step or `latest`")))?;
            (path, Some(step))
        }
        None => (text, None),
    };
    let (ready, branch) = experiment(context, path)?;
    let leaf = leaf(&ready, branch, text)?;
    match step {
        Some(step) if step > leaf.history.end() || step < leaf.history.start() => {
            let ends = format!("`{}` runs from step {} to {}", leaf.key, leaf.history.start(), leaf.history.end());
            Err(Fault::Arguments(ends))
        }
        Some(step) => Ok(leaf.history.cut(step)),
        None => Ok(leaf.history.clone()),
    }
}

/// The experiment of `experiment/branch#seed`, and the rest.
pub(crate) fn experiment<'a>(context: &Context, path: &'a str) -> Result<(Ready, &'a str), Fault> {
    let (name, branch) = match path.split_once('/') {
        Some(("experiments", _)) => (path, ""),
        Some((name, branch)) => (name, branch),
        None => path.split_once('#').map_or((path, ""), |(name, _)| (name, &path[name.len()..])),
    };
    Ok((context.ready(Path::new(name))?, branch))
}

/// The leaf that `branch#seed`, `branch` or `#seed` names; nothing names the only one.
pub(crate) fn leaf<'a>(ready: &'a Ready, branch: &str, text: &str) -> Result<&'a Leaf, Fault> {
    let leaves = &ready.resolved().leaves;
    let fits = |leaf: &&Leaf| {
        let local = leaf.key.local();
        branch.is_empty()
            || local == branch
            || leaf.key.branch.as_str() == branch
            || branch.starts_with('#') && local.ends_with(branch)
    };
    let found: Vec<&Leaf> = leaves.iter().filter(fits).collect();
    match found[..] {
        [only] => Ok(only),
        [] => {
            let known: Vec<String> = leaves.iter().map(|leaf| leaf.key.local()).collect();
            let near = closest(branch, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
            Err(Fault::Arguments(format!(
                "`{text}` names no leaf; {}there are `{}`",
                near.unwrap_or_default(),
                known.join("`, `")
            )))
        }
        // Several replicates of one branch part nowhere but in their seeds: the first stands for the branch.
        [first, ..] if found.iter().all(|leaf| leaf.key.branch == first.key.branch) => Ok(first),
        _ => {
            let known: Vec<String> = found.iter().map(|leaf| leaf.key.local()).collect();
            Err(Fault::Arguments(format!("`{text}` names several leaves: write one of `{}`", known.join("`, `"))))
        }
    }
}
