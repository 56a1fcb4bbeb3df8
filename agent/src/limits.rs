//! What CPU time a cgroup may use, and which quotas can stop it. Read at sweeps, not in ticks.

use std::{collections::HashMap, iter::successors};

use crate::{
    host::{Dir, HostRoot, KeptFile, text},
    identity::identify,
};

/// The longest of the files read here holds two numbers.
const BUFFER_BYTES: usize = 64;

/// A cgroup's own part of the CPUs; `None` where the kernel shows none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuLimits {
    /// Its quota in thousandths of a CPU; -1 for none.
    pub millicpu: Option<i64>,
    /// On v2's scale.
    pub weight: Option<i64>,
}

/// Where a quota stands, nearest to the container first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// At the container itself.
    Own,
    /// At its pod.
    Pod,
    /// Above its pod, or above a container that is in none.
    Slice,
}

impl Level {
    /// Where the quota of `holder`, the cgroup itself or one above it, stands.
    fn of(holder: &str, cgroup: &str) -> Self {
        if holder == cgroup {
            Self::Own
        } else if identify(holder).pod_uid.is_some() {
            Self::Pod
        } else {
            Self::Slice
        }
    }
}

/// A cgroup whose quota can stop a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub cgroup: String,
    /// Where it stands.
    pub level: Level,
    /// CPUs, in thousandths.
    pub millicpu: i64,
}

/// A quota whose stops are read.
#[derive(Debug)]
pub struct QuotaFile {
    /// Where it stands.
    pub level: Level,
    /// CPUs, in thousandths; -1 for none.
    pub millicpu: i64,
    /// The cpu.stat of its cgroup.
    pub stat: KeptFile,
}

impl QuotaFile {
    /// Opens those that can stop `cgroup`. Its own and its pod's are among them while they have no limit
    /// too: one that is set between two sweeps is then heard of at once. Above these, where a read gathers
    /// what all pods below did, a limit is waited for.
    pub fn open_all(host: &HostRoot, cgroup: &str, holders: &[Holder]) -> Vec<Self> {
        let open = |path: &str| {
            let (level, holder) = (Level::of(path, cgroup), holders.iter().find(|one| one.cgroup == path));
            if level == Level::Slice && holder.is_none() {
                return None;
            }
            let stat = KeptFile::open(&host.cpu_file(path, "cpu.stat")).ok()?;
            Some(Self { level, millicpu: holder.map_or(text::UNLIMITED, |holder| holder.millicpu), stat })
        };
        upwards(cgroup).filter_map(open).collect()
    }
}

/// The directory in which the limits of `cgroup` are; one that is not there shows none.
pub fn cpu_dir(host: &HostRoot, cgroup: &str) -> Option<Dir> {
    Dir::open(&host.cpu_file(cgroup, ""))
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

    /// The limits of `cgroup` itself, which are in `dir`.
    pub fn limits(&mut self, cgroup: &str, dir: Option<&Dir>) -> CpuLimits {
        let millicpu = dir.and_then(|dir| self.quota_millicpu(dir));
        self.quotas.insert(cgroup.to_owned(), millicpu);
        CpuLimits { millicpu, weight: dir.and_then(|dir| self.weight(dir)) }
    }

    fn weight(&self, dir: &Dir) -> Option<i64> {
        let (file, weight_of): (_, fn(u64) -> Option<i64>) = if self.host.hierarchies().cpu.is_some() {
            ("cpu.shares", |shares| Some(text::weight_of_shares(shares)))
        } else {
            ("cpu.weight", |weight| i64::try_from(weight).ok())
        };
        dir.read(file, &mut [0; BUFFER_BYTES]).parse(text::number).here().and_then(weight_of)
    }

    /// The cgroups whose quota can stop `cgroup`: itself and its ancestors that have one, nearest
    /// first.
    pub fn quota_holders(&mut self, cgroup: &str) -> Vec<Holder> {
        let holder = |path: &str| {
            let millicpu = self.quota_of(path).filter(|&quota| quota != text::UNLIMITED)?;
            Some(Holder { cgroup: path.to_owned(), level: Level::of(path, cgroup), millicpu })
        };
        upwards(cgroup).filter_map(holder).collect()
    }

    fn quota_of(&mut self, cgroup: &str) -> Option<i64> {
        if let Some(&known) = self.quotas.get(cgroup) {
            return known;
        }
        let quota = cpu_dir(self.host, cgroup).and_then(|dir| self.quota_millicpu(&dir));
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

/// A cgroup and those above it, but for the root, which has no quota.
fn upwards(cgroup: &str) -> impl Iterator<Item = &str> {
    successors(Some(cgroup), |path| Some(path.rsplit_once('/')?.0)).take_while(|path| !path.is_empty())
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
        let pod = "kubepods/burstable/pod1ab17678-bd25-40b9-bb19-28479127bafd";
        let files = [
            ("kubepods/cpu.max", "max 100000\n"),
            ("kubepods/burstable/cpu.max", "300000 100000\n"),
            (&format!("{pod}/cpu.max"), "90000 100000\n"),
            (&format!("{pod}/c1/cpu.max"), "20000 100000\n"),
            (&format!("{pod}/c1/cpu.stat"), "nr_periods 1\n"),
            (&format!("{pod}/c2/cpu.stat"), "nr_periods 0\n"),
            (&format!("{pod}/c1/cpu.weight"), "39\n"),
            (&format!("{pod}/c2/cpu.max"), "max 100000\n"),
            (&format!("{pod}/cpu.stat"), "nr_periods 1\n"),
            ("kubepods/burstable/cpu.stat", "nr_periods 1\n"),
            ("kubepods/cpu.stat", "nr_periods 0\n"),
        ];
        let host = host(dir.path(), "cgroup2 cgroup2 rw", &files);
        let mut reader = LimitReader::new(&host);
        let (first, second) = (format!("/{pod}/c1"), format!("/{pod}/c2"));
        let limits = reader.limits(&first, cpu_dir(&host, &first).as_ref());
        assert_eq!(limits, CpuLimits { millicpu: Some(200), weight: Some(39) });
        let levels = |holders: &[Holder]| -> Vec<_> {
            holders.iter().map(|holder| (holder.level, holder.millicpu)).collect()
        };
        let (of_first, of_second) = (reader.quota_holders(&first), reader.quota_holders(&second));
        assert_eq!(levels(&of_first), [(Level::Own, 200), (Level::Pod, 900), (Level::Slice, 3_000)]);
        assert_eq!(levels(&of_second), [(Level::Pod, 900), (Level::Slice, 3_000)]);
        assert_eq!(of_second[0].cgroup, format!("/{pod}"));
        assert_eq!(reader.quota_holders("/kubepods"), []);
        let opened = |cgroup: &str, holders: &[Holder]| -> Vec<_> {
            let files = QuotaFile::open_all(&host, cgroup, holders).into_iter();
            files.map(|file| (file.level, file.millicpu)).collect()
        };
        assert_eq!(opened(&first, &of_first), levels(&of_first));
        assert_eq!(opened(&second, &of_second), [&[(Level::Own, -1)][..], &levels(&of_second)].concat());
        assert_eq!(opened(&second, &[]), [(Level::Own, -1), (Level::Pod, -1)], "before there is one");
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
        let mut limits = |cgroup: &str| reader.limits(cgroup, cpu_dir(&host, cgroup).as_ref());
        assert_eq!(limits("/c1"), CpuLimits { millicpu: Some(500), weight: Some(200) });
        assert_eq!(limits("/c2"), CpuLimits { millicpu: Some(-1), weight: None });
        assert_eq!(limits("/gone"), CpuLimits::default());
    }
}
