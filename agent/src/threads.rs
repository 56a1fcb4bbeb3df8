//! The threads of a container in Focus: finding them, and keeping their schedstat open.
//!
//! A thread is its kept-open file: once its number is used again, the old file answers "gone" for
//! ever. Its key is therefore (number, start), without asking for the start again. Deliberately
//! absent: /proc/PID/stat, whose cost grows with the threads of the process.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use berth::ContainerSubject;

use crate::{
    host::{Child, HostRoot, KeptFile, read, text},
    identity::identify,
};

/// Threads watched on a node at most: a sweep of as many costs 0.8 ms (measured: 0.37 us each).
pub const THREADS: usize = 2_048;

/// Cgroups below a container that are searched for its threads: crun's own leaf, or docker in
/// docker.
const NESTED_DEPTH: usize = 4;

/// /proc counts starts in `USER_HZ`, which is 100.
const START_TICK_NSEC: u64 = 10_000_000;

/// A watched thread.
#[derive(Debug)]
pub struct ThreadFile {
    /// Its number.
    pub tid: u32,
    /// Its schedstat.
    pub file: KeptFile,
    /// When it started, if that was under our eyes.
    pub started_nsec: Option<u64>,
    /// Set by whoever finds that it has ended, so that its number may be looked at anew.
    pub ended: Arc<AtomicBool>,
}

/// The threads of one container that are being watched.
#[derive(Debug)]
pub struct Watched {
    since_nsec: u64,
    known: HashMap<u32, Arc<AtomicBool>>,
}

impl Watched {
    /// None yet; those that start after `now_nsec` start under our eyes.
    pub fn new(now_nsec: u64) -> Self {
        Self { since_nsec: now_nsec, known: HashMap::new() }
    }

    /// How many are watched.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// None is watched.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Opens those of `tids` that are new, up to `room` of them, and forgets the ended.
    pub fn refresh(&mut self, host: &HostRoot, tids: &[u32], room: usize) -> Vec<ThreadFile> {
        self.known.retain(|_, ended| !ended.load(Ordering::Relaxed));
        let mut fresh = Vec::new();
        for &tid in tids {
            if fresh.len() >= room {
                break;
            }
            if self.known.contains_key(&tid) {
                continue;
            }
            let Ok(file) = KeptFile::open(&host.proc(format!("{tid}/schedstat"))) else { continue };
            let stat = read(&host.proc(format!("{tid}/task/{tid}/stat")));
            let started_ticks = stat.parse(|stat| text::start_ticks(&stat)).here();
            let started_nsec = started_ticks.map(|ticks| ticks.saturating_mul(START_TICK_NSEC));
            let started_nsec = started_nsec.filter(|&started| started >= self.since_nsec);
            let ended = Arc::new(AtomicBool::new(false));
            self.known.insert(tid, Arc::clone(&ended));
            fresh.push(ThreadFile { tid, file, started_nsec, ended });
        }
        fresh
    }
}

/// The numbers of a cgroup's threads, those of cgroups below it included. `None`: the kernel does
/// not name them to us, because they are in a pid namespace that is not below ours.
pub fn tids_of(host: &HostRoot, cgroup: &str) -> Option<Vec<u32>> {
    let mut tids = Vec::new();
    collect_tids(host, cgroup, NESTED_DEPTH, &mut tids).then_some(tids)
}

fn collect_tids(host: &HostRoot, cgroup: &str, depth: usize, tids: &mut Vec<u32>) -> bool {
    let file = if host.hierarchies().unified.is_some() { "cgroup.threads" } else { "tasks" };
    let list = read(&host.identity_file(cgroup, file)).here().unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    for tid in list.lines().filter_map(|line| line.trim().parse().ok()) {
        if tid == 0 {
            return false;
        }
        tids.push(tid);
    }
    let children = if depth == 0 { Vec::new() } else { host.children(cgroup) };
    children.iter().all(|Child { name, .. }| collect_tids(host, &format!("{cgroup}/{name}"), depth - 1, tids))
}

/// The same for all of `subjects` at once, through /proc: for an agent that looks at the host's
/// /proc from a pid namespace of its own.
pub fn tids_by_process(host: &HostRoot, subjects: &[&ContainerSubject]) -> Vec<Vec<u32>> {
    let mut tids = vec![Vec::new(); subjects.len()];
    for pid in host.numbered("") {
        let Some(path) = process_cgroup(host, pid) else { continue };
        if let Some(index) = subjects.iter().position(|subject| lies_in(&path, subject)) {
            tids[index].extend(host.numbered(format!("{pid}/task")));
        }
    }
    tids
}

/// A process's path in the identity hierarchy, as our cgroup namespace shows it.
fn process_cgroup(host: &HostRoot, pid: u32) -> Option<String> {
    let text = read(&host.proc(format!("{pid}/cgroup"))).here()?;
    let text = String::from_utf8(text).ok()?;
    let unified = host.hierarchies().unified.is_some();
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let ours =
            if unified { controllers.is_empty() } else { controllers.split(',').any(|one| one == "cpu") };
        ours.then(|| path.to_owned())
    })
}

/// Whether a process with this path belongs to `subject`. From inside a cgroup namespace the path
/// is relative ("/../../pod<uid>/<id>"), so that what it shows of the container must do.
fn lies_in(path: &str, subject: &ContainerSubject) -> bool {
    if !path.starts_with("/..") {
        let rest = path.strip_prefix(&subject.cgroup);
        return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    if subject.container_id.is_some() {
        return identify(path).container_id == subject.container_id;
    }
    let visible = path.trim_start_matches("/..");
    !visible.is_empty() && subject.cgroup.ends_with(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(cgroup: &str, container_id: Option<String>) -> ContainerSubject {
        ContainerSubject {
            cgroup: cgroup.to_owned(),
            inode: 1,
            pod_uid: None,
            container_id,
            qos: None,
            system: false,
            cpu_list: None,
        }
    }

    #[test]
    fn a_process_is_found_in_its_container_from_inside_a_cgroup_namespace_too() {
        let id = "a".repeat(64);
        let path = format!("/kubepods/burstable/pod1ab17678-bd25-40b9-bb19-28479127bafd/{id}");
        let with_id = subject(&path, Some(id.clone()));
        let without = subject("/demo/model", None);
        for (given, of_id, of_other) in [
            (path.clone(), true, false),
            (format!("{path}/docker/{}", "b".repeat(64)), true, false),
            (format!("/../../pod1ab17678-bd25-40b9-bb19-28479127bafd/{id}"), true, false),
            (format!("/../../podx/{}", "b".repeat(64)), false, false),
            ("/demo/model".into(), false, true),
            ("/demo/model/inner".into(), false, true),
            ("/demo/models".into(), false, false),
            ("/../demo/model".into(), false, true),
            ("/../..".into(), false, false),
        ] {
            assert_eq!(lies_in(&given, &with_id), of_id, "{given}");
            assert_eq!(lies_in(&given, &without), of_other, "{given}");
        }
    }
}
