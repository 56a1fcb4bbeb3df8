//! One node's delivery: which records are taken, which repeat, what is missing and why.
//!
//! Invariants: values received = stored + repeated + refused; and within an incarnation, from the
//! first batch taken to the last, values produced = stored + those of the gaps + unexplained, the
//! last of which only a broken agent makes. Across incarnations time is tiled instead: the rows
//! between them are one `agent_down` gap, estimated from the tick rate. Deliberately absent: acks;
//! the agent keeps a window and is told where to go on.

use berth::{Batch, Gap, GapReason, Hello, Incarnation, ProtocolError, Seq, limits};

use crate::time::AxisNsec;

/// Gaps of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GapCount {
    /// How many.
    pub gaps: u64,
    /// Ticks that are missing; estimated for `agent_down`, and for `declined` after a restart of
    /// the aggregator.
    pub ticks: u64,
    /// Values that were produced and are missing; 0 for ticks that were never read.
    pub values: u64,
}

/// What came of everything that a node sent, over all its incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// All that came.
    pub values_received: u64,
    /// Taken into the history.
    pub values_stored: u64,
    /// Had been taken before.
    pub values_repeated: u64,
    /// Broke the contract.
    pub values_refused: u64,
    /// By the agent's own count neither sent nor given up: zero unless the agent is broken.
    pub values_unexplained: u64,
    gaps: [GapCount; GapReason::ALL.len()],
}

impl Account {
    /// What is missing for one reason.
    pub fn gap(&self, reason: GapReason) -> GapCount {
        self.gaps[Self::index(reason)]
    }

    /// What is missing, reason by reason.
    pub fn gaps(&self) -> impl Iterator<Item = (GapReason, GapCount)> {
        GapReason::ALL.into_iter().map(|reason| (reason, self.gap(reason)))
    }

    fn index(reason: GapReason) -> usize {
        GapReason::ALL.iter().position(|&known| known == reason).expect("ALL holds every reason")
    }

    fn count(&mut self, reason: GapReason, ticks: u64, values: u64) {
        let count = &mut self.gaps[Self::index(reason)];
        count.gaps += 1;
        count.ticks = count.ticks.saturating_add(ticks);
        count.values = count.values.saturating_add(values);
    }
}

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not seen before: take it.
    New,
    /// Taken on an earlier stream, but this stream's later differences build on it.
    Repeat,
    /// Already seen on this very stream: pass it over.
    Again,
}

/// A stretch of records that will not come, whose size the next batch tells.
#[derive(Debug, Clone, Copy)]
struct Lost {
    reason: GapReason,
    records: u64,
}

/// Where the next batch should go on.
#[derive(Debug, Clone, Copy, Default)]
struct Ledger {
    tick: u64,
    produced: u64,
}

/// The delivery state of one node.
#[derive(Debug, Default)]
pub struct Delivery {
    incarnation: Option<Incarnation>,
    /// The first record that is not taken; `None` where it is not known how many there were.
    next: Option<Seq>,
    /// The next record of this stream; `None` before its first one.
    due: Option<Seq>,
    /// The first record of a stream is not after this.
    latest_start: Option<Seq>,
    declined: u64,
    /// The record that was placed last begins before what is new in it: it is a gap.
    is_partly_known: bool,
    lost: Option<Lost>,
    ledger: Option<Ledger>,
    /// The newest row of the incarnation before, until the first of this one comes.
    down_since: Option<AxisNsec>,
    newest_row: Option<AxisNsec>,
    tick_hz: u32,
    account: Account,
}

impl Delivery {
    /// A stream begins: where to resume. Of what the agent still has, at most `refill_records` are
    /// asked for.
    pub fn attach(&mut self, hello: &Hello, refill_records: u64) -> Seq {
        if self.incarnation != Some(hello.incarnation) {
            // A node that is known lacks the whole of a new incarnation; of a new node nothing is
            // missing, because its history begins here.
            self.next = self.newest_row.map(|_| Seq::FIRST);
            self.ledger = self.newest_row.map(|_| Ledger::default());
            self.down_since = self.newest_row;
            self.lost = None;
            self.incarnation = Some(hello.incarnation);
        }
        let wanted = self.next.map_or(hello.oldest_seq, |next| next.max(hello.oldest_seq));
        let affordable = hello.next_seq.get().saturating_sub(refill_records);
        let from = Seq::new(affordable).map_or(wanted, |affordable| affordable.max(wanted));
        self.declined = from.get() - wanted.get();
        self.tick_hz = hello.tick_hz;
        self.due = None;
        self.latest_start = Some(hello.next_seq);
        from
    }

    /// Says where a record belongs, and moves the marks past it. Errors: records are missing before
    /// it. Records are in order on a stream, so that can only come from a broken agent.
    pub fn place(&mut self, first: Seq, last: Seq) -> Result<Place, ProtocolError> {
        let Some(due) = self.due.or_else(|| self.open(first)) else {
            return Err(hole(first, "a stream begins with a record that Hello had named"));
        };
        if first > due {
            return Err(hole(first, "the next of the stream, in order and without a hole"));
        }
        if last < due {
            return Ok(Place::Again);
        }
        self.due = Some(last.next());
        if self.next.is_some_and(|next| last < next) {
            return Ok(Place::Repeat);
        }
        self.is_partly_known = self.next.is_some_and(|next| first < next);
        self.next = Some(last.next());
        Ok(Place::New)
    }

    /// The first record of a stream: what lies between the last one taken and it is lost.
    fn open(&mut self, first: Seq) -> Option<Seq> {
        self.latest_start.filter(|&latest| first <= latest)?;
        let missing = self.next.map(|next| first.get().saturating_sub(next.get()));
        let reason = if self.declined > 0 { GapReason::Declined } else { GapReason::ReplayFull };
        let records = missing.unwrap_or(self.declined);
        // Before its first row a node's history has not begun, so nothing can leave it.
        if records > 0 && (self.ledger.is_some() || self.declined > 0) {
            self.lost = Some(Lost { reason, records });
        }
        if self.next.is_none() && first == Seq::FIRST {
            self.ledger = Some(Ledger::default());
        }
        Some(first)
    }

    /// Counts a batch that is taken, with the times of its first and last row. `true`: something is
    /// missing before it, so no difference may be taken across its start.
    pub fn stored(&mut self, batch: &Batch, values: u64, first_at: AxisNsec, last_at: AxisNsec) -> bool {
        self.account.values_received = self.account.values_received.saturating_add(values);
        self.account.values_stored = self.account.values_stored.saturating_add(values);
        let ticks = tick_count(batch);
        let lost = self.lost.take();
        let missing = self.ledger.map(|ledger| Ledger {
            tick: batch.first_tick.saturating_sub(ledger.tick),
            produced: batch.produced_before.saturating_sub(ledger.produced),
        });
        let mut missing_ticks = 0;
        match (lost, missing) {
            (Some(Lost { reason, .. }), Some(missing)) => {
                missing_ticks = missing.tick;
                self.account.count(reason, missing.tick, missing.produced);
            }
            (Some(Lost { reason, records }), None) => {
                // Nothing is known of them but their number: they are taken to be like this one.
                missing_ticks = records.saturating_mul(ticks).min(batch.first_tick);
                let values = records.saturating_mul(values).min(batch.produced_before);
                self.account.count(reason, missing_ticks, values);
            }
            (None, Some(_)) => {
                let due = self.ledger.map_or(0, |ledger| ledger.produced);
                let unexplained = batch.produced_before.abs_diff(due);
                self.account.values_unexplained = self.account.values_unexplained.saturating_add(unexplained);
            }
            (None, None) => {}
        }
        let down = self.down_since.take();
        if let Some(since) = down {
            let down_ticks = self.ticks_between(since, first_at).saturating_sub(missing_ticks);
            self.account.count(GapReason::AgentDown, down_ticks, 0);
        }
        self.ledger = Some(Ledger {
            tick: batch.first_tick.saturating_add(ticks),
            produced: batch.produced_before.saturating_add(values),
        });
        self.newest_row = Some(last_at);
        lost.is_some() || down.is_some()
    }

    /// Counts a batch whose values had been taken before.
    pub fn repeated(&mut self, values: u64) {
        self.account.values_received = self.account.values_received.saturating_add(values);
        self.account.values_repeated = self.account.values_repeated.saturating_add(values);
    }

    /// Counts a record that breaks the contract. Where it is `new` it is not asked for again, so
    /// its `ticks` and `values` are a gap.
    pub fn refused(&mut self, new: bool, ticks: u64, values: u64) {
        self.account.values_received = self.account.values_received.saturating_add(values);
        self.account.values_refused = self.account.values_refused.saturating_add(values);
        if new {
            self.account.count(GapReason::Refused, ticks, values);
            self.advance(ticks, values);
        }
    }

    /// Counts a gap that the agent reports. What lies before the first row of a new node's history
    /// is no gap in it.
    pub fn gap(&mut self, gap: &Gap) {
        if self.ledger.is_none() {
            return;
        }
        if self.is_partly_known {
            // Part of it was counted when it was shorter: the next batch tells the rest.
            self.lost = Some(Lost { reason: gap.reason, records: 1 });
            return;
        }
        self.account.count(gap.reason, gap.ticks, gap.values);
        // A tick that was never read has no ordinal.
        self.advance(if gap.values > 0 { gap.ticks } else { 0 }, gap.values);
    }

    /// What came of everything so far.
    pub fn account(&self) -> Account {
        self.account
    }

    fn advance(&mut self, ticks: u64, values: u64) {
        if let Some(ledger) = &mut self.ledger {
            ledger.tick = ledger.tick.saturating_add(ticks);
            ledger.produced = ledger.produced.saturating_add(values);
        }
    }

    /// Ticks due strictly between two rows, at the rate in force.
    fn ticks_between(&self, before: AxisNsec, after: AxisNsec) -> u64 {
        let period_nsec = 1_000_000_000 / u64::from(self.tick_hz.clamp(1, *limits::TICK_HZ.end()));
        let elapsed_nsec = u64::try_from(after.since(before).as_nanos()).unwrap_or(u64::MAX);
        (elapsed_nsec.saturating_add(period_nsec / 2) / period_nsec).saturating_sub(1)
    }
}

/// How many ticks a batch carries.
pub(crate) fn tick_count(batch: &Batch) -> u64 {
    u64::try_from(batch.times_nsec.len()).unwrap_or(u64::MAX)
}

fn hole(seq: Seq, rule: &'static str) -> ProtocolError {
    ProtocolError::Invalid { field: "record.seq", value: seq.get().to_string(), rule }
}

#[cfg(test)]
mod tests;
