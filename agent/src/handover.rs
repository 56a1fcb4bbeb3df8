//! From the sampler's thread to the uplink, and the emptied chunks back.
//!
//! Invariant: the sampler never waits. Where no emptied chunk comes back in time, or the uplink has
//! not taken what lies ready, the sampler fills the chunk that it has, and then counts ticks as
//! missed. Nothing is allocated on the way, which is why this is no async channel.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
};

use berth::{Group, SeriesId, Subject};
use tokio::sync::Notify;

use crate::columns::Chunk;

/// Flushes that may lie ready: at the shortest flush period these are 0.8 s, and longer the uplink
/// does not stand still.
pub const FLUSHES: usize = 4;

/// A series that the sampler begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSeries {
    /// Never used twice.
    pub id: SeriesId,
    /// Its columns.
    pub group: Group,
    /// Whose they are.
    pub subject: Subject,
}

/// What the sampler hands over at once, in the order in which it happened.
#[derive(Debug)]
pub struct Flush {
    /// Ticks that were not read, before the chunk's first one.
    pub missed_ticks: u64,
    /// Ticks, and late amounts for earlier ones.
    pub chunk: Chunk,
    /// Series that ended with this chunk.
    pub retired: Vec<SeriesId>,
    /// Series that begin after it.
    pub added: Vec<NewSeries>,
}

/// The sampler's end.
#[derive(Debug)]
pub struct Giver {
    flushes: SyncSender<Flush>,
    emptied: Receiver<Chunk>,
    /// Last, because fields are dropped in their order: who is woken by the end must see it.
    ready: Ready,
}

/// Wakes the taker, also when it is dropped.
#[derive(Debug)]
struct Ready(Arc<Notify>);

impl Drop for Ready {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The uplink's end.
#[derive(Debug)]
pub struct Taker {
    flushes: Receiver<Flush>,
    emptied: SyncSender<Chunk>,
    ready: Arc<Notify>,
}

/// What the uplink finds.
#[derive(Debug)]
pub enum Taken {
    /// A flush.
    Flush(Flush),
    /// Nothing yet.
    Nothing,
    /// The sampler has ended, and all that it gave was taken.
    Ended,
}

/// Two ends of a new hand-over.
pub fn handover() -> (Giver, Taker) {
    let (flush_sender, flush_receiver) = sync_channel(FLUSHES);
    let (chunk_sender, chunk_receiver) = sync_channel(FLUSHES + 1);
    let ready = Arc::new(Notify::new());
    let giver = Giver { flushes: flush_sender, emptied: chunk_receiver, ready: Ready(Arc::clone(&ready)) };
    (giver, Taker { flushes: flush_receiver, emptied: chunk_sender, ready })
}

impl Giver {
    /// Gives a flush. Back comes one for which there is no room, or whose taker has ended.
    pub fn give(&self, flush: Flush) -> Result<(), Box<Flush>> {
        match self.flushes.try_send(flush) {
            Ok(()) => {
                self.ready.0.notify_one();
                Ok(())
            }
            Err(TrySendError::Full(flush) | TrySendError::Disconnected(flush)) => Err(Box::new(flush)),
        }
    }

    /// A chunk that the uplink has emptied.
    pub fn emptied(&self) -> Option<Chunk> {
        self.emptied.try_recv().ok()
    }
}

impl Taker {
    /// Waits until there may be something. It may wake for nothing.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Takes the next flush.
    pub fn take(&self) -> Taken {
        match self.flushes.try_recv() {
            Ok(flush) => Taken::Flush(flush),
            Err(TryRecvError::Empty) => Taken::Nothing,
            Err(TryRecvError::Disconnected) => Taken::Ended,
        }
    }

    /// Gives an emptied chunk back; one too many is dropped.
    pub fn give_back(&self, chunk: Chunk) {
        drop(self.emptied.try_send(chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Layout;

    fn flush() -> Flush {
        Flush {
            missed_ticks: 0,
            chunk: Chunk::new(Arc::new(Layout::default()), 1, 0),
            retired: vec![],
            added: vec![],
        }
    }

    #[tokio::test]
    async fn whoever_is_woken_by_the_end_sees_it() {
        let (giver, taker) = handover();
        giver.give(flush()).unwrap();
        taker.ready().await;
        assert!(matches!(taker.take(), Taken::Flush(_)));
        assert!(matches!(taker.take(), Taken::Nothing));
        let sampler = std::thread::spawn(move || drop(giver));
        taker.ready().await;
        assert!(matches!(taker.take(), Taken::Ended));
        sampler.join().unwrap();
    }

    #[test]
    fn without_room_a_flush_comes_back_and_nobody_waits() {
        let (giver, taker) = handover();
        for _ in 0..FLUSHES {
            giver.give(flush()).unwrap();
        }
        assert!(giver.give(flush()).is_err());
        assert!(giver.emptied().is_none());
        let Taken::Flush(taken) = taker.take() else { panic!("there are flushes") };
        taker.give_back(taken.chunk);
        assert!(giver.emptied().is_some());
        giver.give(flush()).unwrap();
    }
}
