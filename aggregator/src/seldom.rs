//! A log that peers cannot flood.
//!
//! Invariant: a line of one kind is written at most once a second, and says how many like it were
//! not, so that nothing is silently left out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use berth_core::time::AxisNsec;

/// Fast enough for a person, slow enough for a disk.
const PERIOD: Duration = Duration::from_secs(1);

/// One kind of line.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    state: Mutex<(Option<AxisNsec>, u64)>,
}

impl Seldom {
    /// `Some`: write it now, and that so many were left out since the last one.
    pub(crate) fn due(&self, now: AxisNsec) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, left_out) = &mut *state;
        if written.is_some_and(|written| now.since(written) < PERIOD) {
            *left_out += 1;
            return None;
        }
        *written = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_once_a_second_and_says_how_many_were_not() {
        let seldom = Seldom::default();
        let at = |msec: u64| AxisNsec(1_000_000_000_000 + msec * 1_000_000);
        assert_eq!(seldom.due(at(0)), Some(0));
        assert_eq!((seldom.due(at(1)), seldom.due(at(999))), (None, None));
        assert_eq!(seldom.due(at(1_000)), Some(2));
        assert_eq!(seldom.due(at(2_000)), Some(0));
    }
}
