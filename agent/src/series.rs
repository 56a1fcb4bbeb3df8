//! The series of one subject: their numbers, and where their columns lie just now.

use berth::{Group, SeriesId, Subject};

use crate::{
    columns::{Chunk, Place},
    handover::NewSeries,
};

/// Numbers for series, from 1, each once.
#[derive(Debug, Default)]
pub struct Ids {
    last: u32,
}

/// A subject's series.
#[derive(Debug, Default)]
pub struct Track {
    series: Vec<(Group, SeriesId)>,
    places: Vec<Place>,
}

impl Ids {
    /// Begins a series for each of `groups`. After 2^32 series, which at one container a second are
    /// 20 years, there are none left.
    pub fn begin(
        &mut self,
        groups: impl Iterator<Item = Group>,
        subject: &Subject,
        added: &mut Vec<NewSeries>,
    ) -> Track {
        let mut track = Track::default();
        for group in groups {
            self.last = self.last.saturating_add(1);
            let Some(id) = SeriesId::new(self.last) else { continue };
            track.series.push((group, id));
            added.push(NewSeries { id, group, subject: subject.clone() });
        }
        track
    }
}

impl Track {
    /// Its series, by rising number.
    pub fn series(&self) -> &[(Group, SeriesId)] {
        &self.series
    }

    /// Only their numbers.
    pub fn ids(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.series.iter().map(|&(_, id)| id)
    }

    /// Takes its places off the front of a layout's, which are in the order of the series.
    pub fn settle(&mut self, places: &mut impl Iterator<Item = Place>) {
        self.places.clear();
        self.places.extend(places.take(self.series.len()));
    }

    /// Where the columns of `group` lie; none when it has no such series.
    pub fn place(&self, group: Group) -> Option<Place> {
        let index = self.series.iter().position(|(of, _)| *of == group)?;
        self.places.get(index).copied()
    }

    /// Puts values into the newest tick; passed over when there is no such series.
    pub fn put<const N: usize>(&self, group: Group, chunk: &mut Chunk, values: [Option<i64>; N]) {
        if let Some(place) = self.place(group) {
            chunk.put(place, values);
        }
    }
}
