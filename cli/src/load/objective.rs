//! Service level objectives: what a person asks of a target, and whether a run met it.
//!
//! Deliberately absent: a claim beyond the run. A p99 of a hundred requests is one request; the report has
//! how many there were.

use std::fmt;
use std::str::FromStr;

use berth_loadgen::Summary;
use serde::Serialize;

/// What may be asked for, in the order in which help names it.
const METRICS: [(&str, Metric); 9] = [
    ("mean", Metric::Mean),
    ("p50", Metric::P50),
    ("p90", Metric::P90),
    ("p95", Metric::P95),
    ("p99", Metric::P99),
    ("p99.9", Metric::P999),
    ("max", Metric::Max),
    ("errors", Metric::Errors),
    ("throughput", Metric::Throughput),
];

/// Longest first where one begins like another.
const COMPARISONS: [(&str, Comparison); 4] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
];

/// Microseconds; longest name first where one ends like another.
const TIME_UNITS: [(&str, f64); 3] = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
    Errors,
    Throughput,
}

/// What a metric counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Usec,
    Part,
    PerSec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// One objective, such as `p99<50ms`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objective {
    /// As it was asked for.
    text: String,
    metric: Metric,
    comparison: Comparison,
    /// Microseconds, a part of 1, or a second.
    bound: f64,
}

/// An objective and what a run made of it.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    /// As it was asked for.
    objective: String,
    /// Microseconds of response time, the part of the requests that failed, or successes a second; null where
    /// nothing succeeded.
    value: Option<f64>,
    #[serde(skip)]
    unit: Unit,
    met: bool,
}

/// Several, as one flag has them: `p99<50ms,errors<0.1%`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objectives(pub(super) Vec<Objective>);

impl Metric {
    fn unit(self) -> Unit {
        match self {
            Self::Errors => Unit::Part,
            Self::Throughput => Unit::PerSec,
            Self::Mean | Self::P50 | Self::P90 | Self::P95 | Self::P99 | Self::P999 | Self::Max => Unit::Usec,
        }
    }

    /// Of all that was due: what failed, found no place or had no answer at the end is an error to a user.
    fn of(self, summary: &Summary) -> Option<f64> {
        let usec = |value: Option<u64>| value.map(|usec| usec as f64);
        let (response, counts) = (&summary.response, &summary.counts);
        match self {
            Self::Mean => response.mean_usec,
            Self::P50 => usec(response.p50_usec),
            Self::P90 => usec(response.p90_usec),
            Self::P95 => usec(response.p95_usec),
            Self::P99 => usec(response.p99_usec),
            Self::P999 => usec(response.p999_usec),
            Self::Max => usec(response.max_usec),
            Self::Errors => {
                let failed = counts.scheduled.saturating_sub(counts.completed);
                (counts.scheduled > 0).then(|| failed as f64 / counts.scheduled as f64)
            }
            Self::Throughput => Some(summary.throughput_per_sec),
        }
    }
}

impl Unit {
    fn bound(self, text: &str) -> Option<f64> {
        let (number, scale) = match self {
            Self::Usec => {
                TIME_UNITS.iter().find_map(|(unit, usec)| Some((text.strip_suffix(unit)?, *usec)))?
            }
            Self::Part => text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 0.01)),
            Self::PerSec => (text, 1.0),
        };
        let number: f64 = number.trim_end().parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number * scale)
    }

    fn mend(self) -> &'static str {
        match self {
            Self::Usec => "a number and us, ms or s",
            Self::Part => "a percentage, such as 0.1%, or a part of 1",
            Self::PerSec => "a number of successes a second",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Usec => format!("{:.2} ms", value / 1e3),
            Self::Part => format!("{:.3} %", value * 100.0),
            Self::PerSec => format!("{value:.1}/s"),
        }
    }
}

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
        }
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let shape = || {
            let names = METRICS.map(|(name, _)| name).join(", ");
            format!("{text:?} is no objective: write p99<50ms or errors<0.1%, for example; there are {names}")
        };
        let at = text.find(['<', '>']).ok_or_else(shape)?;
        let (name, rest) = text.split_at(at);
        let compared = |(sign, comparison)| Some((rest.strip_prefix(sign)?, comparison));
        let (bound, comparison) = COMPARISONS.into_iter().find_map(compared).ok_or_else(shape)?;
        let found = METRICS.into_iter().find(|(known, _)| *known == name.trim_end());
        let (_, metric) = found.ok_or_else(shape)?;
        let bound = metric.unit().bound(bound.trim_start()).ok_or_else(|| {
            format!("{bound:?} is no bound of {}: write {}", name.trim_end(), metric.unit().mend())
        })?;
        Ok(Self { text: text.to_owned(), metric, comparison, bound })
    }
}

impl FromStr for Objectives {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Objective {
    pub(super) fn judge(&self, summary: &Summary) -> Judged {
        let value = self.metric.of(summary);
        let met = value.is_some_and(|value| self.comparison.holds(value, self.bound));
        Judged { objective: self.text.clone(), value, unit: self.metric.unit(), met }
    }
}

impl Judged {
    pub(super) fn is_met(&self) -> bool {
        self.met
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.map_or_else(|| "nothing succeeded".to_owned(), |value| self.unit.show(value));
        write!(f, "{}: {}, {value}", self.objective, if self.met { "met" } else { "MISSED" })
    }
}

#[cfg(test)]
mod tests {
    use berth_loadgen::Totals;

    use super::*;

    /// A hundred requests in two seconds, answered after 1, 2, ... ms, of which the last two failed.
    fn summary() -> Summary {
        let mut totals = Totals::default();
        totals.load.span_nanos = 2_000_000_000;
        let tally = &mut totals.load.tally;
        (tally.counts.scheduled, tally.counts.sent, tally.counts.completed) = (100, 100, 98);
        (1..=98).for_each(|millis| tally.response.record_nanos(millis * 1_000_000));
        Summary::of(&totals)
    }

    fn judged(text: &str) -> Judged {
        text.parse::<Objective>().unwrap_or_else(|error| panic!("{error}")).judge(&summary())
    }

    #[test]
    fn an_objective_is_met_or_missed_by_the_response_time_the_errors_and_the_throughput() {
        for (text, met) in [
            ("p99<98.2ms", true),
            ("p99<50ms", false),
            (" p50 <= 0.05s ", true),
            ("p90 > 1000us", true),
            ("p99.9<99ms", true),
            ("mean<49ms", false),
            ("max<0.2s", true),
            ("errors<2.1%", true),
            ("errors<0.019", false),
            ("errors<=2%", true),
            ("throughput>=49", true),
            ("throughput>49", false),
        ] {
            assert_eq!(judged(text).is_met(), met, "{text}");
        }
    }

    #[test]
    fn what_was_found_stands_beside_what_was_asked_for() {
        assert_eq!(judged("errors<0.1%").to_string(), "errors<0.1%: MISSED, 2.000 %");
        assert_eq!(judged("throughput>10").to_string(), "throughput>10: met, 49.0/s");
        let nothing = "p99<1s".parse::<Objective>().unwrap().judge(&Summary::of(&Totals::default()));
        assert_eq!(nothing.to_string(), "p99<1s: MISSED, nothing succeeded");
    }

    #[test]
    fn several_are_parted_by_commas() {
        let several: Objectives = "p99<50ms, errors<0.1%".parse().unwrap();
        let texts: Vec<&str> = several.0.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts, ["p99<50ms", "errors<0.1%"]);
    }

    #[test]
    fn what_is_no_objective_is_refused_with_the_mend() {
        for (text, mend) in [
            ("", "write p99<50ms"),
            ("p99", "write p99<50ms"),
            ("p98<1ms", "there are mean, p50"),
            ("p99<50", "a number and us, ms or s"),
            ("p99<-5ms", "a number and us, ms or s"),
            ("p99<NaNms", "a number and us, ms or s"),
            ("p99=50ms", "write p99<50ms"),
            ("errors<1ms", "a percentage"),
            ("throughput>10/s", "a number of successes a second"),
        ] {
            let error = text.parse::<Objective>().unwrap_err();
            assert!(error.contains(mend), "{text}: {error}");
        }
        assert!("p99<50ms,".parse::<Objectives>().is_err());
    }
}
