//! The demonstration's own cgroups: made, filled, killed and removed here and nowhere else.
//!
//! Works on v2, on v1 and on both together: a group is one directory of the same name under every
//! hierarchy that Berth reads or sets. Invariant: nothing is written outside directories that this
//! module made. Deliberately absent: cpusets; CPUs are given by affinity, which needs no controller.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::exit::{Exit, Failure};

/// v1's `cpu.shares` of an entity with v2's default weight of 100.
const SHARES_OF_DEFAULT_WEIGHT: u64 = 1024;

/// v2's default `cpu.weight`.
const DEFAULT_WEIGHT: u64 = 100;

/// The kernel's default bandwidth period.
pub(super) const QUOTA_PERIOD: Duration = Duration::from_millis(100);

/// Killed processes leave their cgroup within milliseconds; one in an uninterruptible wait may not.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look whether a group is empty.
const EMPTY_POLL: Duration = Duration::from_millis(10);

/// Where the hierarchies are mounted.
#[derive(Debug, Clone)]
pub(super) struct Hierarchies {
    /// Controls CPU weight and quota.
    cpu: PathBuf,
    /// v2 syntax of the files in `cpu`.
    unified: bool,
    /// Every mount that gets a directory, `cpu` among them.
    mounts: Vec<PathBuf>,
}

impl Hierarchies {
    /// Reads the mount table. Errors: no hierarchy controls CPU time.
    pub(super) fn find() -> anyhow::Result<Self> {
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
        let mut all = vec![cpu.clone()];
        all.extend(["cpuacct", "memory"].iter().filter_map(|controller| v1(controller)));
        all.extend(v2.cloned());
        all.dedup();
        Ok(Self { cpu, unified: false, mounts: all })
    }

    fn unified(mount: &Path) -> anyhow::Result<Self> {
        let file = mount.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        for controller in ["cpu", "memory"] {
            if !enabled.split_whitespace().any(|name| name == controller) {
                let file = file.display();
                let message = format!(
                    "the {controller} controller is off in {file}; turn it on with: \
                     echo +{controller} | sudo tee {file}"
                );
                return Err(Failure::new(Exit::Environment, message).into());
            }
        }
        Ok(Self { cpu: mount.to_owned(), unified: true, mounts: vec![mount.to_owned()] })
    }

    /// Makes a group for processes. Errors: there is no right to; the text says how to get it.
    pub(super) fn make(&self, path: &str) -> anyhow::Result<Group> {
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
        Ok(group)
    }

    /// Makes a group for groups: on v2 it hands its controllers down, and then no process may be in
    /// it (cgroup-v2.rst, "No Internal Process Constraint").
    pub(super) fn make_parent(&self, path: &str) -> anyhow::Result<Group> {
        let group = self.make(path)?;
        if self.unified {
            group.set("cgroup.subtree_control", "+cpu +memory")?;
        }
        Ok(group)
    }
}

/// One cgroup of the demonstration. Dropping it kills what is inside and removes it.
#[derive(Debug)]
pub(super) struct Group {
    hierarchies: Hierarchies,
    path: String,
    /// Those that were made.
    dirs: Vec<PathBuf>,
}

impl Group {
    /// Its path below the hierarchies' roots, with a leading slash.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.path)
    }

    fn set(&self, file: &str, value: &str) -> anyhow::Result<()> {
        let file = self.hierarchies.cpu.join(&self.path).join(file);
        fs::write(&file, value).with_context(|| format!("write {value} to {}", file.display()))
    }

    /// Its part of contended CPU time against its siblings, on v2's scale (100 is the default).
    pub(super) fn set_weight(&self, weight: u64) -> anyhow::Result<()> {
        if self.hierarchies.unified {
            self.set("cpu.weight", &weight.to_string())
        } else {
            let shares = weight * SHARES_OF_DEFAULT_WEIGHT / DEFAULT_WEIGHT;
            self.set("cpu.shares", &shares.to_string())
        }
    }

    /// Its CPU limit, as Kubernetes sets it.
    pub(super) fn set_cpu_limit(&self, cpus: f64) -> anyhow::Result<()> {
        let period = QUOTA_PERIOD.as_micros();
        let quota = QUOTA_PERIOD.mul_f64(cpus).as_micros();
        if self.hierarchies.unified {
            self.set("cpu.max", &format!("{quota} {period}"))
        } else {
            self.set("cpu.cfs_period_us", &period.to_string())?;
            self.set("cpu.cfs_quota_us", &quota.to_string())
        }
    }

    /// A command line that enters this group and then becomes `program`: the program never runs
    /// outside, not even for its first instruction.
    pub(super) fn entering(&self, program: &Path) -> tokio::process::Command {
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

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.destroy() {
            eprintln!("error: {error:#}");
        }
    }
}

/// How to get the right to make a cgroup.
fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "run it as root",
        ErrorKind::ReadOnlyFilesystem => "mount /sys/fs/cgroup writable (docker run --privileged)",
        ErrorKind::AlreadyExists => "another demonstration uses the name: try again",
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
