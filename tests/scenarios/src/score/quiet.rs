//! What was found where nobody hurts anybody, as a rate of hours of models.
//!
//! Deliberately absent: how grave it was. A mild finding is as false as a grave one, so those that held are
//! counted beside the whole and decide nothing.

use super::{
    figure::{Bar, Figure, Judged},
    finding::Finding,
};

/// How long models were watched, in hours of all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hours {
    pub(super) all: f64,
    /// Those in which a model used enough CPU to be judged by it.
    pub(super) at_work: f64,
}

/// All that was found falsely, and in how long.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Soaks {
    /// Findings, however mild and short.
    pub(super) verdicts: usize,
    /// Those of them that held.
    pub(super) held: usize,
    pub(super) hours: Hours,
}

impl Soaks {
    /// As a rate.
    pub(super) fn figure(self) -> Figure {
        let name = "false verdicts a victim-hour, quiet and own-load swings (n: hours)";
        self.rate(name, self.hours.all)
    }

    /// All of them for each hour of a model at work: what nearly idles is below what a verdict takes, so it
    /// is hardly ever found, falsely or not.
    pub(super) fn figure_at_work(self) -> Figure {
        self.rate("for each hour of a model with at least 2 % of a CPU to do (n: hours)", self.hours.at_work)
    }

    fn rate(self, name: &'static str, hours: f64) -> Figure {
        Figure {
            name,
            bar: Bar::AtMost(0.1),
            point: (hours > 0.0).then(|| self.verdicts as f64 / hours),
            interval: Some(poisson(self.verdicts, hours)),
            n: hours,
        }
    }

    /// With the trials in which nobody hurts the victim; the load of each is at least 5 % of a CPU.
    pub(super) fn and<'a>(self, judged: impl IntoIterator<Item = &'a Judged<'a>>) -> Self {
        let quiet = judged.into_iter().filter(|judged| !judged.trial.outcome.disturbed && judged.is_quiet());
        quiet.fold(self, |sum, judged| {
            // Whatever its load did to it, a finding that is not right is false.
            let wrong = judged.findings.iter().filter(|one| !judged.is_right(one));
            let hours = judged.trial.victim_hours();
            sum.with(wrong, Hours { all: hours, at_work: hours })
        })
    }

    /// With what was found falsely in so many more hours.
    pub(super) fn with<'a>(self, found: impl IntoIterator<Item = &'a Finding>, hours: Hours) -> Self {
        found.into_iter().fold(self.plus(Self { hours, ..Self::default() }), |sum, one| {
            sum.plus(Self { verdicts: 1, held: usize::from(one.held), ..Self::default() })
        })
    }

    /// Both.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            verdicts: self.verdicts + other.verdicts,
            held: self.held + other.held,
            hours: Hours {
                all: self.hours.all + other.hours.all,
                at_work: self.hours.at_work + other.hours.at_work,
            },
        }
    }
}

/// About 95 % of a rate of so many events in so many hours: for none, the upper end is exact (-ln 0.025),
/// else by the normal approximation on the square root.
fn poisson(count: usize, hours: f64) -> (f64, f64) {
    if hours <= 0.0 {
        return (0.0, f64::INFINITY);
    }
    let root = (count as f64).sqrt();
    let lo = (root - 0.98).max(0.0).powi(2);
    let hi = if count == 0 { 3.689 } else { ((count as f64 + 1.0).sqrt() + 0.98).powi(2) };
    (lo / hours, hi / hours)
}

#[cfg(test)]
mod tests {
    use berth_core::time::AxisNsec;

    use super::*;

    fn finding(held: bool) -> Finding {
        let at = AxisNsec::default();
        Finding { onset: at, alarm: at, told: at, held, cleared: Some(at), said: Vec::new() }
    }

    fn hours(all: f64) -> Hours {
        Hours { all, at_work: all / 40.0 }
    }

    #[test]
    fn a_mild_finding_is_as_false_as_one_that_held() {
        let found = [finding(false), finding(true)];
        let soaks = Soaks::default().with(&found, hours(20.0)).with(&found[..1], hours(20.0));
        assert_eq!((soaks.verdicts, soaks.held), (3, 1));
        let figure = soaks.figure();
        assert_eq!((figure.point, figure.n, figure.verdict()), (Some(0.075), 40.0, "reached"));
        assert_eq!(soaks.with(&found, hours(0.0)).figure().verdict(), "missed");
    }

    #[test]
    fn hours_of_the_idle_are_no_hours_of_those_at_work() {
        let figure = Soaks::default().with(&[finding(false)], hours(40.0)).figure_at_work();
        assert_eq!((figure.point, figure.n, figure.verdict()), (Some(1.0), 1.0, "too few"));
    }

    #[test]
    fn less_than_thirty_hours_claim_nothing() {
        let nearly = Soaks::default().with(&[], hours(29.96));
        assert_eq!(nearly.figure().verdict(), "too few");
        assert_eq!(nearly.with(&[], hours(0.04)).figure().verdict(), "reached");
    }
}
