//! How each term of the loss moves at the start of a stage, and how long that lasts.
//!
//! Measured on the training batches of the logged steps, with the raw weights that were being trained. Where the difficulty
//! changes at the same step, that is in it too: a term is larger on harder spectra before anything is unlearned.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::leaves::LeafRecords;
use super::robust::{DEVIATIONS_PER_MAD, median, median_and_mad};
use super::statistics::mean;
use crate::record::MetricsRow;
use crate::task::loss::Loss;

/// Logged steps on each side of an edge.
const WINDOW: usize = 10;
/// Logged steps whose median must be back where the term was.
const BACK: usize = 5;
/// Within so many deviations of its level before the edge, a term is back.
const NOISE: f64 = 2.0;

/// How a leaf's loss moved at the start of a stage: mean over the logged steps after it minus before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Jump {
    pub branch: String,
    pub seed: Option<u64>,
    pub step: u64,
    /// Logged steps on each side; fewer where there are none.
    pub window: usize,
    /// Of the weighted sum.
    pub total: f64,
    pub terms: BTreeMap<Loss, TermJump>,
    /// Losses that came in or went out here.
    pub switched: Vec<Loss>,
}

/// How one term moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TermJump {
    /// Weight times value; a term that is not computed counts as 0.
    pub weighted: f64,
    /// The part of it that the weight alone makes: the change of the weight times the value before the edge, or, where the term
    /// was not computed before, times its value at the edge, before the network has seen it.
    pub by_weight: f64,
    /// The raw value; none where the term was not computed on both sides.
    pub raw: Option<f64>,
    /// How long the raw value stays above its level before the edge; none where it was not computed on both sides.
    pub lasts: Option<Lasting>,
}

/// How long a jump lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasting {
    /// Steps until the term is back within the noise of its level before the edge; 0 where it never left it.
    Steps(u64),
    NotWithinTheRun,
}

/// The jumps of a leaf at the fork and at the starts of its own stages.
pub(super) fn jumps(leaf: &LeafRecords<'_>) -> Vec<Jump> {
    let edges: BTreeSet<u64> = leaf.stage_starts.iter().copied().chain([leaf.own_from]).collect();
    edges.into_iter().filter_map(|edge| jump(leaf, edge)).collect()
}

fn jump(leaf: &LeafRecords<'_>, edge: u64) -> Option<Jump> {
    let place = leaf.rows.partition_point(|row| row.step < edge);
    let before = &leaf.rows[place.saturating_sub(WINDOW)..place];
    let rest = &leaf.rows[place..];
    let after = &rest[..WINDOW.min(rest.len())];
    let (last, first) = (before.last()?, after.first()?);
    let is_known = |loss: &Loss| last.terms.contains_key(loss) || first.terms.contains_key(loss);
    let known = Loss::ALL.into_iter().filter(is_known);
    let switched = |loss: &Loss| last.terms.contains_key(loss) != first.terms.contains_key(loss);
    Some(Jump {
        branch: leaf.key.branch.to_string(),
        seed: leaf.key.seed,
        step: edge,
        window: before.len().min(after.len()),
        total: average(after, |row| Some(row.total)).unwrap_or(0.0) - average(before, |row| Some(row.total)).unwrap_or(0.0),
        terms: known.map(|loss| (loss, term_jump(loss, edge, before, after, rest))).collect(),
        switched: Loss::ALL.into_iter().filter(switched).collect(),
    })
}

fn term_jump(loss: Loss, edge: u64, before: &[MetricsRow], after: &[MetricsRow], rest: &[MetricsRow]) -> TermJump {
    let weight = |row: &MetricsRow| row.weights.get(&loss).copied().unwrap_or(0.0);
    let weighted = |row: &MetricsRow| weight(row) * row.terms.get(&loss).copied().unwrap_or(0.0);
    let side = |rows: &[MetricsRow], value: &dyn Fn(&MetricsRow) -> f64| average(rows, |row| Some(value(row))).unwrap_or(0.0);
    let raw = |rows: &[MetricsRow]| average(rows, |row| row.terms.get(&loss).copied());
    let at_edge = || rest.iter().find_map(|row| row.terms.get(&loss).copied()).unwrap_or(0.0);
    let on_both = raw(before).zip(raw(after));
    TermJump {
        weighted: side(after, &weighted) - side(before, &weighted),
        by_weight: (side(after, &weight) - side(before, &weight)) * raw(before).unwrap_or_else(at_edge),
        raw: on_both.map(|(before, after)| after - before),
        lasts: on_both.and_then(|_| lasting(loss, edge, before, rest)),
    }
}

/// The first logged step from which on the median of a few is no higher than the level before the edge and its noise.
fn lasting(loss: Loss, edge: u64, before: &[MetricsRow], rest: &[MetricsRow]) -> Option<Lasting> {
    let values = |rows: &[MetricsRow]| -> Vec<f64> { rows.iter().filter_map(|row| row.terms.get(&loss).copied()).collect() };
    let (level, mad) = median_and_mad(&mut values(before))?;
    let highest = level + NOISE * DEVIATIONS_PER_MAD * mad;
    let is_back = |rows: &[MetricsRow]| median(&mut values(rows)).is_some_and(|middle| middle <= highest);
    let back = rest.windows(BACK.min(rest.len()).max(1)).find(|rows| is_back(rows));
    Some(back.map_or(Lasting::NotWithinTheRun, |rows| Lasting::Steps(rows[0].step.saturating_sub(edge))))
}

/// The mean of a value over rows that have it.
fn average(rows: &[MetricsRow], value: impl Fn(&MetricsRow) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = rows.iter().filter_map(value).collect();
    (!values.is_empty()).then(|| mean(&values))
}

impl std::fmt::Display for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lasting::Steps(steps) => write!(f, "{steps} steps"),
            Lasting::NotWithinTheRun => f.write_str("not within the run"),
        }
    }
}

#[cfg(test)]
#[path = "jumps_tests.rs"]
mod tests;
