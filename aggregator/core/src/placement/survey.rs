//! The landscape by pods: what each needs, where it is, and whether it may be moved.

use std::collections::BTreeMap;

use crate::{
    advice::ObjectRef,
    placement::{InForce, Landscape, NodeSpace},
    scheduling::{Machine, Rules},
    sizing::{CpuMilli, MemoryBytes, Peak},
    time::AxisNsec,
    who::{Role, Who},
};

/// What runs here keeps the node or Berth itself running; it is nobody's to move.
const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "berth-system"];

/// The kernel's counters lag by some milliseconds at either end, so a second may seem to hold up to
/// this part (a twentieth) more CPU time than the node has.
const LAG_PART: u64 = 20;

/// So many nodes are listed in a sentence; each step names its own.
const NAMES: usize = 8;

/// CPU and memory, of a pod or left on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Room {
    pub(super) cpu: CpuMilli,
    pub(super) memory: MemoryBytes,
}

impl Room {
    pub(super) fn and(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }

    /// What is left of this after `need`; `None` when it does not fit.
    pub(super) fn less(self, need: Self) -> Option<Self> {
        let cpu = self.cpu.0.checked_sub(need.cpu.0)?;
        let memory = self.memory.0.checked_sub(need.memory.0)?;
        Some(Self { cpu: CpuMilli(cpu), memory: MemoryBytes(memory) })
    }
}

/// One pod, or one system slice.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    /// The pod itself.
    pub(super) itself: ObjectRef,
    /// What controls it; the pod where nothing is known to.
    pub(super) owner: ObjectRef,
    pub(super) role: Role,
    /// Its place in the landscape's nodes.
    pub(super) node: usize,
    pub(super) need: Room,
    pub(super) containers: Vec<(String, Peak, InForce)>,
    /// Since when its use is known.
    pub(super) seen_since: AxisNsec,
    /// What it says about nodes; `None` where nobody told us.
    pub(super) rules: Option<&'a Rules>,
    system: bool,
}

impl Pod<'_> {
    pub(super) fn is_owned(&self) -> bool {
        self.owner != self.itself
    }

    /// It comes with each node.
    pub(super) fn is_daemon(&self) -> bool {
        self.owner.kind == "DaemonSet"
    }

    /// It could run elsewhere.
    pub(super) fn is_movable(&self) -> bool {
        !self.system && !self.is_daemon()
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub(super) nodes: Vec<String>,
    /// What pods can ask of each; `None` where nobody told us.
    pub(super) machines: Vec<Option<&'a Machine>>,
    /// Each node's capacity.
    pub(super) capacity: Vec<Room>,
    pub(super) pods: Vec<Pod<'a>>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(landscape: &'a Landscape) -> Self {
        let mut nodes: Vec<_> = landscape.nodes.iter().collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let mut pods: BTreeMap<(usize, ObjectRef), Pod<'_>> = BTreeMap::new();
        for (node, space) in nodes.iter().enumerate() {
            let all = CpuMilli(u64::from(space.cpus) * 1000);
            for tenant in &space.containers {
                let who = &tenant.who;
                let beyond = |cpu: CpuMilli| cpu > all && cpu.0 <= all.0 + all.0 / LAG_PART;
                let cpu = tenant.peak.cpu.map(|cpu| if beyond(cpu) { all } else { cpu });
                let peak = Peak { cpu, ..tenant.peak };
                let pod = pods
                    .entry((node, pod_of(who)))
                    .or_insert_with_key(|(_, itself)| new_pod(who, itself, node, tenant.seen_since));
                pod.need = pod.need.and(need(who.role, peak));
                pod.seen_since = pod.seen_since.min(tenant.seen_since);
                pod.rules = pod.rules.or(tenant.rules.as_deref());
                // A sandbox has neither a role nor a name.
                if who.role != Role::Other {
                    pod.role = who.role;
                }
                if !who.container.is_empty() {
                    pod.containers.push((who.container.clone(), peak, tenant.requests));
                }
            }
        }
        let room = |space: &NodeSpace| Room {
            cpu: CpuMilli(u64::from(space.cpus) * 1000),
            memory: MemoryBytes(space.memory_bytes),
        };
        Self {
            nodes: nodes.iter().map(|space| space.name.clone()).collect(),
            machines: nodes.iter().map(|space| space.machine.as_ref()).collect(),
            capacity: nodes.iter().map(|space| room(space)).collect(),
            pods: pods.into_values().collect(),
        }
    }

    pub(super) fn node_name(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("", String::as_str)
    }

    /// What pods can ask of a node.
    pub(super) fn machine(&self, node: usize) -> Option<&'a Machine> {
        self.machines.get(node).copied().flatten()
    }

    /// Nodes that are such, as far as that is known.
    pub(super) fn which(&self, is: impl Fn(&Machine) -> bool) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.machine(*node).is_some_and(&is)).collect()
    }

    /// As a list for a person.
    pub(super) fn node_names(&self, nodes: &[usize]) -> String {
        let mut names: Vec<&str> = nodes.iter().take(NAMES).map(|node| self.node_name(*node)).collect();
        let more = nodes.len().checked_sub(NAMES).filter(|more| *more > 0).map(|more| format!("{more} more"));
        names.extend(more.as_deref());
        names.join(", ")
    }

    /// Nodes that hold models and scanners.
    pub(super) fn mixed_nodes(&self) -> Vec<&str> {
        let has = |node, role| self.pods.iter().any(|pod| pod.node == node && pod.role == role);
        let mixed = (0..self.nodes.len()).filter(|node| has(*node, Role::Model) && has(*node, Role::Scanner));
        mixed.map(|node| self.node_name(node)).collect()
    }
}

/// What controls a container's pod; the pod, where nothing is known to.
pub(super) fn owner_of(who: &Who) -> ObjectRef {
    let namespace = who.namespace.clone();
    match &who.owner {
        Some(owner) => ObjectRef { kind: owner.kind.clone(), namespace, name: owner.name.clone() },
        None => pod_of(who),
    }
}

fn pod_of(who: &Who) -> ObjectRef {
    let name = if who.pod.is_empty() { &who.container } else { &who.pod };
    ObjectRef { kind: "Pod".to_owned(), namespace: who.namespace.clone(), name: name.clone() }
}

/// No pod of Kubernetes, or one that the node cannot do without.
pub(super) fn is_system(who: &Who) -> bool {
    who.pod.is_empty() || SYSTEM_NAMESPACES.contains(&who.namespace.as_str())
}

fn new_pod<'a>(who: &Who, itself: &ObjectRef, node: usize, seen_since: AxisNsec) -> Pod<'a> {
    Pod {
        itself: itself.clone(),
        owner: owner_of(who),
        role: who.role,
        node,
        need: Room::default(),
        containers: Vec::new(),
        seen_since,
        rules: None,
        system: is_system(who),
    }
}

/// What is to be placed needs what it should ask for; the rest stays and takes what it took.
fn need(role: Role, peak: Peak) -> Room {
    let (cpu, memory) = match role {
        Role::Model | Role::Scanner => (peak.request().cpu, peak.request().memory),
        Role::LoadGenerator | Role::Other => (peak.cpu, peak.memory),
    };
    Room { cpu: cpu.unwrap_or_default(), memory: memory.unwrap_or_default() }
}
