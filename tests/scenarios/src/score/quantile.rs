//! Intervals and quantiles of small samples.

/// 95 % of a normal distribution lies within so many standard deviations.
const Z: f64 = 1.96;

/// Wilson's 95 % interval of a proportion (Wilson 1927): it stays within 0 and 1, and is honest where all
/// of a few trials went well.
pub(super) fn wilson(hits: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let (middle, scale) = (p + Z * Z / (2.0 * n), 1.0 + Z * Z / n);
    (((middle - spread) / scale).max(0.0), ((middle + spread) / scale).min(1.0))
}

/// The smallest value that at least `part` of all are at or below; `None` of none.
pub(super) fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is within a length")]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_that_of_the_tables() {
        let near = |(lo, hi): (f64, f64), (told_lo, told_hi): (f64, f64)| {
            (lo - told_lo).abs() < 5e-4 && (hi - told_hi).abs() < 5e-4
        };
        assert!(near(wilson(81, 263), (0.2553, 0.3662)), "{:?}", wilson(81, 263));
        assert!(near(wilson(30, 30), (0.8865, 1.0)), "{:?}", wilson(30, 30));
        assert!(near(wilson(0, 0), (0.0, 1.0)));
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.95)), (Some(10.0), Some(19.0)));
        assert_eq!((quantile(&[3.0], 0.95), quantile(&[], 0.5)), (Some(3.0), None));
    }
}
