use super::*;

const UID: &str = "1ab17678-bd25-40b9-bb19-28479127bafd";
const HASH: &str = "0f8b1a9d7c6e5f403122334455667788";

fn id(digit: &str) -> String {
    digit.repeat(64)
}

/// Fills in a row: `<uid>`, `<uid_>`, `<id>`, `<outer>`, `<inner>`, `<hash>`.
fn path(row: &str) -> String {
    row.replace("<uid>", UID)
        .replace("<uid_>", &UID.replace('-', "_"))
        .replace("<id>", &id("a"))
        .replace("<outer>", &id("b"))
        .replace("<inner>", &id("c"))
        .replace("<hash>", HASH)
}

fn pod(qos: Option<Qos>, uid: &str) -> Identity {
    Identity { pod_uid: Some(uid.to_owned()), qos, container_id: None, skip: false }
}

fn container(qos: Option<Qos>, uid: &str) -> Identity {
    Identity { container_id: Some(id("a")), ..pod(qos, uid) }
}

#[test]
fn every_known_form_of_a_kubernetes_path_is_read() {
    let (burstable, besteffort, guaranteed) =
        (Some(Qos::Burstable), Some(Qos::BestEffort), Some(Qos::Guaranteed));
    let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice";
    let kind = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod<uid_>.slice/cri-containerd-<id>.scope";
    let rows = [
        (1, format!("{slice}/cri-containerd-<id>.scope"), container(burstable, UID)),
        (2, "/kubepods.slice/kubepods-pod<uid_>.slice/cri-containerd-<id>.scope".into(), container(guaranteed, UID)),
        (3, format!("{slice}/crio-<id>.scope"), container(burstable, UID)),
        (4, format!("{slice}/crio-<id>.scope/container"), container(burstable, UID)),
        (5, format!("{slice}/crio-conmon-<id>.scope"), Identity { skip: true, ..pod(burstable, UID) }),
        (6, format!("{slice}/crio-<id>"), Identity { skip: true, ..pod(burstable, UID) }),
        (7, format!("{slice}/docker-<id>.scope"), container(burstable, UID)),
        (8, "/kubepods/burstable/pod<uid>/<id>".into(), container(burstable, UID)),
        (8, "/kubepods/pod<uid>/<id>".into(), container(guaranteed, UID)),
        (9, "/berth-node-a/kubepods/besteffort/pod<uid>/<id>".into(), container(besteffort, UID)),
        (10, "/berth-node-b/kubepods/burstable/pod<uid>/<id>".into(), container(burstable, UID)),
        (12, "/kubepods/burstable/pod<uid>/crio-<id>".into(), container(burstable, UID)),
        (13, "/system.slice/containerd.service/kubepods-burstable-pod<uid_>.slice:cri-containerd:<id>".into(), container(burstable, UID)),
        (14, kind.into(), container(besteffort, UID)),
        (15, format!("/system.slice/docker-<outer>.scope{kind}"), container(besteffort, UID)),
        (16, "/kubelet/kubepods/besteffort/pod<uid>/<id>".into(), container(besteffort, UID)),
        (16, "/docker/<outer>/kubelet/kubepods/burstable/pod<uid>/<id>".into(), container(burstable, UID)),
        (17, "/kubepods/burstable/pod<hash>/<id>".into(), container(burstable, HASH)),
        (17, "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<hash>.slice/cri-containerd-<id>.scope".into(), container(besteffort, HASH)),
        (18, format!("{slice}/cri-containerd-<id>.scope/docker/<inner>"), container(burstable, UID)),
        (18, format!("{slice}/cri-containerd-<id>.scope/docker-<inner>.scope"), container(burstable, UID)),
        (21, slice.into(), pod(burstable, UID)),
        (22, "/../../pod<uid>/<id>".into(), container(None, UID)),
        (23, "/../../kubepods-burstable-pod<uid_>.slice/cri-containerd-<id>.scope".into(), container(burstable, UID)),
    ];
    for (row, given, expected) in rows {
        assert_eq!(identify(&path(&given)), expected, "row {row}: {given}");
    }
}

#[test]
fn off_kubernetes_a_container_has_an_id_and_nothing_else() {
    let only_id = Identity { container_id: Some(id("a")), ..Identity::default() };
    for given in [
        "/machine.slice/libpod-<id>.scope",
        "/machine.slice/libpod-<id>.scope/container",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope/container",
        "/machine.slice/libpod-payload-<id>",
        "/libpod-payload-<id>",
        "/docker/<id>",
        "/system.slice/docker-<id>.scope",
    ] {
        assert_eq!(identify(&path(given)), only_id, "{given}");
    }
    for given in
        ["/podruntime/kubelet", "/system/apid", "/init", "/lxc/7", "/lxc.payload.7", "/", "/../../../../.."]
    {
        assert_eq!(identify(given), Identity::default(), "{given}");
    }
    assert!(identify(&path("/machine.slice/libpod-conmon-<id>.scope")).skip);
}

#[test]
fn what_only_looks_like_a_pod_or_an_id_is_neither() {
    for given in ["/kubepods/burstable/pod1234/<id>x", "/kubepods/podman/x", "/system.slice/my-pod.slice/abc"]
    {
        assert_eq!(identify(&path(given)).pod_uid, None, "{given}");
        assert_eq!(identify(&path(given)).container_id, None, "{given}");
    }
}

#[test]
fn the_kubepods_root_is_the_first_component_that_is_one() {
    for (given, root) in [
        ("/kubepods.slice/kubepods-burstable.slice/x", Some("/kubepods.slice")),
        ("/berth-node-a/kubepods/besteffort/pod<uid>/<id>", Some("/berth-node-a/kubepods")),
        ("/berth-node-b/kubepods/burstable/pod<uid>/<id>", Some("/berth-node-b/kubepods")),
        ("/kubelet/kubepods/besteffort/pod<uid>/<id>", Some("/kubelet/kubepods")),
        ("/kubelet.slice/kubelet-kubepods.slice/y", Some("/kubelet.slice/kubelet-kubepods.slice")),
        ("/kubepods-burstable.slice", None),
        ("/system.slice/kubelet.service", None),
    ] {
        assert_eq!(kubepods_root(&path(given)).as_deref(), root, "{given}");
    }
}
