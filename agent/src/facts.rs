//! What the node is and what it lets us see: read once, at the start.

use anyhow::Context as _;
use berth::NodeFacts;

use crate::{
    cpus::CpuList,
    host::{Child, HostRoot, is_stall_measured, read, text},
};

/// How deep the tree of cgroups is searched for processes; deeper ones are not made by any runtime.
const TREE_DEPTH: usize = 12;

/// The CPUs that are online.
pub fn online_cpus(host: &HostRoot) -> anyhow::Result<CpuList> {
    let stat = read(&host.proc("stat")).here().context("read /proc/stat: is --proc-root a /proc?")?;
    CpuList::online(text::online_cpus(&stat)).context("find a CPU in /proc/stat: is --proc-root a /proc?")
}

/// This boot's identity; CLOCK_BOOTTIME starts anew with each.
pub fn boot_id(host: &HostRoot) -> String {
    let id = read(&host.proc("sys/kernel/random/boot_id")).here().unwrap_or_default();
    String::from_utf8_lossy(&id).trim().to_owned()
}

/// Whether the kernel counts each thread's waits, and lets us see them.
fn has_thread_waits(host: &HostRoot) -> bool {
    read(&host.proc("thread-self/schedstat")).parse(|stat| text::schedstat(&stat)).here().is_some()
}

/// Processes in the cgroup tree that /proc does not show. Both are counted while processes come and
/// go, so the smaller of two counts stands.
fn hidden_processes(host: &HostRoot) -> u32 {
    let count = || processes_below(host, "/", TREE_DEPTH).saturating_sub(host.numbered("").len());
    u32::try_from(count().min(count())).unwrap_or(u32::MAX)
}

fn processes_below(host: &HostRoot, cgroup: &str, depth: usize) -> usize {
    let list = read(&host.identity_file(cgroup, "cgroup.procs")).here().unwrap_or_default();
    let own = list.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
    let children = if depth == 0 { Vec::new() } else { host.children(cgroup) };
    let path = |name: &str| format!("{}/{name}", cgroup.trim_end_matches('/'));
    own + children
        .iter()
        .map(|Child { name, .. }| processes_below(host, &path(name), depth - 1))
        .sum::<usize>()
}

/// Looks at the node. `cpus` are those that this agent answers for.
pub fn node_facts(host: &HostRoot, cpus: &CpuList, gpus: u32) -> anyhow::Result<NodeFacts> {
    let meminfo =
        read(&host.proc("meminfo")).here().context("read /proc/meminfo: is --proc-root a /proc?")?;
    let memory = text::meminfo(&meminfo).context("read /proc/meminfo")?;
    Ok(NodeFacts {
        cpus: u32::try_from(cpus.len()).unwrap_or(u32::MAX),
        cpu_list: cpus.to_string(),
        memory_bytes: memory.total_bytes,
        cgroup_version: host.version(),
        pressure: is_stall_measured(host),
        thread_waits: has_thread_waits(host),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        gpus,
        hidden_processes: hidden_processes(host),
    })
}
