//! Whose cgroup is this? Read from the path alone.
//!
//! The kubelet and the runtimes encode the pod, its service class and the container into the path;
//! every form known here is a row of the table in the tests. Invariant: what the path does not show
//! is `None`, never a guess. Deliberately absent: the API server, runtimes' sockets, and regular
//! expressions: a path is parsed once, when it is found.

use berth::Qos;

/// What a path says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The pod's UID; of a static pod its config hash.
    pub pod_uid: Option<String>,
    /// The pod's service class.
    pub qos: Option<Qos>,
    /// 64 hexadecimal digits.
    pub container_id: Option<String>,
    /// Neither a container nor a part of one: a monitor process or a sandbox.
    pub skip: bool,
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != "..")
}

/// Whether this is the top of a kubelet's pods, whichever cgroup driver made it.
pub fn is_kubepods(component: &str) -> bool {
    component == "kubepods" || component == "kubepods.slice" || component.ends_with("-kubepods.slice")
}

/// The path up to its first kubepods component.
pub fn kubepods_root(path: &str) -> Option<String> {
    let mut root = String::new();
    for part in components(path) {
        root.push('/');
        root.push_str(part);
        if is_kubepods(part) {
            return Some(root);
        }
    }
    None
}

/// A pod's UID in the form that the API server shows: systemd's escape has `_` for `-`.
fn pod_uid(text: &str) -> Option<String> {
    let hash = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let uuid = text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-' || byte == b'_',
            _ => byte.is_ascii_hexdigit(),
        });
    (hash || uuid).then(|| text.replace('_', "-"))
}

/// The UID that a component names as `pod<uid>` or `...-pod<uid>[.slice]`.
fn pod_of(component: &str) -> Option<String> {
    if let Some(uid) = component.strip_prefix("pod") {
        return pod_uid(uid);
    }
    let bare = component.strip_suffix(".slice").unwrap_or(component);
    pod_uid(bare.rsplit_once("-pod")?.1)
}

const RUNTIME_PREFIXES: [&str; 5] = ["cri-containerd-", "crio-", "docker-", "libpod-payload-", "libpod-"];

fn container_of(component: &str) -> Option<String> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let id = RUNTIME_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

/// A sandbox of CRI-O under the systemd driver has no `.scope`; a monitor says so in its prefix.
fn is_skipped(component: &str, pod: Option<&str>) -> bool {
    let monitor = component.contains("conmon");
    let systemd = pod.is_some_and(|pod| pod.strip_suffix(".slice").is_some());
    let scope = component.strip_suffix(".scope").is_some();
    monitor || systemd && component.starts_with("crio-") && !scope
}

fn qos_of(component: &str) -> Option<Qos> {
    if component.contains("besteffort") {
        Some(Qos::BestEffort)
    } else if component.contains("burstable") {
        Some(Qos::Burstable)
    } else {
        None
    }
}

/// Reads a path. The first pod and, under it, the first container count: what lies deeper runs
/// inside that container (docker in docker, crun's own leaf).
pub fn identify(path: &str) -> Identity {
    let mut identity = Identity::default();
    let (mut rooted, mut pod) = (false, None);
    let visible_root = components(path).any(is_kubepods);
    // A path of the cgroupfs driver given to systemd: "<pod>.slice:cri-containerd:<id>".
    let parts = components(path).flat_map(|component| component.split(':'));
    for component in parts {
        rooted |= is_kubepods(component);
        if identity.pod_uid.is_none() {
            let class = qos_of(component).filter(|_| rooted || !visible_root);
            identity.qos = identity.qos.or(class);
            if let Some(uid) = pod_of(component) {
                // A pod that shows no class is guaranteed, where a class would have been seen.
                let seen = rooted || !component.starts_with("pod");
                identity.qos = identity.qos.or(seen.then_some(Qos::Guaranteed));
                identity.pod_uid = Some(uid);
                identity.container_id = None;
                pod = Some(component);
                continue;
            }
        }
        if identity.container_id.is_none() && !identity.skip {
            identity.skip = is_skipped(component, pod);
            identity.container_id = container_of(component).filter(|_| !identity.skip);
        }
    }
    if identity.pod_uid.is_none() {
        identity.qos = None;
    }
    identity
}

#[cfg(test)]
mod tests;
