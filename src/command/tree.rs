//! `runner tree`: the lineage of everything under `runs/`, as the checkpoints' manifests tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::context::{Context, grouped};
use super::plan::is_flat;
use super::{Fault, print, print_json};
use crate::history::Id;
use crate::store::{Found, Inventory};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only checkpoints of this run and what they grew from
    run: Option<String>,
    /// The tree as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Node {
    id: String,
    step: u64,
    path: String,
    has_tensors: bool,
    children: Vec<Node>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let inventory = context.inventory();
    let kept = wanted(&context, &inventory, args.run.as_deref())?;
    let mut children: BTreeMap<Option<Id>, Vec<&Found>> = BTreeMap::new();
    for found in inventory.checkpoints.values().filter(|found| kept.contains(&found.manifest.id)) {
        let parent = found.manifest.parent.as_ref().map(|parent| parent.id).filter(|parent| kept.contains(parent));
        children.entry(parent).or_default().push(found);
    }
    children.values_mut().for_each(|list| list.sort_by_key(|found| (found.manifest.step, found.path.clone())));
    if kept.is_empty() && !args.json {
        return print("no checkpoints yet\n");
    }
    let shown = || {
        let roots = children.get(&None).into_iter().flatten();
        let forest: Vec<Node> = roots.map(|found| node(&context, &children, found)).collect();
        if args.json {
            return json(&forest, kept.len());
        }
        let mut out = String::new();
        forest.iter().for_each(|node| draw(node, "", "", 0, &mut out));
        print(&out)
    };
    with_stack(STACK + kept.len() * FRAME, shown)
}

/// Indented where people can still read it: the indentation of a long line would be as large as the square of its length.
fn json(forest: &[Node], nodes: usize) -> Result<(), Fault> {
    const MOST: usize = 1_000;
    match nodes {
        ..=MOST => print_json(&forest),
        _ => print(&(serde_json::to_string(forest).map_err(|error| Fault::World(error.to_string()))? + "\n")),
    }
}

/// Bytes of a stack, and what a checkpoint below another adds to it: nodes hold nodes, also when they are written as JSON.
const STACK: usize = 1 << 20;
const FRAME: usize = 4 << 10;

/// Works on a stack that is deep enough for long lineages.
fn with_stack<R: Send>(bytes: usize, work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes).spawn_scoped(scope, work).expect("a thread can be started");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// All checkpoints, or those of a run with their ancestors.
fn wanted(context: &Context, inventory: &Inventory, run: Option<&str>) -> Result<BTreeSet<Id>, Fault> {
    let Some(run) = run else { return Ok(inventory.checkpoints.keys().copied().collect()) };
    let folder = context.store.root().join(run);
    let own: Vec<Id> =
        inventory.checkpoints.values().filter(|found| found.path.starts_with(&folder)).map(|found| found.manifest.id).collect();
    if own.is_empty() {
        return Err(Fault::Arguments(format!("there are no checkpoints under `{}`", context.store.shown(&folder))));
    }
    let mut kept = BTreeSet::new();
    for id in own {
        let mut next = Some(id);
        // What is kept has its ancestors already.
        while let Some(id) = next.filter(|id| !kept.contains(id)) {
            kept.insert(id);
            next = inventory.checkpoints.get(&id).and_then(|found| Some(found.manifest.parent.as_ref()?.id));
        }
    }
    Ok(kept)
}

fn node(context: &Context, children: &BTreeMap<Option<Id>, Vec<&Found>>, found: &Found) -> Node {
    let below = children.get(&Some(found.manifest.id)).into_iter().flatten();
    Node {
        id: found.manifest.id.hex(),
        step: found.manifest.step,
        path: context.store.shown(&found.path),
        has_tensors: found.has_tensors,
        children: below.map(|child| node(context, children, child)).collect(),
    }
}

fn draw(node: &Node, lead: &str, below: &str, depth: usize, out: &mut String) {
    // A line of only children is drawn as one: its last checkpoint stands for it.
    let mut last = node;
    let mut passed = 0;
    while let [only] = &last.children[..] {
        if Path::new(&only.path).parent() != Path::new(&node.path).parent() {
            break;
        }
        last = only;
        passed += 1;
    }
    let more = if passed > 0 { format!(", {passed} checkpoints before it from {}", grouped(node.step)) } else { String::new() };
    let tensors = if last.has_tensors { "" } else { ", without tensors" };
    *out += &format!("{lead}{} at step {}{more}{tensors}\n", last.path, grouped(last.step));
    for (index, child) in last.children.iter().enumerate() {
        let (elbow, rail) = if index + 1 == last.children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let rail = if is_flat(depth, last.children.len()) { "" } else { rail };
        draw(child, &format!("{below}{elbow}"), &format!("{below}{rail}"), depth + 1, out);
    }
}
