//! What each record changes.
//!
//! Invariant: a record that repeats changes what the stream's later differences build on, and
//! nothing else.

use std::{fmt::Display, time::Duration};

use berth::{Batch, Correction, Gap, Group, ProtocolError, Record, Retire, batch::Columns, limits};

use super::{Newest, Node, Retired, SILENT_FOR};
use crate::{
    contention::Input,
    delivery::{Place, tick_count},
    frame::{Late, ThreadUse},
    history::{Column, Rows},
    time::AxisNsec,
};

/// The detector adds up ten seconds of each model: once a second is enough for a person.
const MODELS_PERIOD: Duration = Duration::from_secs(1);

/// Ended series that are remembered: every one that may live, replaced twice within a replay.
const RETIRED_SERIES: usize = 2 * limits::SERIES;

impl Node {
    pub(super) fn take(&mut self, record: &Record, now: AxisNsec) -> Result<(), ProtocolError> {
        if !self.stream.begun {
            self.begin(record, now);
        }
        let place = self.delivery.place(record.seq(), record.last_seq());
        let done = match (&place, record) {
            (Err(error), _) => Err(error.clone()),
            (Ok(Place::Again), Record::Batch(batch)) => {
                self.delivery.repeated(batch.value_count(&self.stream.schema));
                Ok(())
            }
            (Ok(Place::Again), _) => Ok(()),
            (Ok(place), Record::Batch(batch)) => self.batch(batch, *place, now),
            (Ok(place), Record::Correction(correction)) => self.correction(correction, *place),
            (Ok(place), Record::Retire(retire)) => {
                self.retire(retire, *place, now);
                Ok(())
            }
            (Ok(place), Record::Gap(gap)) => {
                self.gap(gap, *place, now);
                Ok(())
            }
        };
        if done.is_err() {
            let (ticks, values) = match record {
                Record::Batch(batch) => (tick_count(batch), batch.value_count(&self.stream.schema)),
                Record::Correction(_) | Record::Retire(_) | Record::Gap(_) => (0, 0),
            };
            self.delivery.refused(place == Ok(Place::New), ticks, values);
        }
        done
    }

    /// The first record of a stream: of the series named before it, those that ended earlier do not
    /// live, and those that it did not name have ended unheard.
    fn begin(&mut self, record: &Record, now: AxisNsec) {
        self.stream.begun = true;
        let schema = &self.stream.schema;
        self.subjects.end_unless(|series| schema.get(series).is_some(), now);
        let earlier = self.retired.iter().filter(|(_, retired)| retired.seq < record.seq());
        let series = earlier.map(|(series, _)| *series).collect();
        self.stream.schema.retire(&Retire { seq: record.seq(), series });
    }

    fn batch(&mut self, batch: &Batch, place: Place, now: AxisNsec) -> Result<(), ProtocolError> {
        if !self.stream.whole && !batch.absolute {
            return Err(invalid("batch.absolute", false, "whole at the start of a stream and after a gap"));
        }
        let news = place == Place::New;
        if news {
            self.check_times(batch, now)?;
        }
        let columns = batch.unpack(&self.stream.schema, &mut self.stream.bases)?;
        self.stream.whole = true;
        let count: usize = columns.iter().flat_map(|columns| &columns.metrics).map(Vec::len).sum();
        let values = u64::try_from(count).unwrap_or(u64::MAX);
        if !news {
            self.delivery.repeated(values);
            return Ok(());
        }
        let times: Vec<AxisNsec> = batch.times_nsec.iter().map(|nsec| self.timeline.map(*nsec)).collect();
        let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else {
            return Ok(());
        };
        if self.delivery.stored(batch, values, first, last) {
            self.cut(first);
        }
        self.newest = batch.times_nsec.last().map(|nsec| Newest {
            tick: batch.first_tick.saturating_add(tick_count(batch) - 1),
            nsec: *nsec,
            at: last,
        });
        self.detect(batch, &times, &columns);
        self.keep(batch, times, columns);
        Ok(())
    }

    fn check_times(&self, batch: &Batch, now: AxisNsec) -> Result<(), ProtocolError> {
        let (first, last) = (batch.times_nsec.first(), batch.times_nsec.last());
        if let Some(newest) = self.newest {
            if first.is_some_and(|first| *first <= newest.nsec) {
                return Err(invalid(
                    "batch.first_nsec",
                    first.copied().unwrap_or(0),
                    "later than the tick before",
                ));
            }
            if batch.first_tick <= newest.tick {
                return Err(invalid("batch.first_tick", batch.first_tick, "after the tick before"));
            }
        }
        match last {
            Some(last) if self.timeline.is_ahead(*last, now) => {
                Err(invalid("batch.times", last, "not in the future"))
            }
            _ => Ok(()),
        }
    }

    /// Frames in, changed episodes out. Time is that of the ticks, so that a replay gives the same.
    fn detect(&mut self, batch: &Batch, times: &[AxisNsec], columns: &[Columns]) {
        let cpus = self.agent.as_ref().map_or(1, |agent| agent.facts.cpus);
        for frame in self.frames.of(batch, times, columns, &self.subjects, cpus) {
            self.feed(Input::Frame(frame));
        }
        let Some(last) = times.last() else { return };
        self.feed(Input::Step(*last));
        self.silent = false;
        if last.since(self.models_at) >= MODELS_PERIOD {
            self.models = self.detector.models().into();
            self.models_at = *last;
        }
    }

    fn keep(&mut self, batch: &Batch, times: Vec<AxisNsec>, columns: Vec<Columns>) {
        let first = times.first().copied().unwrap_or_default();
        let mut kept = Vec::with_capacity(columns.len());
        for Columns { series, metrics, .. } in columns {
            let Some(key) = self.subjects.key(series) else { continue };
            let values = metrics.first().map_or(&[][..], Vec::as_slice);
            self.subjects.sampled(key, first, &batch.times_nsec, values);
            kept.push(Column { key, metrics });
        }
        self.history.append(Rows::new(batch.first_tick, times, kept));
    }

    fn correction(&mut self, correction: &Correction, place: Place) -> Result<(), ProtocolError> {
        let Some(series) = self.stream.schema.get(correction.series) else { return Ok(()) };
        let group = series.group;
        let add = correction.unpack(group)?;
        let Some(newest) = self.newest.filter(|_| place == Place::New) else { return Ok(()) };
        if let Some(key) = self.subjects.key(correction.series) {
            self.history.correct(key, correction.first_tick, &add);
        }
        let container = self.subjects.container(correction.series);
        let Some((key, ..)) = container.filter(|_| group == Group::ContainerThreads) else { return Ok(()) };
        // News of ticks that were lost or declined has nowhere to go.
        for (tick, index) in (correction.first_tick..=newest.tick).zip(0..correction.ticks) {
            let amount = |metric: usize| add.get(metric).map_or(0, |amounts| amounts[index]);
            let add = ThreadUse {
                run_nsec: amount(0),
                wait_nsec: amount(1),
                throttled_nsec: amount(2),
                sibling_nsec_cpus: amount(3),
            };
            if add != ThreadUse::default() {
                self.feed(Input::Late(Late { tick, key, add }));
            }
        }
        Ok(())
    }

    fn retire(&mut self, retire: &Retire, place: Place, now: AxisNsec) {
        self.stream.schema.retire(retire);
        let at = self.newest.map_or(now, |newest| newest.at);
        self.retired.retain(|_, retired| at.since(retired.at) <= 2 * SILENT_FOR);
        for series in &retire.series {
            self.stream.bases.forget(*series);
            if place == Place::New {
                self.subjects.end(*series, at);
                self.retired.insert(*series, Retired { seq: retire.seq, at });
            }
        }
        // Ids rise, so the first is the oldest.
        while self.retired.len() > RETIRED_SERIES {
            self.retired.pop_first();
        }
    }

    fn gap(&mut self, gap: &Gap, place: Place, now: AxisNsec) {
        if place == Place::New {
            self.delivery.gap(gap);
        }
        // Ticks that were never read leave the counters as they are; values that are missing do not.
        if gap.values > 0 {
            self.stream.bases.clear();
            self.stream.whole = false;
            if place == Place::New {
                self.cut(self.newest.map_or(now, |newest| newest.at));
            }
        }
    }
}

fn invalid(field: &'static str, value: impl Display, rule: &'static str) -> ProtocolError {
    ProtocolError::Invalid { field, value: value.to_string(), rule }
}
