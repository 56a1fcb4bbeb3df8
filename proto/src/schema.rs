//! Which series are live, and in which order a batch carries them.
//!
//! Both ends keep one: the agent packs by it and the aggregator unpacks by it, so a batch needs no
//! ids. Invariant: for the same Series and Retire messages both ends hold the same order.

use std::collections::BTreeMap;

use crate::{Group, ProtocolError, Retire, Seq, Series, SeriesId, limits};

/// The live series of one agent's incarnation.
#[derive(Debug, Default, Clone)]
pub struct Schema {
    series: BTreeMap<SeriesId, Series>,
}

impl Schema {
    /// A schema without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a series in; naming the same one again changes nothing. Errors: there are too many, or
    /// the id names something else already.
    pub fn add(&mut self, series: Series) -> Result<(), ProtocolError> {
        if let Some(known) = self.series.get(&series.id) {
            let same = known.group == series.group && known.subject == series.subject;
            return if same {
                Ok(())
            } else {
                Err(ProtocolError::invalid("series.id", series.id.get(), "an id names one subject for ever"))
            };
        }
        ProtocolError::at_most("series", self.series.len() + 1, limits::SERIES)?;
        self.series.insert(series.id, series);
        Ok(())
    }

    /// Drops the series that ended. Unknown ids are passed over: after a resume the aggregator may
    /// hear of an end whose beginning it never saw.
    pub fn retire(&mut self, retire: &Retire) {
        for id in &retire.series {
            self.series.remove(id);
        }
    }

    /// The series named by `id`, while it lives.
    pub fn get(&self, id: SeriesId) -> Option<&Series> {
        self.series.get(&id)
    }

    /// The series that the record `seq` carries in the columns of `group`, by rising id.
    pub fn live(&self, group: Group, seq: Seq) -> impl Iterator<Item = &Series> {
        self.series.values().filter(move |series| series.group == group && series.first_seq <= seq)
    }

    /// Every live series, by rising id.
    pub fn all(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// How many live.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// None lives.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}
