//! What to say to the aggregator, and when: a state machine without I/O, clock or randomness of its
//! own.
//!
//! Hello, wait for Resume, name every series that the ring still has data of, send the ring's
//! records from the sequence asked for, go on live. There are no acks: what was sent stays in the
//! ring, and counts as pending again when the aggregator asks for it again. Invariant: values
//! produced = sent + pending + gaps.

mod backoff;

use std::collections::{BTreeMap, VecDeque};

use berth::{Gap, GapReason, Hello, Record, Schema, Seq, Series, SeriesId, limits};

pub use backoff::Backoff;

use crate::{
    clock::nsec_of,
    encode::Produced,
    message::{Outgoing, encoded_bytes},
    ring::Ring,
};

/// What happened to the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A stream is open.
    Opened,
    /// The aggregator said where to go on.
    Resume(Seq),
    /// The stream ended, or could not be opened.
    Lost,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Open a stream.
    Dial,
    /// Send this. It counts as sent.
    Send(Outgoing),
    /// Close the stream: no answer came. The session has gone on to wait.
    HangUp,
    /// Nothing before this time, unless something happens.
    WaitUntil(u64),
    /// Nothing until something happens.
    Idle,
}

#[derive(Debug)]
enum State {
    Waiting { until_nsec: u64 },
    Dialing,
    Greeting { hello_due: bool, deadline_nsec: u64 },
    Streaming { since_nsec: u64 },
}

/// A series, as long as the ring has data of it.
#[derive(Debug)]
struct Kept {
    series: Series,
    /// The record that ended it.
    ended: Option<Seq>,
    /// Some receiver may know it.
    announced: bool,
}

/// What became of the values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// All.
    pub produced: u64,
    /// Sent, and not asked for again.
    pub sent: u64,
    /// In the ring, to be sent.
    pub pending: u64,
    /// Left the ring unsent; a gap says so.
    pub gaps: u64,
}

/// One agent's side of the stream, over all its connections.
#[derive(Debug)]
pub struct Session {
    hello: Hello,
    state: State,
    backoff: Backoff,
    ring: Ring,
    series: BTreeMap<SeriesId, Kept>,
    /// Series to name before the next record.
    to_announce: VecDeque<SeriesId>,
    /// The next record to send.
    cursor: Seq,
    /// The next record to be produced.
    next_seq: Seq,
    /// The next batch to send must be absolute.
    is_whole_due: bool,
    produced: u64,
    sent: u64,
    gaps: u64,
}

impl Session {
    /// A session that dials at once. `hello` says who we are; the session fills in what it has.
    pub fn new(hello: Hello, backoff: Backoff) -> Self {
        Self {
            hello,
            state: State::Waiting { until_nsec: 0 },
            backoff,
            ring: Ring::new(limits::REPLAY_BYTES),
            series: BTreeMap::new(),
            to_announce: VecDeque::new(),
            cursor: Seq::FIRST,
            next_seq: Seq::FIRST,
            is_whole_due: true,
            produced: 0,
            sent: 0,
            gaps: 0,
        }
    }

    /// The base rate that the next Hello names.
    pub fn set_tick_hz(&mut self, tick_hz: u32) {
        self.hello.tick_hz = tick_hz;
    }

    /// A series, while the ring has data of it.
    pub fn series(&self, id: SeriesId) -> Option<&Series> {
        self.series.get(&id).map(|kept| &kept.series)
    }

    /// Where the values are.
    pub fn balance(&self) -> Balance {
        let pending = self.ring.values_from(self.cursor);
        Balance { produced: self.produced, sent: self.sent, pending, gaps: self.gaps }
    }

    /// A stream is open and was answered, and nothing is left to send.
    pub fn is_drained(&self) -> bool {
        matches!(self.state, State::Streaming { .. }) && self.cursor == self.next_seq
    }

    /// Takes new records, and the series that begin after them.
    pub fn produce(&mut self, records: Vec<Produced>, begun: Vec<Series>, now_nsec: u64) {
        for entry in records {
            self.produced += entry.values;
            self.next_seq = entry.record.last_seq().next();
            if let Record::Retire(retire) = &entry.record {
                for id in &retire.series {
                    self.series.entry(*id).and_modify(|kept| kept.ended = Some(retire.seq));
                }
            }
            self.ring.push(entry);
        }
        for series in begun {
            self.to_announce.push_back(series.id);
            self.series.insert(series.id, Kept { series, ended: None, announced: false });
        }
        let Self { ring, series, .. } = self;
        let known = |id: SeriesId| series.get(&id).is_some_and(|kept| kept.announced);
        self.gaps += ring.give_way(now_nsec, self.cursor, known);
        self.forget_ended();
        let Balance { produced, sent, pending, gaps } = self.balance();
        debug_assert_eq!(produced, sent + pending + gaps, "every value is somewhere, once");
    }

    /// Forgets the series that ended before the ring begins, or within a gap that does not tell so
    /// because no receiver knew of them.
    fn forget_ended(&mut self) {
        let oldest = self.oldest();
        let Self { ring, series, .. } = self;
        series.retain(|&id, kept| {
            kept.ended.is_none_or(|ended| ended >= oldest && (kept.announced || ring.ends(id, ended)))
        });
    }

    fn oldest(&self) -> Seq {
        self.ring.oldest().unwrap_or(self.next_seq)
    }

    /// Takes in what happened.
    pub fn on(&mut self, event: Event, now_nsec: u64) {
        match (event, &self.state) {
            (Event::Opened, State::Dialing) => {
                let deadline_nsec = now_nsec.saturating_add(nsec_of(limits::FIRST_MESSAGE_TIMEOUT));
                self.state = State::Greeting { hello_due: true, deadline_nsec };
            }
            (Event::Resume(from), State::Greeting { hello_due: false, .. }) => self.resume(from, now_nsec),
            // Out of place: a peer that says so twice changes nothing.
            (Event::Opened | Event::Resume(_), _) => {}
            (Event::Lost, _) => self.lose(now_nsec),
        }
    }

    fn resume(&mut self, from: Seq, now_nsec: u64) {
        let from = from.clamp(self.oldest(), self.next_seq);
        // Never into the middle of a gap, which is one record.
        let from = self.ring.at(from).map_or(from, |entry| entry.record.seq());
        let live = self.series.iter().filter(|(_, kept)| kept.ended.is_none_or(|ended| ended >= from));
        self.to_announce = live.map(|(&id, _)| id).collect();
        self.cursor = from;
        self.is_whole_due = true;
        self.sent = self.produced - self.gaps - self.ring.values_from(from);
        self.state = State::Streaming { since_nsec: now_nsec };
    }

    fn lose(&mut self, now_nsec: u64) {
        match self.state {
            State::Streaming { since_nsec } => self.backoff.lived(now_nsec.saturating_sub(since_nsec)),
            State::Waiting { .. } => return,
            State::Dialing | State::Greeting { .. } => {}
        }
        let until_nsec = now_nsec.saturating_add(self.backoff.next_nsec());
        self.state = State::Waiting { until_nsec };
    }

    /// Says what to do now. Ask again after each step, and whenever something happened.
    pub fn step(&mut self, now_nsec: u64) -> Step {
        match &mut self.state {
            State::Waiting { until_nsec } if now_nsec < *until_nsec => Step::WaitUntil(*until_nsec),
            State::Waiting { .. } => {
                self.state = State::Dialing;
                Step::Dial
            }
            State::Dialing => Step::Idle,
            State::Greeting { hello_due: due @ true, .. } => {
                *due = false;
                let (oldest_seq, next_seq) = (self.oldest(), self.next_seq);
                let hello = Hello { oldest_seq, next_seq, ..self.hello.clone() };
                Step::Send(Outgoing::Hello(Box::new(hello)))
            }
            State::Greeting { deadline_nsec, .. } if now_nsec < *deadline_nsec => {
                Step::WaitUntil(*deadline_nsec)
            }
            State::Greeting { .. } => {
                self.lose(now_nsec);
                Step::HangUp
            }
            State::Streaming { .. } => self.next_message().map_or(Step::Idle, Step::Send),
        }
    }

    fn next_message(&mut self) -> Option<Outgoing> {
        while let Some(id) = self.to_announce.pop_front() {
            if let Some(kept) = self.series.get_mut(&id) {
                kept.announced = true;
                return Some(Outgoing::Series(kept.series.clone()));
            }
        }
        let entry = self.ring.at(self.cursor)?;
        let (values, ticks, record) = (entry.values, entry.ticks, entry.record.clone());
        self.cursor = record.last_seq().next();
        self.sent += values;
        let record = match record {
            Record::Batch(batch) if self.is_whole_due && !batch.absolute => {
                self.whole(batch.seq, ticks, values)
            }
            record => record,
        };
        match &record {
            Record::Batch(_) => self.is_whole_due = false,
            Record::Gap(_) => self.is_whole_due = true,
            Record::Correction(_) | Record::Retire(_) => {}
        }
        Some(Outgoing::Record(record))
    }

    /// The batch `seq`, absolute. Where that cannot be, which would be an error of ours or a message
    /// over the limit, a gap takes its place on this stream, rather than what nobody can read.
    fn whole(&self, seq: Seq, ticks: u64, values: u64) -> Record {
        let live_at = |seq: Seq| {
            let mut schema = Schema::new();
            for kept in self.series.values().filter(|kept| kept.ended.is_none_or(|ended| ended > seq)) {
                // More series than the contract allows could not have been packed either.
                drop(schema.add(kept.series.clone()));
            }
            schema
        };
        let batch = self.ring.absolute(seq, live_at).map(Record::Batch);
        batch.ok().filter(|batch| encoded_bytes(batch) <= limits::MESSAGE_BYTES).unwrap_or_else(|| {
            Record::Gap(Gap { seq, last_seq: seq, reason: GapReason::ReplayFull, ticks, values })
        })
    }
}

#[cfg(test)]
mod tests;
