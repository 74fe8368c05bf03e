//! What a row of measurements says: its middle, and how far its members lie from it. Pure.

/// The middle one; of two the mean. Of nothing there is none.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The median distance from the median: a measure of noise that one disturbed measurement does not change.
pub(super) fn spread(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}

/// The smallest median of `count` differences that is hardly chance, if one of them is off by `spread`: two standard
/// errors, of a normal distribution.
pub(super) fn resolved(spread: f64, count: usize) -> f64 {
    /// A standard deviation in median absolute ones, and a median's standard error in the mean's.
    const DEVIATION: f64 = 1.4826;
    const OF_MEDIAN: f64 = 1.2533;
    2.0 * OF_MEDIAN * DEVIATION * spread / (count as f64).sqrt()
}

/// How far a measurement is from those taken just before and after it, so that a slow drift is no difference.
pub(super) fn against_neighbours(before: f64, value: f64, after: f64) -> f64 {
    value - f64::midpoint(before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_not_moved_by_one_that_is_far_off() {
        assert_eq!(median(&[3.0, 1.0, 1e9]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 1e9]), Some(3.0));
        assert_eq!(median(&[]), None);
        assert_eq!(spread(&[10.0, 11.0, 9.0, 1e9, 10.0]), Some(1.0));
        assert_eq!(spread(&[7.0]), Some(0.0));
    }

    #[test]
    fn more_measurements_resolve_more() {
        assert!((resolved(1.0, 100) - 0.3716).abs() < 0.001);
        assert_eq!(resolved(8.0, 400), resolved(4.0, 100));
    }

    #[test]
    fn a_drift_is_no_difference() {
        assert_eq!(against_neighbours(10.0, 11.0, 12.0), 0.0);
        assert_eq!(against_neighbours(10.0, 14.0, 10.0), 4.0);
    }
}
