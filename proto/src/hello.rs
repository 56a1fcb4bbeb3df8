//! How an agent introduces itself.

use crate::{Incarnation, NodeName, ProtocolError, Seq, limits, wire};

/// The protocol that this build speaks.
pub const PROTOCOL: u32 = 1;

/// A version or a kernel release: longer ones are not real.
const VERSION_BYTES: usize = 128;

/// How the kernel shows its cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    /// v1 controllers only: there is no pressure information.
    V1,
    /// v1 controllers with a v2 mount beside them.
    Hybrid,
    /// One unified hierarchy.
    V2,
}

/// What the node is, and what it lets the agent see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Logical CPUs that the agent answers for; at least 1.
    pub cpus: u32,
    /// The same as a kernel list.
    pub cpu_list: String,
    /// All of it.
    pub memory_bytes: u64,
    /// How the kernel shows its cgroups.
    pub cgroup_version: CgroupVersion,
    /// Pressure stall information can be read.
    pub pressure: bool,
    /// Each thread's run-queue wait can be read.
    pub thread_waits: bool,
    /// `uname -r`.
    pub kernel: String,
    /// GPUs that NVML shows.
    pub gpus: u32,
    /// Processes that /proc hides from the agent.
    pub hidden_processes: u32,
}

/// The first message of an agent's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Who it is.
    pub node: NodeName,
    /// This life of the agent.
    pub incarnation: Incarnation,
    /// CLOCK_BOOTTIME starts anew with each.
    pub boot_id: String,
    /// For people.
    pub agent_version: String,
    /// The oldest record that it can still send.
    pub oldest_seq: Seq,
    /// What the next new record will get.
    pub next_seq: Seq,
    /// Base ticks a second.
    pub tick_hz: u32,
    /// The node.
    pub facts: NodeFacts,
}

fn short(field: &'static str, text: String, limit: usize) -> Result<String, ProtocolError> {
    ProtocolError::at_most(field, text.len(), limit)?;
    Ok(text)
}

impl TryFrom<wire::NodeFacts> for NodeFacts {
    type Error = ProtocolError;

    fn try_from(wire: wire::NodeFacts) -> Result<Self, ProtocolError> {
        let cgroup_version = match wire::CgroupVersion::try_from(wire.cgroup_version) {
            Ok(wire::CgroupVersion::V1) => CgroupVersion::V1,
            Ok(wire::CgroupVersion::Hybrid) => CgroupVersion::Hybrid,
            Ok(wire::CgroupVersion::V2) => CgroupVersion::V2,
            Ok(wire::CgroupVersion::Unspecified) | Err(_) => {
                let rule = "v1, hybrid or v2";
                return Err(ProtocolError::invalid("facts.cgroup_version", wire.cgroup_version, rule));
            }
        };
        if wire.cpus == 0 {
            return Err(ProtocolError::invalid("facts.cpus", 0, "at least 1"));
        }
        Ok(Self {
            cpus: wire.cpus,
            cpu_list: short("facts.cpu_list", wire.cpu_list, limits::CPU_LIST_BYTES)?,
            memory_bytes: wire.memory_bytes,
            cgroup_version,
            pressure: wire.pressure,
            thread_waits: wire.thread_waits,
            kernel: short("facts.kernel", wire.kernel, VERSION_BYTES)?,
            gpus: wire.gpus,
            hidden_processes: wire.hidden_processes,
        })
    }
}

impl From<NodeFacts> for wire::NodeFacts {
    fn from(facts: NodeFacts) -> Self {
        let cgroup_version = match facts.cgroup_version {
            CgroupVersion::V1 => wire::CgroupVersion::V1,
            CgroupVersion::Hybrid => wire::CgroupVersion::Hybrid,
            CgroupVersion::V2 => wire::CgroupVersion::V2,
        };
        Self {
            cpus: facts.cpus,
            cpu_list: facts.cpu_list,
            memory_bytes: facts.memory_bytes,
            cgroup_version: cgroup_version.into(),
            pressure: facts.pressure,
            thread_waits: facts.thread_waits,
            kernel: facts.kernel,
            gpus: facts.gpus,
            hidden_processes: facts.hidden_processes,
        }
    }
}

impl TryFrom<wire::Hello> for Hello {
    type Error = ProtocolError;

    fn try_from(wire: wire::Hello) -> Result<Self, ProtocolError> {
        if wire.protocol != PROTOCOL {
            let rule = "1: update the older of agent and aggregator";
            return Err(ProtocolError::invalid("hello.protocol", wire.protocol, rule));
        }
        if !limits::TICK_HZ.contains(&wire.tick_hz) {
            return Err(ProtocolError::invalid("hello.tick_hz", wire.tick_hz, "1 to 100"));
        }
        let seq = crate::record::seq;
        let (oldest_seq, next_seq) =
            (seq("hello.oldest_seq", wire.oldest_seq)?, seq("hello.next_seq", wire.next_seq)?);
        if next_seq < oldest_seq {
            return Err(ProtocolError::invalid(
                "hello.next_seq",
                wire.next_seq,
                "not before hello.oldest_seq",
            ));
        }
        Ok(Self {
            node: NodeName::new(wire.node)?,
            incarnation: Incarnation::new(wire.incarnation)
                .ok_or(ProtocolError::Missing { field: "hello.incarnation" })?,
            boot_id: short("hello.boot_id", wire.boot_id, VERSION_BYTES)?,
            agent_version: short("hello.agent_version", wire.agent_version, VERSION_BYTES)?,
            oldest_seq,
            next_seq,
            tick_hz: wire.tick_hz,
            facts: wire.facts.ok_or(ProtocolError::Missing { field: "hello.facts" })?.try_into()?,
        })
    }
}

impl From<Hello> for wire::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            protocol: PROTOCOL,
            node: hello.node.to_string(),
            incarnation: hello.incarnation.get(),
            boot_id: hello.boot_id,
            agent_version: hello.agent_version,
            oldest_seq: hello.oldest_seq.get(),
            next_seq: hello.next_seq.get(),
            tick_hz: hello.tick_hz,
            facts: Some(hello.facts.into()),
        }
    }
}
