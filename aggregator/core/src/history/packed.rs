//! Columns of integers, packed for keeping.
//!
//! Each column is its first value and then differences, in the packing of the wire: a counter that
//! stands still costs its first value and two bytes. Invariant: what was packed is unpacked, absent
//! values included. One key's columns are unpacked without touching the others.

use std::sync::Arc;

use berth::columns::{Packer, put_unsigned, take_unsigned, unpack};

use super::{Block, SeriesKey, Values};

/// The columns of some series over the same rows.
#[derive(Debug)]
pub(super) struct Packed {
    rows: usize,
    /// Rising; shared with the neighbours in time, whose series are nearly always the same.
    keys: Arc<[SeriesKey]>,
    /// Where each key's bytes begin.
    starts: Box<[u32]>,
    bytes: Box<[u8]>,
    /// For the few keys that have unknown values: run lengths, present first, column by column.
    absent: Box<[(SeriesKey, Box<[u8]>)]>,
    own_keys: usize,
}

impl Packed {
    /// Packs a block. `like` lends its keys where they are the same.
    pub(super) fn new(block: &Block, like: Option<&Self>) -> Self {
        let keys = || block.series.iter().map(|(key, _)| *key);
        let same = like.filter(|like| like.keys.iter().copied().eq(keys())).map(|like| &like.keys);
        let own_keys = if same.is_some() { 0 } else { block.series.len() };
        let mut bytes = Vec::new();
        let mut starts = Vec::with_capacity(block.series.len());
        let mut absent = Vec::new();
        for (key, values) in &block.series {
            starts.push(
                u32::try_from(bytes.len()).expect("a chunk is far below 4 GiB: its batches are bounded"),
            );
            let mut packer = Packer::new(&mut bytes);
            for column in block.columns(values) {
                let mut last = 0_i64;
                for value in column {
                    let value = value.unwrap_or(last);
                    packer.push(value.wrapping_sub(last));
                    last = value;
                }
            }
            packer.finish();
            if values.iter().any(Option::is_none) {
                absent.push((*key, absences(values)));
            }
        }
        Self {
            rows: block.times.len(),
            keys: same.map_or_else(|| keys().collect(), Arc::clone),
            starts: starts.into(),
            bytes: bytes.into(),
            absent: absent.into(),
            own_keys,
        }
    }

    /// The keys, rising.
    pub(super) fn keys(&self) -> &[SeriesKey] {
        &self.keys
    }

    /// The `count` columns of the key at `position`, one after another.
    pub(super) fn columns(&self, position: usize, count: usize) -> Values {
        let start = |position: usize| {
            let start = self.starts.get(position);
            start.map_or(self.bytes.len(), |&start| usize::try_from(start).unwrap_or(usize::MAX))
        };
        let bytes = &self.bytes[start(position)..start(position + 1)];
        let mut values = Vec::with_capacity(count * self.rows);
        unpack("history", bytes, count * self.rows, &mut values).expect("only `new` packs");
        let mut present = self.presence(self.keys[position]);
        let mut last = 0_i64;
        let whole = values.iter().enumerate().map(|(index, difference)| {
            last = if index % self.rows == 0 { *difference } else { last.wrapping_add(*difference) };
            present.as_mut().is_none_or(|present| present.next().unwrap_or(true)).then_some(last)
        });
        whole.collect()
    }

    /// It has the keys of the one that it was packed like.
    pub(super) fn has_keys_before(&self) -> bool {
        self.own_keys == 0
    }

    /// What it keeps in memory; shared keys count where they are first used.
    pub(super) fn heap_bytes(&self) -> usize {
        let absent: usize =
            self.absent.iter().map(|(_, runs)| size_of::<(SeriesKey, Box<[u8]>)>() + runs.len()).sum();
        self.bytes.len()
            + self.starts.len() * size_of::<u32>()
            + self.own_keys * size_of::<SeriesKey>()
            + absent
    }

    fn presence(&self, key: SeriesKey) -> Option<impl Iterator<Item = bool>> {
        let position = self.absent.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        let mut runs: &[u8] = &self.absent[position].1;
        let mut here = false;
        let mut left = 0;
        Some(std::iter::from_fn(move || {
            while left == 0 {
                left = take_unsigned("history", &mut runs).ok()?;
                here = !here;
            }
            left -= 1;
            Some(here)
        }))
    }
}

fn absences(values: &Values) -> Box<[u8]> {
    let mut runs = Vec::new();
    let mut here = true;
    let mut length = 0;
    for value in values {
        if value.is_some() != here {
            put_unsigned(&mut runs, length);
            here = !here;
            length = 0;
        }
        length += 1;
    }
    put_unsigned(&mut runs, length);
    runs.into()
}

#[cfg(test)]
mod tests {
    use berth::Group;
    use proptest::prelude::*;

    use super::*;
    use crate::{history::SubjectId, time::AxisNsec};

    fn key(subject: u32) -> SeriesKey {
        SeriesKey { subject: SubjectId(subject), group: Group::ContainerCpu }
    }

    fn block(rows: usize, series: Vec<Values>) -> Block {
        let times = vec![AxisNsec::default(); rows];
        Block { times, series: (0..).map(key).zip(series).collect() }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_with_its_absent_values(
            series in prop::collection::vec(prop::collection::vec(
                prop_oneof![1 => Just(None), 2 => (-5..5_i64).prop_map(Some), 1 => any::<i64>().prop_map(Some)],
                21), 0..6)
        ) {
            let block = block(7, series);
            let packed = Packed::new(&block, None);
            for (position, (key, values)) in block.series.iter().enumerate() {
                prop_assert_eq!(packed.keys()[position], *key);
                prop_assert_eq!(&packed.columns(position, 3), values);
            }
        }
    }

    #[test]
    fn ten_idle_ticks_cost_one_value_and_two_bytes() {
        assert_eq!(Packed::new(&block(10, vec![vec![Some(60); 10]]), None).bytes.len(), 1 + 2);
    }

    #[test]
    fn neighbours_in_time_share_their_keys() {
        let first = Packed::new(&block(1, vec![vec![Some(60)]]), None);
        let second = Packed::new(&block(1, vec![vec![Some(61)]]), Some(&first));
        assert!(Arc::ptr_eq(&first.keys, &second.keys));
        let third = Packed::new(&block(1, vec![vec![Some(60)], vec![None]]), Some(&second));
        assert!(!Arc::ptr_eq(&second.keys, &third.keys));
    }
}
