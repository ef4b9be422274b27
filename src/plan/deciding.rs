//! Which leaves decide over an edge of the tree: those of one experiment, from its own fork on. Each leaf goes its own way once;
//! asking each edge for all leaves that pass it would take the square of the leaves.

use std::collections::BTreeSet;

use super::build::{Member, Owner};
use super::steps::probe_steps;
use crate::lineage::{Leaf, Tree};
use crate::spec::Name;

/// What the deciding leaves want on the edge above a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Steps past the edge's beginning, up to the node, at which a stage starts.
    pub stage_starts: BTreeSet<u64>,
    /// Steps from the edge's beginning to the node at which the loss is to be probed.
    pub probes: BTreeSet<u64>,
}

/// An experiment whose leaves pass an edge past their own fork.
struct Claim<'a> {
    experiment: &'a Name,
    /// The lowest of its members.
    first: usize,
    is_shared: bool,
}

/// Owner of the edge above each node: a leaf, or the experiment whose leaves share it.
pub(super) fn owners(tree: &Tree, members: &[Member]) -> Vec<Owner> {
    let owner = |(node, claims): (usize, Vec<Claim<'_>>)| match claims.iter().min_by_key(|claim| claim.first) {
        Some(claim) if claim.is_shared => Owner::Shared(claim.experiment.clone()),
        Some(claim) => Owner::Leaf(members[claim.first].key.clone()),
        None => Owner::Leaf(members[tree.nodes[node].first].key.clone()),
    };
    claims(tree, members).into_iter().enumerate().map(owner).collect()
}

/// What the leaves of the owner's experiment want on each edge. `leaves` are the members' own.
pub(super) fn wanted(tree: &Tree, members: &[Member], leaves: &[&Leaf], owners: &[Owner]) -> Vec<Wanted> {
    let mut wanted = vec![Wanted::default(); tree.nodes.len()];
    // The nodes from the root to the one at hand.
    let mut way: Vec<usize> = Vec::new();
    for (index, node) in tree.nodes.iter().enumerate() {
        while way.last().copied() != node.parent {
            way.pop();
        }
        way.push(index);
        for &member in &node.ends {
            let Member { key, own_from, .. } = &members[member];
            let decides = |node: usize| tree.nodes[node].from >= *own_from && *owners[node].experiment() == key.experiment;
            let edges = |step: u64| {
                // The edge that the step lies on, and the next one where it begins there.
                let place = way.partition_point(|&node| tree.nodes[node].step < step);
                let (near, decides) = (way[place..].iter().copied().take(2), &decides);
                near.filter(move |&node| decides(node) && tree.nodes[node].from <= step)
            };
            for start in leaves[member].stages.iter().map(|stage| stage.from) {
                for node in edges(start).filter(|&node| tree.nodes[node].from < start) {
                    wanted[node].stage_starts.insert(start);
                }
            }
            for step in probe_steps(leaves[member]) {
                for node in edges(step) {
                    wanted[node].probes.insert(step);
                }
            }
        }
    }
    wanted
}

/// For each edge the experiments whose leaves pass it past their own fork.
fn claims<'a>(tree: &Tree, members: &'a [Member]) -> Vec<Vec<Claim<'a>>> {
    let mut claims: Vec<Vec<Claim<'a>>> = tree.nodes.iter().map(|_| vec![]).collect();
    let mut ends = vec![None; members.len()];
    for (index, node) in tree.nodes.iter().enumerate() {
        node.ends.iter().for_each(|&member| ends[member] = Some(index));
    }
    for (index, member) in members.iter().enumerate() {
        let experiment = &member.key.experiment;
        let mut next: Option<usize> = ends[index];
        while let Some(node) = next.filter(|&node| tree.nodes[node].from >= member.own_from) {
            match claims[node].iter_mut().find(|claim| claim.experiment == experiment) {
                // All leaves of an experiment fork at one step: where two of them met, two have gone on from there.
                Some(claim) if claim.is_shared => break,
                Some(claim) => claim.is_shared = true,
                None => claims[node].push(Claim { experiment, first: index, is_shared: false }),
            }
            next = tree.nodes[node].parent;
        }
    }
    claims
}
