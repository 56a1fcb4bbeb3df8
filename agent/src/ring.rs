//! The newest records, kept so that a reconnecting aggregator can go on where it wants.
//!
//! Bounded in time and in bytes. It gives way by whole groups, each an absolute batch and what
//! follows it, so that the oldest batch always decodes alone. Invariant: sequences are gapless, from
//! the first entry to the last: what leaves before it was sent is replaced by a gap. Ends of series
//! are never lost in one: they are told in one record at its end.

use std::collections::{BTreeSet, VecDeque};

use berth::{
    Batch, Gap, GapReason, ProtocolError, Record, Retire, Schema, Seq, SeriesId, batch::Bases, limits,
};

use crate::{clock::nsec_of, encode::Produced, message::encoded_bytes, pack::absolute};

/// The ring.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Produced>,
    bytes: usize,
    limit_bytes: usize,
}

/// What left the ring before it was sent.
#[derive(Debug, Default)]
struct Lost {
    seqs: Option<(Seq, Seq)>,
    ticks: u64,
    values: u64,
    retired: BTreeSet<SeriesId>,
}

fn is_absolute(entry: &Produced) -> bool {
    matches!(&entry.record, Record::Batch(batch) if batch.absolute)
}

fn is_batch(entry: &Produced) -> bool {
    matches!(entry.record, Record::Batch(_))
}

impl Ring {
    /// An empty ring of at most `limit_bytes` of encoded records.
    pub fn new(limit_bytes: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, limit_bytes }
    }

    /// The oldest sequence that it holds, or a gap stands for.
    pub fn oldest(&self) -> Option<Seq> {
        self.entries.front().map(|entry| entry.record.seq())
    }

    /// Takes the next record.
    pub fn push(&mut self, entry: Produced) {
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
    }

    /// The record with the sequence `seq`, or the gap that replaced it.
    pub fn at(&self, seq: Seq) -> Option<&Produced> {
        self.entries.get(self.position(seq)).filter(|entry| entry.record.seq() <= seq)
    }

    fn position(&self, seq: Seq) -> usize {
        self.entries.partition_point(|entry| entry.record.last_seq() < seq)
    }

    /// Values of the records from `seq` on.
    pub fn values_from(&self, seq: Seq) -> u64 {
        self.entries.iter().skip(self.position(seq)).map(|entry| entry.values).sum()
    }

    /// Whether the end of `id`, told by the record `seq`, can still be sent.
    pub fn ends(&self, id: SeriesId, seq: Seq) -> bool {
        let record = self.at(seq).map(|entry| &entry.record);
        matches!(record, Some(Record::Retire(retire)) if retire.series.contains(&id))
    }

    /// The batch `seq` made absolute. `live_at` gives the series that live at a record. Errors: the
    /// ring holds no such batch, or it does not decode.
    pub fn absolute(&self, seq: Seq, live_at: impl Fn(Seq) -> Schema) -> Result<Batch, ProtocolError> {
        let missing = ProtocolError::Missing { field: "batch" };
        let end = self.position(seq);
        let start = (0..end).rev().find(|&index| is_absolute(&self.entries[index])).ok_or(missing.clone())?;
        let (mut schema, mut bases) = (live_at(self.entries[start].record.seq()), Bases::new());
        for entry in self.entries.range(start..end) {
            match &entry.record {
                Record::Batch(batch) => drop(batch.unpack(&schema, &mut bases)?),
                Record::Retire(retire) => schema.retire(retire),
                Record::Correction(_) | Record::Gap(_) => {}
            }
        }
        match self.entries.get(end).map(|entry| &entry.record) {
            Some(Record::Batch(batch)) => absolute(batch, &schema, &mut bases),
            _ => Err(missing),
        }
    }

    /// Gives way, down to its bounds. Records from `unsent` on were not sent: a gap takes their
    /// place. Of the series that end within it, only the `known` need be told. Returns the values
    /// that went into gaps.
    pub fn give_way(&mut self, now_nsec: u64, unsent: Seq, known: impl Fn(SeriesId) -> bool) -> u64 {
        let mut values = 0;
        while self.bytes > self.limit_bytes || self.is_first_group_old(now_nsec) {
            let Some(lost) = self.drop_group(unsent, &known) else { break };
            values += lost;
        }
        values
    }

    /// The groups after the first one cover the window.
    fn is_first_group_old(&self, now_nsec: u64) -> bool {
        let oldest_nsec = now_nsec.saturating_sub(nsec_of(limits::REPLAY_WINDOW));
        let second = self.entries.iter().filter(|entry| is_absolute(entry)).nth(1);
        second.is_some_and(|entry| entry.at_nsec < oldest_nsec)
    }

    /// Drops the first group. `None`: there is no batch to drop.
    fn drop_group(&mut self, unsent: Seq, known: &impl Fn(SeriesId) -> bool) -> Option<u64> {
        let first = self.entries.iter().position(is_batch)?;
        let next = self.entries.iter().skip(first + 1).position(is_absolute);
        let end = next.map_or(self.entries.len(), |next| first + 1 + next);
        let mut lost = Lost::default();
        let mut values = 0;
        for entry in self.entries.drain(..end) {
            self.bytes -= entry.bytes;
            if entry.record.last_seq() >= unsent {
                values += entry.values;
                lost.take(&entry, known);
            }
        }
        let at_nsec = self.entries.front().map_or(0, |entry| entry.at_nsec);
        for record in lost.records().into_iter().rev() {
            let bytes = encoded_bytes(&record);
            self.bytes += bytes;
            self.entries.push_front(Produced { record, bytes, values: 0, ticks: 0, at_nsec });
        }
        Some(values)
    }
}

impl Lost {
    fn take(&mut self, entry: &Produced, known: &impl Fn(SeriesId) -> bool) {
        let first = self.seqs.map_or(entry.record.seq(), |(first, _)| first);
        self.seqs = Some((first, entry.record.last_seq()));
        self.ticks += entry.ticks;
        self.values += entry.values;
        match &entry.record {
            Record::Retire(retire) => self.retired.extend(retire.series.iter().filter(|&&id| known(id))),
            // Ticks that were never read have no ordinal, so they are not among the missing ones.
            Record::Gap(gap) if gap.reason == GapReason::ReplayFull => {
                self.ticks += gap.ticks;
                self.values += gap.values;
            }
            Record::Gap(_) | Record::Batch(_) | Record::Correction(_) => {}
        }
    }

    /// What takes its place: a gap, and the ends of series under its last sequence.
    fn records(self) -> Vec<Record> {
        let Self { seqs: Some((first, last)), ticks, values, retired } = self else { return Vec::new() };
        let gap = |last_seq: Seq| {
            Record::Gap(Gap { seq: first, last_seq, reason: GapReason::ReplayFull, ticks, values })
        };
        if retired.is_empty() {
            return vec![gap(last)];
        }
        let retire = Record::Retire(Retire { seq: last, series: retired.into_iter().collect() });
        match Seq::new(last.get() - 1).filter(|&before| before >= first) {
            Some(before) => vec![gap(before), retire],
            None => vec![retire],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH_BYTES: usize = 1_000;

    fn batch(seq: u64) -> Produced {
        let block = berth::Block {
            group: berth::Group::NodeCpu,
            values: vec![1; BATCH_BYTES].into(),
            absent: vec![].into(),
        };
        let batch = Batch {
            seq: Seq::new(seq).unwrap(),
            first_tick: seq,
            times_nsec: vec![seq],
            absolute: seq % 10 == 1,
            produced_before: 0,
            blocks: vec![block],
        };
        let record = Record::Batch(batch);
        Produced { bytes: encoded_bytes(&record), record, values: 4, ticks: 1, at_nsec: seq }
    }

    #[test]
    fn it_stays_within_its_bytes_and_begins_with_a_gap_and_a_batch_that_decodes_alone() {
        let mut ring = Ring::new(50 * BATCH_BYTES);
        let mut gaps = 0;
        for seq in 1..=1_000 {
            ring.push(batch(seq));
            gaps += ring.give_way(seq, Seq::FIRST, |_| true);
            assert!(ring.bytes <= ring.limit_bytes);
            assert!(seq < 50 || ring.bytes > ring.limit_bytes / 2, "it gives way no more than it must");
        }
        let [gap, first, ..] = ring.entries.make_contiguous() else { panic!("it holds records") };
        let Record::Gap(gap) = &gap.record else { panic!("what left was not sent") };
        assert_eq!(
            (gap.seq, gap.values, gap.ticks),
            (Seq::FIRST, 4 * gap.last_seq.get(), gap.last_seq.get())
        );
        assert_eq!(gap.values, gaps);
        assert!(is_absolute(first));
        assert_eq!(first.record.seq(), gap.last_seq.next());
    }

    #[test]
    fn what_was_sent_leaves_without_a_gap() {
        let mut ring = Ring::new(50 * BATCH_BYTES);
        for seq in 1..=1_000 {
            ring.push(batch(seq));
            assert_eq!(ring.give_way(seq, Seq::new(seq + 1).unwrap(), |_| true), 0);
        }
        assert!(ring.entries.iter().all(is_batch));
        assert_eq!(ring.oldest().unwrap().get() % 10, 1);
        assert_eq!(ring.at(Seq::new(1_000).unwrap()).unwrap().record.seq().get(), 1_000);
    }
}
