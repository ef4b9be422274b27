//! At which steps of a segment checkpoints are saved and evaluations made.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Id;
use crate::lineage::{Leaf, Rhythm};

/// Why a checkpoint is kept, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// One of the last few, against crashes.
    Rolling,
    /// Settings change here.
    StageStart,
    /// Named by `keep`.
    Declared,
    /// Leaves part here, or an experiment forks.
    Fork,
    /// A leaf ends here.
    End,
}

impl Keep {
    pub fn name(self) -> &'static str {
        match self {
            Keep::Rolling => "rolling",
            Keep::StageStart => "stage start",
            Keep::Declared => "declared",
            Keep::Fork => "fork",
            Keep::End => "end",
        }
    }
}

/// A checkpoint to save on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Save {
    pub step: u64,
    pub id: Id,
    pub keep: Keep,
}

/// Updates after an edge at which the loss is probed: dense where a jump is, thin where it fades.
const AFTER_EDGE: [u64; 12] = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000];

/// Steps in (from, to] at which checkpoints are saved, with the strongest reason for each.
pub fn save_steps(from: u64, to: u64, rhythm: &Rhythm, stage_starts: &BTreeSet<u64>, end: Keep) -> BTreeMap<u64, Keep> {
    let mut steps = BTreeMap::new();
    let mut add = |step: u64, keep: Keep| {
        if step > from && step <= to {
            let reason = steps.entry(step).or_insert(keep);
            *reason = keep.max(*reason);
        }
    };
    multiples(from, to, rhythm.save_every).for_each(|step| add(step, Keep::Rolling));
    rhythm.keep.iter().for_each(|&step| add(step, Keep::Declared));
    stage_starts.iter().for_each(|&step| add(step, Keep::StageStart));
    add(to, end);
    steps
}

/// Steps in (from, to] at which evaluations are made: every `evaluate_every`, and where a leaf ends.
pub fn evaluation_steps(from: u64, to: u64, rhythm: &Rhythm, is_end: bool) -> BTreeSet<u64> {
    multiples(from, to, rhythm.evaluate_every).chain(is_end.then_some(to)).collect()
}

/// Steps at which the loss is probed for a leaf: at the fork, at the starts of its own stages and where a loss comes in or goes
/// out, where the settings change but the weights do not yet, some steps after each of them, and at its end.
pub fn probe_steps(leaf: &Leaf) -> Vec<u64> {
    let fork = Some(leaf.own_from()).filter(|fork| *fork > leaf.history.start());
    let mut edges: Vec<u64> = fork.into_iter().chain(leaf.turns()).collect();
    if !edges.is_empty() {
        edges.push(leaf.history.end());
    }
    let between: Vec<u64> = edges.windows(2).flat_map(|pair| looks(pair[0], pair[1])).collect();
    edges.into_iter().chain(between).collect()
}

/// Steps after an edge at which the loss is looked at, up to the next edge or the leaf's end.
pub fn looks(edge: u64, end: u64) -> impl Iterator<Item = u64> {
    let between = AFTER_EDGE.into_iter().map(move |steps| edge.saturating_add(steps)).filter(move |step| *step < end);
    between.chain([end])
}

/// Multiples of `every` in (from, to].
fn multiples(from: u64, to: u64, every: u64) -> impl Iterator<Item = u64> {
    let every = every.max(1);
    (from / every + 1..=to / every).map(move |n| n * every)
}
