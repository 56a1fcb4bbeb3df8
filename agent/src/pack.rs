//! Columns as the contract packs them, from whatever holds them.

use std::collections::HashMap;

use berth::{
    Batch, Block, Group, Kind, ProtocolError, Schema, SeriesId,
    batch::{Bases, Columns},
    columns::{Packer, put_unsigned},
};

/// Alternating run lengths of known and unknown values, known ones first. A run of known values at
/// the end is left out, so a block without unknown values has none.
struct Presence {
    runs: Vec<u8>,
    known: bool,
    run: u64,
}

impl Presence {
    fn new() -> Self {
        Self { runs: Vec::new(), known: true, run: 0 }
    }

    fn push(&mut self, known: bool) {
        if known != self.known {
            put_unsigned(&mut self.runs, self.run);
            (self.known, self.run) = (known, 0);
        }
        self.run += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        if !self.known {
            put_unsigned(&mut self.runs, self.run);
        }
        self.runs
    }
}

/// Packs one group. `column` gives the values of a metric (first) and a series (second), `base` the
/// whole value that the first difference starts from; amounts have none.
pub fn pack_block<I: Iterator<Item = Option<i64>>>(
    group: Group,
    series: usize,
    column: impl Fn(usize, usize) -> I,
    base: impl Fn(usize, usize) -> i64,
) -> Block {
    let mut values = Vec::new();
    let mut packer = Packer::new(&mut values);
    let mut presence = Presence::new();
    for (metric, of) in group.metrics().iter().enumerate() {
        for series in 0..series {
            let whole = of.kind != Kind::Amount;
            let mut before = if whole { base(metric, series) } else { 0 };
            for value in column(metric, series) {
                presence.push(value.is_some());
                match value {
                    Some(value) if whole => {
                        packer.push(value.wrapping_sub(before));
                        before = value;
                    }
                    Some(value) => packer.push(value),
                    None => packer.push(0),
                }
            }
        }
    }
    packer.finish();
    Block { group, values: values.into(), absent: presence.finish().into() }
}

/// The same batch, made absolute; `bases` is what its differences start from, and moves past it.
/// Errors: the batch is not one of `schema`.
pub fn absolute(batch: &Batch, schema: &Schema, bases: &mut Bases) -> Result<Batch, ProtocolError> {
    let columns: HashMap<SeriesId, Columns> =
        batch.unpack(schema, bases)?.into_iter().map(|columns| (columns.series, columns)).collect();
    let pack = |group: Group| {
        let of_group: Vec<&Columns> =
            schema.live(group, batch.seq).filter_map(|series| columns.get(&series.id)).collect();
        let column = |metric: usize, series: usize| of_group[series].metrics[metric].iter().copied();
        pack_block(group, of_group.len(), column, |_, _| 0)
    };
    let blocks = batch.blocks.iter().map(|block| pack(block.group)).collect();
    Ok(Batch { absolute: true, blocks, ..batch.clone() })
}
