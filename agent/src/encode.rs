//! Flushes as records of the contract: numbered, packed, and split where they would be too large.
//!
//! Invariants: every value of a flush is in exactly one batch, or in a gap that says so; and each
//! batch decodes from the absolute batch before it, also for a receiver that saw nothing earlier.

use std::{collections::HashMap, ops::Range};

use berth::{
    Batch, Block, Correction, Gap, GapReason, Group, Kind, Record, Retire, Seq, Series, SeriesId,
    columns::Packer, limits,
};

use crate::{
    clock::nsec_of,
    columns::{self, Chunk},
    fold::Amounts,
    handover::{Flush, NewSeries},
    message::encoded_bytes,
    pack::pack_block,
};

/// An absolute batch comes also after this many bytes, so that the ring, which gives way from one
/// absolute batch to the next, never loses more than an eighth at once.
const ABSOLUTE_BYTES: usize = limits::REPLAY_BYTES / 8;

/// A record, and what the ring must know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    /// The record.
    pub record: Record,
    /// Encoded.
    pub bytes: usize,
    /// Values that it carries.
    pub values: u64,
    /// Ticks that it carries.
    pub ticks: u64,
    /// When the newest of its ticks, or of those before it, was read.
    pub at_nsec: u64,
}

/// The newest whole value of one metric.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    value: i64,
    /// It was not in the last batch: a receiver that joined there does not know it.
    is_stale: bool,
}

/// Makes records.
#[derive(Debug)]
pub struct Encoder {
    next_seq: Seq,
    produced: u64,
    newest_nsec: u64,
    bases: HashMap<SeriesId, Vec<Base>>,
    /// The next batch must be absolute.
    is_whole_due: bool,
    whole_nsec: u64,
    bytes_since_whole: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            next_seq: Seq::FIRST,
            produced: 0,
            newest_nsec: 0,
            bases: HashMap::new(),
            is_whole_due: true,
            whole_nsec: 0,
            bytes_since_whole: 0,
        }
    }
}

impl Encoder {
    /// The sequence of the next record.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Values produced so far.
    pub fn produced(&self) -> u64 {
        self.produced
    }

    /// Makes the records of a flush, in their order, and the series that begin after them.
    pub fn encode(&mut self, flush: &Flush) -> (Vec<Produced>, Vec<Series>) {
        let mut out = Vec::new();
        if flush.missed_ticks > 0 {
            self.gap(GapReason::MissedTick, flush.missed_ticks, 0, &mut out);
        }
        self.batches(&flush.chunk, 0..flush.chunk.ticks(), &mut out);
        for (late, amounts) in flush.chunk.late() {
            self.corrections(late, amounts, &mut out);
        }
        if !flush.retired.is_empty() {
            let mut series = flush.retired.clone();
            series.sort_unstable();
            self.bases.retain(|id, _| series.binary_search(id).is_err());
            let retire = Retire { seq: self.next_seq, series };
            self.push(Record::Retire(retire), 0, 0, &mut out);
        }
        let first_seq = self.next_seq;
        let begin = |new: &NewSeries| Series {
            id: new.id,
            first_seq,
            group: new.group,
            subject: new.subject.clone(),
        };
        (out, flush.added.iter().map(begin).collect())
    }

    fn push(&mut self, record: Record, values: u64, ticks: u64, out: &mut Vec<Produced>) {
        self.next_seq = self.next_seq.next();
        let bytes = encoded_bytes(&record);
        self.bytes_since_whole += bytes;
        out.push(Produced { record, bytes, values, ticks, at_nsec: self.newest_nsec });
    }

    fn gap(&mut self, reason: GapReason, ticks: u64, values: u64, out: &mut Vec<Produced>) {
        let gap = Gap { seq: self.next_seq, last_seq: self.next_seq, reason, ticks, values };
        self.is_whole_due = true;
        self.push(Record::Gap(gap), 0, 0, out);
    }

    /// Packs `ticks` of a chunk as one batch, or as two where one would be too large.
    fn batches(&mut self, chunk: &Chunk, ticks: Range<usize>, out: &mut Vec<Produced>) {
        let Some(&newest_nsec) = chunk.times_nsec()[ticks.clone()].last() else { return };
        let values = u64::try_from(chunk.layout().columns() * ticks.len()).unwrap_or(u64::MAX);
        let batch = self.batch(chunk, ticks.clone());
        let absolute = batch.absolute;
        let record = Record::Batch(batch);
        let count = u64::try_from(ticks.len()).unwrap_or(u64::MAX);
        if encoded_bytes(&record) > limits::MESSAGE_BYTES {
            let middle = ticks.start + ticks.len() / 2;
            if middle == ticks.start {
                // Not even one tick fits, which limits on series make impossible for real counters.
                self.produced += values;
                self.gap(GapReason::ReplayFull, count, values, out);
            } else {
                self.batches(chunk, ticks.start..middle, out);
                self.batches(chunk, middle..ticks.end, out);
            }
            return;
        }
        self.newest_nsec = newest_nsec;
        if absolute {
            (self.is_whole_due, self.whole_nsec, self.bytes_since_whole) = (false, newest_nsec, 0);
        }
        self.remember(chunk, ticks);
        self.produced += values;
        self.push(record, values, count, out);
    }

    fn batch(&self, chunk: &Chunk, ticks: Range<usize>) -> Batch {
        let times_nsec = chunk.times_nsec()[ticks.clone()].to_vec();
        let newest_nsec = times_nsec.last().copied().unwrap_or(0);
        let absolute = self.is_whole_due
            || newest_nsec.saturating_sub(self.whole_nsec) >= nsec_of(limits::ABSOLUTE_PERIOD)
            || self.bytes_since_whole >= ABSOLUTE_BYTES
            || self.a_stale_base_is_needed(chunk, &ticks);
        let pack = |block: &columns::Block| -> Block {
            let column = |metric: usize, series: usize| cut(chunk, block, metric, series, &ticks);
            let base = |metric: usize, series: usize| {
                let known = self.bases.get(&block.series[series]).filter(|_| !absolute);
                known.map_or(0, |known| known[metric].value)
            };
            pack_block(block.group, block.series.len(), column, base)
        };
        let blocks = chunk.layout().blocks().iter().map(pack).collect();
        let first_tick = chunk.first_tick() + u64::try_from(ticks.start).unwrap_or(0);
        Batch { seq: self.next_seq, first_tick, times_nsec, absolute, produced_before: self.produced, blocks }
    }

    fn a_stale_base_is_needed(&self, chunk: &Chunk, ticks: &Range<usize>) -> bool {
        each_column(chunk).any(|(block, metric, series)| {
            let base = self.bases.get(&block.series[series]).map(|bases| bases[metric]);
            base.is_some_and(|base| base.is_stale)
                && cut(chunk, block, metric, series, ticks).any(|value| value.is_some())
        })
    }

    /// Moves the bases past `ticks`.
    fn remember(&mut self, chunk: &Chunk, ticks: Range<usize>) {
        for (block, metric, series) in each_column(chunk) {
            let newest = cut(chunk, block, metric, series, &ticks).flatten().last();
            let bases = self.bases.entry(block.series[series]);
            let base =
                &mut bases.or_insert_with(|| vec![Base::default(); block.group.metrics().len()])[metric];
            match newest {
                Some(value) => *base = Base { value, is_stale: false },
                None => base.is_stale = base.value != 0,
            }
        }
    }

    fn corrections(&mut self, late: &columns::Late, amounts: &[Amounts], out: &mut Vec<Produced>) {
        for (index, amounts) in amounts.chunks(limits::CORRECTION_TICKS).enumerate() {
            let mut values = Vec::new();
            let mut packer = Packer::new(&mut values);
            for metric in 0..Group::ContainerThreads.metrics().len() {
                for amounts in amounts {
                    packer.push(amounts[metric]);
                }
            }
            packer.finish();
            let skipped = u64::try_from(index * limits::CORRECTION_TICKS).unwrap_or(u64::MAX);
            let correction = Correction {
                seq: self.next_seq,
                series: late.series,
                first_tick: late.first_tick + skipped,
                ticks: amounts.len(),
                values: values.into(),
            };
            self.push(Record::Correction(correction), 0, 0, out);
        }
    }
}

/// Every column of counters and gauges: block, metric, series.
fn each_column(chunk: &Chunk) -> impl Iterator<Item = (&columns::Block, usize, usize)> {
    chunk.layout().blocks().iter().flat_map(|block| {
        let metrics = block.group.metrics().iter().enumerate();
        let whole = metrics.filter(|(_, metric)| metric.kind != Kind::Amount);
        whole.flat_map(move |(metric, _)| (0..block.series.len()).map(move |series| (block, metric, series)))
    })
}

fn cut<'a>(
    chunk: &'a Chunk,
    block: &columns::Block,
    metric: usize,
    series: usize,
    ticks: &Range<usize>,
) -> impl Iterator<Item = Option<i64>> + use<'a> {
    chunk.column(block, metric, series).skip(ticks.start).take(ticks.len())
}
