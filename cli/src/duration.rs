//! Durations as people type them: `10s`, `500ms`, `1.5m`, `1h`.

use std::time::Duration;

/// Units, longest name first where one ends like another.
const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];

/// A number and its unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let mend = || format!("{text} is no duration: write a number and ms, s, m or h, such as 10s");
    let (number, seconds) = UNITS
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(mend)?;
    let number: f64 = number.parse().map_err(|_| mend())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| mend())
}

/// The same, of something that takes time.
pub(crate) fn parse_some(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("{text} is no time at all: write 10s, for example")),
        some => Ok(some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, millis) in [("10s", 10_000), ("500ms", 500), ("1.5m", 90_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_mend() {
        for text in ["", "10", "s", "-1s", "1d", "NaNs", "1e30h", "1 0s"] {
            assert!(parse(text).unwrap_err().contains("such as 10s"), "{text}");
        }
        assert!(parse_some("0s").unwrap_err().contains("no time"));
        assert_eq!(parse_some("1ms"), Ok(Duration::from_millis(1)));
    }
}
