//! The first form of a comparison: final metrics of each branch with the spread of its seeds, differences paired by seed,
//! and the jump of the loss at each stage edge.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::differences::settings_that_differ;
use crate::history::History;
use crate::lineage::LeafKey;
use crate::record::{Evaluation, MetricsRow, Weights};
use crate::task::loss::Loss;

/// What is known of one leaf.
#[derive(Clone, Debug)]
pub struct LeafRecords<'a> {
    pub key: LeafKey,
    pub history: &'a History,
    /// Step from which the leaf's own curriculum governs.
    pub own_from: u64,
    /// Starts of its stages past the fork and before the end.
    pub stage_starts: Vec<u64>,
    /// Rows joined along the lineage.
    pub rows: Vec<MetricsRow>,
    /// Evaluations along the lineage.
    pub evaluations: Vec<&'a Evaluation>,
    /// Digest of the tensors at the fork and the numerics they were trained on: leaves are paired only where these agree.
    pub pairing: String,
}

/// A comparison of the leaves of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub format: u32,
    pub experiment: String,
    pub reference: String,
    /// Leaves are compared at this step: the largest at which all have been evaluated.
    pub step: Option<u64>,
    pub seeds: usize,
    /// Whether every branch grew from one parent under one numerics, seed by seed.
    pub paired: bool,
    pub sets: Vec<SetScores>,
    pub jumps: Vec<Jump>,
    /// Settings in which the branches differ, whatever the step.
    pub settings_that_differ: Vec<String>,
    /// What keeps the numbers from being a verdict.
    pub remarks: Vec<String>,
}

/// Scores on one validation set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetScores {
    pub set: String,
    pub weights: Weights,
    pub spectra: u64,
    /// Token accuracy of always answering the set's commonest residue (I = L) at the true length: what must be beaten.
    pub commonest_residue: f64,
    /// Cross-entropy of drawing residues and lengths by their frequency in the training files; none where all is synthetic.
    pub frequency_cross_entropy: Option<f64>,
    pub branches: Vec<BranchScores>,
}

/// A validation set as far as a comparison needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct SetFacts {
    pub name: String,
    pub digest: String,
    pub commonest_residue: f64,
    pub frequency_cross_entropy: Option<f64>,
}

/// Scores of a branch over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BranchScores {
    pub branch: String,
    pub metrics: BTreeMap<String, Spread>,
    /// Token accuracy by length bucket, mean over the seeds; buckets without spectra left out.
    pub by_length: BTreeMap<String, f64>,
    /// Difference of token accuracy to the reference, paired by seed.
    pub difference: Option<Spread>,
}

/// Values over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub values: Vec<f64>,
    pub mean: f64,
    /// Sample standard deviation; none of fewer than two values.
    pub deviation: Option<f64>,
}

/// How a branch's loss moved at the start of a stage: mean over the logged steps after it minus before it, over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Jump {
    pub branch: String,
    pub step: u64,
    /// Logged steps on each side.
    pub window: usize,
    pub total: f64,
    /// Raw terms that were computed on both sides.
    pub terms: BTreeMap<Loss, f64>,
    /// Losses that came in or went out here.
    pub switched: Vec<Loss>,
}

/// Logged steps on each side of a stage edge.
const WINDOW: usize = 10;
/// Metrics shown beside token accuracy.
const METRICS: [&str; 4] = ["token_accuracy", "peptide_precision", "residue_recall", "within_20_ppm"];
/// Fewer seeds than this give numbers and no verdict.
pub const FEWEST_SEEDS: usize = 3;

/// Compares leaves on validation sets.
pub fn compare(experiment: &str, reference: &str, leaves: &[LeafRecords<'_>], sets: &[SetFacts]) -> Comparison {
    let branches: Vec<String> = ordered_branches(leaves);
    let step = common_step(leaves, sets);
    let first_of = |branch: &String| leaves.iter().find(|leaf| leaf.key.branch.as_str() == branch);
    let firsts: Vec<&LeafRecords<'_>> = branches.iter().filter_map(first_of).collect();
    let histories: Vec<&History> = firsts.iter().map(|leaf| leaf.history).collect();
    let from = firsts.iter().map(|leaf| leaf.own_from).min().unwrap_or(0);
    let differing: Vec<String> = settings_that_differ(&histories, from).into_keys().collect();
    let seeds = leaves.iter().map(|leaf| leaf.key.seed).collect::<BTreeSet<_>>().len();
    let paired = is_paired(leaves);
    let sets = step.map_or(vec![], |step| {
        sets.iter().filter_map(|set| set_scores(set, step, &branches, reference, leaves, paired)).collect()
    });
    let remarks = remarks(seeds, paired, &branches, &differing, step);
    Comparison {
        format: crate::record::FORMAT,
        experiment: experiment.into(),
        reference: reference.into(),
        step,
        seeds,
        paired,
        sets,
        jumps: branches.iter().flat_map(|branch| jumps(branch, leaves)).collect(),
        settings_that_differ: differing,
        remarks,
    }
}

fn ordered_branches(leaves: &[LeafRecords<'_>]) -> Vec<String> {
    let mut branches: Vec<String> = Vec::new();
    for leaf in leaves {
        if !branches.iter().any(|known| known == leaf.key.branch.as_str()) {
            branches.push(leaf.key.branch.to_string());
        }
    }
    branches
}

/// The largest step at which every leaf has been evaluated on every set.
fn common_step(leaves: &[LeafRecords<'_>], sets: &[SetFacts]) -> Option<u64> {
    let steps = |leaf: &LeafRecords<'_>, digest: &str| -> BTreeSet<u64> {
        leaf.evaluations.iter().filter(|evaluation| evaluation.set_digest == digest).map(|evaluation| evaluation.step).collect()
    };
    let all = leaves.iter().flat_map(|leaf| sets.iter().map(move |set| steps(leaf, &set.digest)));
    all.reduce(|a, b| &a & &b)?.into_iter().next_back()
}

/// Leaves of one seed grew from the same bits under the same numerics.
fn is_paired(leaves: &[LeafRecords<'_>]) -> bool {
    let mut by_seed: BTreeMap<Option<u64>, &str> = BTreeMap::new();
    leaves.iter().all(|leaf| *by_seed.entry(leaf.key.seed).or_insert(&leaf.pairing) == leaf.pairing)
}

fn remarks(seeds: usize, paired: bool, branches: &[String], differing: &[String], step: Option<u64>) -> Vec<String> {
    let mut remarks = Vec::new();
    if step.is_none() {
        remarks.push("not all leaves have been evaluated at a common step: there is nothing to compare yet".into());
    }
    if seeds < FEWEST_SEEDS && branches.len() > 1 {
        remarks.push(format!(
            "{seeds} seed{}: numbers, no verdict; {FEWEST_SEEDS} or more show the spread",
            if seeds == 1 { "" } else { "s" }
        ));
    }
    if !paired {
        remarks.push(
            "leaves of one seed did not grow from the same bits under the same numerics: differences are not paired".into(),
        );
    }
    if differing.len() > 1 && branches.len() > 1 {
        remarks.push(format!(
            "the branches differ in {} settings: a difference speaks for a whole curriculum, not for one loss",
            differing.len()
        ));
    }
    remarks
}

fn set_scores(
    set: &SetFacts,
    step: u64,
    branches: &[String],
    reference: &str,
    leaves: &[LeafRecords<'_>],
    paired: bool,
) -> Option<SetScores> {
    let evaluation = |leaf: &LeafRecords<'_>| -> Option<Evaluation> {
        leaf.evaluations.iter().find(|found| found.step == step && found.set_digest == set.digest).map(|found| (*found).clone())
    };
    let scored: Vec<(&LeafRecords<'_>, Evaluation)> =
        leaves.iter().filter_map(|leaf| Some((leaf, evaluation(leaf)?))).collect();
    let of = |branch: &str| -> BTreeMap<Option<u64>, &Evaluation> {
        scored
            .iter()
            .filter(|(leaf, _)| leaf.key.branch.as_str() == branch)
            .map(|(leaf, found)| (leaf.key.seed, found))
            .collect()
    };
    let base = of(reference);
    let branch_scores = |branch: &String| {
        let own = of(branch);
        let named = |name: &str| Spread::of(own.values().filter_map(|found| found.scores.summary.all.named(name)));
        let mut metrics: BTreeMap<String, Spread> = METRICS.iter().map(|name| ((*name).to_owned(), named(name))).collect();
        metrics.insert("cross_entropy".into(), Spread::of(own.values().map(|found| found.scores.cross_entropy)));
        metrics.insert(
            "mass_error_ppm".into(),
            Spread::of(own.values().filter_map(|found| found.scores.summary.all.mass_error_ppm)),
        );
        let accuracy = |found: &Evaluation| found.scores.summary.all.token_accuracy;
        let pairs = own.iter().filter_map(|(seed, found)| Some(accuracy(found) - accuracy(base.get(seed)?)));
        let difference = (branch != reference && paired && !base.is_empty()).then(|| Spread::of(pairs));
        BranchScores { branch: branch.clone(), metrics, by_length: by_length(&own), difference }
    };
    let (_, first) = scored.first()?;
    Some(SetScores {
        set: set.name.clone(),
        commonest_residue: set.commonest_residue,
        frequency_cross_entropy: set.frequency_cross_entropy,
        weights: first.weights,
        spectra: first.scores.summary.all.spectra,
        branches: branches.iter().map(branch_scores).collect(),
    })
}

fn by_length(own: &BTreeMap<Option<u64>, &Evaluation>) -> BTreeMap<String, f64> {
    let mut buckets: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for found in own.values() {
        for bucket in found.scores.summary.by_length.iter().filter(|bucket| bucket.figures.spectra > 0) {
            buckets.entry(bucket.residues.clone()).or_default().push(bucket.figures.token_accuracy);
        }
    }
    buckets.into_iter().map(|(name, values)| (name, Spread::of(values).mean)).collect()
}

/// Jumps at the stage edges of a branch, mean over its seeds.
fn jumps(branch: &str, leaves: &[LeafRecords<'_>]) -> Vec<Jump> {
    let own: Vec<&LeafRecords<'_>> = leaves.iter().filter(|leaf| leaf.key.branch.as_str() == branch).collect();
    let edges: BTreeSet<u64> = own.iter().flat_map(|leaf| leaf.stage_starts.iter().copied().chain([leaf.own_from])).collect();
    edges.into_iter().filter_map(|edge| jump(branch, edge, &own)).collect()
}

fn jump(branch: &str, edge: u64, own: &[&LeafRecords<'_>]) -> Option<Jump> {
    let mut totals = Vec::new();
    let mut terms: BTreeMap<Loss, Vec<f64>> = BTreeMap::new();
    let mut switched = BTreeSet::new();
    let mut window = WINDOW;
    for leaf in own {
        let place = leaf.rows.partition_point(|row| row.step < edge);
        let before = &leaf.rows[place.saturating_sub(WINDOW)..place];
        let after = &leaf.rows[place..(place + WINDOW).min(leaf.rows.len())];
        let (Some(last), Some(first)) = (before.last(), after.first()) else { continue };
        window = window.min(before.len()).min(after.len());
        totals.push(mean(after.iter().map(|row| row.total)) - mean(before.iter().map(|row| row.total)));
        for loss in Loss::ALL {
            match (last.terms.contains_key(&loss), first.terms.contains_key(&loss)) {
                (true, true) => {
                    let side = |rows: &[MetricsRow]| mean(rows.iter().filter_map(|row| row.terms.get(&loss).copied()));
                    terms.entry(loss).or_default().push(side(after) - side(before));
                }
                (false, false) => {}
                _ => {
                    switched.insert(loss);
                }
            }
        }
    }
    (!totals.is_empty()).then(|| Jump {
        branch: branch.into(),
        step: edge,
        window,
        total: mean(totals),
        terms: terms.into_iter().map(|(loss, values)| (loss, mean(values))).collect(),
        switched: switched.into_iter().collect(),
    })
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let values: Vec<f64> = values.into_iter().collect();
        let mean = mean(values.iter().copied());
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt());
        Spread { values, mean, deviation }
    }
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_sample_deviations() {
        let spread = Spread::of([1.0, 2.0, 3.0]);
        assert_eq!((spread.mean, spread.deviation), (2.0, Some(1.0)));
        assert_eq!(Spread::of([4.0]).deviation, None);
    }
}
