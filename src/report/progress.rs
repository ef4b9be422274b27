//! How the branches got there: the best evaluation on each set, and the step at which an accuracy was first reached.

use std::collections::BTreeMap;

use serde::Serialize;

use super::leaves::{LeafRecords, Leaves, SetFacts};
use super::robust::median;
use super::scores::by_length;
use super::statistics::Spread;
use crate::record::Evaluation;

/// Progress on one validation set, up to the compared step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetProgress {
    pub set: String,
    pub branches: Vec<BranchProgress>,
}

/// Progress of a branch over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BranchProgress {
    pub branch: String,
    /// Best token accuracy of each seed among the leaf's own evaluations. The best of several is better than any one of them
    /// is on average, so it is shown and never judged.
    pub best: Spread,
    /// The steps at which the seeds were best; of equals the earliest.
    pub best_steps: Vec<u64>,
    /// Token accuracy by length bucket at those steps, mean over the seeds.
    pub best_by_length: BTreeMap<String, f64>,
    pub milestones: Vec<Milestone>,
}

/// When a token accuracy was first reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Milestone {
    /// Share of the tokens: 0.1, 0.2 .. 0.9.
    pub accuracy: f64,
    /// First evaluated step at or above it, of each seed that came there, in the order of the seeds.
    pub steps: Vec<u64>,
    /// Median over all seeds, those that never came there counting as later than any; none where that is one of them.
    pub median: Option<f64>,
}

/// Progress of all branches on a set.
pub(super) fn progress(leaves: &Leaves<'_>, set: &SetFacts, up_to: u64) -> SetProgress {
    let branch = |branch: &String| branch_progress(leaves, branch, set, up_to);
    SetProgress { set: set.name.clone(), branches: leaves.branches.iter().map(branch).collect() }
}

fn branch_progress(leaves: &Leaves<'_>, branch: &str, set: &SetFacts, up_to: u64) -> BranchProgress {
    let own: Vec<&LeafRecords<'_>> = leaves.of(branch).collect();
    let best: Vec<&Evaluation> = own.iter().filter_map(|leaf| best_of(leaf, set, up_to)).collect();
    BranchProgress {
        branch: branch.to_owned(),
        best: Spread::of(best.iter().map(|found| accuracy(found))),
        best_steps: best.iter().map(|found| found.step).collect(),
        best_by_length: by_length(best.iter().copied()),
        milestones: (1_u8..10).map(|tenths| milestone(&own, set, f64::from(tenths) / 10.0, up_to)).collect(),
    }
}

fn best_of<'a>(leaf: &LeafRecords<'a>, set: &SetFacts, up_to: u64) -> Option<&'a Evaluation> {
    let own = leaf.curve(&set.digest, up_to).into_values().filter(|found| found.step > leaf.own_from);
    own.reduce(|best, next| if accuracy(next) > accuracy(best) { next } else { best })
}

fn milestone(own: &[&LeafRecords<'_>], set: &SetFacts, level: f64, up_to: u64) -> Milestone {
    let first = |leaf: &&LeafRecords<'_>| {
        leaf.curve(&set.digest, up_to).into_iter().find(|(_, found)| accuracy(found) >= level).map(|(step, _)| step)
    };
    let reached: Vec<Option<u64>> = own.iter().map(first).collect();
    let mut all: Vec<f64> = reached.iter().map(|step| step.map_or(f64::INFINITY, |step| step as f64)).collect();
    Milestone {
        accuracy: level,
        steps: reached.into_iter().flatten().collect(),
        median: median(&mut all).filter(|step| step.is_finite()),
    }
}

fn accuracy(found: &Evaluation) -> f64 {
    found.scores.summary.all.token_accuracy
}
