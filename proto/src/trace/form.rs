//! Entries as they travel, and as they lie in a file.

use prost::Message as _;

use super::{
    Container, ContainerUse, Entry, FORMAT, Frame, Header, Late, NamedWho, Owner, RawThreads, Role,
    SinceStart, Who,
};
use crate::{
    CpuList, NodeName, ProtocolError, SeriesId, limits, raw,
    usage::{GpuUse, GpuUser, IoUse, Limits, NodeUse, Pressure, QuotaUse, Reclaim, ThreadUse, Throttling},
    wire,
};

/// Bytes before an entry that tell its length: seven bits each.
const LENGTH_BYTES: usize = 3;

const _: () = assert!(limits::TRACE_ENTRY_BYTES < 1 << (7 * LENGTH_BYTES), "the length must fit");

impl Entry {
    /// As it lies in a file: its length, then itself.
    pub fn to_file(self) -> Vec<u8> {
        wire::TraceEntry::from(self).encode_length_delimited_to_vec()
    }

    /// From what lies behind its length in a file. Errors name the field.
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProtocolError> {
        wire::TraceEntry::decode(bytes)
            .map_err(|error| ProtocolError::invalid("entry", error, "a TraceEntry of trace.proto"))?
            .try_into()
    }

    /// How long the entry is whose file form begins with these bytes; `None` where more of them are
    /// needed. Errors: it is longer than any entry.
    pub fn length(begin: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let rule = "a length of at most 524288 bytes";
        let is_last = |byte: &&u8| **byte < 0x80;
        if begin.iter().take(LENGTH_BYTES).any(|byte| is_last(&byte)) {
            let length = prost::decode_length_delimiter(begin)
                .map_err(|error| ProtocolError::invalid("length", error, rule))?;
            ProtocolError::at_most("length", length, limits::TRACE_ENTRY_BYTES)?;
            return Ok(Some(length));
        }
        if begin.len() < LENGTH_BYTES {
            return Ok(None);
        }
        Err(ProtocolError::invalid("length", "a longer number", rule))
    }
}

impl TryFrom<wire::TraceEntry> for Entry {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceEntry) -> Result<Self, ProtocolError> {
        use wire::trace_entry::Entry as Wire;
        Ok(match wire.entry.ok_or(ProtocolError::Missing { field: "entry" })? {
            Wire::Header(header) => Self::Header(Box::new(header.try_into()?)),
            Wire::Who(who) => Self::Who(who.try_into()?),
            Wire::Container(container) => Self::Container(container.try_into()?),
            Wire::Frame(frame) => Self::Frame(frame.try_into()?),
            Wire::Late(late) => Self::Late(late.try_into()?),
            Wire::Step(step) => Self::Step(SinceStart(step.since_start_nsec)),
            Wire::Reset(reset) => Self::Reset(SinceStart(reset.since_start_nsec)),
            Wire::RawThreads(threads) => Self::RawThreads(threads.try_into()?),
        })
    }
}

impl From<Entry> for wire::TraceEntry {
    fn from(entry: Entry) -> Self {
        use wire::trace_entry::Entry as Wire;
        let entry = match entry {
            Entry::Header(header) => Wire::Header((*header).into()),
            Entry::Who(who) => Wire::Who(who.into()),
            Entry::Container(container) => Wire::Container(container.into()),
            Entry::Frame(frame) => Wire::Frame(frame.into()),
            Entry::Late(late) => {
                let Late { tick, key, add } = late;
                Wire::Late(wire::TraceLate { tick, key: key.get(), add: Some(add.into()) })
            }
            Entry::Step(SinceStart(since_start_nsec)) => Wire::Step(wire::TraceStep { since_start_nsec }),
            Entry::Reset(SinceStart(since_start_nsec)) => Wire::Reset(wire::TraceReset { since_start_nsec }),
            Entry::RawThreads(threads) => Wire::RawThreads(threads.into()),
        };
        Self { entry: Some(entry) }
    }
}

impl TryFrom<wire::TraceHeader> for Header {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceHeader) -> Result<Self, ProtocolError> {
        if wire.format != FORMAT {
            let rule = "1: use the version of berth that recorded it";
            return Err(ProtocolError::invalid("header.format", wire.format, rule));
        }
        Ok(Self {
            berth_version: text("header.berth_version", wire.berth_version, limits::NAME_BYTES)?,
            node: NodeName::new(wire.node)?,
            facts: wire.facts.ok_or(ProtocolError::Missing { field: "header.facts" })?.try_into()?,
            start_unix_nsec: wire.start_unix_nsec,
            named: wire.named,
            threads: wire.threads,
        })
    }
}

impl From<Header> for wire::TraceHeader {
    fn from(header: Header) -> Self {
        Self {
            format: FORMAT,
            berth_version: header.berth_version,
            node: header.node.to_string(),
            facts: Some(header.facts.into()),
            start_unix_nsec: header.start_unix_nsec,
            named: header.named,
            threads: header.threads,
        }
    }
}

impl TryFrom<wire::TraceWho> for NamedWho {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceWho) -> Result<Self, ProtocolError> {
        let index = wire.index;
        let wire = wire.who.ok_or(ProtocolError::Missing { field: "who.who" })?;
        let role = match wire.role() {
            wire::Role::Model => Role::Model,
            wire::Role::Scanner => Role::Scanner,
            wire::Role::LoadGenerator => Role::LoadGenerator,
            wire::Role::Other => Role::Other,
            wire::Role::Unspecified => {
                return Err(ProtocolError::invalid("who.role", wire.role, "a role of this contract"));
            }
        };
        // A name of a workloads file may be as long as the path that it was taken from.
        let text = |field, value| text(field, value, limits::PATH_BYTES);
        let owner = Owner {
            kind: text("who.owner_kind", wire.owner_kind)?,
            name: text("who.owner_name", wire.owner_name)?,
        };
        let who = Who {
            namespace: text("who.namespace", wire.namespace)?,
            pod: text("who.pod", wire.pod)?,
            pod_uid: text("who.pod_uid", wire.pod_uid)?,
            container: text("who.container", wire.container)?,
            owner: (!owner.kind.is_empty() || !owner.name.is_empty()).then_some(owner),
            role,
            cgroup: text("who.cgroup", wire.cgroup)?,
        };
        Ok(Self { index, who })
    }
}

impl From<NamedWho> for wire::TraceWho {
    fn from(NamedWho { index, who }: NamedWho) -> Self {
        let role = match who.role {
            Role::Model => wire::Role::Model,
            Role::Scanner => wire::Role::Scanner,
            Role::LoadGenerator => wire::Role::LoadGenerator,
            Role::Other => wire::Role::Other,
        };
        let (owner_kind, owner_name) = who.owner.map(|owner| (owner.kind, owner.name)).unwrap_or_default();
        let who = wire::Who {
            namespace: who.namespace,
            pod: who.pod,
            pod_uid: who.pod_uid,
            container: who.container,
            owner_kind,
            owner_name,
            role: role.into(),
            cgroup: who.cgroup,
        };
        Self { index, who: Some(who) }
    }
}

impl TryFrom<wire::TraceContainer> for Container {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceContainer) -> Result<Self, ProtocolError> {
        let field = "container.cpu_list";
        let list = text(field, wire.cpu_list, limits::CPU_LIST_BYTES)?;
        let cpus = if list.is_empty() { None } else { Some(CpuList::parse(&list)) };
        let cpus = cpus.transpose().map_err(|_| ProtocolError::invalid(field, list, "CPUs like 0-3,8"))?;
        Ok(Self { key: key("container.key", wire.key)?, who: wire.who, cpus })
    }
}

impl From<Container> for wire::TraceContainer {
    fn from(Container { key, who, cpus }: Container) -> Self {
        let cpu_list = cpus.map(|cpus| cpus.to_string()).unwrap_or_default();
        Self { key: key.get(), who, cpu_list }
    }
}

impl TryFrom<wire::TraceFrame> for Frame {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceFrame) -> Result<Self, ProtocolError> {
        let containers: Vec<ContainerUse> =
            wire.containers.into_iter().map(ContainerUse::try_from).collect::<Result<_, _>>()?;
        let gpus: Vec<GpuUse> = wire.gpus.into_iter().map(GpuUse::try_from).collect::<Result<_, _>>()?;
        rising("frame.containers.key", containers.iter().map(|container| container.key))?;
        rising("frame.gpus.key", gpus.iter().map(|gpu| gpu.key))?;
        Ok(Self {
            at: SinceStart(wire.since_start_nsec),
            tick: wire.tick,
            dt_nsec: wire.dt_nsec,
            node: wire.node.map(NodeUse::from),
            node_pressure: wire.node_pressure.map(Pressure::from),
            available_bytes: wire.available_bytes,
            containers,
            gpus,
        })
    }
}

impl From<Frame> for wire::TraceFrame {
    fn from(frame: Frame) -> Self {
        Self {
            since_start_nsec: frame.at.0,
            tick: frame.tick,
            dt_nsec: frame.dt_nsec,
            node: frame.node.map(Into::into),
            node_pressure: frame.node_pressure.map(Into::into),
            available_bytes: frame.available_bytes,
            containers: frame.containers.into_iter().map(Into::into).collect(),
            gpus: frame.gpus.into_iter().map(Into::into).collect(),
        }
    }
}

fn rising(field: &'static str, keys: impl Iterator<Item = SeriesId> + Clone) -> Result<(), ProtocolError> {
    match keys.clone().zip(keys.skip(1)).find(|(before, key)| before >= key) {
        Some((_, key)) => Err(ProtocolError::invalid(field, key.get(), "higher than the key before it")),
        None => Ok(()),
    }
}

impl TryFrom<wire::TraceContainerUse> for ContainerUse {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceContainerUse) -> Result<Self, ProtocolError> {
        Ok(Self {
            key: key("frame.containers.key", wire.key)?,
            usage_nsec: wire.usage_nsec,
            threads: wire.threads.map(Into::into),
            throttling: wire.throttling.map(Into::into),
            pressure: wire.pressure.map(Into::into),
            memory_bytes: wire.memory_bytes,
            reclaim: wire.reclaim.map(Into::into),
            io: wire.io.map(Into::into),
            limits: wire.limits.map(Into::into),
            quotas: wire.quotas.map(Into::into),
        })
    }
}

impl From<ContainerUse> for wire::TraceContainerUse {
    fn from(of: ContainerUse) -> Self {
        Self {
            key: of.key.get(),
            usage_nsec: of.usage_nsec,
            threads: of.threads.map(Into::into),
            throttling: of.throttling.map(Into::into),
            pressure: of.pressure.map(Into::into),
            memory_bytes: of.memory_bytes,
            reclaim: of.reclaim.map(Into::into),
            io: of.io.map(Into::into),
            limits: of.limits.map(Into::into),
            quotas: of.quotas.map(Into::into),
        }
    }
}

impl TryFrom<wire::TraceGpuUse> for GpuUse {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceGpuUse) -> Result<Self, ProtocolError> {
        Ok(Self {
            key: key("frame.gpus.key", wire.key)?,
            sm_permille: wire.sm_permille,
            memory_used_bytes: wire.memory_used_bytes,
            memory_total_bytes: wire.memory_total_bytes,
            users: wire.users.into_iter().map(GpuUser::from).collect(),
        })
    }
}

impl From<GpuUse> for wire::TraceGpuUse {
    fn from(gpu: GpuUse) -> Self {
        Self {
            key: gpu.key.get(),
            sm_permille: gpu.sm_permille,
            memory_used_bytes: gpu.memory_used_bytes,
            memory_total_bytes: gpu.memory_total_bytes,
            users: gpu.users.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wire::TraceGpuUser> for GpuUser {
    fn from(wire: wire::TraceGpuUser) -> Self {
        let wire::TraceGpuUser { container, sm_permille, memory_used_bytes } = wire;
        Self { container: SeriesId::new(container), sm_permille, memory_used_bytes }
    }
}

impl From<GpuUser> for wire::TraceGpuUser {
    fn from(GpuUser { container, sm_permille, memory_used_bytes }: GpuUser) -> Self {
        Self { container: container.map_or(0, SeriesId::get), sm_permille, memory_used_bytes }
    }
}

impl TryFrom<wire::TraceLate> for Late {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceLate) -> Result<Self, ProtocolError> {
        let add = wire.add.ok_or(ProtocolError::Missing { field: "late.add" })?.into();
        Ok(Self { tick: wire.tick, key: key("late.key", wire.key)?, add })
    }
}

impl TryFrom<wire::TraceRawThreads> for RawThreads {
    type Error = ProtocolError;

    fn try_from(wire: wire::TraceRawThreads) -> Result<Self, ProtocolError> {
        Ok(Self {
            at: SinceStart(wire.since_start_nsec),
            key: key("raw_threads.key", wire.key)?,
            dt_nsec: wire.dt_nsec,
            threads: raw::readings("raw_threads.threads", wire.threads.unwrap_or_default())?,
            lost: wire.lost,
        })
    }
}

impl From<RawThreads> for wire::TraceRawThreads {
    fn from(RawThreads { at, key, dt_nsec, threads, lost }: RawThreads) -> Self {
        let threads = Some(raw::columns(&threads));
        Self { since_start_nsec: at.0, key: key.get(), dt_nsec, threads, lost }
    }
}

/// Messages that hold the very fields of the strict type, every value of which is valid.
macro_rules! alike {
    ($($strict:ident = $wire:ident { $($field:ident),+ })+) => {$(
        impl From<wire::$wire> for $strict {
            fn from(wire::$wire { $($field),+ }: wire::$wire) -> Self {
                Self { $($field),+ }
            }
        }

        impl From<$strict> for wire::$wire {
            fn from($strict { $($field),+ }: $strict) -> Self {
                Self { $($field),+ }
            }
        }
    )+};
}

alike! {
    NodeUse = TraceNodeUse { cpus, idle_nsec, irq_nsec, steal_nsec }
    ThreadUse = TraceThreadUse { run_nsec, wait_nsec, throttled_nsec, sibling_nsec_cpus }
    Throttling = TraceThrottling { periods, throttled_periods, throttled_usec }
    Pressure = TracePressure {
        cpu_some_usec, cpu_full_usec, memory_some_usec, memory_full_usec, io_some_usec, io_full_usec
    }
    Reclaim = TraceReclaim {
        anon_bytes, file_bytes, major_faults, refaults, direct_reclaim_pages, limit_hits, oom_kills
    }
    IoUse = TraceIoUse { read_bytes, write_bytes, read_ops, write_ops }
    QuotaUse = TraceQuotaUse { own_usec, pod_usec, any_usec, pod_cpu_millicpu, slice_cpu_millicpu }
    Limits = TraceLimits { cpu_millicpu, cpu_weight, memory_bytes }
}

fn key(field: &'static str, number: u32) -> Result<SeriesId, ProtocolError> {
    SeriesId::new(number).ok_or(ProtocolError::Missing { field })
}

fn text(field: &'static str, text: String, limit: usize) -> Result<String, ProtocolError> {
    ProtocolError::at_most(field, text.len(), limit)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
