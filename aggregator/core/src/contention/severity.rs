//! When a wait is an effect, how bad it is, and when it has ended.
//!
//! A level holds when the mean over its whole hold is at or above it and its last moments are too:
//! waits come in lumps, so asking it of each step would flicker, and asking it of the mean alone
//! would call one long wait an effect that lasts. Everything is in time, never in steps.

use std::time::Duration;

use crate::contention::{
    episode::Severity,
    history::{History, STEP_SLACK},
    slowdown::Span,
};

/// Waiting for less than this much of each second is no effect, whatever the ratio.
const STALL_AT_LEAST: f64 = 0.020;

/// Long enough to hold several waits of a busy run queue, short enough to see one end.
const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// An effect is over when it stays under half of what lets it in ...
const EXIT_PART: f64 = 0.5;

/// ... in the mean over this long, so that a burst of kernel work does not prolong it ...
const CALM_WINDOW: Duration = Duration::from_secs(1);

/// ... and from then on for this long: three seconds with the window.
pub(crate) const CALM_HOLD: Duration = Duration::from_secs(2);

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

/// The worst level that has held since an onset `age` ago.
pub(crate) fn reached(history: &History, age: Duration) -> Option<Severity> {
    let holds = |level: &&Level| {
        let has_effect = |window| {
            let span = history.trailing(window);
            span.stall() >= STALL_AT_LEAST && span.slowdown() >= level.slowdown
        };
        age + STEP_SLACK >= level.hold && has_effect(level.hold) && has_effect(level.hold.min(LAST_MOMENTS))
    };
    LEVELS.iter().find(holds).map(|level| level.severity)
}

/// The effect of an episode that has been this bad is gone for now.
pub(crate) fn is_calm(history: &History, severity: Severity) -> bool {
    !is_felt(history.trailing(CALM_WINDOW), severity)
}

/// A severe episode that eases is still contended, so it leaves at the exit of that level.
pub(crate) fn is_felt(span: Span, severity: Severity) -> bool {
    let entry = match severity {
        Severity::Transient => TRANSIENT,
        Severity::Contended | Severity::Severe => CONTENDED,
    };
    span.stall() >= STALL_AT_LEAST * EXIT_PART && span.slowdown() - 1.0 >= (entry - 1.0) * EXIT_PART
}
