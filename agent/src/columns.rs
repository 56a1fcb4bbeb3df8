//! Ticks as integer columns, filled by the sampler and packed by the uplink.
//!
//! A [`Layout`] says which series lie where; it changes only between two chunks. A [`Chunk`] holds
//! the ticks of one flush, column after column, so that packing reads memory in order. Invariants:
//! within a group the series rise by id, as [`berth::Schema`] orders them; a chunk never grows after
//! it was made, so that filling it allocates nothing.

use std::{ops::Range, sync::Arc};

use berth::{Group, SeriesId};

use crate::{fold::Amounts, readings::Readings};

/// Marks a value that is unknown. No counter of the kernel is negative, and no gauge comes near.
const ABSENT: i64 = i64::MIN;

/// One group's series within a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which columns.
    pub group: Group,
    /// Whose, by rising id.
    pub series: Vec<SeriesId>,
    /// The column of the first metric of the first series; then all series of that metric, and so on.
    first_column: usize,
}

/// Where a series' columns lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    first_column: usize,
    /// From one metric's column to the next one's: the number of series in the group.
    stride: usize,
}

/// Which series lie where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    blocks: Vec<Block>,
    columns: usize,
}

impl Layout {
    /// Lays out `series`; gives each its place, in the same order.
    pub fn new(series: &[(Group, SeriesId)]) -> (Self, Vec<Place>) {
        let mut layout = Self::default();
        for &group in Group::ALL {
            let of_group = series.iter().filter(|(of, _)| *of == group).map(|&(_, id)| id);
            let mut of_group: Vec<SeriesId> = of_group.collect();
            of_group.sort_unstable();
            let block = Block { group, series: of_group, first_column: layout.columns };
            layout.columns += group.metrics().len() * block.series.len();
            layout.blocks.push(block);
        }
        layout.blocks.retain(|block| !block.series.is_empty());
        let place = |&(group, id): &(Group, SeriesId)| {
            let block = layout.blocks.iter().find(|block| block.group == group)?;
            let index = block.series.binary_search(&id).ok()?;
            Some(Place { first_column: block.first_column + index, stride: block.series.len() })
        };
        let places = series.iter().filter_map(place).collect();
        (layout, places)
    }

    /// The groups that have series.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Values of one tick.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// Amounts for ticks of earlier chunks, of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Whose.
    pub series: SeriesId,
    /// The first tick that changes.
    pub first_tick: u64,
    /// Where they lie in the chunk's list, one a tick.
    amounts: Range<usize>,
}

/// The ticks of one flush.
#[derive(Debug)]
pub struct Chunk {
    layout: Arc<Layout>,
    capacity: usize,
    /// Ordinal of the first tick.
    first_tick: u64,
    times_nsec: Vec<u64>,
    values: Vec<i64>,
    late: Vec<Late>,
    late_amounts: Vec<Amounts>,
    /// What single threads did meanwhile; none while nobody records them.
    pub readings: Option<Box<Readings>>,
}

impl Chunk {
    /// An empty chunk of up to `capacity` ticks, with room for `late` amounts.
    pub fn new(layout: Arc<Layout>, capacity: usize, late: usize) -> Self {
        let values = vec![ABSENT; layout.columns() * capacity];
        Self {
            layout,
            capacity,
            first_tick: 0,
            times_nsec: Vec::with_capacity(capacity),
            values,
            late: Vec::with_capacity(late),
            late_amounts: Vec::with_capacity(late),
            readings: None,
        }
    }

    /// Empties it, for ticks from `first_tick` on.
    pub fn restart(&mut self, first_tick: u64) {
        self.first_tick = first_tick;
        self.times_nsec.clear();
        self.values.fill(ABSENT);
        self.late.clear();
        self.late_amounts.clear();
        self.readings.iter_mut().for_each(|readings| readings.clear());
    }

    /// The layout that it is filled by.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// How many ticks it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Ordinal of its first tick.
    pub fn first_tick(&self) -> u64 {
        self.first_tick
    }

    /// When each of its ticks was read.
    pub fn times_nsec(&self) -> &[u64] {
        &self.times_nsec
    }

    /// How many ticks it holds.
    pub fn ticks(&self) -> usize {
        self.times_nsec.len()
    }

    /// No further tick fits.
    pub fn is_full(&self) -> bool {
        self.ticks() == self.capacity
    }

    /// Begins a tick; what is not put into it stays unknown. The caller has seen that it is not
    /// full.
    pub fn begin_tick(&mut self, at_nsec: u64) {
        self.times_nsec.push(at_nsec);
    }

    /// Puts values, metric by metric, into the newest tick.
    pub fn put<const N: usize>(&mut self, place: Place, values: [Option<i64>; N]) {
        let Some(tick) = self.ticks().checked_sub(1) else { return };
        self.put_at(place, tick, values);
    }

    /// Puts values, metric by metric, into one of its ticks.
    pub fn put_at<const N: usize>(&mut self, place: Place, tick: usize, values: [Option<i64>; N]) {
        for (metric, value) in values.into_iter().enumerate() {
            let column = place.first_column + metric * place.stride;
            if let Some(cell) = self.values.get_mut(column * self.capacity + tick) {
                *cell = value.unwrap_or(ABSENT);
            }
        }
    }

    /// One metric of one series of a block, as far as the chunk is filled.
    pub fn column<'a>(
        &'a self,
        block: &Block,
        metric: usize,
        series: usize,
    ) -> impl Iterator<Item = Option<i64>> + use<'a> {
        let column = block.first_column + metric * block.series.len() + series;
        let start = column * self.capacity;
        let values = &self.values[start..start + self.ticks()];
        values.iter().map(|&value| (value != ABSENT).then_some(value))
    }

    /// Adds an amount for an earlier tick. Those of one series come one after another, by rising
    /// tick; a tick between two that change gets nothing.
    pub fn put_late(&mut self, series: SeriesId, tick: u64, amounts: Amounts) {
        let end = self.late_amounts.len();
        if let Some(late) = self.late.last_mut().filter(|late| late.series == series) {
            let next = late.first_tick + u64::try_from(late.amounts.len()).unwrap_or(u64::MAX);
            (next..tick).for_each(|_| self.late_amounts.push([0; 4]));
            self.late_amounts.push(amounts);
            late.amounts.end = self.late_amounts.len();
        } else {
            self.late_amounts.push(amounts);
            self.late.push(Late { series, first_tick: tick, amounts: end..end + 1 });
        }
    }

    /// The late amounts, one series after another.
    pub fn late(&self) -> impl Iterator<Item = (&Late, &[Amounts])> {
        self.late.iter().map(|late| (late, &self.late_amounts[late.amounts.clone()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SeriesId {
        SeriesId::new(number).unwrap()
    }

    #[test]
    fn series_lie_by_group_then_metric_then_id() {
        let series = [
            (Group::NodeMemory, id(1)),
            (Group::ContainerCpu, id(2)),
            (Group::ContainerMemory, id(3)),
            (Group::ContainerCpu, id(9)),
        ];
        let (layout, places) = Layout::new(&series);
        assert_eq!(layout.columns(), 5);
        let mut chunk = Chunk::new(Arc::new(layout.clone()), 2, 0);
        for at in [10, 20] {
            chunk.begin_tick(at);
            chunk.put(places[0], [Some(7), Some(8)]);
            chunk.put(places[3], [Some(40 + i64::try_from(at).unwrap())]);
        }
        assert!(chunk.is_full());
        let [memory, cpu, _] = layout.blocks() else { panic!("three groups have series") };
        assert_eq!(cpu.series, [id(2), id(9)]);
        assert_eq!(chunk.column(memory, 1, 0).collect::<Vec<_>>(), [Some(8), Some(8)]);
        assert_eq!(chunk.column(cpu, 0, 0).collect::<Vec<_>>(), [None, None]);
        assert_eq!(chunk.column(cpu, 0, 1).collect::<Vec<_>>(), [Some(50), Some(60)]);
        chunk.restart(2);
        assert_eq!((chunk.ticks(), chunk.first_tick()), (0, 2));
    }

    #[test]
    fn a_series_that_begins_later_lies_behind_those_that_were_there() {
        let throttling = |number| (Group::ContainerThrottling, id(number));
        let (layout, places) = Layout::new(&[throttling(9), throttling(4)]);
        let mut chunk = Chunk::new(Arc::new(layout.clone()), 1, 0);
        chunk.begin_tick(1);
        chunk.put(places[0], [Some(9); 3]);
        chunk.put(places[1], [Some(4); 3]);
        assert_eq!(layout.blocks()[0].series, [id(4), id(9)]);
        let first = |series: usize| chunk.column(&layout.blocks()[0], 0, series).next().flatten();
        assert_eq!((first(0), first(1)), (Some(4), Some(9)));
    }

    #[test]
    fn late_amounts_of_one_series_become_one_run_with_nothing_between() {
        let (layout, _) = Layout::new(&[(Group::ContainerThreads, id(1))]);
        let mut chunk = Chunk::new(Arc::new(layout), 1, 8);
        chunk.put_late(id(1), 5, [1; 4]);
        chunk.put_late(id(1), 8, [2; 4]);
        chunk.put_late(id(2), 7, [3; 4]);
        let late: Vec<_> =
            chunk.late().map(|(late, amounts)| (late.series, late.first_tick, amounts.to_vec())).collect();
        assert_eq!(late, [(id(1), 5, vec![[1; 4], [0; 4], [0; 4], [2; 4]]), (id(2), 7, vec![[3; 4]])]);
    }
}
