//! How each term of the loss moves where a stage starts or a loss comes in, and how long that lasts.
//!
//! Measured on fixed spectra with the weights as the optimizer left them ([`Probe`]): what moves is the network, and not the
//! batch, the difficulty or a running average. At an edge the settings change before the weights do, so the same state, seen
//! with both, shows what the loss's weight alone does.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::leaves::{LeafRecords, SetFacts};
use super::robust::median;
use crate::plan;
use crate::record::{Probe, Probed};
use crate::task::loss::Loss;

/// A term is back when it is no further above its level at the edge than this share of it.
const TOLERANCE: f64 = 0.01;

/// How a leaf's loss moved where a stage starts or a loss comes in or goes out, on the first spectra of a set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Jump {
    pub branch: String,
    pub seed: Option<u64>,
    pub step: u64,
    pub set: String,
    /// How many of the set's spectra were looked at.
    pub spectra: u64,
    /// The highest weighted sum after the edge minus the one before it; not a number where a term was not finite.
    pub total: f64,
    pub terms: BTreeMap<Loss, TermJump>,
    /// Losses that came in or went out here.
    pub switched: Vec<Loss>,
}

/// How one term moved until the next edge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TermJump {
    /// Weight times value where the value is highest after the edge, minus the same at the edge under the weight before it.
    pub weighted: f64,
    /// The part of it that the weight alone makes: the change of the weight times the value at the edge.
    pub by_weight: f64,
    /// The highest raw value after the edge minus the one at it.
    pub raw: f64,
    /// Steps after the edge at which that was seen.
    pub highest_after: u64,
    pub lasts: Lasting,
}

/// How long a jump lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasting {
    /// Steps until the raw value was seen within 1 % of its level at the edge, or below, and stayed there at the next look; 0
    /// where it never was above.
    Steps(u64),
    /// Not before the next edge, or the leaf's end.
    NotWithinTheStage,
    /// Not so far: the stage has not been trained to its end.
    NotYet,
}

/// One look after an edge.
struct Look<'a> {
    /// Steps after the edge.
    after: u64,
    weights: BTreeMap<Loss, f64>,
    probed: &'a Probed,
}

/// What was in force, and what was measured, at an edge.
struct Edge<'a> {
    before: BTreeMap<Loss, f64>,
    after: BTreeMap<Loss, f64>,
    probed: &'a Probed,
    looks: Vec<Look<'a>>,
    /// Whether the last look is at the next edge, or at the leaf's end.
    is_whole: bool,
}

/// The jumps of a leaf at the fork and at its own turns, on each set. Where nothing was probed, none.
pub(super) fn jumps(leaf: &LeafRecords<'_>, sets: &[SetFacts]) -> Vec<Jump> {
    let start = leaf.history.start();
    let edges: BTreeSet<u64> = leaf.turns.iter().copied().chain([leaf.own_from]).filter(|edge| *edge > start).collect();
    let ends = edges.iter().skip(1).copied().chain([leaf.history.end()]);
    let pairs = edges.iter().copied().zip(ends);
    pairs.flat_map(|(edge, end)| sets.iter().filter_map(move |set| jump(leaf, edge, end, set))).collect()
}

fn jump(leaf: &LeafRecords<'_>, step: u64, end: u64, set: &SetFacts) -> Option<Jump> {
    let edge = edge(leaf, step, end, &set.digest)?;
    let is_trained = |weights: &BTreeMap<Loss, f64>, loss: Loss| weights.contains_key(&loss);
    let switched = |loss: &Loss| is_trained(&edge.before, *loss) != is_trained(&edge.after, *loss);
    Some(Jump {
        branch: leaf.key.branch.to_string(),
        seed: leaf.key.seed,
        step,
        set: set.name.clone(),
        spectra: edge.probed.spectra,
        total: edge.total(),
        terms: Loss::ALL.into_iter().filter_map(|loss| Some((loss, edge.term(loss)?))).collect(),
        switched: Loss::ALL.into_iter().filter(switched).collect(),
    })
}

fn edge<'a>(leaf: &'a LeafRecords<'a>, step: u64, end: u64, digest: &str) -> Option<Edge<'a>> {
    let last = leaf.history.end() - 1;
    let probe = |step: &u64| leaf.probes.get(step).and_then(|probes| probes.iter().find_map(|probe: &&Probe| probe.on(digest)));
    let looks = leaf.probes.range(step + 1..=end).filter_map(|(at, _)| {
        // At the stage's very end its own weights are still those that count.
        let weights = leaf.history.at((*at).min(end - 1).min(last)).weights;
        Some(Look { after: at - step, weights, probed: probe(at)? })
    });
    let looks: Vec<Look<'a>> = looks.collect();
    let (before, after) = (leaf.history.at(step - 1).weights, leaf.history.at(step.min(last)).weights);
    let last_seen = step + looks.last()?.after;
    // A look that is missing, as where a set was added later and the states right after the edge were not kept, may have been
    // the highest.
    let is_seen = |due: &u64| looks.iter().any(|look| step + look.after == *due);
    if !plan::looks(step, end).filter(|due| *due <= last_seen).all(|due| is_seen(&due)) {
        return None;
    }
    let is_whole = last_seen == end;
    Some(Edge { before, after, probed: probe(&step)?, looks, is_whole })
}

impl Edge<'_> {
    /// Nothing for a loss that is trained neither before nor after the edge, or that was not finite.
    fn term(&self, loss: Loss) -> Option<TermJump> {
        let weight = |weights: &BTreeMap<Loss, f64>| weights.get(&loss).copied().unwrap_or(0.0);
        let old = weight(&self.before);
        if old == 0.0 && weight(&self.after) == 0.0 && self.looks.iter().all(|look| weight(&look.weights) == 0.0) {
            return None;
        }
        let level = *self.probed.terms.get(&loss)?;
        let seen: Vec<(&Look<'_>, f64)> =
            self.looks.iter().filter_map(|look| Some((look, *look.probed.terms.get(&loss)?))).collect();
        let &(highest, value) = seen.iter().reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        let new = weight(&highest.weights);
        Some(TermJump {
            weighted: new * value - old * level,
            by_weight: (new - old) * level,
            raw: value - level,
            highest_after: highest.after,
            lasts: match lasting(level, &seen.iter().map(|(look, value)| (look.after, *value)).collect::<Vec<_>>()) {
                Some(steps) => Lasting::Steps(steps),
                None if self.is_whole => Lasting::NotWithinTheStage,
                None => Lasting::NotYet,
            },
        })
    }

    fn total(&self) -> f64 {
        let sum = |weights: &BTreeMap<Loss, f64>, probed: &Probed| -> f64 {
            weights.iter().map(|(loss, weight)| weight * probed.terms.get(loss).copied().unwrap_or(f64::NAN)).sum()
        };
        // What is not a number counts as highest, so that a sum that broke is not passed over.
        let highest = self.looks.iter().map(|look| sum(&look.weights, look.probed)).max_by(f64::total_cmp).unwrap_or(f64::NAN);
        highest - sum(&self.before, self.probed)
    }
}

/// Jumps of one branch at one edge on one set, over its seeds: in the order in which they come.
pub fn by_edge(jumps: &[Jump]) -> Vec<Vec<&Jump>> {
    let mut groups: Vec<Vec<&Jump>> = Vec::new();
    let key = |jump: &Jump| (jump.branch.clone(), jump.step, jump.set.clone());
    for jump in jumps {
        match groups.iter_mut().find(|group| key(group[0]) == key(jump)) {
            Some(group) => group.push(jump),
            None => groups.push(vec![jump]),
        }
    }
    groups
}

/// How long a term's jump lasts: the median over seeds, where those that do not come back within the stage count as longer
/// than any.
pub fn typical(terms: &[&TermJump]) -> Option<Lasting> {
    let steps = |lasts: Lasting| match lasts {
        Lasting::Steps(steps) => steps as f64,
        Lasting::NotWithinTheStage | Lasting::NotYet => f64::INFINITY,
    };
    let middle = median(&mut terms.iter().map(|term| steps(term.lasts)).collect::<Vec<_>>())?;
    let is_open = terms.iter().any(|term| term.lasts == Lasting::NotYet);
    Some(match middle.is_finite() {
        true => Lasting::Steps(middle.round() as u64),
        false if is_open => Lasting::NotYet,
        false => Lasting::NotWithinTheStage,
    })
}

/// Steps until a term is back for good, from looks in the order of their steps after the edge.
fn lasting(level: f64, looks: &[(u64, f64)]) -> Option<u64> {
    let is_back = |value: f64| value <= level + TOLERANCE * level.abs();
    if looks.iter().all(|(_, value)| is_back(*value)) {
        return Some(0);
    }
    // From the first look above the level on: what rises late has not come back before it rose.
    let risen = looks.iter().position(|(_, value)| !is_back(*value)).unwrap_or(0);
    let stays = |at: &usize| looks[*at..].iter().take(2).all(|(_, value)| is_back(*value));
    (risen..looks.len()).find(stays).map(|at| looks[at].0)
}

impl std::fmt::Display for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lasting::Steps(steps) => write!(f, "{steps} steps"),
            Lasting::NotWithinTheStage => f.write_str("to the stage's end"),
            Lasting::NotYet => f.write_str("not back yet"),
        }
    }
}

#[cfg(test)]
#[path = "jumps_tests.rs"]
mod tests;
