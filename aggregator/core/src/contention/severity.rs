//! When a wait is an effect, how bad it is, and when it has ended.
//!
//! A level holds when the mean over its whole hold is at or above it and its last moments are too:
//! waits come in lumps, so asking it of each step would flicker, and asking it of the mean alone
//! would call one long wait an effect that lasts. Who is held up a little and often, a timer's work every
//! second, never holds a level; that is told by the mean over ten seconds, where its interval is above the
//! level, so that no few lumps pass for it. Everything is in time, and in steps only where these are so long
//! that a level would hold in one: a single request that waited once is no effect.

use std::time::Duration;

use crate::contention::{
    episode::{Severity, Tier},
    history::{History, TOLD_OVER},
    slowdown::Span,
    step::STEP_SLACK,
};

/// Waiting for less than this much of each second is no effect, whatever the ratio.
const STALL_AT_LEAST: f64 = 0.020;

/// Long enough to hold several waits of a busy run queue, short enough to see one end.
pub(crate) const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// An effect is over when it stays under half of what lets it in ...
const EXIT_PART: f64 = 0.5;

/// ... in the mean over this long, so that a burst of kernel work does not prolong it ...
const CALM_WINDOW: Duration = Duration::from_secs(1);

/// ... over this long where it comes in lumps, seconds apart ...
const CHRONIC_CALM_WINDOW: Duration = Duration::from_secs(5);

/// ... and from then on for this long: three seconds with the window, seven where it comes in lumps.
pub(crate) const CALM_HOLD: Duration = Duration::from_secs(2);

/// The last ten seconds, less a window of what is read once a second.
const CHRONIC_AT_LEAST: Duration = Duration::from_secs(9);

// Wall seconds for a second of work: noticed, worth acting on, and half again as long.
const TRANSIENT: f64 = 1.05;
const CONTENDED: f64 = 1.10;
const SEVERE: f64 = 1.5;

struct Level {
    severity: Severity,
    slowdown: f64,
    hold: Duration,
}

/// Worst first.
const LEVELS: [Level; 3] = [
    Level { severity: Severity::Severe, slowdown: SEVERE, hold: Duration::from_secs(1) },
    Level { severity: Severity::Contended, slowdown: CONTENDED, hold: Duration::from_secs(2) },
    Level { severity: Severity::Transient, slowdown: TRANSIENT, hold: Duration::from_millis(300) },
];

/// No wait that is seen so well is told as worse.
fn worst(tier: Tier) -> Severity {
    match tier {
        Tier::Threads | Tier::Pressure => Severity::Severe,
        // The longest that it can have waited; it may have had no work.
        Tier::Usage => Severity::Transient,
    }
}

/// No level holds for less: a request that waited once is in one step, or in two. The third in a row is also
/// what raises the alarm. What is read once a second adds up many waits.
pub(crate) fn shortest_hold(history: &History, tier: Tier) -> Option<Duration> {
    history.last(if tier == Tier::Threads { 3 } else { 2 })
}

/// The worst level that has held since an onset `age` ago.
pub(crate) fn reached(history: &History, age: Duration, tier: Tier) -> Option<Severity> {
    let shortest_hold = shortest_hold(history, tier)?;
    let holds = |level: &&Level| {
        let has_effect = |window| is_at(history.trailing(window), level.slowdown);
        let hold = level.hold.max(shortest_hold);
        age + STEP_SLACK >= hold && has_effect(hold) && has_effect(hold.min(LAST_MOMENTS))
    };
    LEVELS.iter().find(holds).map(|level| level.severity.min(worst(tier)))
}

/// Enough for the least level.
pub(crate) fn is_effect(span: Span) -> bool {
    is_at(span, TRANSIENT)
}

fn is_at(span: Span, slowdown: f64) -> bool {
    span.stall() >= STALL_AT_LEAST && span.slowdown() >= slowdown
}

/// How a wait comes, and so over how long it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once, and it stays.
    Sudden,
    /// A little and often.
    Chronic,
}

/// The worst level that the last ten seconds are at, by the lower end of the mean's interval.
pub(crate) fn chronic(history: &History, seed: u64, tier: Tier) -> Option<Severity> {
    let span = history.trailing(TOLD_OVER);
    // The interval takes hundreds of draws; a mean below the least level needs none.
    let is_young = span.dt < CHRONIC_AT_LEAST.as_nanos() as f64;
    if is_young || !is_effect(span) {
        return None;
    }
    let (lo, _) = history.blocks(TOLD_OVER).interval(seed);
    let levels = LEVELS.iter().filter(|level| level.severity < Severity::Severe);
    levels.filter(|level| lo >= level.slowdown).map(|level| level.severity.min(worst(tier))).max()
}

/// The effect of an episode that has been this bad is gone for now.
pub(crate) fn is_calm(history: &History, severity: Severity, pace: Pace) -> bool {
    !is_felt(history.trailing(calm_window(pace)), severity)
}

/// Over how long it is looked at whether an effect is over.
pub(crate) fn calm_window(pace: Pace) -> Duration {
    match pace {
        Pace::Sudden => CALM_WINDOW,
        Pace::Chronic => CHRONIC_CALM_WINDOW,
    }
}

/// A severe episode that eases is still contended, so it leaves at the exit of that level.
pub(crate) fn is_felt(span: Span, severity: Severity) -> bool {
    let entry = match severity {
        Severity::Transient => TRANSIENT,
        Severity::Contended | Severity::Severe => CONTENDED,
    };
    span.stall() >= STALL_AT_LEAST * EXIT_PART && span.slowdown() - 1.0 >= (entry - 1.0) * EXIT_PART
}
