//! Branches of different batch sizes at equal numbers of samples, not of steps.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::leaves::{LeafRecords, Leaves, SetFacts, evaluated_steps};
use super::scores::{SetScores, set_scores};
use crate::history::History;
use crate::spec::Decide;

/// The comparison at the largest number of samples at which every leaf has been evaluated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EqualSamples {
    pub samples: u64,
    /// The step at which each branch has seen so many.
    pub steps: BTreeMap<String, u64>,
    pub sets: Vec<SetScores>,
}

/// Samples seen by a history's first `step` updates since its root: the batch of each, summed.
pub(super) fn samples_seen(history: &History, step: u64) -> u64 {
    let ends = history.spans().iter().skip(1).map(|span| span.from).chain([u64::MAX]);
    let spans = history.spans().iter().zip(ends);
    spans.map(|(span, end)| end.min(step).saturating_sub(span.from) * u64::from(span.settings.batch)).sum()
}

/// Whether the branches see different numbers of samples by the same step.
pub(super) fn batches_differ(leaves: &Leaves<'_>, step: u64) -> bool {
    leaves.all().map(|leaf| samples_seen(leaf.history, step)).collect::<BTreeSet<_>>().len() > 1
}

/// Compares at equal samples; nothing where no number of samples, past the fork, has been evaluated in every leaf.
pub(super) fn equal_samples(leaves: &Leaves<'_>, sets: &[SetFacts], decide: Option<&Decide>) -> Option<EqualSamples> {
    let by_samples = |leaf: &LeafRecords<'_>| -> BTreeMap<u64, u64> {
        let own = evaluated_steps(leaf, sets).into_iter().filter(|step| *step > leaf.own_from);
        own.map(|step| (samples_seen(leaf.history, step), step)).collect()
    };
    let counts = leaves.all().map(|leaf| by_samples(leaf).into_keys().collect::<BTreeSet<u64>>());
    let samples = counts.reduce(|a, b| &a & &b)?.into_iter().next_back()?;
    let at = |leaf: &LeafRecords<'_>| by_samples(leaf).get(&samples).copied();
    let steps = leaves.firsts().into_iter().filter_map(|leaf| Some((leaf.key.branch.to_string(), at(leaf)?)));
    Some(EqualSamples {
        samples,
        steps: steps.collect(),
        sets: sets.iter().filter_map(|set| set_scores(leaves, set, &at, decide)).collect(),
    })
}
