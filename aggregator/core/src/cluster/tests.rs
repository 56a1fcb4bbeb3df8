use super::*;
use crate::roles::labelled;
use crate::sizing::{CpuMilli, MemoryBytes};

fn object<T>(namespace: &str, name: &str, fields: T) -> Object<T> {
    let place = Place { namespace: namespace.to_owned(), name: name.to_owned() };
    Object { place, uid: format!("uid-{name}").into(), version: 0, fields }
}

fn by(kind: &str, name: &str) -> Owner {
    Owner { kind: kind.to_owned(), name: name.to_owned() }
}

/// The digit stands for a container's id.
fn id(digit: &str) -> String {
    digit.repeat(64)
}

fn pod(name: &str, by: Option<Owner>) -> Object<Pod> {
    let requests = InForce::Known { cpu: Some(CpuMilli(250)), memory: Some(MemoryBytes(64 << 20)) };
    let fields = Pod {
        node: "node-a".to_owned(),
        cgroup_uid: format!("uid-{name}"),
        controller: by,
        containers: vec![Container { name: "main".to_owned(), id: Some(id("a")), requests }],
        ..Pod::default()
    };
    object("shop", name, fields)
}

fn cgroup(pod: &str, digit: Option<&str>) -> ContainerSubject {
    ContainerSubject {
        cgroup: format!("/kubepods/pod{pod}/{}", digit.unwrap_or_default()),
        inode: 1,
        pod_uid: Some(format!("uid-{pod}")),
        container_id: digit.map(id),
        qos: None,
        system: false,
        cpu_list: None,
    }
}

fn applied(cluster: &mut Cluster, pod: Object<Pod>) {
    cluster.take(News::Pod(Event::Apply(pod)));
}

fn grouped(cluster: &mut Cluster, kind: GroupKind, name: &str, role: Option<Role>, by: Option<Owner>) {
    let namespace = if kind == GroupKind::Namespace { "" } else { "shop" };
    let label = role.map(|role| BTreeMap::from([(ROLE_LABEL.to_owned(), role.name().to_owned())]));
    let role = label.and_then(|label| labelled(&label));
    let group = object(namespace, name, Group { role, controller: by });
    cluster.take(News::Group(kind, Event::Apply(group)));
}

/// The role of the container of `pod`, and why.
fn role(cluster: &Cluster, pod: &str) -> (Role, String) {
    let found = cluster.identify("node-a", &cgroup(pod, Some("a"))).unwrap();
    (found.identity.who.role, found.identity.reason.to_string())
}

fn owner(cluster: &Cluster, pod: &str) -> String {
    let found = cluster.identify("node-a", &cgroup(pod, Some("a"))).unwrap();
    found.identity.who.owner.as_ref().map_or(String::new(), |owner| format!("{} {}", owner.kind, owner.name))
}

#[test]
fn a_container_has_the_names_and_the_requests_of_its_pod() {
    let mut cluster = Cluster::default();
    applied(&mut cluster, pod("fraud-0", Some(by("StatefulSet", "fraud"))));
    let found = cluster.identify("node-a", &cgroup("fraud-0", Some("a"))).unwrap();
    let who = &found.identity.who;
    assert_eq!(
        (who.namespace.as_str(), who.pod.as_str(), who.container.as_str()),
        ("shop", "fraud-0", "main")
    );
    assert_eq!((who.display_name().as_str(), who.pod_uid.as_str()), ("shop/fraud", "uid-fraud-0"));
    assert_eq!(who.cgroup, cgroup("fraud-0", Some("a")).cgroup);
    let requests = InForce::Known { cpu: Some(CpuMilli(250)), memory: Some(MemoryBytes(64 << 20)) };
    assert_eq!((found.identity.requests, found.by_id), (requests, true));
}

#[test]
fn the_owner_is_the_one_that_people_know_whichever_object_comes_first() {
    let mut cluster = Cluster::default();
    applied(&mut cluster, pod("refmodel-7d-x", Some(by("ReplicaSet", "refmodel-7d"))));
    assert_eq!(owner(&cluster, "refmodel-7d-x"), "ReplicaSet refmodel-7d");
    let revision = cluster.revision("node-a");
    grouped(&mut cluster, GroupKind::ReplicaSet, "refmodel-7d", None, Some(by("Deployment", "refmodel")));
    assert!(cluster.revision("node-a") > revision);
    assert_eq!(owner(&cluster, "refmodel-7d-x"), "Deployment refmodel");
    // A controller of a Deployment is not what kubectl can change.
    grouped(&mut cluster, GroupKind::Deployment, "refmodel", None, Some(by("InferenceService", "ref")));
    assert_eq!(owner(&cluster, "refmodel-7d-x"), "Deployment refmodel");

    grouped(&mut cluster, GroupKind::Job, "nightly-1", None, Some(by("CronJob", "nightly")));
    applied(&mut cluster, pod("nightly-1-x", Some(by("Job", "nightly-1"))));
    applied(&mut cluster, pod("once-x", Some(by("Job", "once"))));
    applied(&mut cluster, pod("ray-x", Some(by("RayCluster", "ray"))));
    applied(&mut cluster, pod("bare", None));
    applied(&mut cluster, pod("static", Some(by("Node", "node-a"))));
    assert_eq!(owner(&cluster, "nightly-1-x"), "CronJob nightly");
    assert_eq!(owner(&cluster, "once-x"), "Job once");
    assert_eq!(owner(&cluster, "ray-x"), "RayCluster ray");
    assert_eq!(owner(&cluster, "bare") + &owner(&cluster, "static"), "");
}

#[test]
fn a_model_that_no_container_was_started_of_waits() {
    let mut cluster = Cluster::default();
    for name in ["runs", "waits"] {
        applied(&mut cluster, pod(name, Some(by("Deployment", "m"))));
    }
    let waiting = |cluster: &Cluster| -> Vec<String> {
        cluster.unstarted_models().map(|place| place.name.clone()).collect()
    };
    let mut unstarted = pod("waits", Some(by("Deployment", "m")));
    (unstarted.fields.containers[0].id, unstarted.fields.node) = (None, String::new());
    applied(&mut cluster, unstarted);
    assert_eq!(waiting(&cluster), [""; 0], "nobody said that it is a model");
    grouped(&mut cluster, GroupKind::Deployment, "m", Some(Role::Model), None);
    assert_eq!(waiting(&cluster), ["waits"]);
}

#[test]
fn the_nearest_label_decides_and_a_selector_where_there_is_none() {
    let mut cluster = Cluster::default();
    let given = |role, reason: &str| Some(Given { role, reason: reason.into() });
    let mut bare = pod("m-1-x", Some(by("ReplicaSet", "m-1")));
    applied(&mut cluster, bare.clone());
    assert_eq!(role(&cluster, "m-1-x"), (Role::Other, "no label and no selector matches".to_owned()));
    bare.fields.selected = given(Role::Model, "preset kserve");
    applied(&mut cluster, bare.clone());
    assert_eq!(role(&cluster, "m-1-x"), (Role::Model, "preset kserve".to_owned()));
    grouped(&mut cluster, GroupKind::Namespace, "shop", Some(Role::Scanner), None);
    assert_eq!(role(&cluster, "m-1-x"), (Role::Scanner, "label berth.dev/role of namespace shop".to_owned()));
    let typo = BTreeMap::from([(ROLE_LABEL.to_owned(), "modle".to_owned())]);
    let group = object("", "shop", Group { role: labelled(&typo), controller: None });
    cluster.take(News::Group(GroupKind::Namespace, Event::Apply(group)));
    let said =
        "label berth.dev/role of namespace shop is \"modle\": write model, scanner, load-generator or other";
    assert_eq!(role(&cluster, "m-1-x"), (Role::Other, said.to_owned()));
    grouped(&mut cluster, GroupKind::ReplicaSet, "m-1", None, Some(by("Deployment", "m")));
    grouped(&mut cluster, GroupKind::Deployment, "m", Some(Role::LoadGenerator), None);
    assert_eq!(
        role(&cluster, "m-1-x"),
        (Role::LoadGenerator, "label berth.dev/role of Deployment m".to_owned())
    );
    bare.fields.labelled = given(Role::Other, "label berth.dev/role");
    applied(&mut cluster, bare);
    assert_eq!(role(&cluster, "m-1-x"), (Role::Other, "label berth.dev/role".to_owned()));
}

#[test]
fn a_sandbox_belongs_to_its_pod_but_has_no_role() {
    let mut cluster = Cluster::default();
    let mut model = pod("m", None);
    model.fields.labelled = Some(Given { role: Role::Model, reason: "label berth.dev/role".into() });
    applied(&mut cluster, model.clone());
    let found = cluster.identify("node-a", &cgroup("m", Some("b"))).unwrap();
    let who = &found.identity.who;
    assert_eq!((who.pod.as_str(), who.container.as_str(), who.role), ("m", "", Role::Other));
    assert_eq!((found.identity.requests, found.by_id), (InForce::Unknown, false));
    // A sandboxed runtime shows the pod as one.
    let found = cluster.identify("node-a", &cgroup("m", None)).unwrap();
    assert_eq!((found.identity.who.container.as_str(), found.identity.who.role), ("main", Role::Model));
    let second = Container { name: "side".to_owned(), id: None, requests: InForce::Unknown };
    model.fields.containers.push(second);
    applied(&mut cluster, model);
    let found = cluster.identify("node-a", &cgroup("m", None)).unwrap();
    assert_eq!((found.identity.who.container.as_str(), found.identity.who.role), ("", Role::Model));
}

#[test]
fn a_static_pod_is_found_by_the_hash_in_its_cgroup() {
    let mut cluster = Cluster::default();
    let mut mirror = pod("etcd-node-a", Some(by("Node", "node-a")));
    mirror.fields.cgroup_uid = "0f8b1a9d7c6e5f403122334455667788".to_owned();
    applied(&mut cluster, mirror);
    let mut container = cgroup("etcd-node-a", Some("a"));
    assert_eq!(cluster.identify("node-a", &container), None);
    container.pod_uid = Some("0f8b1a9d7c6e5f403122334455667788".to_owned());
    let who = cluster.identify("node-a", &container).unwrap().identity.who;
    assert_eq!((who.pod.as_str(), who.pod_uid.as_str()), ("etcd-node-a", "0f8b1a9d7c6e5f403122334455667788"));
}

#[test]
fn a_node_is_known_until_it_is_gone() {
    let mut cluster = Cluster::default();
    let machine = object("", "node-a", Machine { cordoned: true, ..Machine::default() });
    cluster.take(News::Machine(Event::Apply(machine.clone())));
    assert_eq!(cluster.machine("node-a"), Some(&machine.fields));
    cluster.take(News::Machine(Event::Delete(machine)));
    assert_eq!(cluster.machine("node-a"), None);
}

#[test]
fn what_pods_say_alike_about_nodes_is_kept_once() {
    let mut cluster = Cluster::default();
    let ssd = || {
        let node_selector = [("disk".to_owned(), "ssd".to_owned())].into();
        Arc::new(Rules { node_selector, ..Rules::default() })
    };
    for name in ["m-0", "m-1"] {
        let mut pod = pod(name, None);
        pod.fields.rules = ssd();
        applied(&mut cluster, pod);
    }
    let rules = |name: &str| Arc::clone(&cluster.pod(&format!("uid-{name}")).unwrap().fields.rules);
    assert_eq!(rules("m-0"), ssd());
    assert!(Arc::ptr_eq(&rules("m-0"), &rules("m-1")));
}

#[test]
fn an_agent_cannot_name_a_pod_of_another_node() {
    let mut cluster = Cluster::default();
    applied(&mut cluster, pod("m", None));
    assert_eq!(cluster.identify("node-b", &cgroup("m", Some("a"))), None);
    assert!(cluster.identify("node-a", &cgroup("m", Some("a"))).is_some());
}

#[test]
fn a_pod_that_was_made_anew_is_another_and_the_news_of_its_end_comes_late() {
    let mut cluster = Cluster::default();
    let old = pod("fraud-0", None);
    let mut new = Object { uid: "uid-2".into(), version: 9, ..pod("fraud-0", None) };
    new.fields.cgroup_uid = "uid-2".to_owned();
    applied(&mut cluster, old.clone());
    assert_eq!(cluster.take(News::Pod(Event::Apply(new.clone()))), std::slice::from_ref(&old.uid));
    assert_eq!(cluster.take(News::Pod(Event::Delete(Object { version: 8, ..old }))), []);
    assert!(cluster.pod("uid-2").is_some() && cluster.pod("uid-fraud-0").is_none());
    assert_eq!(cluster.take(News::Pod(Event::Delete(Object { version: 10, ..new.clone() }))), [new.uid]);
}

#[test]
fn only_news_that_changes_who_is_who_is_news_for_a_node() {
    let mut cluster = Cluster::default();
    applied(&mut cluster, pod("m", Some(by("ReplicaSet", "m-1"))));
    let revision = cluster.revision("node-a");
    applied(&mut cluster, Object { version: 5, ..pod("m", Some(by("ReplicaSet", "m-1"))) });
    grouped(&mut cluster, GroupKind::ReplicaSet, "else-1", None, Some(by("Deployment", "else")));
    grouped(&mut cluster, GroupKind::Namespace, "elsewhere", Some(Role::Model), None);
    let mut other = pod("other", None);
    other.fields.node = "node-b".to_owned();
    applied(&mut cluster, other);
    assert_eq!(cluster.revision("node-a"), revision);
    grouped(&mut cluster, GroupKind::Namespace, "shop", Some(Role::Model), None);
    assert!(cluster.revision("node-a") > revision && cluster.revision("node-b") > revision);
}
