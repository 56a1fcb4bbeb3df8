//! What is sampled on one node: who each subject is, its series, and whether it lives.
//!
//! Invariant: a subject keeps its id for the life of the aggregator, also across incarnations of
//! the agent; a reused cgroup path with another inode is another subject. Bounded: what ended is
//! forgotten with the last of its history, or before where too much ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth::{ContainerSubject, CpuList, GpuSubject, Group, Series, SeriesId, Subject};

use super::peaks::{PeakMeter, Peaks};
use crate::{
    cluster::Found,
    history::{SECONDS_WINDOW, SeriesKey, SubjectId},
    placement::InForce,
    roles::{Identity, Roster},
    time::AxisNsec,
    who::{ContainerKey, Role, WhoRef},
};

/// Subjects that ended and are still shown: a node's 2,048 containers, each replaced four times
/// within the history.
const ENDED_SUBJECTS: usize = 8_192;

/// How long what ended is shown: its history ends with it.
const ENDED_FOR: Duration = SECONDS_WINDOW;

/// Something that is sampled, as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectView {
    /// For the life of the aggregator.
    pub id: SubjectId,
    /// What it is.
    pub subject: Arc<Subject>,
    /// Who; `None` for the node itself, for GPUs, and for work on those that is nobody's.
    pub who: Option<WhoRef>,
    /// Why it has its role; empty where nobody is it.
    pub role_reason: Arc<str>,
    /// What it asks for.
    pub requests: InForce,
    /// What was sampled of it, rising.
    pub groups: Vec<Group>,
    /// It has not ended.
    pub live: bool,
    /// Its first stored tick.
    pub first_sample: Option<AxisNsec>,
    /// Its largest use.
    pub peaks: Peaks,
}

/// What makes two subjects of one boot the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Sameness {
    Node,
    Container { cgroup: String, inode: u64 },
    Gpu { uuid: String },
    GpuContainer { gpu_uuid: String, cgroup: Option<String> },
}

impl Sameness {
    fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Node => Self::Node,
            Subject::Container(container) => {
                Self::Container { cgroup: container.cgroup.clone(), inode: container.inode }
            }
            Subject::Gpu(gpu) => Self::Gpu { uuid: gpu.uuid.clone() },
            Subject::GpuContainer(part) => {
                Self::GpuContainer { gpu_uuid: part.gpu_uuid.clone(), cgroup: part.cgroup.clone() }
            }
        }
    }

    /// Inodes, and what is found by path, begin anew with each boot.
    fn outlives_boot(&self) -> bool {
        matches!(self, Self::Node | Self::Gpu { .. })
    }
}

#[derive(Debug)]
struct Known {
    view: SubjectView,
    live: BTreeMap<Group, SeriesId>,
    ended: AxisNsec,
    meter: PeakMeter,
    /// CPUs that it may use; `None` where that is not known.
    cpus: Option<Arc<CpuList>>,
    /// The cluster knows it by its id.
    by_id: bool,
}

impl Known {
    /// `true`: it was somebody else, or of another role.
    fn rename(&mut self, identity: Identity) -> bool {
        let Identity { who, reason, requests } = identity;
        let view = &mut self.view;
        let same = view.who.as_ref() == Some(&who) && view.role_reason == reason && view.requests == requests;
        if !same {
            view.who = Some(who);
            view.role_reason = reason;
            view.requests = requests;
        }
        !same
    }
}

/// Every subject of a node.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    all: BTreeMap<SubjectId, Known>,
    same: BTreeMap<Sameness, SubjectId>,
    series: BTreeMap<SeriesId, SeriesKey>,
    next_id: u32,
    /// Something was added since all were named.
    unnamed: bool,
    shared: Option<Arc<[SubjectView]>>,
}

impl Subjects {
    /// A series begins, or is named again.
    pub(super) fn add(&mut self, series: &Series, roster: &Roster) {
        if self.series.contains_key(&series.id) {
            return;
        }
        let sameness = Sameness::of(&series.subject);
        let id = self.same.get(&sameness).copied().unwrap_or_else(|| {
            let id = SubjectId(self.next_id);
            self.next_id = self.next_id.wrapping_add(1);
            id
        });
        self.same.insert(sameness, id);
        let is_named = self.all.get(&id).is_some_and(|known| known.view.who.is_some());
        let identity = if is_named { None } else { self.identify(&series.subject, roster) };
        let known = self.all.entry(id).or_insert_with(|| Known {
            view: SubjectView {
                id,
                subject: Arc::new(series.subject.clone()),
                who: None,
                role_reason: "".into(),
                requests: InForce::Unknown,
                groups: Vec::new(),
                live: true,
                first_sample: None,
                peaks: Peaks::default(),
            },
            live: BTreeMap::new(),
            ended: AxisNsec::default(),
            meter: PeakMeter::default(),
            cpus: cpus(&series.subject),
            by_id: false,
        });
        if let Some(identity) = identity {
            known.rename(identity);
        }
        known.view.live = true;
        known.live.insert(series.group, series.id);
        if let Err(position) = known.view.groups.binary_search(&series.group) {
            known.view.groups.insert(position, series.group);
        }
        self.series.insert(series.id, SeriesKey { subject: id, group: series.group });
        self.unnamed = true;
        self.shared = None;
    }

    fn identify(&self, subject: &Subject, roster: &Roster) -> Option<Identity> {
        match subject {
            Subject::Container(container) => Some(roster.identify(container)),
            Subject::GpuContainer(part) => self.user(part.cgroup.as_ref()),
            Subject::Node | Subject::Gpu(_) => None,
        }
    }

    /// A container's part of a GPU is that container's.
    fn user(&self, cgroup: Option<&String>) -> Option<Identity> {
        self.all.values().find_map(|known| {
            let SubjectView { who, role_reason, requests, live, .. } = &known.view;
            let who = who.as_ref().filter(|who| *live && Some(&who.cgroup) == cgroup)?;
            Some(Identity { who: Arc::clone(who), reason: Arc::clone(role_reason), requests: *requests })
        })
    }

    /// Names containers by what the cluster knows, those that have ended too; with `news`, all of them,
    /// else those of which only the path is known. Where the cluster knows less than it did, as of
    /// what was deleted, the name stays.
    pub(super) fn name(&mut self, news: bool, identify: impl Fn(&ContainerSubject) -> Option<Found>) {
        if !news && !std::mem::take(&mut self.unnamed) {
            return;
        }
        let mut changed = false;
        for known in self.all.values_mut().filter(|known| news || !known.by_id) {
            let subject = Arc::clone(&known.view.subject);
            let Subject::Container(container) = &*subject else { continue };
            let Some(found) = identify(container).filter(|found| found.by_id || !known.by_id) else {
                continue;
            };
            known.by_id = found.by_id;
            changed |= known.rename(found.identity);
        }
        if !changed {
            return;
        }
        let parts: Vec<(SubjectId, Identity)> = self
            .all
            .iter()
            .filter_map(|(id, known)| {
                let Subject::GpuContainer(part) = &*known.view.subject else { return None };
                Some((*id, self.user(part.cgroup.as_ref())?))
            })
            .collect();
        for (id, identity) in parts {
            self.all.get_mut(&id).map(|known| known.rename(identity));
        }
        self.shared = None;
    }

    /// A series ended; its subject ends with the last of them.
    pub(super) fn end(&mut self, series: SeriesId, at: AxisNsec) {
        let Some(key) = self.series.remove(&series) else { return };
        let Some(known) = self.all.get_mut(&key.subject) else { return };
        // A new series of the same group is named before the old one's end is heard of.
        if known.live.get(&key.group) == Some(&series) {
            known.live.remove(&key.group);
        }
        if known.live.is_empty() {
            known.view.live = false;
            known.ended = at;
        }
        self.shared = None;
    }

    /// Every series ends that `lives` does not know.
    pub(super) fn end_unless(&mut self, lives: impl Fn(SeriesId) -> bool, at: AxisNsec) {
        let ended: Vec<SeriesId> = self.series.keys().copied().filter(|id| !lives(*id)).collect();
        for id in ended {
            self.end(id, at);
        }
    }

    /// The node has booted: its cgroups are others, whatever their paths and inodes.
    pub(super) fn reboot(&mut self) {
        self.same.retain(|sameness, _| sameness.outlives_boot());
    }

    /// Something is missing in the stream.
    pub(super) fn cut(&mut self) {
        self.all.values_mut().for_each(|known| known.meter.cut());
    }

    /// Forgets what ended long ago, and the oldest of what ended beyond the limit.
    pub(super) fn forget(&mut self, now: AxisNsec) {
        let ended = |known: &Known| !known.view.live;
        let mut oldest = now - ENDED_FOR;
        let mut times: Vec<AxisNsec> =
            self.all.values().filter(|known| ended(known)).map(|known| known.ended).collect();
        if times.len() > ENDED_SUBJECTS {
            times.sort_unstable();
            oldest = oldest.max(times[times.len() - ENDED_SUBJECTS]);
        }
        if times.into_iter().all(|at| at >= oldest) {
            return;
        }
        self.all.retain(|_, known| !ended(known) || known.ended >= oldest);
        self.same.retain(|_, id| self.all.contains_key(id));
        self.shared = None;
    }

    /// The key of a live series in the history.
    pub(super) fn key(&self, series: SeriesId) -> Option<SeriesKey> {
        self.series.get(&series).copied()
    }

    /// The container to which a live series belongs, who it is, and on which CPUs it may run.
    pub(super) fn container(
        &self,
        series: SeriesId,
    ) -> Option<(ContainerKey, &WhoRef, Option<&Arc<CpuList>>)> {
        let known = self.all.get(&self.series.get(&series)?.subject)?;
        let cpu = known.live.get(&Group::ContainerCpu)?;
        Some((ContainerKey(*cpu), known.view.who.as_ref()?, known.cpus.as_ref()))
    }

    /// The GPU that a live series is of.
    pub(super) fn gpu(&self, series: SeriesId) -> Option<&GpuSubject> {
        match &*self.all.get(&self.series.get(&series)?.subject)?.view.subject {
            Subject::Gpu(gpu) => Some(gpu),
            Subject::Node | Subject::Container(_) | Subject::GpuContainer(_) => None,
        }
    }

    /// The UUID of the GPU that a live series is a part of, and the container whose part it is; `None`
    /// where that is not known, or not sampled.
    pub(super) fn gpu_user(&self, series: SeriesId) -> Option<(&str, Option<ContainerKey>)> {
        match &*self.all.get(&self.series.get(&series)?.subject)?.view.subject {
            Subject::GpuContainer(part) => {
                Some((&part.gpu_uuid, part.cgroup.as_ref().and_then(|cgroup| self.container_in(cgroup))))
            }
            Subject::Node | Subject::Container(_) | Subject::Gpu(_) => None,
        }
    }

    /// The container that lives in a cgroup; those that had its path before it have ended.
    fn container_in(&self, cgroup: &str) -> Option<ContainerKey> {
        let with = |inode| Sameness::Container { cgroup: cgroup.to_owned(), inode };
        let mut there = self.same.range(with(0)..=with(u64::MAX));
        let cpu = |id: &SubjectId| self.all.get(id)?.live.get(&Group::ContainerCpu).copied();
        there.find_map(|(_, id)| cpu(id)).map(ContainerKey)
    }

    /// The `ContainerCpu` series of every live model, rising.
    pub(super) fn models(&self) -> Vec<SeriesId> {
        let is_model = |known: &&Known| known.view.who.as_ref().is_some_and(|who| who.role == Role::Model);
        let cpu = |known: &Known| known.live.get(&Group::ContainerCpu).copied();
        let mut series: Vec<SeriesId> = self.all.values().filter(is_model).filter_map(cpu).collect();
        series.sort_unstable();
        series
    }

    /// Takes note of stored ticks: first samples, and peaks. `times_nsec` are the node's.
    pub(super) fn sampled(
        &mut self,
        key: SeriesKey,
        first: AxisNsec,
        times_nsec: &[u64],
        values: &[Option<i64>],
    ) {
        let Some(known) = self.all.get_mut(&key.subject) else { return };
        let mut changed = false;
        if known.view.first_sample.is_none() {
            known.view.first_sample = Some(first);
            changed = true;
        }
        for (nsec, value) in times_nsec.iter().zip(values) {
            changed |= match (key.group, value) {
                (Group::ContainerCpu, Some(usage_usec)) => known.meter.cpu(*nsec, *usage_usec),
                (Group::ContainerMemory, Some(bytes)) => known.meter.memory(*bytes),
                _ => false,
            };
        }
        if changed {
            known.view.peaks = known.meter.peaks();
            self.shared = None;
        }
    }

    /// What readers may see, by rising id.
    pub(super) fn view(&mut self) -> Arc<[SubjectView]> {
        let all = &self.all;
        Arc::clone(self.shared.get_or_insert_with(|| all.values().map(|known| known.view.clone()).collect()))
    }
}

fn cpus(subject: &Subject) -> Option<Arc<CpuList>> {
    let Subject::Container(container) = subject else { return None };
    CpuList::parse(container.cpu_list.as_ref()?).ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use berth::{ContainerSubject, GpuContainerSubject, Seq};

    use super::*;
    use crate::roles::RosterConfig;

    fn series(id: u32) -> Series {
        let container = ContainerSubject {
            cgroup: "/m-a".to_owned(),
            inode: 7,
            pod_uid: None,
            container_id: None,
            qos: None,
            system: false,
            cpu_list: None,
        };
        let subject = Subject::Container(container);
        Series { id: SeriesId::new(id).unwrap(), first_seq: Seq::FIRST, group: Group::ContainerCpu, subject }
    }

    #[test]
    fn a_part_of_a_gpu_is_of_whoever_lives_in_its_cgroup_now() {
        let roster = Roster::new(RosterConfig::default()).unwrap();
        let mut subjects = Subjects::default();
        let mut again = series(2);
        if let Subject::Container(container) = &mut again.subject {
            container.inode = 9;
        }
        subjects.add(&series(1), &roster);
        for (id, cgroup) in [(3, Some("/m-a")), (4, Some("/m-b")), (5, None)] {
            let (gpu_uuid, cgroup) = ("GPU-1".to_owned(), cgroup.map(str::to_owned));
            let subject = Subject::GpuContainer(GpuContainerSubject { gpu_uuid, cgroup });
            subjects.add(&Series { group: Group::GpuContainer, subject, ..series(id) }, &roster);
        }
        let user = |subjects: &Subjects, id: u32| {
            subjects.gpu_user(series(id).id).map(|(_, container)| container.map(|key| key.0.get()))
        };
        assert_eq!([3, 4, 5].map(|id| user(&subjects, id)), [Some(Some(1)), Some(None), Some(None)]);
        subjects.end(series(1).id, AxisNsec(1));
        assert_eq!(user(&subjects, 3), Some(None), "it has ended");
        subjects.add(&again, &roster);
        assert_eq!(user(&subjects, 3), Some(Some(2)), "another has its path");
        assert_eq!(user(&subjects, 2), None, "no part of a GPU");
    }

    #[test]
    fn the_end_of_a_series_that_was_replaced_leaves_its_successor() {
        let roster = Roster::new(RosterConfig::default()).unwrap();
        let (old, new) = (series(1), series(2));
        let mut subjects = Subjects::default();
        subjects.add(&old, &roster);
        subjects.add(&new, &roster);
        subjects.end(old.id, AxisNsec(1));
        assert_eq!(subjects.container(new.id).map(|(key, ..)| key), Some(ContainerKey(new.id)));
    }
}
