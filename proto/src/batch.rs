//! Ticks as columns, and late news about them.
//!
//! A batch is checked in two steps: its own fields when it is parsed, its columns when they are
//! unpacked, for only then the number of live series is known. Invariant: an unpacked batch holds
//! exactly one value for each metric, live series and tick.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    Group, Kind, ProtocolError, Schema, Seq, SeriesId,
    columns::{take_unsigned, unpack},
    limits, wire,
};

/// One group's columns, still packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which columns.
    pub group: Group,
    /// Packed by [`crate::columns::Packer`].
    pub values: Bytes,
    /// Alternating run lengths, present first; empty when all are present.
    pub absent: Bytes,
}

/// Some ticks of every live series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its place in the stream.
    pub seq: Seq,
    /// Ordinal of the first tick within the incarnation.
    pub first_tick: u64,
    /// When each tick was read, CLOCK_BOOTTIME; rising, at least one.
    pub times_nsec: Vec<u64>,
    /// The first value of every series is whole.
    pub absolute: bool,
    /// Values produced in this incarnation before this batch.
    pub produced_before: u64,
    /// Each group at most once.
    pub blocks: Vec<Block>,
}

/// One series' values of one batch: whole numbers for counters and gauges, metric by metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Whose they are.
    pub series: SeriesId,
    /// Which metrics.
    pub group: Group,
    /// For each metric of the group, one value a tick; `None` where it is unknown.
    pub metrics: Vec<Vec<Option<i64>>>,
}

/// The newest whole value of every counter and gauge, which the next batch's differences start from.
#[derive(Debug, Default, Clone)]
pub struct Bases {
    last: HashMap<SeriesId, Vec<i64>>,
}

impl Bases {
    /// Knows nothing: only an absolute batch, or a new series, can follow.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a series that ended.
    pub fn forget(&mut self, series: SeriesId) {
        self.last.remove(&series);
    }

    /// Forgets everything, as after a gap.
    pub fn clear(&mut self) {
        self.last.clear();
    }
}

impl Batch {
    /// The values that it carries, were every one of `schema`'s series present.
    pub fn value_count(&self, schema: &Schema) -> u64 {
        let ticks = self.times_nsec.len();
        let of_block =
            |block: &Block| block.group.metrics().len() * schema.live(block.group, self.seq).count() * ticks;
        self.blocks.iter().map(of_block).map(|count| u64::try_from(count).unwrap_or(u64::MAX)).sum()
    }

    /// Unpacks the columns, in the order of blocks and series. Errors: a block holds more or fewer
    /// values than its live series have, or the batch more than [`limits::BATCH_VALUES`]. After an
    /// error `bases` is as it was.
    pub fn unpack(&self, schema: &Schema, bases: &mut Bases) -> Result<Vec<Columns>, ProtocolError> {
        let values = usize::try_from(self.value_count(schema)).unwrap_or(usize::MAX);
        ProtocolError::at_most("batch.values", values, limits::BATCH_VALUES)?;
        let mut out = Vec::new();
        for block in &self.blocks {
            block.unpack(self, schema, bases, &mut out)?;
        }
        for columns in &out {
            let newest = |metric: &Vec<Option<i64>>| metric.iter().rev().find_map(|value| *value);
            let known = bases.last.get(&columns.series);
            let last = columns.metrics.iter().enumerate().map(|(index, metric)| {
                newest(metric).unwrap_or_else(|| known.map_or(0, |known| known[index]))
            });
            let last = last.collect();
            bases.last.insert(columns.series, last);
        }
        Ok(out)
    }
}

impl Block {
    fn unpack(
        &self,
        batch: &Batch,
        schema: &Schema,
        bases: &Bases,
        out: &mut Vec<Columns>,
    ) -> Result<(), ProtocolError> {
        let ticks = batch.times_nsec.len();
        let live: Vec<SeriesId> = schema.live(self.group, batch.seq).map(|series| series.id).collect();
        let metrics = self.group.metrics();
        let count = metrics.len() * live.len() * ticks;
        let mut values = Vec::with_capacity(count);
        unpack("block.values", self.values.clone(), count, &mut values)?;
        let present = self.presence(count)?;
        let column = |metric: usize, series: usize| {
            let whole = metrics[metric].kind != Kind::Amount;
            let base = bases.last.get(&live[series]).map_or(0, |last| last[metric]);
            let mut value = if whole && !batch.absolute { base } else { 0 };
            let start = (metric * live.len() + series) * ticks;
            (start..start + ticks)
                .map(|at| {
                    value = if whole { value.wrapping_add(values[at]) } else { values[at] };
                    present.get(at).copied().unwrap_or(true).then_some(value)
                })
                .collect()
        };
        out.extend((0..live.len()).map(|series| Columns {
            series: live[series],
            group: self.group,
            metrics: (0..metrics.len()).map(|metric| column(metric, series)).collect(),
        }));
        Ok(())
    }

    /// Which values are present, in the order of `values`; empty when all are.
    fn presence(&self, count: usize) -> Result<Vec<bool>, ProtocolError> {
        let mut bytes = self.absent.clone();
        let mut present = Vec::new();
        let mut here = true;
        while !bytes.is_empty() {
            let run = take_unsigned("block.absent", &mut bytes)?;
            let due = count - present.len();
            let run = usize::try_from(run)
                .ok()
                .filter(|&run| run <= due)
                .ok_or_else(|| ProtocolError::invalid("block.absent", run, "runs must fit in the values"))?;
            present.resize(present.len() + run, here);
            here = !here;
        }
        Ok(present)
    }
}

/// Amounts to add to ticks already sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Its place in the stream.
    pub seq: Seq,
    /// A series of a group of amounts.
    pub series: SeriesId,
    /// Ordinal of the first tick that changes.
    pub first_tick: u64,
    /// How many ticks it spans.
    pub ticks: usize,
    /// Metric by metric, tick by tick, packed.
    pub values: Bytes,
}

impl Correction {
    /// What to add: for each metric of `group`, one amount a tick. Errors: there are more or fewer
    /// values than that, or the group has no amounts.
    pub fn unpack(&self, group: Group) -> Result<Vec<Vec<i64>>, ProtocolError> {
        let metrics = group.metrics();
        if metrics.iter().any(|metric| metric.kind != Kind::Amount) {
            return Err(ProtocolError::invalid("correction.series", self.series.get(), "a group of amounts"));
        }
        let mut values = Vec::with_capacity(metrics.len() * self.ticks);
        unpack("correction.values", self.values.clone(), metrics.len() * self.ticks, &mut values)?;
        Ok(values.chunks(self.ticks).map(<[i64]>::to_vec).collect())
    }
}

fn ticks(field: &'static str, ticks: u32, limit: usize) -> Result<usize, ProtocolError> {
    let count = usize::try_from(ticks).unwrap_or(usize::MAX);
    ProtocolError::at_most(field, count, limit)?;
    if count == 0 { Err(ProtocolError::invalid(field, 0, "at least 1")) } else { Ok(count) }
}

/// A tick this long after the one before is not late but broken: an hour.
const TICK_GAP_NSEC: u64 = 3_600_000_000_000;

fn times(wire: &wire::Batch) -> Result<Vec<u64>, ProtocolError> {
    let count = ticks("batch.ticks", wire.ticks, limits::BATCH_TICKS)?;
    let mut bytes = wire.times.clone();
    let mut now = wire.first_nsec;
    let mut times = vec![now];
    for _ in 1..count {
        let since = take_unsigned("batch.times", &mut bytes)?;
        if since == 0 || since > TICK_GAP_NSEC {
            return Err(ProtocolError::invalid("batch.times", since, "rising, by an hour at most"));
        }
        now = now
            .checked_add(since)
            .ok_or_else(|| ProtocolError::invalid("batch.times", since, "below 2^64 ns"))?;
        times.push(now);
    }
    if bytes.is_empty() {
        Ok(times)
    } else {
        Err(ProtocolError::invalid("batch.times", bytes.len(), "one number a tick after the first"))
    }
}

impl TryFrom<wire::Batch> for Batch {
    type Error = ProtocolError;

    fn try_from(wire: wire::Batch) -> Result<Self, ProtocolError> {
        ProtocolError::at_most("batch.blocks", wire.blocks.len(), limits::BATCH_BLOCKS)?;
        let times_nsec = times(&wire)?;
        let mut blocks: Vec<Block> = Vec::with_capacity(wire.blocks.len());
        for block in wire.blocks {
            let group = block.group.try_into()?;
            if blocks.iter().any(|known| known.group == group) {
                return Err(ProtocolError::invalid("batch.blocks", block.group, "each group once"));
            }
            blocks.push(Block { group, values: block.values, absent: block.absent });
        }
        Ok(Self {
            seq: crate::record::seq("batch.seq", wire.seq)?,
            first_tick: wire.first_tick,
            times_nsec,
            absolute: wire.absolute,
            produced_before: wire.produced_before,
            blocks,
        })
    }
}

impl From<Batch> for wire::Batch {
    fn from(batch: Batch) -> Self {
        let mut times = Vec::new();
        for pair in batch.times_nsec.windows(2) {
            crate::columns::put_unsigned(&mut times, pair[1].saturating_sub(pair[0]));
        }
        let block = |block: Block| wire::Block {
            group: block.group.to_wire().into(),
            values: block.values,
            absent: block.absent,
        };
        Self {
            seq: batch.seq.get(),
            first_tick: batch.first_tick,
            ticks: u32::try_from(batch.times_nsec.len()).unwrap_or(u32::MAX),
            first_nsec: batch.times_nsec.first().copied().unwrap_or(0),
            times: times.into(),
            absolute: batch.absolute,
            produced_before: batch.produced_before,
            blocks: batch.blocks.into_iter().map(block).collect(),
        }
    }
}

impl TryFrom<wire::Correction> for Correction {
    type Error = ProtocolError;

    fn try_from(wire: wire::Correction) -> Result<Self, ProtocolError> {
        Ok(Self {
            seq: crate::record::seq("correction.seq", wire.seq)?,
            series: SeriesId::new(wire.series)
                .ok_or_else(|| ProtocolError::invalid("correction.series", wire.series, "from 1"))?,
            first_tick: wire.first_tick,
            ticks: ticks("correction.ticks", wire.ticks, limits::CORRECTION_TICKS)?,
            values: wire.values,
        })
    }
}

impl From<Correction> for wire::Correction {
    fn from(correction: Correction) -> Self {
        Self {
            seq: correction.seq.get(),
            series: correction.series.get(),
            first_tick: correction.first_tick,
            ticks: u32::try_from(correction.ticks).unwrap_or(u32::MAX),
            values: correction.values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContainerSubject, Series, Subject, columns::Packer};

    fn schema(count: u32) -> Schema {
        let mut schema = Schema::new();
        for number in 1..=count {
            let container = ContainerSubject {
                cgroup: format!("/c{number}"),
                inode: u64::from(number),
                pod_uid: None,
                container_id: None,
                qos: None,
                system: false,
                cpu_list: None,
            };
            let group = if number % 2 == 0 { Group::ContainerThreads } else { Group::ContainerCpu };
            let id = SeriesId::new(number).unwrap();
            schema
                .add(Series { id, first_seq: Seq::FIRST, group, subject: Subject::Container(container) })
                .unwrap();
        }
        schema
    }

    fn block(group: Group, values: &[i64]) -> Block {
        let mut out = Vec::new();
        let mut packer = Packer::new(&mut out);
        for &value in values {
            packer.push(value);
        }
        packer.finish();
        Block { group, values: out.into(), absent: Bytes::new() }
    }

    fn batch(seq: u64, absolute: bool, times_nsec: Vec<u64>, blocks: Vec<Block>) -> Batch {
        Batch { seq: Seq::new(seq).unwrap(), first_tick: 0, times_nsec, absolute, produced_before: 0, blocks }
    }

    #[test]
    fn counters_add_up_over_batches_and_amounts_stand_for_themselves() {
        let (schema, mut bases) = (schema(2), Bases::new());
        let first = batch(
            1,
            true,
            vec![10, 20],
            vec![
                block(Group::ContainerCpu, &[1_000, 5]),
                block(Group::ContainerThreads, &[7, 8, 0, 0, 0, 0, -1, 0]),
            ],
        );
        let columns = first.unpack(&schema, &mut bases).unwrap();
        assert_eq!(columns[0].metrics, [[Some(1_000), Some(1_005)]]);
        assert_eq!(columns[1].metrics[0], [Some(7), Some(8)]);
        assert_eq!(columns[1].metrics[3], [Some(-1), Some(0)]);
        let next = batch(2, false, vec![30], vec![block(Group::ContainerCpu, &[5])]);
        assert_eq!(next.unpack(&schema, &mut bases).unwrap()[0].metrics, [[Some(1_010)]]);
        assert_eq!(next.value_count(&schema), 1);
    }

    #[test]
    fn an_unknown_value_is_none_and_does_not_move_the_base() {
        let (schema, mut bases) = (schema(1), Bases::new());
        let mut with_hole = block(Group::ContainerCpu, &[100, 0, 7]);
        with_hole.absent = Bytes::from_static(&[1, 1]);
        let columns = batch(1, true, vec![1, 2, 3], vec![with_hole]).unpack(&schema, &mut bases).unwrap();
        assert_eq!(columns[0].metrics, [[Some(100), None, Some(107)]]);
        let mut all_unknown = block(Group::ContainerCpu, &[0]);
        all_unknown.absent = Bytes::from_static(&[0, 1]);
        batch(2, false, vec![4], vec![all_unknown]).unpack(&schema, &mut bases).unwrap();
        let next = batch(3, false, vec![5], vec![block(Group::ContainerCpu, &[1])]);
        assert_eq!(next.unpack(&schema, &mut bases).unwrap()[0].metrics, [[Some(108)]]);
    }

    #[test]
    fn a_block_with_too_many_or_too_few_values_is_refused_and_moves_nothing() {
        let (schema, mut bases) = (schema(1), Bases::new());
        for values in [&[1][..], &[1, 2, 3], &[]] {
            let bad = batch(1, true, vec![1, 2], vec![block(Group::ContainerCpu, values)]);
            assert!(bad.unpack(&schema, &mut bases).is_err(), "{values:?}");
        }
        assert!(bases.last.is_empty());
    }

    #[test]
    fn a_batch_that_breaks_a_rule_names_the_field() {
        let good = || wire::Batch::from(batch(1, true, vec![5, 9], vec![block(Group::NodeCpu, &[])]));
        assert!(Batch::try_from(good()).is_ok());
        let twice = |mut wire: wire::Batch| {
            wire.blocks.push(wire.blocks[0].clone());
            wire
        };
        for (field, wire) in [
            ("batch.seq", wire::Batch { seq: 0, ..good() }),
            ("batch.ticks", wire::Batch { ticks: 0, ..good() }),
            ("batch.ticks", wire::Batch { ticks: u32::MAX, ..good() }),
            ("batch.times", wire::Batch { times: Bytes::new(), ..good() }),
            ("batch.times", wire::Batch { times: Bytes::from_static(&[0]), ..good() }),
            ("batch.times", wire::Batch { times: Bytes::from_static(&[4, 4]), ..good() }),
            ("batch.times", wire::Batch { first_nsec: u64::MAX, ..good() }),
            ("batch.blocks", twice(good())),
            (
                "group",
                wire::Batch { blocks: vec![wire::Block { group: 99, ..Default::default() }], ..good() },
            ),
        ] {
            let error = Batch::try_from(wire).unwrap_err().to_string();
            assert!(error.contains(field), "{error} should name {field}");
        }
    }
}
