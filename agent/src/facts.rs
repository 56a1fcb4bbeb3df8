//! What the node is and what it lets us see: read once, at the start.

use anyhow::Context as _;
use berth::{CpuList, NodeFacts};

use crate::host::{Child, HostRoot, is_stall_measured, read, text};

/// How deep the tree of cgroups is searched for processes; deeper ones are not made by any runtime.
const TREE_DEPTH: usize = 12;

/// The CPUs that are online.
pub fn online_cpus(host: &HostRoot) -> anyhow::Result<CpuList> {
    let stat = read(&host.proc("stat")).here().context("read /proc/stat: is --proc-root a /proc?")?;
    CpuList::online(text::online_cpus(&stat)).context("find a CPU in /proc/stat: is --proc-root a /proc?")
}

/// The CPUs that a cgroup may use, as the kernel writes them.
pub fn allowed_cpus(host: &HostRoot, cgroup: &str) -> Option<String> {
    let files = ["cpuset.cpus.effective", "cpuset.effective_cpus"];
    let list = files.iter().find_map(|file| read(&host.cpuset_file(cgroup, file)).here())?;
    Some(String::from_utf8(list).ok()?.trim().to_owned()).filter(|list| !list.is_empty())
}

/// The node's CPUs: those online that the top of its cgroup tree may use. Of a machine these are all;
/// a node that is a container itself shares the machine with others, whose work is none of the node's.
pub fn node_cpus(host: &HostRoot) -> anyhow::Result<CpuList> {
    let online = online_cpus(host)?;
    let allowed = allowed_cpus(host, "/").and_then(|list| CpuList::parse(&list).ok());
    let Some(allowed) = allowed else { return Ok(online) };
    Ok(CpuList::online(online.iter().filter(|&cpu| allowed.contains(cpu))).unwrap_or(online))
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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A host with four CPUs online, and a cgroup tree whose top may use those of `allowed`.
    fn cpus(allowed: Option<&str>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let (proc, top) = (dir.path().join("proc"), dir.path().join("cgroup"));
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::create_dir(&top).unwrap();
        fs::write(proc.join("stat"), "cpu  1 2 3 4\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nintr 1\n").unwrap();
        let mountinfo = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", top.display());
        fs::write(proc.join("self/mountinfo"), mountinfo).unwrap();
        if let Some(allowed) = allowed {
            fs::write(top.join("cpuset.cpus.effective"), allowed).unwrap();
        }
        let host = HostRoot::open(&proc, Path::new("/")).unwrap();
        node_cpus(&host).unwrap().to_string()
    }

    #[test]
    fn a_node_that_is_a_container_has_the_cpus_of_its_cgroup() {
        assert_eq!(cpus(Some("0-3\n")), "0-3");
        assert_eq!(cpus(Some("1,3\n")), "1,3");
        for unknown in [None, Some(""), Some("7\n"), Some("?")] {
            assert_eq!(cpus(unknown), "0-3", "{unknown:?}");
        }
    }
}
