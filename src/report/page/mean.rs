//! The mean of a curve over seeds, in bins of steps, with its interval.

use std::collections::BTreeMap;

use serde::Serialize;

/// A curve before it is thinned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Full {
    pub leaves: Vec<usize>,
    pub steps: Vec<u64>,
    /// NaN where there is no finite value.
    pub values: Vec<f64>,
    /// Steps at which a run of measured values that are not finite begins.
    pub holes: Vec<u64>,
}

/// Means of a strand over its seeds, bin by bin; NaN where a seed has no finite value in a bin.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Mean {
    pub seeds: usize,
    /// Mean of the steps in each bin.
    pub steps: Vec<u64>,
    pub mean: Vec<f64>,
    /// Lower ends of the interval; none of a single seed.
    pub low: Option<Vec<f64>>,
    pub high: Option<Vec<f64>>,
    /// Lowest and highest single value in each bin, over all seeds: no spike is lost in a mean.
    pub min: Vec<f64>,
    pub max: Vec<f64>,
}

/// What one seed has in a bin.
#[derive(Clone, Copy, Debug)]
struct Bin {
    logged: u64,
    /// Sum of the steps.
    steps: u64,
    finite: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// Number of the stage, number of the bin.
type Key = (usize, u64);

impl Mean {
    /// Means over replicates of bins of `width` steps that end at every step of `cuts` (in rising order), as far as all
    /// replicates go. `factor` gives, for a number of seeds, the factor on the standard error of their mean.
    pub(super) fn over(replicates: &[Full], width: u64, cuts: &[u64], factor: &dyn Fn(usize) -> f64) -> Mean {
        let binned: Vec<BTreeMap<Key, Bin>> = replicates.iter().map(|full| bins(full, width, cuts)).collect();
        let several = (binned.len() > 1).then(Vec::new);
        let mut mean = Mean { seeds: binned.len(), low: several.clone(), high: several, ..Mean::default() };
        for key in binned.first().into_iter().flat_map(BTreeMap::keys) {
            let found: Vec<Bin> = binned.iter().filter_map(|bins| bins.get(key).copied()).collect();
            if found.len() == binned.len() {
                mean.push(&found, factor(found.len()));
            }
        }
        mean
    }

    fn push(&mut self, bins: &[Bin], factor: f64) {
        let logged: u64 = bins.iter().map(|bin| bin.logged).sum();
        let steps: u64 = bins.iter().map(|bin| bin.steps).sum();
        let count = bins.len() as f64;
        let means: Vec<f64> = bins.iter().map(|bin| bin.sum / bin.finite as f64).collect();
        let centre = means.iter().sum::<f64>() / count;
        let squares: f64 = means.iter().map(|mean| (mean - centre).powi(2)).sum();
        let half = factor * (squares / (count - 1.0) / count).sqrt();
        self.steps.push((steps + logged / 2) / logged);
        self.mean.push(centre);
        if let (Some(low), Some(high)) = (&mut self.low, &mut self.high) {
            low.push(centre - half);
            high.push(centre + half);
        }
        let finite = |value: f64| if centre.is_nan() { f64::NAN } else { value };
        self.min.push(finite(bins.iter().map(|bin| bin.min).fold(f64::INFINITY, f64::min)));
        self.max.push(finite(bins.iter().map(|bin| bin.max).fold(f64::NEG_INFINITY, f64::max)));
    }
}

fn bins(full: &Full, width: u64, cuts: &[u64]) -> BTreeMap<Key, Bin> {
    let mut bins = BTreeMap::new();
    for (&step, &value) in full.steps.iter().zip(&full.values) {
        let key = (cuts.partition_point(|cut| *cut <= step), step / width);
        bins.entry(key).or_insert_with(Bin::empty).add(step, value);
    }
    bins
}

impl Bin {
    fn empty() -> Bin {
        Bin { logged: 0, steps: 0, finite: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }

    fn add(&mut self, step: u64, value: f64) {
        self.logged += 1;
        self.steps += step;
        if value.is_finite() {
            self.finite += 1;
            self.sum += value;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }
}

/// A round number of steps, at least 1, so that about `count` bins cover `steps`.
pub(super) fn bin_width(steps: u64, count: u64) -> u64 {
    let least = steps.div_ceil(count.max(1)).max(1);
    let mut power = 1_u64;
    loop {
        for width in [power, power.saturating_mul(2), power.saturating_mul(5)] {
            if width >= least {
                return width;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(values: &[f64]) -> Full {
        Full { steps: (0..values.len() as u64).collect(), values: values.to_vec(), ..Full::default() }
    }

    #[test]
    fn means_are_over_seeds_and_keep_the_extremes() {
        let replicates = [full(&[1.0, 3.0, 5.0, 5.0]), full(&[3.0, 5.0, 5.0, 9.0]), full(&[5.0, 7.0, 5.0, 1.0])];
        let mean = Mean::over(&replicates, 2, &[], &|seeds| seeds as f64);
        assert_eq!((mean.seeds, mean.steps.as_slice()), (3, [1, 3].as_slice()));
        assert_eq!(mean.mean, [4.0, 5.0]);
        assert_eq!((mean.min, mean.max), (vec![1.0, 1.0], vec![7.0, 9.0]));
        // Means of the first bin: 2, 4, 6; deviation 2; three times the standard error.
        let half = 3.0 * 2.0 / 3_f64.sqrt();
        let (low, high) = (mean.low.unwrap(), mean.high.unwrap());
        assert!((low[0] - (4.0 - half)).abs() < 1e-12 && (high[0] - (4.0 + half)).abs() < 1e-12);
    }

    #[test]
    fn a_single_seed_has_no_interval_and_bins_end_at_stage_edges() {
        let mean = Mean::over(&[full(&[1.0, 1.0, 1.0, 9.0, 9.0, 9.0])], 10, &[0, 3], &|_| 1.0);
        assert_eq!((mean.low, mean.mean.as_slice()), (None, [1.0, 9.0].as_slice()));
        assert_eq!(mean.steps, [1, 4]);
    }

    #[test]
    fn what_is_not_finite_is_a_gap_and_the_shortest_seed_ends_the_mean() {
        let mean = Mean::over(&[full(&[1.0, f64::NAN, 2.0]), full(&[1.0, 1.0])], 1, &[], &|_| 1.0);
        assert_eq!(mean.steps, [0, 1]);
        assert!(mean.mean[0] == 1.0 && mean.mean[1].is_nan() && mean.max[1].is_nan());
        assert_eq!(Mean::over(&[], 1, &[], &|_| 1.0), Mean::default());
    }

    #[test]
    fn bins_are_round() {
        assert_eq!([1, 180, 1_600, 45_000, 2_000_000].map(|steps| bin_width(steps, 180)), [1, 1, 10, 500, 20_000]);
        assert_eq!(bin_width(u64::MAX, 1), u64::MAX);
    }
}
