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
        groups.for_each(|group| self.begin_one(&mut track, group, subject, added));
        track
    }

    /// Begins one more series of a subject.
    pub fn begin_one(
        &mut self,
        track: &mut Track,
        group: Group,
        subject: &Subject,
        added: &mut Vec<NewSeries>,
    ) {
        self.last = self.last.saturating_add(1);
        let Some(id) = SeriesId::new(self.last) else { return };
        track.series.push((group, id));
        added.push(NewSeries { id, group, subject: subject.clone() });
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

    /// The series of `group`; none when it has no such one.
    pub fn id(&self, group: Group) -> Option<SeriesId> {
        self.series.iter().find(|(of, _)| *of == group).map(|&(_, id)| id)
    }

    /// Ends its series of `group`, if it has one. It has no places until the next layout.
    pub fn end(&mut self, group: Group) -> Option<SeriesId> {
        let ended = self.id(group);
        self.series.retain(|(of, _)| *of != group);
        self.places.clear();
        ended
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
