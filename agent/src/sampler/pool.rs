//! The chunks in being, and the flush that found no room.

use std::sync::Arc;

use berth::limits;

use crate::{
    clock::{SECOND_NSEC, nsec_of},
    columns::{Chunk, Layout},
    handover::{FLUSHES, Flush, Giver},
};

/// Chunks in being: those that may lie ready, the one that is being filled, and the one that is being
/// packed.
const CHUNKS: usize = FLUSHES + 2;

/// Gives chunks away, and gets them back.
pub(super) struct Pool {
    giver: Giver,
    layout: Arc<Layout>,
    /// Ticks of one chunk.
    capacity: usize,
    chunks: usize,
    stuck: Option<Box<Flush>>,
}

impl Pool {
    pub(super) fn new(giver: Giver) -> Self {
        Self { giver, layout: Arc::default(), capacity: 1, chunks: 0, stuck: None }
    }

    /// Gives a flush away, or keeps it until there is room.
    pub(super) fn give(&mut self, flush: Flush) {
        self.stuck = self.giver.give(flush).err();
    }

    /// Whether everything could be given away by now.
    pub(super) fn is_free(&mut self) -> bool {
        if let Some(stuck) = self.stuck.take() {
            self.give(*stuck);
        }
        self.stuck.is_none()
    }

    /// New chunks have this layout.
    pub(super) fn set_layout(&mut self, layout: Layout) {
        self.layout = Arc::new(layout);
    }

    /// New chunks hold as many ticks as fit into a flush period, and into a batch.
    pub(super) fn set_rate(&mut self, tick_hz: u32) {
        let ticks = u64::from(tick_hz) * nsec_of(limits::FLUSH_PERIOD) / SECOND_NSEC;
        let fit = limits::BATCH_VALUES / self.layout.columns().max(1);
        self.capacity = usize::try_from(ticks).unwrap_or(1).min(fit).clamp(1, limits::BATCH_TICKS);
    }

    /// An empty chunk for ticks from `first_tick` on, with room for late amounts of `focused`
    /// containers: one that came back, or a new one while there are few.
    pub(super) fn empty(&mut self, first_tick: u64, focused: usize) -> Option<Chunk> {
        while let Some(mut chunk) = self.giver.emptied() {
            if Arc::ptr_eq(chunk.layout(), &self.layout) && chunk.capacity() == self.capacity {
                chunk.restart(first_tick);
                return Some(chunk);
            }
            self.chunks -= 1;
        }
        if self.chunks == CHUNKS {
            return None;
        }
        self.chunks += 1;
        let late = focused * limits::CORRECTION_TICKS;
        let mut chunk = Chunk::new(Arc::clone(&self.layout), self.capacity, late);
        chunk.restart(first_tick);
        Some(chunk)
    }
}
