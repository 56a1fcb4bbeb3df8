//! What a cgroup may use, and which quotas stand above it. Read at sweeps, not in ticks.

use std::collections::HashMap;

use crate::host::{Dir, HostRoot, Reading, text};

/// The longest of the files read here holds two numbers.
const BUFFER_BYTES: usize = 64;

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

/// A cgroup's directories, where its limits are.
#[derive(Debug)]
pub struct LimitDirs {
    cpu: Option<Dir>,
    memory: Option<Dir>,
}

impl Limits {
    /// As the wire carries them.
    pub fn row(self) -> [Option<i64>; 3] {
        [self.cpu_millicpu, self.cpu_weight, self.memory_bytes]
    }
}

impl LimitDirs {
    /// Opens them; those that are not there show no limits.
    pub fn open(host: &HostRoot, cgroup: &str) -> Self {
        let open = |path: std::path::PathBuf| Dir::open(&path);
        Self { cpu: open(host.cpu_file(cgroup, "")), memory: open(host.memory_file(cgroup, "")) }
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
    pub fn limits(&mut self, cgroup: &str, dirs: &LimitDirs) -> Limits {
        let mut buffer = [0; BUFFER_BYTES];
        let LimitDirs { cpu, memory } = dirs;
        let cpu_millicpu = cpu.as_ref().and_then(|cpu| self.quota_millicpu(cpu));
        self.quotas.insert(cgroup.to_owned(), cpu_millicpu);
        let weight = |cpu: &Dir| {
            let (file, weight_of): (_, fn(u64) -> Option<i64>) = if self.host.hierarchies().cpu.is_some() {
                ("cpu.shares", |shares| Some(text::weight_of_shares(shares)))
            } else {
                ("cpu.weight", |weight| i64::try_from(weight).ok())
            };
            cpu.read(file, &mut [0; BUFFER_BYTES]).parse(text::number).here().and_then(weight_of)
        };
        let v1_memory = self.host.hierarchies().memory.is_some();
        let file = if v1_memory { "memory.limit_in_bytes" } else { "memory.max" };
        let memory =
            memory.as_ref().map(|memory| memory.read(file, &mut buffer).parse(text::memory_limit_bytes));
        Limits {
            cpu_millicpu,
            cpu_weight: cpu.as_ref().and_then(weight),
            memory_bytes: memory.and_then(Reading::here),
        }
    }

    /// The cgroups whose quota can stop `cgroup`: itself and its ancestors that have one, nearest
    /// first.
    pub fn quota_holders(&mut self, cgroup: &str) -> Vec<String> {
        let levels = std::iter::successors(Some(cgroup), |path| parent(path));
        levels
            .filter(|path| self.quota_of(path).is_some_and(|quota| quota != text::UNLIMITED))
            .map(str::to_owned)
            .collect()
    }

    fn quota_of(&mut self, cgroup: &str) -> Option<i64> {
        if let Some(&known) = self.quotas.get(cgroup) {
            return known;
        }
        let cpu = Dir::open(&self.host.cpu_file(cgroup, ""));
        let quota = cpu.and_then(|cpu| self.quota_millicpu(&cpu));
        self.quotas.insert(cgroup.to_owned(), quota);
        quota
    }

    fn quota_millicpu(&self, cpu: &Dir) -> Option<i64> {
        let (mut quota, mut period) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
        if self.host.hierarchies().cpu.is_none() {
            return cpu.read("cpu.max", &mut quota).parse(text::cpu_max_millicpu).here();
        }
        let quota = cpu.read("cpu.cfs_quota_us", &mut quota).here()?;
        if text::is_unlimited_quota(quota) {
            return Some(text::UNLIMITED);
        }
        text::cfs_quota_millicpu(quota, cpu.read("cpu.cfs_period_us", &mut period).here()?).ok()
    }
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A fake hierarchy of the given super options, with these files.
    fn host(dir: &Path, kind: &str, files: &[(&str, &str)]) -> HostRoot {
        let mount = dir.join("cgroup");
        for (file, text) in files {
            let path = mount.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(dir.join("self")).unwrap();
        let mountinfo = format!("1 0 0:1 / {} rw - {kind}\n", mount.display());
        fs::write(dir.join("self/mountinfo"), mountinfo).unwrap();
        HostRoot::open(dir, Path::new("/")).unwrap()
    }

    #[test]
    fn quotas_of_ancestors_are_seen_nearest_first() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("a/cpu.max", "max 100000\n"),
            ("a/pod/cpu.max", "90000 100000\n"),
            ("a/pod/c1/cpu.max", "20000 100000\n"),
            ("a/pod/c1/cpu.weight", "39\n"),
            ("a/pod/c1/memory.max", "max\n"),
            ("a/pod/c2/cpu.max", "max 100000\n"),
        ];
        let host = host(dir.path(), "cgroup2 cgroup2 rw", &files);
        let mut reader = LimitReader::new(&host);
        let limits = reader.limits("/a/pod/c1", &LimitDirs::open(&host, "/a/pod/c1"));
        assert_eq!(limits.row(), [Some(200), Some(39), Some(-1)]);
        assert_eq!(reader.quota_holders("/a/pod/c1"), ["/a/pod/c1", "/a/pod"]);
        assert_eq!(reader.quota_holders("/a/pod/c2"), ["/a/pod"]);
        assert_eq!(reader.quota_holders("/a"), Vec::<String>::new());
    }

    #[test]
    fn limits_of_v1_are_on_the_scale_of_v2_and_what_is_not_shown_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("c1/cpu.cfs_quota_us", "50000\n"),
            ("c1/cpu.cfs_period_us", "100000\n"),
            ("c1/cpu.shares", "2048\n"),
            ("c2/cpu.cfs_quota_us", "-1\n"),
        ];
        let host = host(dir.path(), "cgroup cgroup rw,cpu,cpuacct", &files);
        let mut reader = LimitReader::new(&host);
        let mut row = |cgroup: &str| reader.limits(cgroup, &LimitDirs::open(&host, cgroup)).row();
        assert_eq!(row("/c1"), [Some(500), Some(200), None]);
        assert_eq!(row("/c2"), [Some(-1), None, None]);
        assert_eq!(row("/gone"), [None; 3]);
    }
}
