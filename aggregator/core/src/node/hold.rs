//! Records that wait for the first pong of a stream.
//!
//! A replay brings minutes in a moment: mapped by the time of its arrival, every tick of it would be
//! wrong. The pong is one round trip away, so records wait for it; and if it does not come, the
//! least delay seen so far must do. Bounded in time and bytes.

use std::{collections::VecDeque, time::Duration};

use berth::{Record, limits};

use crate::time::AxisNsec;

/// A pong that takes longer maps no better than arrivals do.
const WAIT: Duration = Duration::from_secs(1);

/// A whole replay fits.
const BYTES: usize = limits::REPLAY_BYTES;

/// The records that wait.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// None: nothing has to wait.
    until: Option<AxisNsec>,
    records: VecDeque<Record>,
    bytes: usize,
}

impl Hold {
    /// A stream begins.
    pub(super) fn attach(&mut self, synchronised: bool, now: AxisNsec) {
        *self = Self { until: (!synchronised).then(|| now + WAIT), ..Self::default() };
    }

    /// Keeps the record, or gives it back because it need not wait.
    pub(super) fn keep(&mut self, record: Record) -> Option<Record> {
        if self.until.is_none() {
            return Some(record);
        }
        self.bytes += weight(&record);
        self.records.push_back(record);
        None
    }

    /// It is no use to wait on, or there is no room.
    pub(super) fn is_over(&self, now: AxisNsec) -> bool {
        self.until.is_some_and(|until| now >= until) || self.bytes > BYTES
    }

    /// Everything that waited, in its order; nothing waits any more.
    pub(super) fn release(&mut self) -> VecDeque<Record> {
        std::mem::take(self).records
    }
}

fn weight(record: &Record) -> usize {
    let inside = match record {
        Record::Batch(batch) => {
            let blocks: usize =
                batch.blocks.iter().map(|block| block.values.len() + block.absent.len()).sum();
            blocks + batch.times_nsec.len() * size_of::<u64>()
        }
        Record::Correction(correction) => correction.values.len(),
        Record::Retire(retire) => retire.series.len() * size_of::<u32>(),
        Record::Gap(_) => 0,
    };
    size_of::<Record>() + inside
}
