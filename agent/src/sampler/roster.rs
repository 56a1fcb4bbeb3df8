//! Who is sampled, and as which series.
//!
//! Invariants: a series' number is used once; what is sampled changes between two chunks only; and
//! every beginning and end is told once.

use berth::{Group, SeriesId, Subject};

use super::focus::Focused;
use crate::{
    columns::{Chunk, Layout},
    container::{Container, Health, Key, Throttle},
    handover::NewSeries,
    host::Reader,
    limits::{CpuLimits, QuotaFile},
    readings::Readings,
    series::{Ids, Track},
    watch::Change,
};

struct Slot {
    container: Container,
    track: Track,
    health: Health,
}

/// All subjects.
pub(super) struct Roster {
    pub(super) node: Track,
    pub(super) agent: Track,
    slots: Vec<Slot>,
    focus: Vec<Focused>,
    /// Logical CPUs of the node.
    cpus: u32,
    ids: Ids,
    begun: Vec<NewSeries>,
    ended: Vec<SeriesId>,
}

impl Roster {
    /// The node's own series, and no container yet.
    pub(super) fn new(node_groups: impl Iterator<Item = Group>, cpus: u32) -> Self {
        let (mut ids, mut begun) = (Ids::default(), Vec::new());
        let node = ids.begin(node_groups, &Subject::Node, &mut begun);
        let agent = ids.begin(std::iter::once(Group::Agent), &Subject::Node, &mut begun);
        Self { node, agent, slots: Vec::new(), focus: Vec::new(), cpus, ids, begun, ended: Vec::new() }
    }

    pub(super) fn has_focus(&self) -> bool {
        !self.focus.is_empty()
    }

    /// How many containers are in Focus.
    pub(super) fn focused(&self) -> usize {
        self.focus.len()
    }

    /// Reads every container into the newest tick of `chunk`.
    pub(super) fn sample(&mut self, now_nsec: u64, reader: &mut Reader, chunk: &mut Chunk) {
        for Slot { container, track, health } in &mut self.slots {
            if *health == Health::Alive {
                *health = container.sample(now_nsec, reader, track, chunk);
            }
        }
        self.focus.iter().for_each(|focused| focused.sample(chunk));
    }

    /// Reads every thread in Focus once, and keeps what each did where that is wanted.
    pub(super) fn read_threads(
        &mut self,
        now_nsec: u64,
        reader: &mut Reader,
        mut readings: Option<&mut Readings>,
    ) {
        for focused in &mut self.focus {
            focused.read(now_nsec, reader, readings.as_deref_mut());
        }
    }

    /// The tick `ordinal` has been read.
    pub(super) fn close_tick(&mut self, ordinal: u64, now_nsec: u64) {
        for focused in &mut self.focus {
            focused.tick(ordinal, now_nsec);
        }
    }

    /// Puts what is known of the threads into the chunk, before it is given away.
    pub(super) fn settle(&mut self, horizon_nsec: u64, chunk: &mut Chunk) {
        for focused in &mut self.focus {
            focused.settle(horizon_nsec, chunk);
        }
    }

    /// Takes in what the watcher found.
    pub(super) fn apply(&mut self, change: Change, now_nsec: u64) {
        match change {
            Change::Add(container) => self.begin(*container),
            Change::Remove(key) => {
                if let Some(at) = self.slots.iter().position(|slot| slot.container.key == key) {
                    self.end(at);
                }
            }
            Change::Limit(key, limits) => self.limit(key, limits),
            Change::Throttle(key, throttle) => self.throttle(key, throttle),
            Change::Focus(key, quotas) => self.focus(key, quotas, now_nsec),
            Change::Quotas(key, quotas) => {
                if let Some(focused) = self.focus.iter_mut().find(|focused| focused.key() == key) {
                    focused.set_quotas(quotas);
                }
            }
            Change::Threads(key, threads) => {
                if let Some(focused) = self.focus.iter_mut().find(|focused| focused.key() == key) {
                    focused.add(threads);
                }
            }
            Change::Unfocus(key) => self.unfocus(key),
        }
    }

    fn begin(&mut self, container: Container) {
        let subject = Subject::Container(container.subject.clone());
        let track = self.ids.begin(container.groups(), &subject, &mut self.begun);
        self.slots.push(Slot { container, track, health: Health::Alive });
    }

    fn end(&mut self, at: usize) {
        let slot = self.slots.remove(at);
        self.ended.extend(slot.track.ids());
        self.unfocus(slot.container.key);
    }

    fn limit(&mut self, key: Key, limits: CpuLimits) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.container.key == key) {
            slot.container.cpu_limits = limits;
        }
    }

    /// Another quota's counters are another series.
    fn throttle(&mut self, key: Key, throttle: Throttle) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.container.key == key) else { return };
        slot.container.set_throttle(throttle);
        self.ended.extend(slot.track.end(Group::ContainerThrottling));
        if slot.container.groups().any(|group| group == Group::ContainerThrottling) {
            let subject = Subject::Container(slot.container.subject.clone());
            self.ids.begin_one(&mut slot.track, Group::ContainerThrottling, &subject, &mut self.begun);
        }
    }

    fn focus(&mut self, key: Key, quotas: Vec<QuotaFile>, now_nsec: u64) {
        let Some(slot) = self.slots.iter().find(|slot| slot.container.key == key) else { return };
        let subject = Subject::Container(slot.container.subject.clone());
        let groups = [Group::ContainerThreads, Group::ContainerQuotas].into_iter();
        let track = self.ids.begin(groups, &subject, &mut self.begun);
        self.focus.push(Focused::new(key, track, quotas, self.cpus, now_nsec));
    }

    fn unfocus(&mut self, key: Key) {
        let Self { focus, ended, .. } = self;
        focus.retain(|focused| {
            let stays = focused.key() != key;
            if !stays {
                ended.extend(focused.ids());
            }
            stays
        });
    }

    /// Ends the series of what has gone, and begins new ones for what has started over.
    pub(super) fn replace_ended(&mut self) {
        while let Some(at) = self.slots.iter().position(|slot| slot.health != Health::Alive) {
            if self.slots[at].health == Health::Reset {
                let slot = self.slots.remove(at);
                self.ended.extend(slot.track.ids());
                self.begin(slot.container);
            } else {
                self.end(at);
            }
        }
    }

    /// Series that began and ended since it was last asked.
    pub(super) fn take_news(&mut self) -> (Vec<NewSeries>, Vec<SeriesId>) {
        (std::mem::take(&mut self.begun), std::mem::take(&mut self.ended))
    }

    /// Gives every series its columns.
    pub(super) fn lay_out(&mut self) -> Layout {
        let node = [&self.node, &self.agent].into_iter();
        let slots = self.slots.iter().map(|slot| &slot.track);
        let tracks = node.chain(slots).chain(self.focus.iter().map(Focused::track));
        let series: Vec<_> = tracks.flat_map(|track| track.series().iter().copied()).collect();
        let (layout, places) = Layout::new(&series);
        let mut places = places.into_iter();
        self.node.settle(&mut places);
        self.agent.settle(&mut places);
        self.slots.iter_mut().for_each(|slot| slot.track.settle(&mut places));
        self.focus.iter_mut().for_each(|focused| focused.track_mut().settle(&mut places));
        layout
    }
}
