//! What a cgroup may use, and which quotas stand above it. Read at sweeps, not in ticks.

use std::collections::HashMap;

use crate::host::{HostRoot, read, text};

/// A cgroup's own limits; -1 for none, `None` where the kernel shows no such limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU quota.
    pub cpu_millicpu: Option<i64>,
    /// On v2's scale.
    pub cpu_weight: Option<i64>,
    /// Memory.
    pub memory_bytes: Option<i64>,
}

impl Limits {
    /// As the wire carries them.
    pub fn row(self) -> [Option<i64>; 3] {
        [self.cpu_millicpu, self.cpu_weight, self.memory_bytes]
    }
}

/// Reads limits, each cgroup's quota once: pods and service classes are above many containers.
/// Made anew for each sweep.
pub struct LimitReader<'a> {
    host: &'a HostRoot,
    quotas: HashMap<String, Option<i64>>,
}

impl<'a> LimitReader<'a> {
    /// Has read nothing yet.
    pub fn new(host: &'a HostRoot) -> Self {
        Self { host, quotas: HashMap::new() }
    }

    /// The limits of `cgroup` itself.
    pub fn limits(&mut self, cgroup: &str) -> Limits {
        let weight = if self.host.hierarchies().cpu.is_some() {
            let shares = read(&self.host.cpu_file(cgroup, "cpu.shares"));
            shares.parse(|shares| text::number(&shares).map(text::weight_of_shares))
        } else {
            let weight = read(&self.host.cpu_file(cgroup, "cpu.weight"));
            weight.parse(|weight| text::number(&weight)).parse(i64::try_from)
        };
        let v1_memory = self.host.hierarchies().memory.is_some();
        let memory = if v1_memory { "memory.limit_in_bytes" } else { "memory.max" };
        let memory = read(&self.host.memory_file(cgroup, memory));
        Limits {
            cpu_millicpu: self.quota(cgroup),
            cpu_weight: weight.here(),
            memory_bytes: memory.parse(|limit| text::memory_limit_bytes(&limit)).here(),
        }
    }

    /// The cgroups whose quota can stop `cgroup`: itself and its ancestors that have one, nearest
    /// first.
    pub fn quota_holders(&mut self, cgroup: &str) -> Vec<String> {
        let levels = std::iter::successors(Some(cgroup), |path| parent(path));
        levels
            .filter(|path| self.quota(path).is_some_and(|quota| quota != text::UNLIMITED))
            .map(str::to_owned)
            .collect()
    }

    fn quota(&mut self, cgroup: &str) -> Option<i64> {
        if let Some(&known) = self.quotas.get(cgroup) {
            return known;
        }
        let quota = quota_millicpu(self.host, cgroup);
        self.quotas.insert(cgroup.to_owned(), quota);
        quota
    }
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

fn quota_millicpu(host: &HostRoot, cgroup: &str) -> Option<i64> {
    let cpu = |file: &str| read(&host.cpu_file(cgroup, file)).here();
    if host.hierarchies().cpu.is_none() {
        return text::cpu_max_millicpu(&cpu("cpu.max")?).ok();
    }
    let (quota, period) = (cpu("cpu.cfs_quota_us")?, cpu("cpu.cfs_period_us")?);
    text::cfs_quota_millicpu(&quota, &period).ok()
}
