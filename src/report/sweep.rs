//! When sweeps: branches that differ from each other in nothing but the step at which one loss's weights begin.
//!
//! They are recognised by their histories, however they were written, and shown as a response curve: the step, the mean
//! difference to the reference, its interval, and the band in which two sets of the reference's own seeds would lie.

use std::collections::BTreeSet;

use serde::Serialize;

use super::leaves::{LeafRecords, Leaves};
use super::scores::SetScores;
use super::statistics::Judgement;
use crate::history::{History, Piece, Settings};
use crate::task::loss::Loss;

/// A sweep of one loss over steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    pub loss: Loss,
    /// Branches by the step at which the loss begins; those where it never does come last.
    pub branches: Vec<(String, Option<u64>)>,
    pub curves: Vec<Curve>,
}

/// The response on one validation set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    pub set: String,
    pub metric: String,
    /// In the order of the steps.
    pub points: Vec<SweepPoint>,
    /// Mean differences within this of 0 are what the reference's own seeds give, 95 of 100 times.
    pub null_band: Option<f64>,
}

/// One branch of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoint {
    pub branch: String,
    /// Step at which the loss begins; none where it does not within the run.
    pub to: Option<u64>,
    pub is_reference: bool,
    /// To the reference; 0 for the reference itself.
    pub mean: f64,
    /// Two-sided 95 % for all branches at once.
    pub interval: Option<(f64, f64)>,
    pub judgement: Option<Judgement>,
}

/// The weights of a loss from the step at which it begins on, by steps since then.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    begin: u64,
    /// Steps that the run goes on after the beginning.
    length: u64,
    pieces: Vec<(u64, Option<Shifted>)>,
}

/// A piece whose own steps count from the beginning of its series.
#[derive(Clone, Debug, PartialEq)]
enum Shifted {
    Constant(f64),
    Moving { from: f64, to: f64, start: i128, steps: u64 },
}

/// The sweep among the branches, if there is one: at least two branches besides the reference, and at least two steps.
pub(super) fn sweep(leaves: &Leaves<'_>, sets: &[SetScores], metric: &str) -> Option<Sweep> {
    let firsts = leaves.firsts();
    let is_sweep = |members: &[(String, Option<u64>)]| {
        let others = members.iter().filter(|(branch, _)| *branch != leaves.reference).count();
        let begins: BTreeSet<Option<u64>> = members.iter().map(|(_, begin)| *begin).collect();
        others >= 2 && begins.len() >= 2
    };
    let candidates = Loss::ALL.into_iter().map(|loss| (loss, members(&firsts, loss)));
    let (loss, branches) = candidates.filter(|(_, members)| is_sweep(members)).max_by_key(|(_, members)| members.len())?;
    let curves = sets.iter().map(|set| curve(set, metric, &branches, &leaves.reference)).collect();
    Some(Sweep { loss, branches, curves })
}

fn curve(set: &SetScores, metric: &str, branches: &[(String, Option<u64>)], reference: &str) -> Curve {
    let point = |(branch, to): &(String, Option<u64>)| {
        let scores = set.branches.iter().find(|scores| scores.branch == *branch)?;
        let estimate = scores.differences.get(metric);
        let is_reference = branch == reference;
        let known = is_reference || estimate.is_some();
        known.then(|| SweepPoint {
            branch: branch.clone(),
            to: *to,
            is_reference,
            mean: estimate.map_or(0.0, |estimate| estimate.mean),
            interval: estimate.and_then(|estimate| estimate.simultaneous),
            judgement: estimate.and_then(|estimate| estimate.judgement),
        })
    };
    Curve {
        set: set.set.clone(),
        metric: metric.to_owned(),
        points: branches.iter().filter_map(point).collect(),
        null_band: set.null_bands.get(metric).copied(),
    }
}

/// The largest group of branches that differ in the beginning of this loss alone, with their beginnings.
fn members(firsts: &[&LeafRecords<'_>], loss: Loss) -> Vec<(String, Option<u64>)> {
    let series: Vec<Option<Series>> = firsts.iter().map(|leaf| Series::of(leaf.history, loss)).collect();
    let group = |base: usize| -> Vec<usize> {
        let fits = |other: &usize| {
            let is_moved = match (&series[base], &series[*other]) {
                (Some(a), Some(b)) => a.is_moved(b),
                _ => true,
            };
            is_moved && differ_in_loss_alone(firsts[base].history, firsts[*other].history, loss)
        };
        (0..firsts.len()).filter(fits).collect()
    };
    let begun = (0..firsts.len()).filter(|index| series[*index].is_some());
    let largest = begun.map(group).max_by_key(Vec::len).unwrap_or_default();
    let begin = |index: usize| series[index].as_ref().map(|series| series.begin);
    let mut members: Vec<(String, Option<u64>)> =
        largest.into_iter().map(|index| (firsts[index].key.branch.to_string(), begin(index))).collect();
    members.sort_by_key(|(_, begin)| begin.unwrap_or(u64::MAX));
    members
}

/// Whether two histories are the same but for one loss.
fn differ_in_loss_alone(a: &History, b: &History, loss: Loss) -> bool {
    let without = |settings: &Settings| {
        let mut settings = settings.clone();
        settings.losses.remove(&loss);
        settings
    };
    let end = a.end().min(b.end());
    let edges: BTreeSet<u64> = a.edges().chain(b.edges()).filter(|edge| *edge < end).collect();
    a.root() == b.root() && edges.into_iter().all(|edge| without(a.settings(edge)) == without(b.settings(edge)))
}

impl Series {
    /// Nothing where the loss never begins.
    fn of(history: &History, loss: Loss) -> Option<Series> {
        let weight = |settings: &Settings| settings.losses.get(&loss).map(|term| term.weight);
        let mut weights: Vec<(u64, Option<Piece>)> =
            history.spans().iter().map(|span| (span.from, weight(&span.settings))).collect();
        weights.dedup_by_key(|(_, piece)| *piece);
        let first = weights.iter().position(|(_, piece)| piece.is_some())?;
        let begin = weights[first].0;
        let shifted = |(from, piece): &(u64, Option<Piece>)| (from - begin, piece.map(|piece| Shifted::new(piece, begin)));
        Some(Series { begin, length: history.end() - begin, pieces: weights[first..].iter().map(shifted).collect() })
    }

    /// Whether the other is this one begun at another step, as far as both go.
    fn is_moved(&self, other: &Series) -> bool {
        let common = self.length.min(other.length);
        let within = |series: &Series| -> Vec<(u64, Option<Shifted>)> {
            series.pieces.iter().filter(|(from, _)| *from < common).cloned().collect()
        };
        within(self) == within(other)
    }
}

impl Shifted {
    fn new(piece: Piece, begin: u64) -> Shifted {
        let since = |step: u64| i128::from(step) - i128::from(begin);
        match piece {
            Piece::Constant(value) => Shifted::Constant(value),
            Piece::Linear { from, to, start, steps } => Shifted::Moving { from, to, start: since(start), steps },
            Piece::Cosine { peak, floor, start, end } => {
                Shifted::Moving { from: peak, to: floor, start: since(start), steps: end - start }
            }
        }
    }
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
