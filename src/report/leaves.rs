//! The leaves that are compared: which, at which step, and whether they are pairs.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{History, Piece};
use crate::lineage::LeafKey;
use crate::record::{Evaluation, MetricsRow, Probe};
use crate::task::loss::Loss;

/// What is known of one leaf.
#[derive(Clone, Debug)]
pub struct LeafRecords<'a> {
    pub key: LeafKey,
    /// The curriculum it follows, as people call it: `early`, `phased with Precursor at 600`.
    pub curriculum: String,
    pub history: &'a History,
    /// Step from which the leaf's own curriculum governs.
    pub own_from: u64,
    /// The weights that the curriculum gives each loss, by first step, also before the fork and past the end; none where the
    /// loss is not there.
    pub written_weights: BTreeMap<Loss, Vec<(u64, Option<Piece>)>>,
    /// See [`crate::lineage::Leaf::turns`].
    pub turns: BTreeSet<u64>,
    /// Rows joined along the lineage.
    pub rows: Vec<MetricsRow>,
    /// Evaluations along the lineage.
    pub evaluations: Vec<&'a Evaluation>,
    /// Probes of the loss along the lineage, by step; several where they were made on different sets.
    pub probes: BTreeMap<u64, Vec<&'a Probe>>,
    /// Digest of the tensors at the fork and the numerics they were trained on: leaves are paired only where these agree.
    pub pairing: String,
}

/// A validation set as far as a comparison needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct SetFacts {
    pub name: String,
    pub digest: String,
    pub commonest_residue: f64,
    pub frequency_cross_entropy: Option<f64>,
}

/// The leaves of an experiment by branch and seed.
pub(super) struct Leaves<'a> {
    all: Vec<&'a LeafRecords<'a>>,
    pub branches: Vec<String>,
    pub reference: String,
    /// Seeds that are compared, in the order of the file.
    pub seeds: Vec<Option<u64>>,
    /// Seeds of which not every branch has been evaluated past the fork.
    pub left_out: Vec<Option<u64>>,
    /// Whether every branch grew from one parent under one numerics, seed by seed.
    pub paired: bool,
    /// The largest step at which all of them have been evaluated on every set.
    pub step: Option<u64>,
}

impl<'a> Leaves<'a> {
    pub fn new(leaves: &'a [LeafRecords<'a>], reference: &str, sets: &[SetFacts]) -> Leaves<'a> {
        let mut branches: Vec<String> = Vec::new();
        let mut seeds: Vec<Option<u64>> = Vec::new();
        for leaf in leaves {
            if !branches.iter().any(|known| known == leaf.key.branch.as_str()) {
                branches.push(leaf.key.branch.to_string());
            }
            if !seeds.contains(&leaf.key.seed) {
                seeds.push(leaf.key.seed);
            }
        }
        let (seeds, left_out) = evaluated(leaves, seeds, sets);
        let all: Vec<&LeafRecords<'_>> = leaves.iter().filter(|leaf| seeds.contains(&leaf.key.seed)).collect();
        let (paired, step) = (is_paired(&all), common_step(&all, sets));
        Leaves { all, branches, reference: reference.into(), seeds, left_out, paired, step }
    }

    pub fn all(&self) -> impl Iterator<Item = &'a LeafRecords<'a>> + '_ {
        self.all.iter().copied()
    }

    /// A branch's leaves in the order of the seeds.
    pub fn of<'b>(&'b self, branch: &'b str) -> impl Iterator<Item = &'a LeafRecords<'a>> + 'b {
        self.seeds.iter().filter_map(move |seed| self.leaf(branch, *seed))
    }

    pub fn leaf(&self, branch: &str, seed: Option<u64>) -> Option<&'a LeafRecords<'a>> {
        self.all().find(|leaf| leaf.key.branch.as_str() == branch && leaf.key.seed == seed)
    }

    /// One leaf of each branch, all of the first seed.
    pub fn firsts(&self) -> Vec<&'a LeafRecords<'a>> {
        self.branches.iter().filter_map(|branch| self.of(branch).next()).collect()
    }

    /// Branches other than the reference.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().map(String::as_str).filter(|branch| *branch != self.reference)
    }

    /// Whether the seeds are replicates from one checkpoint on, or whole trainings.
    pub fn replicates_are_forks(&self) -> bool {
        let own: Vec<&LeafRecords<'_>> = self.of(&self.reference).collect();
        let is_fork = own.iter().all(|leaf| leaf.own_from > leaf.history.start());
        is_fork && own.windows(2).all(|pair| pair[0].history.root() == pair[1].history.root())
    }
}

impl<'a> LeafRecords<'a> {
    /// The evaluation on a set at a step.
    pub(super) fn evaluation(&self, digest: &str, step: u64) -> Option<&'a Evaluation> {
        self.evaluations.iter().copied().find(|found| found.step == step && found.set_digest == digest)
    }

    /// Evaluations on a set up to a step, by step.
    pub(super) fn curve(&self, digest: &str, up_to: u64) -> BTreeMap<u64, &'a Evaluation> {
        let known = self.evaluations.iter().copied().filter(|found| found.set_digest == digest && found.step <= up_to);
        known.map(|found| (found.step, found)).collect()
    }
}

/// Tells seeds of which every branch has been evaluated past the fork from those that wait for it. Where none has, all wait,
/// and all are taken.
fn evaluated(leaves: &[LeafRecords<'_>], seeds: Vec<Option<u64>>, sets: &[SetFacts]) -> (Vec<Option<u64>>, Vec<Option<u64>>) {
    let is_past_fork = |seed: Option<u64>| {
        let own: Vec<&LeafRecords<'_>> = leaves.iter().filter(|leaf| leaf.key.seed == seed).collect();
        let fork = own.iter().map(|leaf| leaf.own_from).max().unwrap_or(0);
        common_step(&own, sets).is_some_and(|step| step > fork)
    };
    let (ready, waiting): (Vec<Option<u64>>, Vec<Option<u64>>) = seeds.iter().copied().partition(|seed| is_past_fork(*seed));
    if ready.is_empty() { (seeds, vec![]) } else { (ready, waiting) }
}

fn common_step(leaves: &[&LeafRecords<'_>], sets: &[SetFacts]) -> Option<u64> {
    let all = leaves.iter().map(|leaf| evaluated_steps(leaf, sets));
    all.reduce(|a, b| &a & &b)?.into_iter().next_back()
}

/// Steps at which a leaf has been evaluated on every set.
pub(super) fn evaluated_steps(leaf: &LeafRecords<'_>, sets: &[SetFacts]) -> BTreeSet<u64> {
    let on = |set: &SetFacts| -> BTreeSet<u64> {
        leaf.evaluations.iter().filter(|found| found.set_digest == set.digest).map(|found| found.step).collect()
    };
    sets.iter().map(on).reduce(|a, b| &a & &b).unwrap_or_default()
}

/// Leaves of one seed grew from the same bits under the same numerics.
fn is_paired(leaves: &[&LeafRecords<'_>]) -> bool {
    let mut by_seed: BTreeMap<Option<u64>, &str> = BTreeMap::new();
    leaves.iter().all(|leaf| *by_seed.entry(leaf.key.seed).or_insert(&leaf.pairing) == leaf.pairing)
}
