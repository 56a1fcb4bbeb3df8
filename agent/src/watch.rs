//! The watcher: a thread that finds cgroups and threads, opens their files, and hands them to the
//! sampler, which itself opens nothing.
//!
//! Invariant: what the sampler was told to add and not to remove is what the last sweep found.

use std::{
    collections::{HashMap, HashSet},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    time::Duration,
};

use berth::NodeFacts;
use tracing::{debug, info, warn};

use crate::{
    clock::{SECOND_NSEC, now_nsec},
    container::{Container, Key, Throttle},
    discovery::{Discovery, Found},
    due::Due,
    host::{Dir, HostRoot},
    limits::{CpuLimits, Holder, LimitReader, QuotaFile, cpu_dir},
    threads::{THREADS, ThreadFile, Watched, tids_by_process, tids_of},
};

/// How often the tree is swept. A container shorter than this may be missed; its CPU time then
/// shows as its pod's, in nobody's series.
const SWEEP_NSEC: u64 = SECOND_NSEC;

/// How often the threads in Focus are listed anew.
const THREADS_NSEC: u64 = SECOND_NSEC / 2;

/// Changes that may wait for the sampler, which takes them at each flush. More make the watcher
/// wait, which it may.
pub const CHANGES: usize = 256;

/// Orders that may wait for the watcher.
pub const ORDERS: usize = 8;

/// A cgroup's identity: its path and its inode.
pub type CgroupId = (String, u64);

/// For the sampler.
#[derive(Debug)]
pub enum Change {
    /// Sample this.
    Add(Box<Container>),
    /// It is gone.
    Remove(Key),
    /// Its part of the CPUs has changed.
    Limit(Key, CpuLimits),
    /// Another quota is the nearest that can stop it.
    Throttle(Key, Throttle),
    /// Watch its threads, under these quotas.
    Focus(Key, Vec<QuotaFile>),
    /// Its threads are under these quotas now.
    Quotas(Key, Vec<QuotaFile>),
    /// These are new.
    Threads(Key, Vec<ThreadFile>),
    /// Watch its threads no more.
    Unfocus(Key),
}

/// From the aggregator: the containers whose threads are wanted.
pub type FocusOrder = HashSet<CgroupId>;

struct Known {
    key: Key,
    subject: berth::ContainerSubject,
    dir: Option<Dir>,
    limits: CpuLimits,
    /// Those whose quota can stop it, nearest first.
    holders: Vec<Holder>,
    watched: Option<Watched>,
}

/// The sampler has ended.
struct Ended;

/// The watcher's state.
pub struct Watcher {
    host: HostRoot,
    discovery: Discovery,
    facts: NodeFacts,
    changes: SyncSender<Change>,
    known: HashMap<CgroupId, Known>,
    focus: FocusOrder,
    keys: u64,
    warned_full: bool,
    warned_open: bool,
}

impl Watcher {
    /// Watches what `discovery` finds, as far as the node lets us see.
    pub fn new(host: HostRoot, discovery: Discovery, facts: &NodeFacts, changes: SyncSender<Change>) -> Self {
        Self {
            host,
            discovery,
            facts: facts.clone(),
            changes,
            known: HashMap::new(),
            focus: FocusOrder::new(),
            keys: 0,
            warned_full: false,
            warned_open: false,
        }
    }

    /// Runs until either side has ended.
    pub fn run(mut self, orders: &Receiver<FocusOrder>) {
        let start = now_nsec();
        let (mut sweep, mut threads) = (Due::starting(SWEEP_NSEC, start), Due::starting(THREADS_NSEC, start));
        loop {
            let now = now_nsec();
            let mut done = Ok(());
            if sweep.is_due(now) {
                done = self.sweep();
            }
            if threads.is_due(now) {
                done = done.and_then(|()| self.refresh_threads());
            }
            if done.is_err() {
                return;
            }
            let wait = sweep.next_nsec().min(threads.next_nsec()).saturating_sub(now_nsec());
            match orders.recv_timeout(Duration::from_nanos(wait)) {
                // Where the kernel counts no waits, a focus would show zeros that are none.
                Ok(focus) if !self.facts.thread_waits => {
                    debug!(
                        containers = focus.len(),
                        "no thread's wait can be read here: nothing to focus on"
                    );
                }
                Ok(focus) => {
                    self.focus = focus;
                    threads = Due::starting(THREADS_NSEC, now_nsec());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tell(&self, change: Change) -> Result<(), Ended> {
        self.changes.send(change).map_err(|_| Ended)
    }

    fn sweep(&mut self) -> Result<(), Ended> {
        let known_before = self.known.len();
        let found = self.discovery.sweep(&self.host);
        let ids: HashSet<CgroupId> = found.iter().map(|found| (found.cgroup.clone(), found.inode)).collect();
        let gone: Vec<CgroupId> = self.known.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        for id in gone {
            self.forget(&id)?;
        }
        let host = self.host.clone();
        let mut limits = LimitReader::new(&host);
        for found in found {
            self.look_at(&found, &mut limits)?;
        }
        if self.known.len() != known_before {
            info!(cgroups = self.known.len(), "sampling");
        }
        Ok(())
    }

    fn forget(&mut self, id: &CgroupId) -> Result<(), Ended> {
        match self.known.remove(id) {
            Some(known) => self.tell(Change::Remove(known.key)),
            None => Ok(()),
        }
    }

    fn look_at(&mut self, found: &Found, limits: &mut LimitReader<'_>) -> Result<(), Ended> {
        let id = (found.cgroup.clone(), found.inode);
        let Some(known) = self.known.get_mut(&id) else { return self.meet(id, found, limits) };
        let now = limits.limits(&found.cgroup, known.dir.as_ref());
        let before = std::mem::replace(&mut known.limits, now);
        let holders = limits.quota_holders(&found.cgroup);
        let held = std::mem::replace(&mut known.holders, holders);
        let (key, host, nearest) = (known.key, &self.host, known.holders.first());
        let limit = (now != before).then_some(Change::Limit(key, now));
        let is_another = nearest.map(|holder| &holder.cgroup) != held.first().map(|holder| &holder.cgroup);
        let throttle = is_another.then(|| Change::Throttle(key, Throttle::of(host, &found.cgroup, nearest)));
        let is_under_others = known.watched.is_some() && known.holders != held;
        let quotas = || Change::Quotas(key, QuotaFile::open_all(host, &found.cgroup, &known.holders));
        let quotas = is_under_others.then(quotas);
        [limit, throttle, quotas].into_iter().flatten().try_for_each(|change| self.tell(change))
    }

    /// Opens a cgroup that was not there before.
    fn meet(&mut self, id: CgroupId, found: &Found, limits: &mut LimitReader<'_>) -> Result<(), Ended> {
        self.keys += 1;
        let (key, dir) = (Key(self.keys), cpu_dir(&self.host, &found.cgroup));
        let own = limits.limits(&found.cgroup, dir.as_ref());
        let holders = limits.quota_holders(&found.cgroup);
        let quota = (own, holders.first());
        let container = Container::open(&self.host, found, key, quota, self.facts.pressure, now_nsec());
        let Some(container) = container else {
            self.complain(found);
            return Ok(());
        };
        let subject = container.subject.clone();
        let known = Known { key, subject, dir, limits: own, holders, watched: None };
        self.known.insert(id, known);
        debug!(cgroup = %found.cgroup, system = found.system, "sampling");
        self.tell(Change::Add(Box::new(container)))
    }

    /// A cgroup that is there and cannot be opened; said once, because it would be said each second.
    fn complain(&mut self, found: &Found) {
        if self.host.inode(&found.cgroup).is_some() && !std::mem::replace(&mut self.warned_open, true) {
            warn!(cgroup = %found.cgroup, "cannot open its CPU counters: raise the open file limit, or allow reads of its cpu.stat");
        }
    }

    /// Brings what is watched in line with the Focus, and lists the threads of all that is.
    fn refresh_threads(&mut self) -> Result<(), Ended> {
        let now = now_nsec();
        for (id, known) in &mut self.known {
            let wanted = self.focus.contains(id);
            let change = match &known.watched {
                None if wanted => {
                    known.watched = Some(Watched::new(now));
                    Change::Focus(known.key, QuotaFile::open_all(&self.host, &id.0, &known.holders))
                }
                Some(_) if !wanted => {
                    known.watched = None;
                    Change::Unfocus(known.key)
                }
                None | Some(_) => continue,
            };
            self.changes.send(change).map_err(|_| Ended)?;
        }
        let mut room = THREADS.saturating_sub(
            self.known.values().filter_map(|known| known.watched.as_ref()).map(Watched::len).sum(),
        );
        for (id, tids) in self.list_threads() {
            let Some(known) = self.known.get_mut(&id) else { continue };
            let Some(watched) = &mut known.watched else { continue };
            let fresh = watched.refresh(&self.host, &tids, room);
            room = room.saturating_sub(fresh.len());
            let key = known.key;
            if !fresh.is_empty() {
                self.tell(Change::Threads(key, fresh))?;
            }
        }
        if room == 0 && !std::mem::replace(&mut self.warned_full, true) {
            warn!(limit = THREADS, "more threads in focus than are watched; their waits are undercounted");
        }
        Ok(())
    }

    fn list_threads(&self) -> Vec<(CgroupId, Vec<u32>)> {
        let (mut listed, mut hidden) = (Vec::new(), Vec::new());
        for (id, known) in self.known.iter().filter(|(_, known)| known.watched.is_some()) {
            match tids_of(&self.host, &id.0) {
                Some(tids) => listed.push((id.clone(), tids)),
                None => hidden.push((id, &known.subject)),
            }
        }
        if !hidden.is_empty() {
            let subjects: Vec<_> = hidden.iter().map(|&(_, subject)| subject).collect();
            let tids = tids_by_process(&self.host, &subjects);
            listed.extend(hidden.into_iter().map(|(id, _)| id.clone()).zip(tids));
        }
        listed
    }
}
