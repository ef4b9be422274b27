//! `runner plan`: what exists, what would be trained and why, and how the leaves differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::{Context, Ready, grouped, leaf_list};
use super::diagnostics::counted;
use super::versions::refuse_other_versions;
use super::why::{NotApplied, not_applied};
use super::{Fault, print, print_json};
use crate::history::{History, Piece};
use crate::lineage::{Leaf, LeafKey};
use crate::plan::{Missing, Plan, Segment, about};
use crate::record::Numerics;
use crate::report::{Table, divergence};
use crate::store::Inventory;
use crate::task::footprint::Machine;
use crate::task::loss::Loss;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file, or its name
    experiment: PathBuf,
    /// Say which existing checkpoints do not apply, and what file, field or part version keeps them away
    #[arg(long)]
    why: bool,
    /// Plan under the versions of the code's parts that were recorded, as `run --from-recorded` would train
    #[arg(long)]
    from_recorded: bool,
    /// The plan as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context { from_recorded: args.from_recorded, believes: true, ..Context::open(directory)? };
    let ready = context.ready(&args.experiment)?;
    let inventory = context.inventory();
    let plan = ready.plan(&inventory, &context.planned(&ready)?.sets);
    let why = if args.why { not_applied(&context, &ready, &plan, &inventory) } else { vec![] };
    match args.json {
        true => print_json(&Shown { not_applied: why, ..for_programs(&plan) })?,
        false => print(&(render(&ready, &plan, &inventory) + &explained(&why, args.why)))?,
    }
    refuse_other_versions(&context, &ready, &plan)
}

/// Why what exists does not apply, behind the plan.
fn explained(why: &[NotApplied], asked: bool) -> String {
    match why.is_empty() {
        true if asked => "\nevery checkpoint in the folders of these segments applies\n".into(),
        true => String::new(),
        false => format!("\n{}", why.iter().map(ToString::to_string).collect::<String>()),
    }
}

/// A plan for programs.
#[derive(Serialize)]
struct Shown {
    experiment: String,
    steps_to_train: u64,
    steps_unshared: u64,
    steps_shared: u64,
    /// What training one segment takes at most on the CPU and on a GPU, estimated; nothing where none is left.
    memory_bytes: Option<u64>,
    gpu_memory_bytes: Option<u64>,
    segments: Vec<ShownSegment>,
    evaluations: Vec<ShownMissing>,
    probes: Vec<ShownMissing>,
    /// With `--why`, checkpoints that exist and do not apply.
    not_applied: Vec<NotApplied>,
}

#[derive(Serialize)]
struct ShownSegment {
    owner: String,
    from: u64,
    to: u64,
    start: Option<String>,
    end: String,
    why: String,
    leaves: Vec<String>,
    saves: Vec<u64>,
}

#[derive(Serialize)]
struct ShownMissing {
    experiment: String,
    checkpoint: String,
    step: u64,
    set: String,
}

fn for_programs(plan: &Plan) -> Shown {
    let segment = |segment: &Segment| ShownSegment {
        owner: segment.owner.to_string(),
        from: segment.from,
        to: segment.to(),
        start: segment.start.map(|id| id.hex()),
        end: segment.end().hex(),
        why: segment.why.clone(),
        leaves: plan.leaves(segment).map(LeafKey::local).collect(),
        saves: segment.saves.iter().map(|save| save.step).filter(|step| *step > segment.from).collect(),
    };
    let missing = |missing: &Missing| ShownMissing {
        experiment: missing.experiment.to_string(),
        checkpoint: missing.id.hex(),
        step: missing.step,
        set: missing.set.to_string(),
    };
    Shown {
        experiment: plan.target.to_string(),
        steps_to_train: plan.steps_to_train(),
        steps_unshared: plan.steps_unshared(),
        steps_shared: plan.steps_shared(),
        memory_bytes: plan.footprint(Machine::Cpu).map(|footprint| footprint.bytes()),
        gpu_memory_bytes: plan.footprint(Machine::Gpu).map(|footprint| footprint.bytes()),
        segments: plan.segments.iter().map(segment).collect(),
        evaluations: plan.evaluations.iter().map(missing).collect(),
        probes: plan.probes.iter().map(missing).collect(),
        not_applied: vec![],
    }
}

fn render(ready: &Ready, plan: &Plan, inventory: &Inventory) -> String {
    let resolved = ready.resolved();
    let mut out = format!("{}", resolved.name);
    if let Some(question) = &resolved.question {
        out += &format!(": {question}");
    }
    let saved = plan.steps_unshared().saturating_sub(plan.steps_shared());
    out += &format!(
        "\n{}, {} steps in all, {} saved by sharing; {} to train\n\n",
        counted(resolved.leaves.len(), "leaf").replace("leafs", "leaves"),
        grouped(plan.steps_shared()),
        grouped(saved),
        grouped(plan.steps_to_train()),
    );
    out += &tree(plan, inventory);
    if let (Some(cpu), Some(gpu)) = (plan.footprint(Machine::Cpu), plan.footprint(Machine::Gpu)) {
        out += &format!("\nmemory, estimated: {} on the CPU, {} on a GPU\n", cpu.need(), about(gpu.bytes()));
    }
    out += &numerics(plan, inventory);
    out += &missing(plan);
    let mut shown: Vec<&str> = Vec::new();
    for leaf in &resolved.leaves {
        // Replicates of a branch follow the same stages.
        if !shown.contains(&leaf.key.branch.as_str()) {
            shown.push(leaf.key.branch.as_str());
            out += &stages(leaf);
        }
    }
    out += &differences(&resolved.leaves);
    let mut notes: Vec<String> =
        resolved.notes.iter().map(|note| format!("note: {}: {}\n", note.leaf.branch, note.text)).collect();
    notes.dedup();
    notes.sort();
    notes.dedup();
    if !notes.is_empty() {
        out += &format!("\n{}", notes.concat());
    }
    out
}

/// What can be measured of checkpoints that are kept, without training.
fn missing(plan: &Plan) -> String {
    let lists = [(&plan.evaluations, "evaluation"), (&plan.probes, "probe")].into_iter().filter(|(list, _)| !list.is_empty());
    let counts = lists.map(|(list, what)| counted(list.len(), what)).collect::<Vec<_>>().join(" and ");
    if counts.is_empty() { counts } else { format!("\n{counts} of kept checkpoints missing\n") }
}

/// Says where what exists was trained by different machines or builds: such leaves are not paired in a comparison.
fn numerics(plan: &Plan, inventory: &Inventory) -> String {
    let mut known: Vec<(&Numerics, Vec<String>)> = Vec::new();
    for (index, node) in plan.tree.nodes.iter().enumerate() {
        let Some(found) = inventory.checkpoints.get(&node.id) else { continue };
        let place = format!("{}@{}", plan.owners[index], node.step);
        match known.iter_mut().find(|(numerics, _)| **numerics == found.manifest.numerics) {
            Some((_, places)) => places.push(place),
            None => known.push((&found.manifest.numerics, vec![place])),
        }
    }
    if known.len() < 2 {
        return String::new();
    }
    let group = |(numerics, places): &(&Numerics, Vec<String>)| format!("  {}: {}\n", numerics.backend, places.join(", "));
    format!(
        "\nwhat exists was trained by {} machines or builds; bits repeat within each:\n{}",
        known.len(),
        known.iter().map(group).collect::<String>()
    )
}

/// Deepest indentation. Below it an only child stands under its parent: a line of thousands of forks could not be read, and
/// its drawing would be as large as the square of its length.
const DEEPEST: usize = 40;

/// Whether the children of a node at a depth stand under it without going further to the right.
pub(super) fn is_flat(depth: usize, children: usize) -> bool {
    depth >= DEEPEST && children == 1
}

/// A node that is still to be drawn.
struct Open {
    node: usize,
    /// What stands before it, and before what is below it.
    lead: String,
    below: String,
    depth: usize,
}

fn tree(plan: &Plan, inventory: &Inventory) -> String {
    let mut out = String::new();
    let segments: BTreeMap<usize, &Segment> = plan.segments.iter().map(|segment| (segment.node, segment)).collect();
    let roots = (0..plan.tree.nodes.len()).filter(|&node| plan.tree.nodes[node].parent.is_none());
    let root = |node: usize| Open { node, lead: String::new(), below: String::new(), depth: 0 };
    // A list and no recursion: lineages may be long.
    let mut open: Vec<Open> = roots.map(root).rev().collect();
    while let Some(next) = open.pop() {
        out += &format!("{}{}\n", next.lead, node(plan, inventory, segments.get(&next.node).copied(), next.node));
        let children = &plan.tree.nodes[next.node].children;
        for (index, &child) in children.iter().enumerate().rev() {
            let (elbow, rail) = if index + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let rail = if is_flat(next.depth, children.len()) { "" } else { rail };
            let (lead, below) = (format!("{}{elbow}", next.below), format!("{}{rail}", next.below));
            open.push(Open { node: child, lead, below, depth: next.depth + 1 });
        }
    }
    out
}

/// A line about the edge above a node.
fn node(plan: &Plan, inventory: &Inventory, segment: Option<&Segment>, node: usize) -> String {
    let at = &plan.tree.nodes[node];
    let state = match segment {
        Some(segment) if segment.from > at.from => {
            format!("{} of {} steps to train: {}", grouped(segment.steps()), grouped(at.step - at.from), segment.why)
        }
        Some(segment) => format!("to train: {}", segment.why),
        None => match inventory.checkpoints.get(&at.id) {
            Some(found) if found.has_tensors => "exists".into(),
            Some(_) => "exists, without tensors".into(),
            None => "not needed".into(),
        },
    };
    let members: Vec<LeafKey> = plan.targets(node).into_iter().map(|member| member.key.clone()).collect();
    let shared = if members.len() > 1 { format!("; shared by {}", leaf_list(&members)) } else { String::new() };
    let (from, to) = (grouped(at.from), grouped(at.step));
    format!("{} {from} to {to} [{}]  {state}{shared}", plan.owners[node], at.id.short())
}

/// The stages of a leaf from its fork on, with the weights in effect at their start.
fn stages(leaf: &Leaf) -> String {
    let mut table = Table::new(["from", "stage", "weights", "length", "noise"]);
    let own = leaf.own_from();
    let spans = leaf.history.spans().iter_from(leaf.history.spans().begun_before(own)).map(|span| span.from);
    let mut edges: Vec<u64> = [own].into_iter().chain(spans).collect();
    edges.dedup();
    for edge in edges.into_iter().filter(|edge| *edge < leaf.history.end()) {
        let settings = leaf.history.settings(edge);
        let stage =
            leaf.stages.iter().rfind(|stage| stage.from <= edge).and_then(|stage| stage.name.clone()).unwrap_or_default();
        let d = &settings.difficulty;
        let noise = match d.is_clean() {
            true => "none".to_owned(),
            false => format!(
                "{} peaks, {} % left out, {} ppm",
                d.noise_peaks + d.grass_peaks + d.spike_peaks,
                (d.peak_dropout * 100.0).round(),
                d.mass_error_ppm
            ),
        };
        table.row([grouped(edge), stage, weights(&leaf.history, edge), format!("{}..={}", d.length.0, d.length.1), noise]);
    }
    format!("\n{}\n{}", leaf.key.branch, table.to_string().lines().map(|line| format!("  {line}\n")).collect::<String>())
}

fn weights(history: &History, step: u64) -> String {
    let settings = history.settings(step);
    let weight = |loss: &Loss| match settings.losses.get(loss).map(|term| term.weight) {
        None => None,
        Some(Piece::Linear { from, to, start, steps }) => {
            Some(format!("{loss} {from} to {to} over {start}..{}", start + steps))
        }
        Some(piece) => Some(format!("{loss} {}", piece.at(step))),
    };
    Loss::ALL.iter().filter_map(weight).collect::<Vec<_>>().join(", ")
}

/// Where the branches differ, each against the first.
fn differences(leaves: &[Leaf]) -> String {
    let Some(first) = leaves.first() else { return String::new() };
    let mut seen = vec![first.key.branch.clone()];
    let mut out = String::new();
    for leaf in leaves.iter().filter(|leaf| leaf.key.seed == first.key.seed) {
        if !seen.contains(&leaf.key.branch) {
            seen.push(leaf.key.branch.clone());
            out +=
                &format!("\n{} against {}: {}\n", leaf.key.branch, first.key.branch, divergence(&first.history, &leaf.history));
        }
    }
    out
}
