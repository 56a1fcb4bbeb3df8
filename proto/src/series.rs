//! What is sampled, and in which columns.
//!
//! Invariant: a group's tuple of metrics never changes; [`Group::metrics`] is its only definition.

use crate::{ProtocolError, Seq, SeriesId, limits, wire};

/// How the values of a metric relate to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Cumulative since the subject began.
    Counter,
    /// The value now.
    Gauge,
    /// What happened within the tick.
    Amount,
}

/// One column of a group. The unit is in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// In snake_case, with its unit.
    pub name: &'static str,
    /// How its values relate to time.
    pub kind: Kind,
}

const fn counter(name: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter }
}

const fn gauge(name: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge }
}

const fn amount(name: &'static str) -> Metric {
    Metric { name, kind: Kind::Amount }
}

macro_rules! groups {
    ($($(#[$doc:meta])* $group:ident = $slow:literal [$($metric:expr),+ $(,)?]),+ $(,)?) => {
        /// A fixed tuple of metrics that are sampled together; `ingest.proto` documents each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Group { $($(#[$doc])* $group),+ }

        impl Group {
            /// Every group, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$group),+];

            /// The columns of this group, in the order in which they travel.
            pub fn metrics(self) -> &'static [Metric] {
                match self { $(Self::$group => const { &[$($metric),+] }),+ }
            }

            /// Read once a second; the ticks between repeat the newest reading.
            pub fn is_slow(self) -> bool {
                match self { $(Self::$group => $slow),+ }
            }

            /// The number as it travels.
            pub fn to_wire(self) -> wire::Group {
                match self { $(Self::$group => wire::Group::$group),+ }
            }

            fn from_wire(group: wire::Group) -> Option<Self> {
                match group {
                    wire::Group::Unspecified => None,
                    $(wire::Group::$group => Some(Self::$group)),+
                }
            }
        }
    };
}

groups! {
    /// CPU time of the node's own CPUs.
    NodeCpu = false [counter("busy_usec"), counter("idle_usec"), counter("irq_usec"), counter("steal_usec")],
    /// What memory is left.
    NodeMemory = true [gauge("available_bytes"), gauge("free_bytes")],
    /// Stall time of the whole node.
    NodePressure = true [counter("cpu_some_usec"), counter("memory_some_usec"), counter("memory_full_usec"),
        counter("io_some_usec"), counter("io_full_usec")],
    /// CPU time of a container.
    ContainerCpu = false [counter("usage_usec")],
    /// How often and how long its limit stopped it.
    ContainerThrottling = false [counter("periods"), counter("throttled_periods"), counter("throttled_usec")],
    /// Memory charged to it.
    ContainerMemory = false [gauge("current_bytes")],
    /// Its stall time.
    ContainerPressure = true [counter("cpu_some_usec"), counter("cpu_full_usec"), counter("memory_some_usec"),
        counter("memory_full_usec"), counter("io_some_usec"), counter("io_full_usec")],
    /// Its threads' run and wait, folded.
    ContainerThreads = false [amount("run_nsec"), amount("wait_nsec"), amount("throttled_nsec"),
        amount("sibling_nsec_cpus")],
    /// What it may use; -1 for no limit.
    ContainerLimits = true [gauge("cpu_limit_millicpu"), gauge("cpu_weight"), gauge("memory_limit_bytes")],
    /// How its memory is used and reclaimed.
    ContainerReclaim = true [gauge("anon_bytes"), gauge("file_bytes"), gauge("inactive_file_bytes"),
        counter("major_faults"), counter("refaults"), counter("direct_reclaim_pages"), counter("limit_hits"),
        counter("oom_kills")],
    /// Its block I/O.
    ContainerIo = true [counter("read_bytes"), counter("write_bytes"), counter("read_ops"), counter("write_ops")],
    /// Whose quota stopped it, and the limits above its own.
    ContainerQuotas = false [counter("own_usec"), counter("pod_usec"), counter("any_usec"),
        gauge("pod_cpu_limit_millicpu"), gauge("slice_cpu_limit_millicpu")],
    /// One GPU.
    GpuDevice = false [gauge("sm_permille"), gauge("memory_used_bytes"), counter("energy_millijoules"),
        gauge("throttle_reasons")],
    /// One container's part of one GPU.
    GpuContainer = false [gauge("sm_permille"), gauge("memory_used_bytes")],
    /// The agent itself.
    Agent = false [counter("cpu_usec"), counter("ticks"), counter("missed_ticks"), counter("read_nsec"),
        counter("reads")],
}

impl TryFrom<i32> for Group {
    type Error = ProtocolError;

    fn try_from(number: i32) -> Result<Self, ProtocolError> {
        wire::Group::try_from(number)
            .ok()
            .and_then(Self::from_wire)
            .ok_or_else(|| ProtocolError::invalid("group", number, "a group of this contract"))
    }
}

/// The service class of a pod, which decides its weight against others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qos {
    /// Requests equal limits.
    Guaranteed,
    /// Some requests.
    Burstable,
    /// No requests.
    BestEffort,
}

/// A cgroup that is sampled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerSubject {
    /// Below the hierarchy's root, with a leading slash.
    pub cgroup: String,
    /// The directory's inode: a reused path is another container.
    pub inode: u64,
    /// From the path; a static pod's is its config hash.
    pub pod_uid: Option<String>,
    /// 64 hexadecimal digits.
    pub container_id: Option<String>,
    /// From the path.
    pub qos: Option<Qos>,
    /// A part of the system rather than a container.
    pub system: bool,
    /// The CPUs that it may use, as a kernel list.
    pub cpu_list: Option<String>,
}

/// A GPU, or a MIG instance of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GpuSubject {
    /// NVML's.
    pub uuid: String,
    /// NVML's.
    pub index: u32,
    /// The product.
    pub name: String,
    /// All of it.
    pub memory_bytes: u64,
}

/// One container's use of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GpuContainerSubject {
    /// NVML's.
    pub gpu_uuid: String,
    /// None: the work could not be attributed.
    pub cgroup: Option<String>,
}

/// What a series is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The node itself.
    Node,
    /// A container or a system slice.
    Container(ContainerSubject),
    /// A GPU.
    Gpu(GpuSubject),
    /// A part of a GPU.
    GpuContainer(GpuContainerSubject),
}

/// A subject's group of metrics, under a number that lives as long as the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Never used twice within an incarnation.
    pub id: SeriesId,
    /// The first record that may carry it.
    pub first_seq: Seq,
    /// The columns.
    pub group: Group,
    /// Whose they are.
    pub subject: Subject,
}

fn bounded(field: &'static str, text: String, limit: usize) -> Result<String, ProtocolError> {
    ProtocolError::at_most(field, text.len(), limit)?;
    Ok(text)
}

fn optional(field: &'static str, text: String, limit: usize) -> Result<Option<String>, ProtocolError> {
    Ok(Some(bounded(field, text, limit)?).filter(|text| !text.is_empty()))
}

impl TryFrom<wire::ContainerSubject> for ContainerSubject {
    type Error = ProtocolError;

    fn try_from(wire: wire::ContainerSubject) -> Result<Self, ProtocolError> {
        if !wire.cgroup.starts_with('/') {
            return Err(ProtocolError::invalid(
                "container.cgroup",
                wire.cgroup,
                "a path with a leading slash",
            ));
        }
        let qos = match wire::Qos::try_from(wire.qos) {
            Ok(wire::Qos::Guaranteed) => Some(Qos::Guaranteed),
            Ok(wire::Qos::Burstable) => Some(Qos::Burstable),
            Ok(wire::Qos::BestEffort) => Some(Qos::BestEffort),
            Ok(wire::Qos::Unspecified) | Err(_) => None,
        };
        Ok(Self {
            cgroup: bounded("container.cgroup", wire.cgroup, limits::PATH_BYTES)?,
            inode: wire.inode,
            pod_uid: optional("container.pod_uid", wire.pod_uid, limits::NAME_BYTES)?,
            container_id: optional("container.container_id", wire.container_id, limits::NAME_BYTES)?,
            qos,
            system: wire.system,
            cpu_list: optional("container.cpu_list", wire.cpu_list, limits::CPU_LIST_BYTES)?,
        })
    }
}

impl From<ContainerSubject> for wire::ContainerSubject {
    fn from(subject: ContainerSubject) -> Self {
        let qos = match subject.qos {
            None => wire::Qos::Unspecified,
            Some(Qos::Guaranteed) => wire::Qos::Guaranteed,
            Some(Qos::Burstable) => wire::Qos::Burstable,
            Some(Qos::BestEffort) => wire::Qos::BestEffort,
        };
        Self {
            cgroup: subject.cgroup,
            inode: subject.inode,
            pod_uid: subject.pod_uid.unwrap_or_default(),
            container_id: subject.container_id.unwrap_or_default(),
            qos: qos.into(),
            system: subject.system,
            cpu_list: subject.cpu_list.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::series::Subject> for Subject {
    type Error = ProtocolError;

    fn try_from(wire: wire::series::Subject) -> Result<Self, ProtocolError> {
        Ok(match wire {
            wire::series::Subject::Node(wire::NodeSubject {}) => Self::Node,
            wire::series::Subject::Container(container) => Self::Container(container.try_into()?),
            wire::series::Subject::Gpu(gpu) => Self::Gpu(GpuSubject {
                uuid: bounded("gpu.uuid", gpu.uuid, limits::NAME_BYTES)?,
                index: gpu.index,
                name: bounded("gpu.name", gpu.name, limits::NAME_BYTES)?,
                memory_bytes: gpu.memory_bytes,
            }),
            wire::series::Subject::GpuContainer(part) => Self::GpuContainer(GpuContainerSubject {
                gpu_uuid: bounded("gpu_container.gpu_uuid", part.gpu_uuid, limits::NAME_BYTES)?,
                cgroup: optional("gpu_container.cgroup", part.cgroup, limits::PATH_BYTES)?,
            }),
        })
    }
}

impl From<Subject> for wire::series::Subject {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Node => Self::Node(wire::NodeSubject {}),
            Subject::Container(container) => Self::Container(container.into()),
            Subject::Gpu(gpu) => Self::Gpu(wire::GpuSubject {
                uuid: gpu.uuid,
                index: gpu.index,
                name: gpu.name,
                memory_bytes: gpu.memory_bytes,
            }),
            Subject::GpuContainer(part) => Self::GpuContainer(wire::GpuContainerSubject {
                gpu_uuid: part.gpu_uuid,
                cgroup: part.cgroup.unwrap_or_default(),
            }),
        }
    }
}

impl TryFrom<wire::Series> for Series {
    type Error = ProtocolError;

    fn try_from(wire: wire::Series) -> Result<Self, ProtocolError> {
        let subject = wire.subject.ok_or(ProtocolError::Missing { field: "series.subject" })?;
        Ok(Self {
            id: SeriesId::new(wire.id)
                .ok_or_else(|| ProtocolError::invalid("series.id", wire.id, "from 1"))?,
            first_seq: Seq::new(wire.first_seq)
                .ok_or_else(|| ProtocolError::invalid("series.first_seq", wire.first_seq, "from 1"))?,
            group: wire.group.try_into()?,
            subject: subject.try_into()?,
        })
    }
}

impl From<Series> for wire::Series {
    fn from(series: Series) -> Self {
        Self {
            id: series.id.get(),
            first_seq: series.first_seq.get(),
            group: series.group.to_wire().into(),
            subject: Some(series.subject.into()),
        }
    }
}
