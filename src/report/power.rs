//! How many seeds a comparison needs, so that an effect that matters is found.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::statistics::{FEWEST_SEEDS, LEVEL};

/// The chance with which an effect of interest is to be found.
pub const POWER: f64 = 0.8;
/// Nobody trains more seeds than this; an answer of so many means "or more".
pub const MOST_SEEDS: u64 = 100_000;
/// Points at which the doubt about a standard deviation is looked at.
const POINTS: u32 = 100;

/// A standard deviation of paired differences as it was estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    pub deviation: f64,
    /// Degrees of freedom of the estimate.
    pub freedom: f64,
}

/// The smallest number of seeds with which the two-sided t test of paired differences, at level 0.05 divided by the number of
/// comparisons, finds an effect with a chance of 0.8.
///
/// Were the standard deviation σ known, the chance with n seeds would be Φ(√n·effect/σ - t), where t is the test's critical
/// value with n - 1 degrees of freedom. From a few seeds σ is badly known: the chance is averaged over what σ may be given
/// its estimate s, σ = s/√(χ²/ν), as a plan that takes s for σ finds the effect far less often than it promises. (Browne,
/// "On the use of a pilot sample for sample size determination", Statistics in Medicine 14, 1995; O'Hagan, Stevens and
/// Campbell, "Assurance in clinical trial design", Pharmaceutical Statistics 4, 2005.)
///
/// Where it would be more than `most`, that.
pub fn seeds_needed(planned: Planned, effect: f64, comparisons: usize, most: u64) -> u64 {
    let fewest = FEWEST_SEEDS as u64;
    if effect.is_nan() || effect <= 0.0 || planned.deviation.is_nan() {
        return most;
    }
    if planned.deviation <= 0.0 {
        return fewest;
    }
    let doubt = Doubt::of(planned.freedom);
    let enough = |seeds: u64| doubt.power(seeds, effect / planned.deviation, comparisons) >= POWER;
    if most <= fewest || !enough(most) {
        return most;
    }
    let (mut low, mut high) = (fewest, most);
    while low < high {
        let middle = low.midpoint(high);
        (low, high) = if enough(middle) { (low, middle) } else { (middle + 1, high) };
    }
    low
}

/// What s/σ may be, with weights that sum to 1.
struct Doubt(Vec<(f64, f64)>);

impl Doubt {
    /// √(χ²/ν) on a grid: its density is proportional to x^(ν-1)·exp(-νx²/2).
    fn of(freedom: f64) -> Doubt {
        let far = 8.0 / (2.0 * freedom).sqrt();
        let (lowest, highest) = ((1.0 - far).max(0.0), 1.0 + far);
        let at = |point: u32| lowest + (highest - lowest) * (f64::from(point) + 0.5) / f64::from(POINTS);
        let density = |x: f64| ((freedom - 1.0) * x.ln() - freedom * (x * x - 1.0) / 2.0).exp();
        let points: Vec<(f64, f64)> = (0..POINTS).map(|point| (at(point), density(at(point)))).collect();
        let sum: f64 = points.iter().map(|(_, weight)| weight).sum();
        Doubt(points.into_iter().map(|(x, weight)| (x, weight / sum)).collect())
    }

    /// The average chance to find an effect, given in estimated standard deviations. The other tail is left out.
    fn power(&self, seeds: u64, effect: f64, comparisons: usize) -> f64 {
        let critical = t_quantile(1.0 - LEVEL / (2.0 * comparisons.max(1) as f64), (seeds - 1) as f64);
        let shift = (seeds as f64).sqrt() * effect;
        let normal = Normal::standard();
        self.0.iter().map(|(x, weight)| weight * normal.cdf(shift * x - critical)).sum()
    }
}

/// Quantile of Student's t distribution.
pub fn t_quantile(probability: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(probability))
}

/// Chance that the size of a t is at least this: a two-sided p value.
pub fn t_two_sided(t: f64, freedom: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, freedom) {
        // The library's tail has no value there.
        Ok(_) if t.is_infinite() => 0.0,
        Ok(distribution) if !t.is_nan() => 2.0 * distribution.sf(t.abs()),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the printed tables.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (probability, freedom, expected) in [
            (0.975, 1.0, 12.706_20),
            (0.975, 2.0, 4.302_65),
            (0.975, 9.0, 2.262_16),
            (0.995, 4.0, 4.604_09),
            (0.8, 2.0, 1.060_66),
        ] {
            let found = t_quantile(probability, freedom);
            assert!((found - expected).abs() < 1e-3, "{probability}, {freedom}: {found}");
            assert!((t_two_sided(found, freedom) - 2.0 * (1.0 - probability)).abs() < 1e-4);
        }
        assert_eq!(t_two_sided(0.0, 2.0), 1.0);
        assert_eq!(t_two_sided(f64::INFINITY, 2.0), 0.0);
    }

    #[test]
    fn a_well_known_spread_gives_the_number_of_the_tables() {
        // An effect of one standard deviation, two-sided 0.05, power 0.8: 10 pairs (Cohen, 1988, gives 10).
        let known = Planned { deviation: 1.0, freedom: 10_000.0 };
        let needed = |effect: f64| seeds_needed(known, effect, 1, MOST_SEEDS);
        assert!((9..=11).contains(&needed(1.0)), "{}", needed(1.0));
        // Half of it: 33 or 34.
        assert!((32..=35).contains(&needed(0.5)), "{}", needed(0.5));
    }

    #[test]
    fn doubt_and_branches_cost_seeds() {
        let planned = |freedom: f64| Planned { deviation: 1.0, freedom };
        let seeds = |freedom: f64, comparisons: usize| seeds_needed(planned(freedom), 0.5, comparisons, MOST_SEEDS);
        assert!(seeds(2.0, 1) > seeds(4.0, 1) && seeds(4.0, 1) > seeds(20.0, 1));
        assert!(seeds(20.0, 5) > seeds(20.0, 1));
    }

    #[test]
    fn extremes_have_answers() {
        let planned = Planned { deviation: 1.0, freedom: 2.0 };
        let needed = |planned: Planned, effect: f64| seeds_needed(planned, effect, 1, MOST_SEEDS);
        assert_eq!([0.0, 1e-9, 1e9].map(|effect| needed(planned, effect)), [MOST_SEEDS, MOST_SEEDS, FEWEST_SEEDS as u64]);
        assert_eq!(needed(Planned { deviation: 0.0, freedom: 2.0 }, 0.1), FEWEST_SEEDS as u64);
        assert_eq!(seeds_needed(planned, 0.1, 1, 50), 50);
    }
}
