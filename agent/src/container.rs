//! One sampled cgroup: its kept-open files, and what a tick reads of them.
//!
//! Invariant: what vanished says so once and is read no more; a counter that fell belongs to another
//! cgroup of that name, and is never subtracted. Opened by the watcher, read by the sampler.

use berth::{ContainerSubject, Group};

use crate::{
    columns::Chunk,
    discovery::Found,
    due::Due,
    facts::allowed_cpus,
    host::{Answer, HostRoot, KeptFile, PERIOD_NSEC, Pressure, PressureFiles, Reader, Reading, text},
    limits::{CpuLimits, Holder},
    series::Track,
};

/// A container for the watcher and the sampler; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

/// The longest memory limit: the digits of a 64-bit number, and a line's end.
const LIMIT_BYTES: usize = 32;

/// Where the CPU time is.
#[derive(Debug)]
enum Usage {
    /// v1's cpuacct.usage.
    Cpuacct(KeptFile),
    /// v2's cpu.stat.
    CpuStat(KeptFile),
}

/// Where the throttling is.
#[derive(Debug)]
pub enum Throttle {
    /// No quota is in sight.
    None,
    /// In the cpu.stat that is read for the usage anyway.
    WithUsage,
    /// In v1's cpu.stat, or in that of an ancestor that holds the quota.
    Other(KeptFile),
}

impl Throttle {
    /// Of the nearest cgroup whose quota can stop `cgroup`.
    pub fn of(host: &HostRoot, cgroup: &str, holder: Option<&Holder>) -> Self {
        match holder.map(|holder| &holder.cgroup) {
            None => Self::None,
            Some(holder) if holder == cgroup && host.hierarchies().cpu.is_none() => Self::WithUsage,
            Some(holder) => open(&host.cpu_file(holder, "cpu.stat")).map_or(Self::None, Self::Other),
        }
    }
}

/// What a sample says about the container itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It is there.
    Alive,
    /// It has ended.
    Gone,
    /// A counter fell: from here on it is another one.
    Reset,
}

/// A sampled cgroup.
#[derive(Debug)]
pub struct Container {
    /// Which one.
    pub key: Key,
    /// As the wire describes it.
    pub subject: ContainerSubject,
    /// Read by the watcher.
    pub cpu_limits: CpuLimits,
    usage: Usage,
    throttle: Throttle,
    memory: Option<KeptFile>,
    memory_limit: Option<KeptFile>,
    pressure: Option<PressureFiles>,
    /// When its pressure and its memory limit are read again: at one time, because a limit that was just set
    /// is what explains the stall.
    slow_due: Due,
    newest_pressure: Pressure,
    newest_memory_limit_bytes: Option<i64>,
    /// Usage and throttling of the tick before, to see them fall.
    last: (u64, [u64; 3]),
}

fn open(path: &std::path::Path) -> Option<KeptFile> {
    KeptFile::open(path).ok()
}

fn subject(host: &HostRoot, found: &Found) -> ContainerSubject {
    ContainerSubject {
        cgroup: found.cgroup.clone(),
        inode: found.inode,
        pod_uid: found.identity.pod_uid.clone(),
        container_id: found.identity.container_id.clone(),
        qos: found.identity.qos,
        system: found.system,
        cpu_list: allowed_cpus(host, &found.cgroup),
    }
}

impl Container {
    /// Opens its files. `quota_holder` is the nearest cgroup whose quota can stop it. `None`: it has
    /// vanished, or shows no CPU time.
    pub fn open(
        host: &HostRoot,
        found: &Found,
        key: Key,
        (cpu_limits, quota_holder): (CpuLimits, Option<&Holder>),
        pressure: bool,
        now_nsec: u64,
    ) -> Option<Self> {
        let cgroup = &found.cgroup;
        let cpuacct = host.cpuacct_file(cgroup, "cpuacct.usage").and_then(|path| open(&path));
        let cpu_stat = || open(&host.identity_file(cgroup, "cpu.stat"));
        let usage = cpuacct.map(Usage::Cpuacct).or_else(|| cpu_stat().map(Usage::CpuStat))?;
        let [current, limit] = if host.hierarchies().memory.is_some() {
            ["memory.usage_in_bytes", "memory.limit_in_bytes"]
        } else {
            ["memory.current", "memory.max"]
        };
        let memory_limit = open(&host.memory_file(cgroup, limit));
        Some(Self {
            key,
            subject: subject(host, found),
            cpu_limits,
            usage,
            throttle: Throttle::of(host, cgroup, quota_holder),
            memory: open(&host.memory_file(cgroup, current)),
            pressure: PressureFiles::of_cgroup(host, cgroup, now_nsec).filter(|_| pressure),
            slow_due: Due::spread(PERIOD_NSEC, key.0, now_nsec),
            newest_pressure: Pressure::default(),
            newest_memory_limit_bytes: memory_limit
                .as_ref()
                .and_then(|file| limit_bytes(file, &mut Reader::new(LIMIT_BYTES))),
            memory_limit,
            last: (0, [0; 3]),
        })
    }

    /// Another quota is the nearest from here on; its counters are not those of the one before.
    pub fn set_throttle(&mut self, throttle: Throttle) {
        self.throttle = throttle;
        self.last.1 = [0; 3];
    }

    /// The groups that it has values of.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        let throttled = !matches!(self.throttle, Throttle::None);
        [
            (Group::ContainerCpu, true),
            (Group::ContainerThrottling, throttled),
            (Group::ContainerMemory, self.memory.is_some()),
            (Group::ContainerPressure, self.pressure.is_some()),
            (Group::ContainerLimits, true),
        ]
        .into_iter()
        .filter_map(|(group, has)| has.then_some(group))
    }

    /// Reads all that is due into the newest tick of `chunk`.
    pub fn sample(&mut self, now_nsec: u64, reader: &mut Reader, track: &Track, chunk: &mut Chunk) -> Health {
        let (usage, throttling) = match self.read_cpu(reader) {
            Reading::Gone => return Health::Gone,
            Reading::Unknown => (None, None),
            Reading::Here((usage, throttling)) => (Some(usage), throttling),
        };
        if self.fell(usage, throttling) {
            return Health::Reset;
        }
        track.put(Group::ContainerCpu, chunk, [usage.and_then(signed)]);
        if let Some([periods, throttled_periods, throttled_usec]) = throttling {
            let row = [signed(periods), signed(throttled_periods), signed(throttled_usec)];
            track.put(Group::ContainerThrottling, chunk, row);
        }
        if let Some(memory) = &self.memory {
            let current = reader.read(memory).parse(text::number).here();
            track.put(Group::ContainerMemory, chunk, [current.and_then(signed)]);
        }
        self.read_slow(now_nsec, reader);
        track.put(Group::ContainerPressure, chunk, pressure_row(self.newest_pressure));
        let CpuLimits { millicpu, weight } = self.cpu_limits;
        track.put(Group::ContainerLimits, chunk, [millicpu, weight, self.newest_memory_limit_bytes]);
        Health::Alive
    }

    fn read_cpu(&self, reader: &mut Reader) -> Reading<(u64, Option<[u64; 3]>)> {
        let (usage, mut throttling) = match &self.usage {
            Usage::Cpuacct(file) => match reader.read(file).parse(text::cpuacct_usage_usec) {
                Reading::Here(usage) => (usage, None),
                Reading::Gone => return Reading::Gone,
                Reading::Unknown => return Reading::Unknown,
            },
            Usage::CpuStat(file) => match reader.read(file).parse(text::cpu_stat) {
                Reading::Here(text::CpuStat { usage_usec: Some(usage), throttling }) => (usage, throttling),
                Reading::Gone => return Reading::Gone,
                Reading::Here(_) | Reading::Unknown => return Reading::Unknown,
            },
        };
        match &self.throttle {
            Throttle::None => throttling = None,
            Throttle::WithUsage => {}
            Throttle::Other(file) => {
                throttling = reader.read(file).parse(text::cpu_stat).here().and_then(|stat| stat.throttling);
            }
        }
        let counters = |of: text::Throttling| [of.periods, of.throttled_periods, of.throttled_usec];
        Reading::Here((usage, throttling.map(counters)))
    }

    /// Whether a counter is below what it was; remembers the new values.
    fn fell(&mut self, usage: Option<u64>, throttling: Option<[u64; 3]>) -> bool {
        let before = self.last;
        self.last = (usage.unwrap_or(before.0), throttling.unwrap_or(before.1));
        self.last.0 < before.0 || self.last.1.iter().zip(before.1).any(|(&now, before)| now < before)
    }

    fn read_slow(&mut self, now_nsec: u64, reader: &mut Reader) {
        if !self.slow_due.is_due(now_nsec) {
            return;
        }
        if let Some(limit) = &self.memory_limit {
            self.newest_memory_limit_bytes = limit_bytes(limit, reader);
        }
        match self.pressure.as_mut().map(|files| files.read(now_nsec, reader)) {
            Some(Answer::New(pressure)) => self.newest_pressure = pressure,
            // The guard's no means that the newest reading stands; an end shows in the usage too.
            Some(Answer::Refused | Answer::Gone) | None => {}
        }
    }
}

fn limit_bytes(file: &KeptFile, reader: &mut Reader) -> Option<i64> {
    reader.read(file).parse(text::memory_limit_bytes).here()
}

/// A counter as the wire carries it.
pub fn signed(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

fn pressure_row(Pressure { cpu, memory, io }: Pressure) -> [Option<i64>; 6] {
    let some = |stall: Option<text::Stall>| stall.and_then(|stall| signed(stall.some_usec));
    let full = |stall: Option<text::Stall>| stall.and_then(|stall| stall.full_usec).and_then(signed);
    [some(cpu), full(cpu), some(memory), full(memory), some(io), full(io)]
}
