//! Fewer points for a long curve, and no spike lost.

use std::ops::Range;

/// Places of the values to keep, in rising order: the first, the last, and of each of equally long stretches between them
/// the lowest, the highest, and the first that is not finite, which stands for the gap. At most `most` (if that is 4 or
/// more), and one more for each stretch with a gap; all where there are no more than that.
pub fn thin(values: &[f64], most: usize) -> Vec<usize> {
    let most = most.max(4);
    if values.len() <= most {
        return (0..values.len()).collect();
    }
    let stretches = (most - 2) / 2;
    let inner = values.len() - 2;
    let edge = |stretch: usize| 1 + stretch * inner / stretches;
    let mut kept = Vec::with_capacity(most);
    kept.push(0);
    for stretch in 0..stretches {
        kept.extend(extremes(values, edge(stretch)..edge(stretch + 1)));
    }
    kept.push(values.len() - 1);
    kept
}

/// The lowest, the highest and the first that is not finite, as far as there are such, in their order.
fn extremes(values: &[f64], range: Range<usize>) -> Vec<usize> {
    let (mut lowest, mut highest, mut gap): (Option<usize>, Option<usize>, Option<usize>) = (None, None, None);
    for place in range {
        let value = values[place];
        if !value.is_finite() {
            gap = gap.or(Some(place));
            continue;
        }
        if lowest.is_none_or(|other| value < values[other]) {
            lowest = Some(place);
        }
        if highest.is_none_or(|other| value > values[other]) {
            highest = Some(place);
        }
    }
    let mut places: Vec<usize> = [lowest, highest, gap].into_iter().flatten().collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Noise that is the same every time.
    fn noise(count: usize) -> Vec<f64> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1_u32 << 24)
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn a_short_curve_is_kept_whole() {
        assert_eq!(thin(&[], 10), Vec::<usize>::new());
        assert_eq!(thin(&[1.0], 0), [0]);
        assert_eq!(thin(&noise(10), 10), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn every_extreme_of_every_stretch_survives() {
        let values = noise(10_007);
        let most = 402;
        let kept = thin(&values, most);
        assert!(kept.len() <= most && kept.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((kept.first(), kept.last()), (Some(&0), Some(&10_006)));
        let stretches = (most - 2) / 2;
        for stretch in 0..stretches {
            let range = (1 + stretch * 10_005 / stretches)..(1 + (stretch + 1) * 10_005 / stretches);
            let left = kept.iter().filter(|place| range.contains(*place)).map(|place| values[*place]);
            assert_eq!(ends(left), ends(values[range.clone()].iter().copied()));
        }
    }

    fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    }

    #[test]
    fn gaps_stay_gaps() {
        let mut values = noise(1_000);
        values[500] = f64::NAN;
        values[700..900].fill(f64::INFINITY);
        let kept = thin(&values, 50);
        assert!(kept.contains(&500));
        assert!(kept.iter().any(|place| (700..740).contains(place)) && kept.iter().any(|place| (860..900).contains(place)));
        assert_eq!(thin(&[f64::NAN; 100], 10).len(), 6);
    }

    #[test]
    fn two_million_points_take_no_time_and_hide_no_spike() {
        let mut values = noise(2_000_000);
        values[1_234_567] = 1e3;
        let begun = Instant::now();
        let kept = thin(&values, 2_000);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert!(kept.len() <= 2_000 && kept.contains(&1_234_567));
    }
}
