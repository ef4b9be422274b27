//! What the branches score on a validation set, each at a step of its own, and their differences to the reference.

use std::collections::BTreeMap;

use serde::Serialize;

use super::leaves::{LeafRecords, Leaves, SetFacts};
use super::measure;
use super::pairs::Pair;
use super::statistics::{Estimate, Spread, Trial, estimate, null_band};
use crate::record::{Evaluation, Weights};
use crate::spec::Decide;

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
    /// By metric, how far the mean difference of two sets of the reference's own seeds reaches, 95 of 100 times.
    pub null_bands: BTreeMap<String, f64>,
    pub branches: Vec<BranchScores>,
}

/// Scores of a branch over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BranchScores {
    pub branch: String,
    pub metrics: BTreeMap<String, Spread>,
    /// Token accuracy by length bucket, mean over the seeds; buckets without spectra left out.
    pub by_length: BTreeMap<String, f64>,
    /// By metric, differences to the reference; none of the reference itself, or where leaves are not paired.
    pub differences: BTreeMap<String, Estimate>,
    /// The same spectra under both, seed by seed: about these networks and spectra only.
    pub same_spectra: Vec<Pair>,
}

/// At which step a leaf is looked at.
pub(super) type AtStep<'s> = &'s dyn Fn(&LeafRecords<'_>) -> Option<u64>;

/// A branch's evaluations on a set, in the order of the seeds.
struct Evaluated<'a> {
    branch: String,
    leaves: Vec<(&'a LeafRecords<'a>, u64, &'a Evaluation)>,
}

/// Scores on a set; nothing where it has not been evaluated.
pub(super) fn set_scores(leaves: &Leaves<'_>, set: &SetFacts, at: AtStep<'_>, decide: Option<&Decide>) -> Option<SetScores> {
    let evaluated: Vec<Evaluated<'_>> = leaves.branches.iter().map(|branch| evaluated(leaves, branch, set, at)).collect();
    let first = evaluated.iter().flat_map(|branch| &branch.leaves).next()?.2;
    let spectra = first.scores.summary.all.spectra;
    let base = evaluated.iter().find(|branch| branch.branch == leaves.reference)?;
    let mut branches: Vec<BranchScores> = evaluated.iter().map(|branch| branch.scores(base)).collect();
    let effect = |metric: &str| decide.filter(|rule| rule.parts() == (set.name.as_str(), metric)).map(|rule| rule.at_least);
    let mut null_bands = BTreeMap::new();
    for metric in measure::judged_metrics() {
        let reference = base.values(metric);
        let trial = Trial {
            reference: &reference,
            higher_is_better: measure::higher_is_better(metric),
            spectra: measure::is_share_of_spectra(metric).then_some(spectra),
            effect: effect(metric),
        };
        null_bands.extend(null_band(&reference).map(|band| (metric.to_owned(), band)));
        if leaves.paired {
            compare_metric(metric, &evaluated, base, &trial, &mut branches);
        }
    }
    Some(SetScores {
        set: set.name.clone(),
        weights: first.weights,
        spectra,
        commonest_residue: set.commonest_residue,
        frequency_cross_entropy: set.frequency_cross_entropy,
        null_bands,
        branches,
    })
}

fn evaluated<'a>(leaves: &Leaves<'a>, branch: &str, set: &SetFacts, at: AtStep<'_>) -> Evaluated<'a> {
    let found = |leaf: &'a LeafRecords<'a>| {
        let step = at(leaf)?;
        Some((leaf, step, leaf.evaluation(&set.digest, step)?))
    };
    Evaluated { branch: branch.to_owned(), leaves: leaves.of(branch).filter_map(found).collect() }
}

/// Differences of one metric, all trainings judged together: branches that are one training count once, and those that are the
/// reference's own stand apart.
fn compare_metric(
    metric: &str,
    evaluated: &[Evaluated<'_>],
    base: &Evaluated<'_>,
    trial: &Trial<'_>,
    branches: &mut [BranchScores],
) {
    let comparable = |branch: &&Evaluated<'_>| branch.branch != base.branch && branch.seeds() == base.seeds();
    let (same, apart): (Vec<&Evaluated<'_>>, Vec<&Evaluated<'_>>) =
        evaluated.iter().filter(comparable).partition(|branch| branch.is_same_training(base));
    let trainings = trainings(apart);
    let differences: Vec<Vec<f64>> = trainings.iter().map(|branches| branches[0].differences(base, metric)).collect();
    let judged = trainings.into_iter().zip(estimate(&differences, trial));
    let judged = judged.flat_map(|(branches, estimate)| branches.into_iter().map(move |branch| (branch, estimate.clone())));
    let equal = same.into_iter().map(|branch| (branch, Estimate::same_training(branch.leaves.len())));
    for (branch, estimate) in judged.chain(equal) {
        if let Some(scores) = branches.iter_mut().find(|scores| scores.branch == branch.branch) {
            scores.differences.insert(metric.to_owned(), estimate);
        }
    }
}

/// Branches by training, in the order in which they come.
fn trainings<'b, 'a>(branches: Vec<&'b Evaluated<'a>>) -> Vec<Vec<&'b Evaluated<'a>>> {
    let mut trainings: Vec<Vec<&Evaluated<'_>>> = Vec::new();
    for branch in branches {
        match trainings.iter_mut().find(|known| branch.is_same_training(known[0])) {
            Some(known) => known.push(branch),
            None => trainings.push(vec![branch]),
        }
    }
    trainings
}

impl Evaluated<'_> {
    fn seeds(&self) -> Vec<Option<u64>> {
        self.leaves.iter().map(|(leaf, ..)| leaf.key.seed).collect()
    }

    fn values(&self, metric: &str) -> Vec<f64> {
        self.leaves.iter().filter_map(|(.., found)| measure::value(metric, found)).collect()
    }

    fn differences(&self, base: &Evaluated<'_>, metric: &str) -> Vec<f64> {
        let value = |found: &Evaluation| measure::value(metric, found).unwrap_or(f64::NAN);
        self.leaves.iter().zip(&base.leaves).map(|((.., own), (.., other))| value(own) - value(other)).collect()
    }

    /// Whether every leaf is, up to the step it is looked at, the other branch's of the same seed.
    fn is_same_training(&self, other: &Evaluated<'_>) -> bool {
        let same = |((own, step, _), (other, at, _)): (&Found<'_>, &Found<'_>)| {
            step == at && own.history.common_step(other.history).is_some_and(|common| common >= *step)
        };
        self.leaves.iter().zip(&other.leaves).all(same)
    }

    fn scores(&self, base: &Evaluated<'_>) -> BranchScores {
        let metrics = measure::shown_metrics().map(|metric| (metric.to_owned(), Spread::of(self.values(metric))));
        let pair = |((leaf, _, own), (_, _, other)): (&Found<'_>, &Found<'_>)| {
            Pair::of(leaf.key.seed, &own.scores.outcomes, &other.scores.outcomes)
        };
        let is_compared = self.branch != base.branch && self.seeds() == base.seeds();
        let pairs = self.leaves.iter().zip(&base.leaves).filter(|_| is_compared);
        BranchScores {
            branch: self.branch.clone(),
            metrics: metrics.filter(|(_, spread)| !spread.values.is_empty()).collect(),
            by_length: by_length(self.leaves.iter().map(|(.., found)| *found)),
            differences: BTreeMap::new(),
            same_spectra: pairs.filter_map(pair).collect(),
        }
    }
}

type Found<'a> = (&'a LeafRecords<'a>, u64, &'a Evaluation);

/// Token accuracy by length bucket, mean over evaluations.
pub(super) fn by_length<'a>(evaluations: impl Iterator<Item = &'a Evaluation>) -> BTreeMap<String, f64> {
    let mut buckets: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for found in evaluations {
        for bucket in found.scores.summary.by_length.iter().filter(|bucket| bucket.figures.spectra > 0) {
            buckets.entry(bucket.residues.clone()).or_default().push(bucket.figures.token_accuracy);
        }
    }
    buckets.into_iter().map(|(name, values)| (name, Spread::of(values).mean)).collect()
}
