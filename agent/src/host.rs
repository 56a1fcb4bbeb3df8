//! The node as the agent sees it: one root for /proc, one for each cgroup hierarchy.
//!
//! Every path that the agent opens is made here, below one of these roots, so that the agent can
//! look at a host from inside a container, and at a fake one in a test. Deliberately absent:
//! command lines, environments, and every other file that could hold a secret.

mod dir;
mod kept;
mod mounts;
mod pressure;
pub mod text;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use berth::CgroupVersion;

pub use dir::Dir;
pub use kept::{KeptFile, Reader, Reading};
pub use mounts::Hierarchies;
pub use pressure::{Answer, GUARD_NSEC, PERIOD_NSEC, Pressure, PressureFiles, is_stall_measured};

/// Why the node cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// /proc is not there.
    #[error("cannot read {path}: mount the host's /proc and name it with --proc-root")]
    Proc {
        /// What was tried.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no cgroup hierarchy.
    #[error(
        "no cgroup hierarchy is mounted below {below}: mount the host's /sys/fs/cgroup (read-only is enough)"
    )]
    NoCgroups {
        /// Where it was looked for.
        below: PathBuf,
    },
}

/// A cgroup directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name.
    pub name: String,
    /// Its inode in the identity hierarchy.
    pub inode: u64,
}

/// Where things lie on this node.
#[derive(Debug, Clone)]
pub struct HostRoot {
    proc: PathBuf,
    hierarchies: Hierarchies,
    identity: PathBuf,
    version: CgroupVersion,
}

/// A cgroup path below a hierarchy's mount.
fn below(hierarchy: &Path, cgroup: &str, file: &str) -> PathBuf {
    let mut path = hierarchy.join(cgroup.trim_start_matches('/'));
    path.push(file);
    path
}

impl HostRoot {
    /// Looks at the node through `proc`; of the cgroup mounts that it shows, those at or below
    /// `cgroup_mount` count.
    pub fn open(proc: &Path, cgroup_mount: &Path) -> Result<Self, HostError> {
        let path = proc.join("self/mountinfo");
        let mountinfo = fs::read(&path).map_err(|source| HostError::Proc { path, source })?;
        let hierarchies = Hierarchies::parse(&mountinfo, cgroup_mount);
        let (identity, version) =
            hierarchies.identity().ok_or_else(|| HostError::NoCgroups { below: cgroup_mount.to_owned() })?;
        let identity = identity.to_owned();
        Ok(Self { proc: proc.to_owned(), hierarchies, identity, version })
    }

    /// How the kernel shows its cgroups.
    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    /// The mounted hierarchies.
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// Where a cgroup's CPU quota, weight and throttling are.
    pub fn cpu_file(&self, cgroup: &str, file: &str) -> PathBuf {
        below(self.hierarchies.cpu.as_deref().unwrap_or(&self.identity), cgroup, file)
    }

    /// Where a cgroup's memory is.
    pub fn memory_file(&self, cgroup: &str, file: &str) -> PathBuf {
        below(self.hierarchies.memory.as_deref().unwrap_or(&self.identity), cgroup, file)
    }

    /// Where a cgroup's cpuset is.
    pub fn cpuset_file(&self, cgroup: &str, file: &str) -> PathBuf {
        below(self.hierarchies.cpuset.as_deref().unwrap_or(&self.identity), cgroup, file)
    }

    /// Where v1 counts a cgroup's CPU time, if it does.
    pub fn cpuacct_file(&self, cgroup: &str, file: &str) -> Option<PathBuf> {
        self.hierarchies.cpuacct.as_deref().map(|hierarchy| below(hierarchy, cgroup, file))
    }

    /// A path below /proc.
    pub fn proc(&self, file: impl AsRef<Path>) -> PathBuf {
        self.proc.join(file)
    }

    /// The numbers among the names in a directory of /proc: processes, or a process' threads.
    pub fn numbered(&self, directory: impl AsRef<Path>) -> Vec<u32> {
        let entries = fs::read_dir(self.proc(directory)).into_iter().flatten().filter_map(Result::ok);
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// A cgroup's file in the hierarchy that identifies it.
    pub fn identity_file(&self, cgroup: &str, file: &str) -> PathBuf {
        below(&self.identity, cgroup, file)
    }

    /// The child cgroups of `cgroup`, by name; none when it has vanished or cannot be listed.
    /// Names that are not UTF-8 are passed over: no runtime makes them, and the wire has no room.
    pub fn children(&self, cgroup: &str) -> Vec<Child> {
        let path = below(&self.identity, cgroup, "");
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        let child = |entry: fs::DirEntry| {
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name().into_string().ok().filter(|_| directory)?;
            Some(Child { name, inode: std::os::unix::fs::DirEntryExt::ino(&entry) })
        };
        let mut children: Vec<Child> = entries.filter_map(Result::ok).filter_map(child).collect();
        children.sort_by(|a, b| a.name.cmp(&b.name));
        children
    }

    /// The inode of a cgroup's directory, while it lives.
    pub fn inode(&self, cgroup: &str) -> Option<u64> {
        let metadata = fs::metadata(below(&self.identity, cgroup, "")).ok()?;
        metadata.is_dir().then(|| std::os::unix::fs::MetadataExt::ino(&metadata))
    }
}

/// Reads a small kernel file whole. For start-up and sweeps; a tick reads [`KeptFile`]s.
pub fn read(path: &Path) -> Reading<Vec<u8>> {
    match fs::read(path) {
        Ok(text) => Reading::Here(text),
        Err(error) => rustix::io::Errno::from_io_error(&error).map_or(Reading::Unknown, dir::absence),
    }
}
