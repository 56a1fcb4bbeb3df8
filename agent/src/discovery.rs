//! Which cgroups are sampled: one sweep over the tree of directories.
//!
//! Invariant: what is found does not overlap. Where a container is sampled, nothing above or below
//! it is, so CPU time is owned by one subject at most, and what no subject owns is unowned in
//! truth. Deliberately absent: inotify (it may run out of watches, and a sweep of 300 directories
//! costs less than a millisecond), and what the containers are called: the aggregator knows.

use std::collections::BTreeSet;

use crate::{
    host::{Child, HostRoot},
    identity::{Identity, identify, is_kubepods},
};

/// Cgroups sampled at most: the contract has room for as many (110 pods of two, with tenfold
/// headroom). Those found first stay.
pub const CGROUPS: usize = 2_048;

/// How deep a kubelet's cgroupRoot is looked for: it is usually the top, or one level below it.
const KUBEPODS_DEPTH: usize = 3;

/// How deep containers lie off Kubernetes: rootless podman's are the deepest, in
/// user.slice/user-N.slice/user@N.service/user.slice.
const CONTAINER_DEPTH: usize = 5;

/// A cgroup to sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Below the hierarchy's root, with a leading slash.
    pub cgroup: String,
    /// The directory's inode: a reused path is another container.
    pub inode: u64,
    /// What the path says.
    pub identity: Identity,
    /// A part of the system rather than a container.
    pub system: bool,
}

/// Why a node cannot be swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Two kubelets share this kernel; which one is ours cannot be seen.
    #[error("several kubepods trees ({}): choose the cgroup above one with --cgroup-root", .0.join(", "))]
    SeveralKubepods(Vec<String>),
    /// The person named a cgroup that is not there.
    #[error("no cgroup {0}: name an existing path below the hierarchy's root")]
    NoSuchCgroup(String),
}

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Given: each child of these is a container, and nothing else is looked at.
    roots: Vec<String>,
    /// Given: sampled as parts of the system.
    system: Vec<String>,
    /// The kubelet's, once it was seen.
    kubepods: Option<String>,
    /// What a person has to mend was said once.
    warned: bool,
}

fn join(parent: &str, name: &str) -> String {
    format!("{}/{name}", parent.trim_end_matches('/'))
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn found(cgroup: String, inode: u64, system: bool) -> Found {
    let identity = if system { Identity::default() } else { identify(&cgroup) };
    Found { cgroup, inode, identity, system }
}

impl Discovery {
    /// Checks what the person named. Errors: a named cgroup is not there, or there are several
    /// kubepods trees and none was named.
    pub fn new(host: &HostRoot, roots: Vec<String>, system: Vec<String>) -> Result<Self, DiscoveryError> {
        let normal = |path: String| join("", path.trim_matches('/'));
        let roots: Vec<String> = roots.into_iter().map(normal).collect();
        let system: Vec<String> = system.into_iter().map(normal).collect();
        if let Some(missing) = roots.iter().chain(&system).find(|cgroup| host.inode(cgroup).is_none()) {
            return Err(DiscoveryError::NoSuchCgroup(missing.clone()));
        }
        let mut discovery = Self { roots, system, kubepods: None, warned: false };
        if discovery.roots.is_empty() {
            discovery.kubepods = find_kubepods(host)?;
        }
        Ok(discovery)
    }

    /// The kubelet's tree, if one is known.
    pub fn kubepods(&self) -> Option<&str> {
        self.kubepods.as_deref()
    }

    /// Looks at the tree once. Nothing that vanishes meanwhile is an error.
    pub fn sweep(&mut self, host: &HostRoot) -> Vec<Found> {
        let mut all = Vec::new();
        if self.roots.is_empty() {
            if self.kubepods.is_none() {
                // A kubelet may start after us. Several at once are none: we do not guess.
                self.kubepods = find_kubepods(host).unwrap_or_else(|error| {
                    if !std::mem::replace(&mut self.warned, true) {
                        tracing::warn!(%error, "no pod is sampled");
                    }
                    None
                });
            }
            let trees: Vec<&str> = self.kubepods.iter().map(String::as_str).collect();
            visit(host, &trees, "/", &mut all);
        } else {
            self.roots.iter().for_each(|root| named_root(host, root, &mut all));
        }
        let known: BTreeSet<String> = all.iter().map(|found| found.cgroup.clone()).collect();
        for cgroup in self.system.iter().filter(|cgroup| !known.contains(*cgroup)) {
            all.extend(host.inode(cgroup).map(|inode| found(cgroup.clone(), inode, true)));
        }
        if all.len() > CGROUPS && !std::mem::replace(&mut self.warned, true) {
            let found = all.len();
            tracing::warn!(
                found,
                sampled = CGROUPS,
                "more cgroups than can be sampled: the rest counts as unowned; name those that matter with --cgroup-root"
            );
        }
        all.truncate(CGROUPS);
        all
    }
}

/// Finds the one kubepods tree of the hierarchy: our own path shows it on most nodes, else it is
/// searched from the top. Errors: there are several.
fn find_kubepods(host: &HostRoot) -> Result<Option<String>, DiscoveryError> {
    let own = crate::host::read(&host.proc("self/cgroup")).here().unwrap_or_default();
    let own = String::from_utf8_lossy(&own);
    let own_paths = own.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    if let Some(root) =
        own_paths.filter_map(crate::identity::kubepods_root).find(|root| host.inode(root).is_some())
    {
        return Ok(Some(root));
    }
    let mut roots = Vec::new();
    search_kubepods(host, "/", KUBEPODS_DEPTH, &mut roots);
    if roots.len() > 1 { Err(DiscoveryError::SeveralKubepods(roots)) } else { Ok(roots.pop()) }
}

fn search_kubepods(host: &HostRoot, parent: &str, depth: usize, roots: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    for Child { name, .. } in host.children(parent) {
        let path = join(parent, &name);
        if is_kubepods(&name) {
            roots.push(path);
        } else if identify(&path).container_id.is_none() {
            search_kubepods(host, &path, depth - 1, roots);
        }
    }
}

/// A root that the person named: a kubepods tree itself, or one whose children are containers.
fn named_root(host: &HostRoot, root: &str, all: &mut Vec<Found>) {
    if is_kubepods(last_component(root)) {
        pods(host, root, all);
        return;
    }
    for Child { name, inode } in host.children(root) {
        let path = join(root, &name);
        if is_kubepods(&name) {
            pods(host, &path, all);
        } else {
            all.push(found(path, inode, false));
        }
    }
}

/// Divides what lies below `parent`: pods' containers inside the `kubepods` trees, and outside them
/// (off Kubernetes only) other containers; every largest subtree without any is the system's.
fn visit(host: &HostRoot, kubepods: &[&str], parent: &str, all: &mut Vec<Found>) {
    for Child { name, inode } in host.children(parent) {
        let path = join(parent, &name);
        let leads_to_pods =
            kubepods.iter().any(|root| root.strip_prefix(&path).is_some_and(|rest| rest.starts_with('/')));
        if kubepods.contains(&path.as_str()) {
            pods(host, &path, all);
        } else if leads_to_pods {
            visit(host, kubepods, &path, all);
        } else if kubepods.is_empty() {
            other_containers(host, &path, inode, CONTAINER_DEPTH, all);
        } else {
            all.push(found(path, inode, true));
        }
    }
}

/// Pushes what `path` is: a container, a subtree with containers in it, or a part of the system.
fn other_containers(host: &HostRoot, path: &str, inode: u64, depth: usize, all: &mut Vec<Found>) {
    let itself = found(path.to_owned(), inode, false);
    if itself.identity.container_id.is_some() {
        all.push(itself);
        return;
    }
    let mut inside = Vec::new();
    if depth > 1 {
        for Child { name, inode } in host.children(path) {
            other_containers(host, &join(path, &name), inode, depth - 1, &mut inside);
        }
    }
    if inside.iter().any(|found| !found.system) {
        all.extend(inside);
    } else {
        all.push(found(path.to_owned(), inode, true));
    }
}

/// Pushes the containers below a kubepods tree, or below one of its service classes.
fn pods(host: &HostRoot, parent: &str, all: &mut Vec<Found>) {
    for Child { name, inode } in host.children(parent) {
        let path = join(parent, &name);
        if identify(&path).pod_uid.is_none() {
            pods(host, &path, all);
            continue;
        }
        let children = host.children(&path).into_iter();
        let children = children.map(|child| found(join(&path, &child.name), child.inode, false));
        let (skipped, inside): (Vec<_>, Vec<_>) = children.partition(|child| child.identity.skip);
        let containers = inside.into_iter().filter(|child| child.identity.container_id.is_some());
        let before = all.len();
        all.extend(containers);
        // A sandboxed runtime (gVisor, Kata) may carry all of a pod in the pod's own cgroup.
        if all.len() == before && skipped.is_empty() {
            all.push(found(path, inode, false));
        }
    }
}

#[cfg(test)]
mod tests;
