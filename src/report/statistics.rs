//! Differences to a reference over seeds: an interval, a correction for several branches, and a verdict in words.
//!
//! The unit is the seed. For each branch, metric and set there is one difference to the reference for each seed, paired:
//! both leaves saw the same random numbers and the same validation spectra. Of these n differences come
//!
//! - the mean and its t interval (Student, "The probable error of a mean", Biometrika 6, 1908): mean ± t·s/√n, where t is
//!   the 0.975 quantile with n - 1 degrees of freedom;
//! - with several branches against one reference, the simultaneous interval by Bonferroni: 0.05 divided by the branches;
//! - a p value, corrected over the branches of one metric and set by Holm ("A simple sequentially rejective multiple test
//!   procedure", Scandinavian Journal of Statistics 6, 1979). Holm may find a difference where the simultaneous interval,
//!   which is Bonferroni's, just covers 0. Branches that are one training are one hypothesis and count once. Metrics and sets are not corrected for each other: `decide` names the one that
//!   counts.
//!
//! **The null spread.** s is the standard deviation of the differences, but never less than the reference's own seeds allow:
//! two sets of replicates of the reference, unpaired, differ with standard deviation √2·r, r that of its seeds; pairing is
//! credited with removing at most nine tenths of that variance, so s is at least √0.1·√2·r. Three differences that happen to
//! lie close together are thus no verdict. The floor only widens, so a null is called different in at most 0.05 of all
//! experiments, whatever the spreads and however the seeds correlate; `tests/calibration.rs` shows the rates, and
//! `tests/train/calibration.rs` those of trained networks. For a share of N spectra s is at least half a spectrum, 0.5/N: less
//! cannot be seen.

use serde::Serialize;

use super::power::{MOST_SEEDS, Planned, seeds_needed, t_quantile, t_two_sided};

/// Fewer seeds than this give numbers and no verdict.
pub const FEWEST_SEEDS: usize = 3;
/// A null is called different at most this often, over all branches of one metric and set.
pub const LEVEL: f64 = 0.05;
/// Share of the variance between the reference's seeds that pairing may take away.
const MOST_REMOVED: f64 = 0.9;
/// Spread that a share of N spectra has at least, in spectra.
const LEAST_SPECTRA: f64 = 0.5;
/// Where no effect of interest is declared, one that takes more seeds than this counts as none.
const MOST_MORE_SEEDS: u64 = 100;

/// Values over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub values: Vec<f64>,
    pub mean: f64,
    /// Sample standard deviation; none of fewer than two values.
    pub deviation: Option<f64>,
}

/// What is said of a branch against the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    Better,
    Worse,
    NoDetectableDifference,
    UnderPowered {
        /// About so many more seeds find the effect of interest with a chance of 0.8.
        more_seeds: u64,
    },
}

/// What the differences of one metric on one set are judged with.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The reference's own values, one for each seed.
    pub reference: &'a [f64],
    /// Whether larger values are better.
    pub higher_is_better: bool,
    /// Of how many spectra the metric is a share; none where it is something else.
    pub spectra: Option<u64>,
    /// The smallest difference that matters, where one is declared.
    pub effect: Option<f64>,
}

/// A branch's differences to the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// One for each seed, in their order.
    pub differences: Vec<f64>,
    pub mean: f64,
    /// Sample standard deviation of the differences.
    pub deviation: Option<f64>,
    /// The standard deviation that the interval is made of: the above, or the floor that the null spread gives.
    pub spread: Option<f64>,
    /// Two-sided 95 % for this branch alone.
    pub interval: Option<(f64, f64)>,
    /// Two-sided 95 % for all branches at once.
    pub simultaneous: Option<(f64, f64)>,
    /// Corrected for the number of branches.
    pub p: Option<f64>,
    /// None with fewer than three seeds.
    pub judgement: Option<Judgement>,
    /// Whether the two are one training up to the compared step.
    pub is_same_training: bool,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let values: Vec<f64> = values.into_iter().collect();
        let mean = mean(&values);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt());
        Spread { values, mean, deviation }
    }
}

impl Estimate {
    /// A branch that is the reference's own training up to the compared step.
    pub fn same_training(seeds: usize) -> Estimate {
        Estimate {
            differences: vec![0.0; seeds],
            mean: 0.0,
            deviation: (seeds > 1).then_some(0.0),
            spread: None,
            interval: None,
            simultaneous: None,
            p: None,
            judgement: Some(Judgement::NoDetectableDifference),
            is_same_training: true,
        }
    }

    pub fn seeds(&self) -> usize {
        self.differences.len()
    }
}

impl std::fmt::Display for Judgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Judgement::Better => f.write_str("better"),
            Judgement::Worse => f.write_str("worse"),
            Judgement::NoDetectableDifference => f.write_str("no detectable difference"),
            Judgement::UnderPowered { more_seeds } => {
                let plural = if *more_seeds == 1 { "" } else { "s" };
                match *more_seeds >= MOST_SEEDS {
                    true => f.write_str("under-powered: more seeds than anyone can train"),
                    false => write!(f, "under-powered: about {more_seeds} more seed{plural}"),
                }
            }
        }
    }
}

/// Judges the branches of one metric on one set, each by its differences to the reference; all over the same seeds. Each is a
/// training of its own: one that is given twice would count twice.
pub fn estimate(branches: &[Vec<f64>], trial: &Trial<'_>) -> Vec<Estimate> {
    let mut estimates: Vec<Estimate> =
        branches.iter().map(|differences| interval_of(differences, trial, branches.len())).collect();
    let raw: Option<Vec<f64>> = estimates.iter().map(p_value).collect();
    let Some(corrected) = raw.map(|raw| holm(&raw)) else { return estimates };
    let planned = planned(branches, trial);
    for (estimate, p) in estimates.iter_mut().zip(corrected) {
        estimate.p = Some(p);
        estimate.judgement = judged(estimate, p, trial, planned, branches.len());
    }
    estimates
}

/// Half the width of the band in which the mean difference of two sets of the reference's own seeds lies, 95 of 100 times.
pub fn null_band(reference: &[f64]) -> Option<f64> {
    let seeds = reference.len();
    let deviation = Spread::of(reference.iter().copied()).deviation?;
    Some(t_quantile(1.0 - LEVEL / 2.0, (seeds - 1) as f64) * deviation * (2.0 / seeds as f64).sqrt())
}

/// The standard deviation that the null spread, and the number of spectra, do not let the differences go below.
fn floor(trial: &Trial<'_>) -> f64 {
    let own = Spread::of(trial.reference.iter().copied()).deviation.unwrap_or(0.0);
    let seen = trial.spectra.map_or(0.0, |spectra| LEAST_SPECTRA / spectra.max(1) as f64);
    ((2.0 * (1.0 - MOST_REMOVED)).sqrt() * own).max(seen)
}

fn interval_of(differences: &[f64], trial: &Trial<'_>, branches: usize) -> Estimate {
    let Spread { values, mean, deviation } = Spread::of(differences.iter().copied());
    let seeds = values.len();
    let spread = deviation.map(|deviation| deviation.max(floor(trial)));
    let around = |level: f64| {
        let width = t_quantile(1.0 - level / 2.0, seeds.saturating_sub(1) as f64) * spread? / (seeds as f64).sqrt();
        Some((mean - width, mean + width))
    };
    Estimate {
        mean,
        deviation,
        spread,
        interval: around(LEVEL),
        simultaneous: around(LEVEL / branches as f64),
        p: None,
        judgement: None,
        differences: values,
        is_same_training: false,
    }
}

/// Two-sided, for a branch alone; none with too few seeds for a verdict, or numbers that are none.
fn p_value(estimate: &Estimate) -> Option<f64> {
    let seeds = estimate.seeds();
    let is_number = estimate.mean.is_finite() && estimate.deviation.is_some_and(f64::is_finite);
    let spread = estimate.spread.filter(|_| is_number && seeds >= FEWEST_SEEDS)?;
    if estimate.mean == 0.0 {
        return Some(1.0);
    }
    let t = estimate.mean / spread * (seeds as f64).sqrt();
    Some(t_two_sided(t, (seeds - 1) as f64))
}

/// Holm's correction: the smallest p value times their number, the next times one less, and never less than one before it.
fn holm(raw: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..raw.len()).collect();
    order.sort_by(|a, b| raw[*a].total_cmp(&raw[*b]));
    let mut corrected = vec![1.0; raw.len()];
    let mut least: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(raw[index] * (raw.len() - rank) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

fn judged(estimate: &Estimate, p: f64, trial: &Trial<'_>, planned: Planned, branches: usize) -> Option<Judgement> {
    if p <= LEVEL {
        let is_better = (estimate.mean > 0.0) == trial.higher_is_better;
        return Some(if is_better { Judgement::Better } else { Judgement::Worse });
    }
    let seeds = estimate.seeds() as u64;
    let own = Planned { deviation: estimate.spread?, freedom: (seeds - 1) as f64 };
    if let Some(effect) = trial.effect {
        let (low, high) = estimate.simultaneous?;
        let is_excluded = -effect < low && high < effect;
        if is_excluded || seeds_needed(own, effect, branches, seeds + 1) <= seeds {
            return Some(Judgement::NoDetectableDifference);
        }
    }
    let (effect, most) = match trial.effect {
        Some(effect) => (effect, MOST_SEEDS),
        None => (estimate.mean.abs(), seeds + MOST_MORE_SEEDS + 1),
    };
    let needed = seeds_needed(planned, effect, branches, most);
    Some(match needed == most {
        true if trial.effect.is_none() => Judgement::NoDetectableDifference,
        true => Judgement::UnderPowered { more_seeds: MOST_SEEDS },
        false => Judgement::UnderPowered { more_seeds: needed.max(seeds + 1) - seeds },
    })
}

/// The spread to plan with: that of all branches together, which is better known than that of one. It is √2 times the
/// residual deviation of the two-way table of seeds and branches, the reference among them (Scheffé, "The Analysis of
/// Variance", 1959, chapter 4); with one branch it is the deviation of its differences.
fn planned(branches: &[Vec<f64>], trial: &Trial<'_>) -> Planned {
    let seeds = branches.first().map_or(0, Vec::len);
    let zero = vec![0.0; seeds];
    // A seed's own level is in all its cells and leaves with the seed's mean, so differences do as well as values.
    let rows: Vec<&Vec<f64>> = std::iter::once(&zero).chain(branches).collect();
    let row_means: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
    let grand = mean(&row_means);
    let seed_mean = |seed: usize| rows.iter().map(|row| row[seed]).sum::<f64>() / rows.len() as f64;
    let squares: f64 = (0..seeds)
        .map(|seed| {
            let level = seed_mean(seed) - grand;
            let residuals = rows.iter().zip(&row_means).map(|(row, row_mean)| (row[seed] - row_mean - level).powi(2));
            residuals.sum::<f64>()
        })
        .sum();
    let freedom = (branches.len() * seeds.saturating_sub(1)).max(1) as f64;
    Planned { deviation: (2.0 * squares / freedom).sqrt().max(floor(trial)), freedom }
}

/// 0 where there is nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
