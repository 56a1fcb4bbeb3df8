//! A real cgroup of our own, with real work in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use berth_agent::host::HostRoot;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A container below `/<root>` in every hierarchy that the agent reads; emptied and removed when dropped.
pub(crate) struct TestCgroup {
    /// The path below the hierarchy's root that `--cgroup-root` takes.
    pub(crate) root: String,
    /// From the root down to the container.
    levels: Vec<String>,
    hierarchies: Vec<PathBuf>,
    host: HostRoot,
    work: Vec<Child>,
}

impl TestCgroup {
    /// Makes `/<root>/c1`. `None`, and a printed line, where this machine does not let us.
    pub(crate) fn make() -> Option<Self> {
        Self::make_below(&["c1"])
    }

    /// Makes one that lies as the kubelet's do: service class, pod, container.
    pub(crate) fn make_in_pod() -> Option<Self> {
        let container = "c".repeat(64);
        Self::make_below(&["kubepods", "burstable", "pod1ab17678-bd25-40b9-bb19-28479127bafd", &container])
    }

    fn make_below(names: &[&str]) -> Option<Self> {
        let host = HostRoot::open(Path::new("/proc"), Path::new("/")).ok()?;
        let mounts = host.hierarchies().clone();
        let mounted = [mounts.unified, mounts.cpu, mounts.cpuacct, mounts.memory];
        let mut hierarchies: Vec<PathBuf> = mounted.into_iter().flatten().collect();
        hierarchies.sort();
        hierarchies.dedup();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let root = format!("/berth-agent-test-{}-{number}", std::process::id());
        let mut levels = vec![root.clone()];
        let mut path = root.clone();
        for name in names {
            path = format!("{path}/{name}");
            levels.push(path.clone());
        }
        let made = Self { root, levels, hierarchies, host, work: Vec::new() };
        match made.make_directories() {
            Ok(()) => Some(made),
            Err(error) => {
                println!("skipped: no cgroup can be made here: {error}");
                None
            }
        }
    }

    fn make_directories(&self) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            for level in &self.levels {
                let directory = hierarchy.join(level.trim_start_matches('/'));
                // v2 only; where a controller is taken or absent, the files below tell.
                drop(fs::write(directory.parent().unwrap().join("cgroup.subtree_control"), "+cpu +memory"));
                fs::create_dir(directory)?;
            }
        }
        Ok(())
    }

    /// The container's path, as the agent will name it.
    pub(crate) fn container(&self) -> String {
        self.level(0).to_owned()
    }

    /// So many levels above the container.
    fn level(&self, above: usize) -> &str {
        &self.levels[self.levels.len() - 1 - above]
    }

    /// Sets the container's quota, and the largest weight against whatever else runs here. `false`: the
    /// kernel has none for us.
    pub(crate) fn limit_cpu(&self, quota_usec: u32, period_usec: u32) -> bool {
        self.limit_cpu_above(0, quota_usec, period_usec)
    }

    /// The same of so many levels above the container.
    pub(crate) fn limit_cpu_above(&self, above: usize, quota_usec: u32, period_usec: u32) -> bool {
        let limited = self.level(above);
        let write =
            |cgroup: &str, file: &str, text: &str| fs::write(self.host.cpu_file(cgroup, file), text).is_ok();
        if self.host.hierarchies().cpu.is_some() {
            write(&self.root, "cpu.shares", "262144")
                && write(limited, "cpu.cfs_period_us", &period_usec.to_string())
                && write(limited, "cpu.cfs_quota_us", &quota_usec.to_string())
        } else {
            write(&self.root, "cpu.weight", "10000")
                && write(limited, "cpu.max", &format!("{quota_usec} {period_usec}"))
        }
    }

    /// Removes the container's directories and makes them again.
    pub(crate) fn remake_container(&self) {
        for hierarchy in &self.hierarchies {
            let directory = hierarchy.join(self.container().trim_start_matches('/'));
            fs::remove_dir(&directory).unwrap();
            fs::create_dir(&directory).unwrap();
        }
    }

    /// Starts a busy loop in it, and gives its process's number.
    pub(crate) fn work(&mut self) -> u32 {
        let child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        for hierarchy in &self.hierarchies {
            let procs = hierarchy.join(self.container().trim_start_matches('/')).join("cgroup.procs");
            fs::write(procs, child.id().to_string()).unwrap();
        }
        let pid = child.id();
        self.work.push(child);
        pid
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        for child in &mut self.work {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
        for hierarchy in &self.hierarchies {
            for level in self.levels.iter().rev() {
                let directory = hierarchy.join(level.trim_start_matches('/'));
                // A process that was just killed holds its cgroup for a moment.
                let deadline = berth_agent::clock::now_nsec() + 2_000_000_000;
                while fs::remove_dir(&directory)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
                    && berth_agent::clock::now_nsec() < deadline
                {
                    std::thread::yield_now();
                }
            }
        }
    }
}
