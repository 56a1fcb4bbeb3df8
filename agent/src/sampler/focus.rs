//! A container in Focus: its threads' files and the quotas above it, read into a fold.

use std::sync::atomic::Ordering;

use berth::{Group, SeriesId, usage::ThreadReading};

use crate::{
    columns::Chunk,
    container::{Key, signed},
    fold::Fold,
    host::{
        Reader, Reading,
        text::{self, Schedstat},
    },
    limits::{Level, QuotaFile},
    readings::{Readings, Sweep},
    series::Track,
    threads::ThreadFile,
};

/// Invariant: `quotas` and `threads` and those of the fold are the same, in the same order.
pub(super) struct Focused {
    key: Key,
    track: Track,
    quotas: Vec<QuotaFile>,
    threads: Vec<ThreadFile>,
    fold: Fold,
    read_nsec: u64,
}

/// The least limit that stands at `level`; -1 for none.
fn limit(quotas: &[QuotaFile], level: Level) -> Option<i64> {
    let limits = quotas.iter().filter(|quota| quota.level == level).map(|quota| quota.millicpu);
    limits.filter(|&millicpu| millicpu != text::UNLIMITED).min().or(Some(text::UNLIMITED))
}

impl Focused {
    pub(super) fn new(key: Key, track: Track, quotas: Vec<QuotaFile>, cpus: u32, now_nsec: u64) -> Self {
        let fold = Fold::new(now_nsec, cpus);
        let mut focused =
            Self { key, track, quotas: Vec::new(), threads: Vec::new(), fold, read_nsec: now_nsec };
        focused.set_quotas(quotas);
        focused
    }

    /// These can stop it from here on.
    pub(super) fn set_quotas(&mut self, quotas: Vec<QuotaFile>) {
        self.fold.set_quotas(quotas.iter().map(|quota| quota.level));
        self.quotas = quotas;
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn track(&self) -> &Track {
        &self.track
    }

    pub(super) fn track_mut(&mut self) -> &mut Track {
        &mut self.track
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.track.ids()
    }

    pub(super) fn add(&mut self, threads: Vec<ThreadFile>) {
        for thread in threads {
            self.fold.add(thread.started_nsec);
            self.threads.push(thread);
        }
    }

    /// Reads every quota and every thread once, and keeps what each thread did where that is wanted.
    pub(super) fn read(&mut self, now_nsec: u64, reader: &mut Reader, mut readings: Option<&mut Readings>) {
        let dt_nsec = now_nsec.saturating_sub(std::mem::replace(&mut self.read_nsec, now_nsec));
        let series = self.track.id(Group::ContainerThreads);
        let sweep = series.map(|series| Sweep { series, at_nsec: now_nsec, dt_nsec });
        for (index, quota) in self.quotas.iter().enumerate() {
            let stat = reader.read(&quota.stat).parse(text::cpu_stat).here();
            if let Some(throttling) = stat.and_then(|stat| stat.throttling) {
                self.fold.throttled(index, now_nsec, throttling.throttled_usec);
            }
        }
        // From the last to the first, because the last one takes the place of one that ended.
        for index in (0..self.threads.len()).rev() {
            match reader.read(&self.threads[index].file).parse(text::schedstat) {
                Reading::Here(schedstat) => {
                    let Schedstat { run_nsec, wait_nsec } = self.fold.thread(index, now_nsec, schedstat);
                    if let (Some(readings), Some(sweep)) = (readings.as_deref_mut(), sweep)
                        && (run_nsec, wait_nsec) != (0, 0)
                    {
                        let tid = self.threads[index].tid;
                        readings.put(sweep, ThreadReading { tid, run_nsec, wait_nsec });
                    }
                }
                Reading::Gone => {
                    self.fold.remove(index);
                    self.threads.swap_remove(index).ended.store(true, Ordering::Relaxed);
                }
                Reading::Unknown => {}
            }
        }
    }

    /// Puts whose quota stopped it into the newest tick.
    pub(super) fn sample(&self, chunk: &mut Chunk) {
        let [own, pod, any] = self.fold.stopped_nsec().map(|nsec| signed(nsec / 1_000));
        let row = [own, pod, any, limit(&self.quotas, Level::Pod), limit(&self.quotas, Level::Slice)];
        self.track.put(Group::ContainerQuotas, chunk, row);
    }

    pub(super) fn tick(&mut self, ordinal: u64, now_nsec: u64) {
        self.fold.tick(ordinal, now_nsec);
    }

    /// Puts what is known of the chunk's ticks into it, and what came late for earlier ones.
    pub(super) fn settle(&mut self, horizon_nsec: u64, chunk: &mut Chunk) {
        let Some(place) = self.track.place(Group::ContainerThreads) else { return };
        for (tick, ordinal) in (0..chunk.ticks()).zip(chunk.first_tick()..) {
            let amounts = self.fold.send(ordinal);
            chunk.put_at(place, tick, amounts.map(Some));
        }
        if let Some(series) = self.track.id(Group::ContainerThreads) {
            self.fold.corrections(horizon_nsec, |ordinal, amounts| chunk.put_late(series, ordinal, amounts));
        }
    }
}
