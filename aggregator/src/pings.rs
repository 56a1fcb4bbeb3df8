//! When pings left, until they are answered.
//!
//! Invariant: an answer counts once, and only while its ping is among the newest. The time is taken
//! when the transport asks for the message, so that what waited before it is not taken for the way.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use berth_core::time::AxisNsec;

/// Pings on their way at once; an answer that takes longer than so many says nothing of the clock.
const PINGS_OUT: usize = 16;

/// The pings of one stream, shared by its two halves.
#[derive(Debug, Clone, Default)]
pub(crate) struct PingLog {
    sent: Arc<Mutex<VecDeque<(u64, AxisNsec)>>>,
}

impl PingLog {
    /// It leaves now.
    pub(crate) fn left(&self, id: u64, at: AxisNsec) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() == PINGS_OUT {
            sent.pop_front();
        }
        sent.push_back((id, at));
    }

    /// It was answered. `None`: it never left, or long ago, or was answered before.
    pub(crate) fn answered(&self, id: u64) -> Option<AxisNsec> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = sent.iter().position(|(left, _)| *left == id)?;
        sent.remove(at).map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_and_not_when_its_ping_is_long_gone() {
        let log = PingLog::default();
        for id in 0..20 {
            log.left(id, AxisNsec(id));
        }
        assert_eq!(log.answered(3), None);
        assert_eq!(log.answered(19), Some(AxisNsec(19)));
        assert_eq!((log.answered(19), log.answered(99)), (None, None));
    }
}
