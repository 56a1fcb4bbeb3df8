use std::{fs, path::Path};

use berth::Qos;

use super::*;

const UID: &str = "1ab17678-bd25-40b9-bb19-28479127bafd";

/// A host with an empty cgroup2 tree in a temporary directory.
struct FakeTree {
    dir: tempfile::TempDir,
    host: HostRoot,
}

impl FakeTree {
    fn new(cgroups: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (proc, top) = (dir.path().join("proc"), dir.path().join("cgroup"));
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::create_dir(&top).unwrap();
        let mountinfo = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", top.display());
        fs::write(proc.join("self/mountinfo"), mountinfo).unwrap();
        fs::write(proc.join("self/cgroup"), "0::/\n").unwrap();
        let host = HostRoot::open(&proc, Path::new("/")).unwrap();
        let tree = Self { dir, host };
        for cgroup in cgroups {
            tree.make(cgroup);
        }
        tree
    }

    fn directory(&self, cgroup: &str) -> std::path::PathBuf {
        self.dir.path().join("cgroup").join(cgroup.trim_start_matches('/'))
    }

    fn make(&self, cgroup: &str) {
        fs::create_dir_all(self.directory(cgroup)).unwrap();
    }

    fn sweep(&self, roots: &[&str], system: &[&str]) -> Vec<(String, bool)> {
        let owned = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
        let mut discovery = Discovery::new(&self.host, owned(roots), owned(system)).unwrap();
        discovery.sweep(&self.host).into_iter().map(|found| (found.cgroup, found.system)).collect()
    }
}

fn container(path: &str) -> (String, bool) {
    (path.to_owned(), false)
}

fn system(path: &str) -> (String, bool) {
    (path.to_owned(), true)
}

#[test]
fn each_child_of_a_named_root_is_a_container_and_nothing_else_is_looked_at() {
    let tree = FakeTree::new(&["demo/model", "demo/scanner/inner", "other/x"]);
    let found = tree.sweep(&["demo/"], &["/other"]);
    assert_eq!(found, [container("/demo/model"), container("/demo/scanner"), system("/other")]);
}

#[test]
fn a_kubepods_tree_below_a_named_root_is_swept_for_its_pods() {
    let id = "a".repeat(64);
    let ours = format!("/berth-node-a/kubepods/besteffort/pod{UID}/{id}");
    let theirs = format!("/berth-node-b/kubepods/burstable/pod{UID}/{id}");
    let tree = FakeTree::new(&[&ours, &theirs, "berth-node-a/kubelet"]);
    assert_eq!(tree.sweep(&["/berth-node-a"], &[]), [container("/berth-node-a/kubelet"), container(&ours)]);
    assert_eq!(tree.sweep(&["/berth-node-a/kubepods"], &[]), [container(&ours)]);
}

#[test]
fn between_two_kubelets_we_refuse_to_guess_and_our_own_path_decides() {
    let tree = FakeTree::new(&["berth-node-a/kubepods", "berth-node-b/kubepods"]);
    let refused = Discovery::new(&tree.host, vec![], vec![]).unwrap_err();
    let both = vec!["/berth-node-a/kubepods".to_owned(), "/berth-node-b/kubepods".to_owned()];
    assert_eq!(refused, DiscoveryError::SeveralKubepods(both));
    fs::write(tree.host.proc("self/cgroup"), "1:cpu:/\n0::/berth-node-b/kubepods/burstable/podx\n").unwrap();
    let discovery = Discovery::new(&tree.host, vec![], vec![]).unwrap();
    assert_eq!(discovery.kubepods(), Some("/berth-node-b/kubepods"));
}

#[test]
fn of_two_kubelets_on_one_kernel_only_ours_has_pods() {
    let id = "a".repeat(64);
    let ours = format!("/berth-node-a/kubepods/besteffort/pod{UID}/{id}");
    let theirs = format!("/berth-node-b/kubepods/burstable/pod{UID}/{id}");
    let tree = FakeTree::new(&[&ours, &theirs]);
    fs::write(tree.host.proc("self/cgroup"), format!("0::{ours}\n")).unwrap();
    assert_eq!(tree.sweep(&[], &[]), [container(&ours), system("/berth-node-b")]);
}

#[test]
fn one_container_in_two_hierarchies_is_one() {
    let path = format!("berth-node-a/kubepods/besteffort/pod{UID}/{}", "a".repeat(64));
    let dir = tempfile::tempdir().unwrap();
    let (proc, unified, cpu) = (dir.path().join("proc"), dir.path().join("unified"), dir.path().join("cpu"));
    fs::create_dir_all(proc.join("self")).unwrap();
    let mountinfo = format!(
        "1 0 0:1 / {} rw - cgroup cgroup rw,cpu,cpuacct\n2 0 0:2 / {} rw - cgroup2 cgroup2 rw\n",
        cpu.display(),
        unified.display()
    );
    fs::write(proc.join("self/mountinfo"), mountinfo).unwrap();
    for hierarchy in [&cpu, &unified] {
        fs::create_dir_all(hierarchy.join(&path)).unwrap();
    }
    let host = HostRoot::open(&proc, Path::new("/")).unwrap();
    let found = Discovery::new(&host, vec![], vec![]).unwrap().sweep(&host);
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(unified.join(&path)).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cgroup.as_str(), found[0].inode), (format!("/{path}").as_str(), inode));
}

#[test]
fn on_kubernetes_pods_are_containers_and_every_other_subtree_is_the_systems() {
    let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let pod = format!(
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{}.slice",
        UID.replace('-', "_")
    );
    let gvisor =
        format!("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{}.slice", "d".repeat(32));
    let containers = [format!("{pod}/crio-{a}.scope"), format!("{pod}/crio-{b}.scope")];
    let tree = FakeTree::new(&[
        &format!("{}/container", containers[0]),
        &containers[1],
        &format!("{pod}/crio-conmon-{a}.scope"),
        &format!("{pod}/crio-{c}"),
        &gvisor,
        "kubelet.slice/kubelet.service",
        &format!("system.slice/docker-{c}.scope"),
        "init.scope",
    ]);
    let found = tree.sweep(&[], &[]);
    let expected = [
        system("/init.scope"),
        container(&containers[0]),
        container(&containers[1]),
        container(&gvisor),
        system("/kubelet.slice/kubelet.service"),
        system("/system.slice"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn off_kubernetes_a_slice_with_containers_is_divided_and_the_others_stay_whole() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let docker = format!("/system.slice/docker-{a}.scope");
    let rootless = format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{b}.scope");
    let tree = FakeTree::new(&[
        &docker,
        &format!("{rootless}/container"),
        "system.slice/sshd.service",
        "machine.slice/x",
        "lxc/7",
    ]);
    let found = tree.sweep(&[], &[]);
    let expected = [
        system("/lxc"),
        system("/machine.slice"),
        container(&docker),
        system("/system.slice/sshd.service"),
        container(&rootless),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_path_made_again_has_another_inode() {
    let tree = FakeTree::new(&["demo/model"]);
    let mut discovery = Discovery::new(&tree.host, vec!["/demo".into()], vec![]).unwrap();
    let first = discovery.sweep(&tree.host);
    fs::rename(tree.directory("demo/model"), tree.directory("kept")).unwrap();
    assert!(discovery.sweep(&tree.host).is_empty());
    tree.make("demo/model");
    let second = discovery.sweep(&tree.host);
    assert_eq!(first[0].cgroup, second[0].cgroup);
    assert_ne!(first[0].inode, second[0].inode);
}

#[test]
fn a_named_cgroup_that_is_not_there_is_refused_by_name() {
    let tree = FakeTree::new(&[]);
    let refused = Discovery::new(&tree.host, vec!["nowhere".into()], vec![]).unwrap_err();
    assert_eq!(refused, DiscoveryError::NoSuchCgroup("/nowhere".into()));
}

#[test]
fn a_kubelet_that_starts_after_us_is_seen() {
    let tree = FakeTree::new(&["system.slice"]);
    let mut discovery = Discovery::new(&tree.host, vec![], vec![]).unwrap();
    assert_eq!(discovery.sweep(&tree.host).len(), 1);
    tree.make(&format!("kubepods/pod{UID}/{}", "a".repeat(64)));
    let found = discovery.sweep(&tree.host);
    assert_eq!(found[0].identity.qos, Some(Qos::Guaranteed));
    assert_eq!(found.len(), 2);
}
