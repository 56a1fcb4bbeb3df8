//! A stage's own cgroups: made, filled, limited, frozen, killed and removed here and nowhere else.
//!
//! Works on v2, on v1 and on both together: a group is one directory of the same name under every
//! hierarchy that Berth reads or sets. Invariant: nothing is written outside directories that this
//! module made. Deliberately absent: cpusets unless asked for; most stages give CPUs by affinity, which
//! needs no controller.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use super::cpus::Cpus;
use crate::exit::{Exit, Failure};

/// v1's `cpu.shares` of an entity with v2's default weight of 100.
const SHARES_OF_DEFAULT_WEIGHT: u64 = 1024;

/// v2's default `cpu.weight`.
pub const DEFAULT_WEIGHT: u64 = 100;

/// The kernel's default bandwidth period.
pub const QUOTA_PERIOD: Duration = Duration::from_millis(100);

/// Killed processes leave their cgroup within milliseconds; one in an uninterruptible wait may not.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look whether a group is empty.
const EMPTY_POLL: Duration = Duration::from_millis(10);

/// What a v2 group hands down.
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";

/// The CPUs of a group, in v1 as in v2.
const CPUSET_CPUS: &str = "cpuset.cpus";

/// v2's word for no limit.
const NO_LIMIT: &str = "max";

/// v1's word for no limit.
const NO_LIMIT_V1: &str = "-1";

/// Where the hierarchies are mounted.
#[derive(Debug, Clone)]
pub struct Hierarchies {
    /// Controls CPU weight and quota.
    cpu: PathBuf,
    /// Counts CPU time.
    cpuacct: PathBuf,
    /// Limits memory; `None` where no hierarchy does.
    memory: Option<PathBuf>,
    /// Can freeze; `None` where there is no v2.
    freezer: Option<PathBuf>,
    /// Holds groups to CPUs; `None` where no hierarchy does, or nobody asked for it.
    cpuset: Option<PathBuf>,
    /// v2 syntax of the files in all of them.
    unified: bool,
    /// Every mount that gets a directory.
    mounts: Vec<PathBuf>,
}

impl Hierarchies {
    /// Reads the mount table. Errors: no hierarchy controls CPU time.
    pub fn find() -> anyhow::Result<Self> {
        let mounts = procfs::process::Process::myself()
            .and_then(|process| process.mountinfo())
            .context("read the mount table")?;
        let v2 = mounts.0.iter().find(|mount| mount.fs_type == "cgroup2").map(|mount| &mount.mount_point);
        let v1 = |controller: &str| {
            let controls = |mount: &&procfs::process::MountInfo| {
                mount.fs_type == "cgroup" && mount.super_options.contains_key(controller)
            };
            mounts.0.iter().find(controls).map(|mount| mount.mount_point.clone())
        };
        let Some(cpu) = v1("cpu") else {
            let v2 = v2.context("find a cgroup hierarchy that controls CPU time: is one mounted?")?;
            return Self::unified(v2);
        };
        let cpuacct = v1("cpuacct").unwrap_or_else(|| cpu.clone());
        let (memory, freezer) = (v1("memory"), v2.cloned());
        let mut mounts = vec![cpu.clone(), cpuacct.clone()];
        mounts.extend(memory.clone());
        mounts.extend(freezer.clone());
        mounts.dedup();
        Ok(Self { cpu, cpuacct, memory, freezer, cpuset: None, unified: false, mounts })
    }

    /// Which versions, as documentation names them.
    pub fn versions(&self) -> &'static str {
        match (self.unified, &self.freezer) {
            (true, _) => "v2",
            (false, Some(_)) => "v1 beside v2",
            (false, None) => "v1",
        }
    }

    /// These, with a hierarchy that holds groups to CPUs, where there is one.
    #[must_use]
    pub fn with_cpusets(mut self) -> Self {
        if self.unified {
            self.cpuset = enables(&self.cpu, "cpuset").is_ok_and(|on| on).then(|| self.cpu.clone());
            return self;
        }
        let mounts = procfs::process::Process::myself().and_then(|process| process.mountinfo());
        let controls = |mount: &procfs::process::MountInfo| {
            mount.fs_type == "cgroup" && mount.super_options.contains_key("cpuset")
        };
        self.cpuset =
            mounts.ok().and_then(|mounts| mounts.0.into_iter().find(controls).map(|mount| mount.mount_point));
        self.mounts.extend(self.cpuset.clone());
        self
    }

    fn unified(mount: &Path) -> anyhow::Result<Self> {
        for controller in ["cpu", "memory"] {
            if !enables(mount, controller)? {
                let file = mount.join(SUBTREE_CONTROL);
                let file = file.display();
                let message = format!(
                    "the {controller} controller is off in {file}; turn it on with: \
                     echo +{controller} | sudo tee {file}"
                );
                return Err(Failure::new(Exit::Environment, message).into());
            }
        }
        let mount = mount.to_owned();
        Ok(Self {
            cpu: mount.clone(),
            cpuacct: mount.clone(),
            memory: Some(mount.clone()),
            freezer: Some(mount.clone()),
            cpuset: None,
            unified: true,
            mounts: vec![mount],
        })
    }

    /// Makes a group for processes. Errors: there is no right to; the text says how to get it.
    pub fn make(&self, path: &str) -> anyhow::Result<Group> {
        // Only what was made here is dropped again when the next one fails.
        let mut group = Group { hierarchies: self.clone(), path: path.to_owned(), dirs: Vec::new() };
        for mount in &self.mounts {
            let dir = mount.join(path);
            if let Err(error) = fs::create_dir(&dir) {
                let dir = dir.display();
                let message = format!("cannot make the cgroup {dir}: {error}; {}", mend(&error));
                return Err(Failure::new(Exit::Environment, message).into());
            }
            group.dirs.push(dir);
        }
        if let Some(cpuset) = self.cpuset.as_deref().filter(|_| !self.unified) {
            inherit_cpuset(&cpuset.join(path))?;
        }
        Ok(group)
    }

    /// Makes a group for groups: on v2 it hands its controllers down, and then no process may be in
    /// it (cgroup-v2.rst, "No Internal Process Constraint").
    pub fn make_parent(&self, path: &str) -> anyhow::Result<Group> {
        let group = self.make(path)?;
        if self.unified {
            let controllers = if self.cpuset.is_some() { "+cpu +memory +cpuset" } else { "+cpu +memory" };
            group.set(&self.cpu, SUBTREE_CONTROL, controllers)?;
        }
        Ok(group)
    }
}

/// One cgroup of a stage. Dropping it kills what is inside and removes it.
#[derive(Debug)]
pub struct Group {
    hierarchies: Hierarchies,
    path: String,
    /// Those that were made.
    dirs: Vec<PathBuf>,
}

impl Group {
    /// Its path below the hierarchies' roots, with a leading slash.
    pub fn path(&self) -> String {
        format!("/{}", self.path)
    }

    fn set(&self, hierarchy: &Path, file: &str, value: &str) -> anyhow::Result<()> {
        let file = hierarchy.join(&self.path).join(file);
        fs::write(&file, value).with_context(|| format!("write {value} to {}", file.display()))
    }

    /// Its part of contended CPU time against its siblings, on v2's scale (100 is the default).
    pub fn set_weight(&self, weight: u64) -> anyhow::Result<()> {
        if self.hierarchies.unified {
            self.set(&self.hierarchies.cpu, "cpu.weight", &weight.to_string())
        } else {
            let shares = weight * SHARES_OF_DEFAULT_WEIGHT / DEFAULT_WEIGHT;
            self.set(&self.hierarchies.cpu, "cpu.shares", &shares.to_string())
        }
    }

    /// Its CPU limit, as Kubernetes sets it; `None` takes it away.
    pub fn set_cpu_limit(&self, cpus: Option<f64>) -> anyhow::Result<()> {
        let Hierarchies { cpu, unified, .. } = &self.hierarchies;
        let period = QUOTA_PERIOD.as_micros();
        let quota = cpus.map(|cpus| QUOTA_PERIOD.mul_f64(cpus).as_micros().to_string());
        if *unified {
            let quota = quota.as_deref().unwrap_or(NO_LIMIT);
            self.set(cpu, "cpu.max", &format!("{quota} {period}"))
        } else {
            self.set(cpu, "cpu.cfs_period_us", &period.to_string())?;
            self.set(cpu, "cpu.cfs_quota_us", quota.as_deref().unwrap_or(NO_LIMIT_V1))
        }
    }

    /// Its memory limit, as Kubernetes sets it; `None` takes it away. What is above a new limit is
    /// reclaimed before this returns, or the kernel refuses it.
    pub fn set_memory_limit(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let memory = self.hierarchies.memory.as_ref().context("find a hierarchy that limits memory")?;
        let bytes = bytes.map(|bytes| bytes.to_string());
        if self.hierarchies.unified {
            self.set(memory, "memory.max", bytes.as_deref().unwrap_or(NO_LIMIT))
        } else {
            self.set(memory, "memory.limit_in_bytes", bytes.as_deref().unwrap_or(NO_LIMIT_V1))
        }
    }

    /// Holds it to these CPUs where the machine can; else affinity must.
    pub fn set_cpus(&self, cpus: &Cpus) -> anyhow::Result<()> {
        let Some(cpuset) = &self.hierarchies.cpuset else { return Ok(()) };
        self.set(cpuset, CPUSET_CPUS, &cpus.list())
    }

    /// Stops all that is inside, or lets it go on, within a millisecond. Errors: there is no v2 here.
    pub fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        let freezer = self.hierarchies.freezer.as_ref();
        let freezer = freezer.context("freeze a cgroup: mount cgroup2 (it may stand beside v1)")?;
        self.set(freezer, "cgroup.freeze", if frozen { "1" } else { "0" })
    }

    /// What tells how much CPU time it uses.
    pub fn cpu_meter(&self) -> CpuMeter {
        let dir = self.hierarchies.cpuacct.join(&self.path);
        let unified = self.hierarchies.unified;
        CpuMeter { file: dir.join(if unified { "cpu.stat" } else { "cpuacct.usage" }), unified }
    }

    /// What lists its threads.
    pub fn thread_list(&self) -> ThreadList {
        let file = if self.hierarchies.unified { "cgroup.threads" } else { "tasks" };
        ThreadList { file: self.hierarchies.cpu.join(&self.path).join(file) }
    }

    /// A command line that enters this group and then becomes `program`: the program never runs
    /// outside, not even for its first instruction.
    pub fn entering(&self, program: &Path) -> tokio::process::Command {
        const ENTER: &str =
            r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@""#;
        let mut command = tokio::process::Command::new("sh");
        let files = self.dirs.iter().map(|dir| OsString::from(dir.join("cgroup.procs")));
        command.args(["-c", ENTER, "sh"]).args(files).arg("--").arg(program);
        command
    }

    /// Kills what is inside, and removes the group and those below it.
    fn destroy(&self) -> anyhow::Result<()> {
        let tries = EMPTY_TIMEOUT.as_millis() / EMPTY_POLL.as_millis();
        for _ in 0..tries {
            let dirs: Vec<_> = self.dirs.iter().flat_map(|dir| tree(dir)).collect();
            for dir in &dirs {
                kill_all(dir);
            }
            // Children stand behind their parents, and only an empty directory goes.
            let left = dirs.iter().rev().filter(|dir| still_there(fs::remove_dir(dir))).count();
            if left == 0 {
                return Ok(());
            }
            std::thread::sleep(EMPTY_POLL);
        }
        anyhow::bail!("the cgroup {} could not be emptied; remove it by hand", self.path())
    }
}

/// Tells how much CPU time a group uses.
#[derive(Debug, Clone)]
pub struct CpuMeter {
    file: PathBuf,
    unified: bool,
}

impl CpuMeter {
    /// CPU time of the group and those below it since it was made.
    pub fn read(&self) -> anyhow::Result<Duration> {
        let text = fs::read_to_string(&self.file).with_context(|| format!("read {}", self.file.display()))?;
        let used = if self.unified {
            let usec = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
            usec.and_then(|usec| usec.parse().ok()).map(Duration::from_micros)
        } else {
            text.trim().parse().ok().map(Duration::from_nanos)
        };
        used.with_context(|| format!("parse {}", self.file.display()))
    }
}

/// Lists the threads of a group.
#[derive(Debug, Clone)]
pub struct ThreadList {
    file: PathBuf,
}

impl ThreadList {
    /// Those that it has now, by number.
    pub fn read(&self) -> anyhow::Result<Vec<u32>> {
        let text = fs::read_to_string(&self.file).with_context(|| format!("read {}", self.file.display()))?;
        let tids: Result<_, _> = text.lines().map(str::parse).collect();
        tids.with_context(|| format!("parse {}", self.file.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.destroy() {
            eprintln!("error: {error:#}");
        }
    }
}

/// Whether a v2 hierarchy's root hands a controller down.
fn enables(mount: &Path, controller: &str) -> anyhow::Result<bool> {
    let file = mount.join(SUBTREE_CONTROL);
    let enabled = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    Ok(enabled.split_whitespace().any(|name| name == controller))
}

/// v1 makes a cpuset empty, and lets no process into an empty one.
fn inherit_cpuset(dir: &Path) -> anyhow::Result<()> {
    let parent = dir.parent().context("a group lies below a mount")?;
    for file in [CPUSET_CPUS, "cpuset.mems"] {
        let inherited = fs::read_to_string(parent.join(file))
            .with_context(|| format!("read {}", parent.join(file).display()))?;
        let file = dir.join(file);
        fs::write(&file, inherited.trim()).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// How to get the right to make a cgroup.
fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "run it as root",
        ErrorKind::ReadOnlyFilesystem => "mount /sys/fs/cgroup writable (docker run --privileged)",
        ErrorKind::AlreadyExists => "another stage uses the name: try again",
        _ => "does this machine let you make cgroups there?",
    }
}

fn still_there(removed: io::Result<()>) -> bool {
    removed.is_err_and(|error| error.kind() != ErrorKind::NotFound)
}

/// A directory and all below it, parents first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(tree(&entry.path()));
        }
    }
    all
}

fn kill_all(dir: &Path) {
    let processes = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw) {
        // It may have ended by itself since it was listed.
        let _gone = kill_process(pid, Signal::KILL);
    }
}
