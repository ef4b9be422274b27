//! Middles and spreads that single outliers do not move.

/// The median; of two middle values their mean. Changes the order of the values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let length = values.len();
    if length == 0 {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(length / 2, f64::total_cmp);
    let upper = *upper;
    if length % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    // Two infinities have no mean, and are their own middle.
    Some(if lower == upper { upper } else { f64::midpoint(lower, upper) })
}

/// The median and the median absolute deviation from it. Changes the values.
pub fn median_and_mad(values: &mut [f64]) -> Option<(f64, f64)> {
    let middle = median(values)?;
    values.iter_mut().for_each(|value| *value = (*value - middle).abs());
    Some((middle, median(values)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_do_not_count() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [5.0, 1.0, 1e9]), Some(5.0));
        assert_eq!(median(&mut [1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
        assert_eq!(median(&mut [1.0, 2.0, f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
        assert_eq!(median_and_mad(&mut [1.0, 2.0, 3.0, 4.0, 100.0]), Some((3.0, 1.0)));
    }
}
