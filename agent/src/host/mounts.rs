//! Where the cgroup hierarchies are mounted, read from mountinfo.
//!
//! A controller is found by its mount's super options, never by a directory's name: "cpu,cpuacct"
//! may be one mount or two, under any name. Invariant: of several mounts of one hierarchy the one
//! whose root lies highest is taken, so that an agent in a container sees the host's.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use berth::CgroupVersion;

/// The mounted hierarchies that Berth reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// cgroup2, with controllers (v2) or without (hybrid).
    pub unified: Option<PathBuf>,
    /// v1's cpu: quotas, throttling, shares.
    pub cpu: Option<PathBuf>,
    /// v1's cpuacct: CPU time.
    pub cpuacct: Option<PathBuf>,
    /// v1's memory.
    pub memory: Option<PathBuf>,
    /// v1's cpuset.
    pub cpuset: Option<PathBuf>,
}

struct Mount {
    root: PathBuf,
    point: PathBuf,
    unified: bool,
    options: Vec<u8>,
}

/// Undoes mountinfo's escapes: a space is \040, a backslash \134.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal =
            tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn mount(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let unified = match *fields.get(separator + 1)? {
        b"cgroup2" => true,
        b"cgroup" => false,
        _ => return None,
    };
    Some(Mount {
        root: unescape(fields.get(3)?),
        point: unescape(fields.get(4)?),
        unified,
        options: fields.get(separator + 3)?.to_vec(),
    })
}

/// Higher roots first: above the reader's own namespace ("/../.."), then the shorter path.
fn depth(mount: &Mount) -> (std::cmp::Reverse<usize>, usize, usize) {
    let above = mount.root.components().filter(|part| *part == std::path::Component::ParentDir).count();
    (std::cmp::Reverse(above), mount.root.components().count(), mount.point.components().count())
}

impl Hierarchies {
    /// Finds them in the text of mountinfo; only mounts at or below `below` count.
    pub fn parse(mountinfo: &[u8], below: &Path) -> Self {
        let mut mounts: Vec<Mount> = mountinfo
            .split(|&byte| byte == b'\n')
            .filter_map(mount)
            .filter(|mount| mount.point.starts_with(below))
            .collect();
        mounts.sort_by_key(depth);
        let has = |mount: &&Mount, controller: &str| {
            !mount.unified
                && mount.options.split(|&byte| byte == b',').any(|option| option == controller.as_bytes())
        };
        let find = |controller: &str| {
            mounts.iter().find(|mount| has(mount, controller)).map(|mount| mount.point.clone())
        };
        Self {
            unified: mounts.iter().find(|mount| mount.unified).map(|mount| mount.point.clone()),
            cpu: find("cpu"),
            cpuacct: find("cpuacct"),
            memory: find("memory"),
            cpuset: find("cpuset"),
        }
    }

    /// The hierarchy whose paths and inodes identify a cgroup, and how the kernel shows them all.
    pub fn identity(&self) -> Option<(&Path, CgroupVersion)> {
        match (&self.unified, &self.cpu) {
            (Some(unified), None) => Some((unified, CgroupVersion::V2)),
            (Some(unified), Some(_)) => Some((unified, CgroupVersion::Hybrid)),
            (None, Some(cpu)) => Some((cpu, CgroupVersion::V1)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/odd\\040name rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn controllers_are_found_by_their_options_not_their_names() {
        let found = Hierarchies::parse(HYBRID, Path::new("/"));
        let odd = Some(PathBuf::from("/sys/fs/cgroup/odd name"));
        assert_eq!((&found.cpu, &found.cpuacct), (&odd, &odd));
        assert_eq!(found.cpuset, None);
        assert_eq!(found.identity(), Some((Path::new("/sys/fs/cgroup/unified"), CgroupVersion::Hybrid)));
    }

    #[test]
    fn the_version_follows_from_what_is_mounted() {
        let v2 = Hierarchies { unified: Some("/u".into()), ..Hierarchies::default() };
        let v1 = Hierarchies { cpu: Some("/c".into()), ..Hierarchies::default() };
        assert_eq!(v2.identity(), Some((Path::new("/u"), CgroupVersion::V2)));
        assert_eq!(v1.identity(), Some((Path::new("/c"), CgroupVersion::V1)));
        assert_eq!(Hierarchies::default().identity(), None);
    }

    #[test]
    fn of_several_mounts_the_hosts_is_taken() {
        let text = b"1 0 0:5 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n\
                     2 0 0:5 /../../../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(text, Path::new("/"));
        assert_eq!(found.unified, Some(PathBuf::from("/host/sys/fs/cgroup")));
        let own = Hierarchies::parse(text, Path::new("/sys"));
        assert_eq!(own.unified, Some(PathBuf::from("/sys/fs/cgroup")));
    }

    #[test]
    fn lines_that_are_cut_short_or_not_cgroups_are_passed_over() {
        let text = b"\n1 0 0:5 / /x\n2 0 0:6 / /y rw - cgroup2\n3 0 0:7 / /z rw - ext4 /dev/vda rw\n";
        assert_eq!(Hierarchies::parse(text, Path::new("/")), Hierarchies::default());
    }
}
