//! Whether the generator's own cgroup held it back.
//!
//! A throttled generator measures its own CPU limit and calls it the target's latency. Deliberately
//! absent: the cgroups above its own; a container's limit is set on the container's cgroup.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// `cpu.stat` is a dozen short lines (`cpu_cfs_stat_show` in kernel/sched/core.c).
const CPU_STAT_BYTES: usize = 4_096;

/// The cgroup's `cpu.stat`, kept open.
#[derive(Debug)]
pub(crate) struct OwnCgroup {
    cpu_stat: File,
}

impl OwnCgroup {
    /// `None` where the kernel does not show it: then throttling is unknown, not zero.
    pub(crate) fn open() -> Option<Self> {
        let cgroups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let cpu_stat = File::open(cpu_dir(&cgroups, &mounts)?.join("cpu.stat")).ok()?;
        let own = Self { cpu_stat };
        own.throttled_usec()?;
        Some(own)
    }

    /// Microseconds for which it was throttled since it was made.
    pub(crate) fn throttled_usec(&self) -> Option<u64> {
        let mut text = [0; CPU_STAT_BYTES];
        let read = self.cpu_stat.read_at(&mut text, 0).ok()?;
        parse_throttled_usec(std::str::from_utf8(&text[..read]).ok()?)
    }
}

/// Version 2 says `throttled_usec`; version 1 says `throttled_time`, in nanoseconds.
fn parse_throttled_usec(cpu_stat: &str) -> Option<u64> {
    cpu_stat.lines().find_map(|line| match line.split_once(' ')? {
        ("throttled_usec", usec) => usec.parse().ok(),
        ("throttled_time", nanos) => nanos.parse::<u64>().ok().map(|nanos| nanos / 1_000),
        _ => None,
    })
}

/// Where this process's CPU cgroup is mounted: of version 1 where that has the cpu controller, else
/// of version 2.
fn cpu_dir(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        cgroups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then_some(path)
        })
    };
    let has_cpu = |list: &str| list.split(',').any(|name| name == "cpu");
    if let Some(path) = path_of(&has_cpu) {
        return mounted(mounts, path, |kind, options| kind == "cgroup" && has_cpu(options));
    }
    mounted(mounts, path_of(&str::is_empty)?, |kind, _| kind == "cgroup2")
}

/// The directory of cgroup `path` below the mount that `is_wanted` by its type and super options; a
/// mount may show only a part of the hierarchy, its root (`proc_pid_mountinfo(5)`).
fn mounted(mounts: &str, path: &str, is_wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        let (kind, options) = (filesystem.next()?, filesystem.nth(1)?);
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        if !is_wanted(kind, options) {
            return None;
        }
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 24 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
35 24 0:31 /pods/a /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:15 - cgroup cgroup rw,cpu,cpuacct
36 24 0:32 / /sys/fs/cgroup/cpuset rw,nosuid shared:16 - cgroup cgroup rw,cpuset";

    #[test]
    fn the_cgroup_is_found_under_its_mount_in_every_version() {
        for (cgroups, dir) in [
            ("4:cpuset:/x\n3:cpu,cpuacct:/pods/a/worker\n0::/w\n", Some("/sys/fs/cgroup/cpu,cpuacct/worker")),
            ("3:cpu,cpuacct:/pods/a\n0::/\n", Some("/sys/fs/cgroup/cpu,cpuacct")),
            ("4:cpuset:/x\n0::/pod/worker\n", Some("/sys/fs/cgroup/unified/pod/worker")),
            ("0::/\n", Some("/sys/fs/cgroup/unified")),
            ("3:cpu,cpuacct:/elsewhere\n", None),
            ("", None),
        ] {
            assert_eq!(cpu_dir(cgroups, MOUNTS).as_deref(), dir.map(Path::new), "{cgroups}");
        }
    }

    #[test]
    fn throttling_is_microseconds_in_both_versions_and_unknown_in_neither() {
        let v2 = "usage_usec 90\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1500\n";
        let v1 = "nr_periods 3\nnr_throttled 2\nthrottled_time 1500000\n";
        assert_eq!(parse_throttled_usec(v2), Some(1_500));
        assert_eq!(parse_throttled_usec(v1), Some(1_500));
        assert_eq!(parse_throttled_usec("usage_usec 90\n"), None);
    }
}
