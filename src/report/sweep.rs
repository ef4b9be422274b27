//! When sweeps: branches that differ from each other in nothing but the step at which one loss's weights begin.
//!
//! They are recognised by their histories, however they were written, and shown as a response curve: the step, the mean
//! difference to the reference, its interval, and the band in which two sets of the reference's own seeds would lie.
//! Branches that are the same training are one point.

use serde::Serialize;

use super::leaves::Leaves;
use super::numbers::grouped;
use super::onsets::{Begun, Onset, onsets};
use super::prose::listed;
use super::scores::SetScores;
use super::statistics::Judgement;
use crate::task::loss::Loss;

/// A sweep of one loss over steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    pub loss: Loss,
    /// By the step from which the loss is on; where it never is comes last.
    pub onsets: Vec<Onset>,
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

/// One training of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoint {
    pub onset: Onset,
    /// Whether the reference is among its branches.
    pub is_reference: bool,
    /// To the reference; 0 for the reference itself.
    pub mean: f64,
    /// Two-sided 95 % for all branches at once.
    pub interval: Option<(f64, f64)>,
    pub judgement: Option<Judgement>,
}

/// The sweep among the branches, if there is one: at least two branches besides the reference, and at least two steps.
pub(super) fn sweep(leaves: &Leaves<'_>, sets: &[SetScores], metric: &str) -> Option<Sweep> {
    let firsts = leaves.firsts();
    let branches = |onsets: &[Onset]| onsets.iter().map(|onset| onset.branches.len()).sum::<usize>();
    let is_sweep = |onsets: &Vec<Onset>| {
        let others = branches(onsets) - usize::from(onsets.iter().any(|onset| onset.holds(&leaves.reference)));
        others >= 2 && onsets.iter().any(|onset| onset.to != onsets[0].to)
    };
    let candidates = Loss::ALL.into_iter().map(|loss| (loss, onsets(&firsts, loss)));
    let (loss, onsets) = candidates.filter(|(_, onsets)| is_sweep(onsets)).max_by_key(|(_, onsets)| branches(onsets))?;
    let curves = sets.iter().map(|set| curve(set, metric, &onsets, &leaves.reference)).collect();
    Some(Sweep { loss, onsets, curves })
}

fn curve(set: &SetScores, metric: &str, onsets: &[Onset], reference: &str) -> Curve {
    let point = |onset: &Onset| {
        let mut scores = set.branches.iter().filter(|scores| onset.holds(&scores.branch));
        let estimate = scores.find_map(|scores| scores.differences.get(metric));
        let is_reference = onset.holds(reference) && set.branches.iter().any(|scores| scores.branch == reference);
        let judged = estimate.filter(|_| !is_reference);
        (is_reference || judged.is_some()).then(|| SweepPoint {
            onset: onset.clone(),
            is_reference,
            mean: judged.map_or(0.0, |estimate| estimate.mean),
            interval: judged.and_then(|estimate| estimate.simultaneous),
            judgement: judged.and_then(|estimate| estimate.judgement),
        })
    };
    Curve {
        set: set.set.clone(),
        metric: metric.to_owned(),
        points: onsets.iter().filter_map(point).collect(),
        null_band: set.null_bands.get(metric).copied(),
    }
}

impl Sweep {
    /// Branches that do not stand where they were written to; nothing where all do.
    pub fn clamped(&self) -> Option<String> {
        let is_clamped = |begun: &&Begun| begun.written.is_some();
        let told = self.onsets.iter().filter_map(|onset| {
            let begun = onset.branches.iter().filter(is_clamped);
            let names: Vec<String> = begun.map(|begun| format!("`{}`", begun.branch)).collect();
            Some(format!("{} ({}, on from {})", listed(&names, "branches"), onset.written()?, grouped(onset.to?)))
        });
        let told: Vec<String> = told.collect();
        let is_shared = self.onsets.iter().any(|onset| onset.branches.len() > 1);
        let shared = if is_shared { "; branches at one point are one training" } else { "" };
        let told = (!told.is_empty()).then(|| listed(&told, "places"))?;
        Some(format!("clamped by the fork, as {} was to begin before it: {told}{shared}", self.loss))
    }
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
