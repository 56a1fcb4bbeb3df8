//! A machine's cgroup, in every hierarchy that this machine has: what it ran is in there, so what
//! must end is known without trusting a process id from a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{END, patiently};

const ROOT: &str = "/sys/fs/cgroup";

/// The roots of all hierarchies: one for cgroup v2, else one a controller (and `unified`, if hybrid).
fn hierarchies() -> anyhow::Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").is_file() {
        return Ok(vec![root.into()]);
    }
    let entries = fs::read_dir(root).context("list the cgroup hierarchies")?;
    let dirs = entries.filter_map(|entry| Some(entry.ok()?.path()));
    // A link names a hierarchy of several controllers a second time.
    let hierarchies: Vec<_> =
        dirs.filter(|dir| !dir.is_symlink() && dir.join("cgroup.procs").is_file()).collect();
    ensure!(!hierarchies.is_empty(), "{ROOT} holds no cgroup hierarchy");
    Ok(hierarchies)
}

/// Makes the cgroup `name` everywhere, on these CPUs, and says where.
pub(super) fn make(name: &str, cpus: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for hierarchy in hierarchies()? {
        let dir = hierarchy.join(name);
        fs::create_dir(&dir).with_context(|| format!("make the cgroup {}", dir.display()))?;
        let file = |file: &str| dir.join(file);
        // In cgroup v1 a cpuset is empty, and takes nobody in, until both are written.
        if file("cpuset.cpus").is_file() {
            fs::write(file("cpuset.cpus"), cpus).context("give the cgroup its CPUs")?;
            let mems = fs::read(hierarchy.join("cpuset.mems")).unwrap_or_default();
            fs::write(file("cpuset.mems"), mems).context("give the cgroup its memory nodes")?;
        }
        if file("cgroup.clone_children").is_file() {
            fs::write(file("cgroup.clone_children"), "1").context("let cpusets be inherited")?;
        }
        made.push(dir);
    }
    Ok(made)
}

/// Ends every process in the cgroups whose name begins with `prefix`, and removes them.
pub(super) fn remove(prefix: &str) -> anyhow::Result<()> {
    patiently("the cgroups to be empty", END, || {
        let left = find(prefix)?;
        for dir in &left {
            // What just went away, or is not empty yet, is looked at again.
            drop(end(dir));
        }
        Ok(left.is_empty().then_some(()))
    })
}

/// The cgroups of that prefix, everywhere.
pub(super) fn find(prefix: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for hierarchy in hierarchies()? {
        for entry in fs::read_dir(hierarchy)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Every process in the cgroup `name` and below it. One hierarchy has them all.
pub(super) fn processes(name: &str) -> anyhow::Result<Vec<Pid>> {
    let hierarchy = hierarchies()?.into_iter().next().context("find a cgroup hierarchy")?;
    let mut found = Vec::new();
    collect(&hierarchy.join(name), &mut found).with_context(|| format!("list the processes of {name}"))?;
    Ok(found)
}

fn collect(dir: &Path, found: &mut Vec<Pid>) -> io::Result<()> {
    let list = fs::read_to_string(dir.join("cgroup.procs"))?;
    found.extend(list.lines().filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw)));
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type()?.is_dir() {
            // A pod that ends meanwhile takes its cgroup along.
            drop(collect(&entry.path(), found));
        }
    }
    Ok(())
}

fn end(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type()?.is_dir() {
            drop(end(&entry.path()));
        }
    }
    for pid in fs::read_to_string(dir.join("cgroup.procs"))?.lines() {
        // 0 is a process of another namespace; one that has ended meanwhile needs no signal.
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            let _ended_already = kill_process(pid, Signal::KILL);
        }
    }
    fs::remove_dir(dir)
}
