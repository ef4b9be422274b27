//! The lineage of a run's leaves as its page draws it.

use std::collections::BTreeMap;

use super::context::{Context, Ready};
use crate::lineage::{Leaf, LeafKey, StageStart};
use crate::plan::{Existing, Owner, Plan};
use crate::report::page::{self, Branch, Lineage, Node, Progress, Stage};
use crate::store::Inventory;

/// Branches with their stages, leaves, and the tree of their histories.
pub(super) fn lineage(context: &Context, ready: &Ready, inventory: &Inventory) -> Lineage {
    let resolved = ready.resolved();
    let mut branches: Vec<Branch> = Vec::new();
    for leaf in &resolved.leaves {
        if !branches.iter().any(|branch| branch.name == leaf.key.branch.as_str()) {
            branches.push(Branch {
                name: leaf.key.branch.to_string(),
                reference: leaf.key.branch == resolved.reference,
                stages: stages(ready, leaf),
            });
        }
    }
    let place = |leaf: &Leaf| branches.iter().position(|branch| branch.name == leaf.key.branch.as_str()).unwrap_or(0);
    let shown = resolved.leaves.iter().map(|leaf| page::Leaf {
        branch: place(leaf),
        seed: leaf.key.seed,
        key: leaf.key.local(),
        end: leaf.history.end(),
        reached: reached(context, inventory, leaf, leaf.history.start(), leaf.history.end()),
    });
    let leaves: Vec<page::Leaf> = shown.collect();
    Lineage { nodes: nodes(context, ready, inventory), branches, leaves }
}

/// The deepest checkpoint of a leaf's history within a stretch.
fn reached(context: &Context, inventory: &Inventory, leaf: &Leaf, from: u64, to: u64) -> u64 {
    let line = context.store.lineage(inventory, &leaf.history.cut(to)).unwrap_or_default();
    line.last().map_or(from, |found| found.manifest.step.max(from))
}

/// The stages in force over a leaf's whole lineage.
fn stages(ready: &Ready, leaf: &Leaf) -> Vec<Stage> {
    let spans = leaf.history.spans();
    let ends = spans.iter().skip(1).map(|span| span.from).chain([leaf.history.end()]);
    let stage = |(span, to): (&crate::history::Span, u64)| Stage {
        from: span.from,
        to,
        name: name(ready, leaf, span.from),
        weights: span.settings.losses.iter().map(|(loss, term)| (loss.to_string(), term.weight.at(span.from))).collect(),
    };
    spans.iter().zip(ends).map(stage).collect()
}

/// What the stage at a step is called, in the file of whoever trained it.
fn name(ready: &Ready, leaf: &Leaf, step: u64) -> String {
    let mut leaf = leaf;
    while let Some(fork) = leaf.fork.as_ref().filter(|fork| step < fork.step) {
        let parent = ready.resolution.experiments.get(&fork.parent.experiment);
        match parent.and_then(|parent| parent.leaves.iter().find(|leaf| leaf.key == fork.parent)) {
            Some(parent) => leaf = parent,
            None => break,
        }
    }
    let stage: Option<&StageStart> = leaf.stages.iter().rfind(|stage| stage.from <= step);
    stage.and_then(|stage| stage.name.clone()).unwrap_or_default()
}

fn nodes(context: &Context, ready: &Ready, inventory: &Inventory) -> Vec<Node> {
    let plan = Plan::new(&ready.resolution.experiments, &ready.name, &Existing::default(), &Default::default());
    let all = &ready.resolved().leaves;
    let places: BTreeMap<&LeafKey, usize> = all.iter().enumerate().map(|(place, leaf)| (&leaf.key, place)).collect();
    let node = |(index, node): (usize, &crate::lineage::Node)| {
        let leaves: Vec<usize> = plan.targets(index).into_iter().filter_map(|m| places.get(&m.key).copied()).collect();
        let owner = &plan.owners[index];
        let deepest = leaves.first().map_or(node.from, |&leaf| reached(context, inventory, &all[leaf], node.from, node.step));
        let folder = match owner {
            Owner::Leaf(key) => context.store.leaf_folder(key),
            Owner::Shared(name) => context.store.shared_folder(name),
        };
        let failed = || context.store.lost(&folder).iter().any(|lost| lost.has_failed && lost.from >= node.from);
        let progress = match deepest >= node.step {
            true => Progress::Trained,
            false if context.store.watch(&folder).is_some() => Progress::Training,
            false if failed() => Progress::Failed,
            false => Progress::Planned,
        };
        Node {
            parent: node.parent,
            from: node.from,
            to: node.step,
            owner: owner.to_string(),
            leaves,
            progress,
            reached: deepest.min(node.step),
        }
    };
    plan.tree.nodes.iter().enumerate().map(node).collect()
}
