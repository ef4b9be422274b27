//! How steady training was: steps at which the gradient or the cross-entropy stood out from those just before.

use serde::Serialize;

use super::leaves::LeafRecords;
use super::robust::median_and_mad;
use crate::record::MetricsRow;
use crate::task::loss::Loss;

/// Logged steps that a step is held against: those just before it, so that a falling curve is no spike.
const TRAILING: usize = 50;
/// With fewer before it, a step is not judged.
const FEWEST: usize = 20;
/// A spike is more than so many median absolute deviations above the median.
const MADS: f64 = 6.0;

/// Spikes of a leaf since it left its parent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stability {
    pub branch: String,
    pub seed: Option<u64>,
    /// Logged steps that were judged.
    pub logged: usize,
    /// Of the gradient's norm, before clipping.
    pub gradient_spikes: usize,
    /// Of the raw cross-entropy, which every stage has.
    pub loss_spikes: usize,
    /// Steps with a spike of either, in 1,000 logged steps.
    pub per_thousand: f64,
}

/// Counts the spikes of a leaf.
pub(super) fn stability(leaf: &LeafRecords<'_>) -> Stability {
    let own = &leaf.rows[leaf.rows.partition_point(|row| row.step < leaf.own_from)..];
    let gradient = spikes(own, |row| row.gradient_norm);
    let loss = spikes(own, |row| row.terms.get(&Loss::CrossEntropy).copied().unwrap_or(0.0));
    let either = gradient.iter().zip(&loss).filter(|(gradient, loss)| **gradient || **loss).count();
    let logged = own.len().saturating_sub(FEWEST);
    Stability {
        branch: leaf.key.branch.to_string(),
        seed: leaf.key.seed,
        logged,
        gradient_spikes: gradient.into_iter().filter(|is_spike| *is_spike).count(),
        loss_spikes: loss.into_iter().filter(|is_spike| *is_spike).count(),
        per_thousand: if logged == 0 { 0.0 } else { 1_000.0 * either as f64 / logged as f64 },
    }
}

/// For each row whether its value stands out. What is not finite does.
fn spikes(rows: &[MetricsRow], value: impl Fn(&MetricsRow) -> f64) -> Vec<bool> {
    let values: Vec<f64> = rows.iter().map(value).collect();
    let stands_out = |index: usize| {
        if index < FEWEST {
            return false;
        }
        let mut before = values[index.saturating_sub(TRAILING)..index].to_vec();
        let (middle, mad) = median_and_mad(&mut before).unwrap_or_default();
        !values[index].is_finite() || values[index] > middle + MADS * mad
    };
    (0..values.len()).map(stands_out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, gradient_norm: f64) -> MetricsRow {
        let terms = std::collections::BTreeMap::from([(Loss::CrossEntropy, 2.0)]);
        MetricsRow { step, weights: terms.clone(), terms, total: 2.0, gradient_norm, rate: 1e-3, batch: 1, length: (7, 8) }
    }

    /// A falling curve with a regular ripple.
    fn rippled(step: u64) -> f64 {
        10.0 - step as f64 * 0.01 + (step % 5) as f64 * 0.1
    }

    #[test]
    fn spikes_stand_out_and_ripples_do_not() {
        let mut rows: Vec<MetricsRow> = (0..200).map(|step| row(step, rippled(step))).collect();
        let count = |rows: &[MetricsRow]| spikes(rows, |row| row.gradient_norm).into_iter().filter(|spike| *spike).count();
        assert_eq!(count(&rows), 0);
        rows[100].gradient_norm = 30.0;
        rows[150].gradient_norm = f64::NAN;
        // Too early to be judged.
        rows[3].gradient_norm = 100.0;
        assert_eq!(count(&rows), 2);
    }
}
