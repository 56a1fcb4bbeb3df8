//! What was found where nobody hurts anybody, as a rate of hours of models.
//!
//! Deliberately absent: how grave it was. A mild finding is as false as a grave one, so those that held are
//! counted beside the whole and decide nothing.

use super::{
    figure::{Bar, Figure, Judged},
    finding::Finding,
};

/// All that was found falsely, and in how long.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Soaks {
    /// Findings, however mild and short.
    pub(super) verdicts: usize,
    /// Those of them that held.
    pub(super) held: usize,
    /// Of all victims.
    pub(super) hours: f64,
}

impl Soaks {
    /// As a rate.
    pub(super) fn figure(self) -> Figure {
        let Self { verdicts, hours, .. } = self;
        Figure {
            name: "false verdicts a victim-hour, quiet and own-load swings (n: hours)",
            bar: Bar::AtMost(0.1),
            point: (hours > 0.0).then(|| verdicts as f64 / hours),
            interval: Some(poisson(verdicts, hours)),
            n: hours,
        }
    }

    /// With the trials in which nobody hurts the victim.
    pub(super) fn and<'a>(self, judged: impl IntoIterator<Item = &'a Judged<'a>>) -> Self {
        let quiet = judged.into_iter().filter(|judged| !judged.trial.outcome.disturbed && judged.is_quiet());
        quiet.fold(self, |sum, judged| {
            // Whatever its load did to it, a finding that is not right is false.
            let wrong = judged.findings.iter().filter(|one| !judged.is_right(one));
            sum.with(wrong, judged.trial.victim_hours())
        })
    }

    /// With what was found falsely in so many more hours.
    pub(super) fn with<'a>(self, found: impl IntoIterator<Item = &'a Finding>, hours: f64) -> Self {
        let more = found.into_iter().fold(self, |sum, one| Self {
            verdicts: sum.verdicts + 1,
            held: sum.held + usize::from(one.held),
            ..sum
        });
        Self { hours: self.hours + hours, ..more }
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

    #[test]
    fn a_mild_finding_is_as_false_as_one_that_held() {
        let soaks =
            Soaks::default().with(&[finding(false), finding(true)], 20.0).with(&[finding(false)], 20.0);
        assert_eq!((soaks.verdicts, soaks.held), (3, 1));
        let figure = soaks.figure();
        assert_eq!((figure.point, figure.n, figure.verdict()), (Some(0.075), 40.0, "reached"));
        assert_eq!(soaks.with(&[finding(false), finding(false)], 0.0).figure().verdict(), "missed");
    }

    #[test]
    fn less_than_thirty_hours_claim_nothing() {
        let nearly = Soaks::default().with(&[], 29.96);
        assert_eq!(nearly.figure().verdict(), "too few");
        assert_eq!(nearly.with(&[], 0.04).figure().verdict(), "reached");
    }
}
