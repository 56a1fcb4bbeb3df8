//! Containers of pods that the cluster knows earlier, later, or no more.

use std::sync::Arc;

use berth::{ContainerSubject, Group, SeriesId, Subject};
use berth_core::{
    cluster::{Cluster, Container, Event, News, Object, Place, Pod},
    node::{NodeLimits, Order, SubjectView},
    placement::InForce,
    roles::Given,
    sizing::CpuMilli,
    who::{Owner, Role},
};

use crate::{agent::container, world::World};

const REQUESTS: InForce = InForce::Known { cpu: Some(CpuMilli(500)), memory: None };

fn subject(cgroup: &str, inode: u64, pod_uid: &str, container_id: &str) -> Subject {
    let Subject::Container(bare) = container(cgroup, inode) else { panic!("a container is one") };
    let (pod_uid, container_id) = (Some(pod_uid.to_owned()), Some(container_id.to_owned()));
    Subject::Container(ContainerSubject { pod_uid, container_id, ..bare })
}

fn pod(uid: &str, container_id: &str, role: Option<Role>) -> Object<Pod> {
    let container = Container { name: "main".into(), id: Some(container_id.into()), requests: REQUESTS };
    let fields = Pod {
        node: "node-a".into(),
        cgroup_uid: uid.into(),
        controller: Some(Owner { kind: "StatefulSet".into(), name: "fraud".into() }),
        labelled: role.map(|role| Given { role, reason: "label berth.dev/role".into() }),
        containers: vec![container],
        ..Pod::default()
    };
    let place = Place { namespace: "shop".into(), name: format!("fraud-{uid}") };
    Object { place, uid: uid.into(), version: 0, fields }
}

fn names(subjects: &[SubjectView]) -> Vec<(String, Role, InForce)> {
    let who = |subject: &SubjectView| Some((Arc::clone(subject.who.as_ref()?), subject.requests));
    subjects.iter().filter_map(who).map(|(who, requests)| (who.display_name(), who.role, requests)).collect()
}

/// What is in Focus by now.
fn focus(world: &mut World) -> Vec<SeriesId> {
    world.sample(2);
    world.deliver_all();
    let focus = |order: &Order| match order {
        Order::Focus { series, .. } => Some(series.clone()),
        _ => None,
    };
    world.orders.iter().rev().find_map(focus).unwrap_or_default()
}

#[test]
fn samples_that_come_before_their_pod_is_known_are_kept_and_joined() {
    let mut world = World::new(NodeLimits::default());
    let gone = world.agent.add(Group::ContainerCpu, &subject("/kubepods/poda/x", 7, "a", "x"));
    let model = world.agent.add(Group::ContainerCpu, &subject("/kubepods/podb/y", 8, "b", "y"));
    world.connect();
    assert_eq!(focus(&mut world), []);
    world.agent.retire(&[gone]);
    world.sample(2);
    world.deliver_all();
    let mut cluster = Cluster::default();
    world.node.name(&cluster);
    let before = names(&world.view().subjects);
    let path = |name: &str| (name.to_owned(), Role::Other, InForce::Unknown);
    assert_eq!(before, [path("x"), path("y")]);
    for (uid, id) in [("a", "x"), ("b", "y")] {
        cluster.take(News::Pod(Event::Apply(pod(uid, id, Some(Role::Model)))));
    }
    world.node.name(&cluster);
    let named = ("shop/fraud".to_owned(), Role::Model, REQUESTS);
    assert_eq!(names(&world.view().subjects), [named.clone(), named], "the one that has ended too");
    assert_eq!(focus(&mut world), [model]);
    world.check_history();
}

#[test]
fn a_container_that_is_new_is_named_at_once() {
    let mut cluster = Cluster::default();
    cluster.take(News::Pod(Event::Apply(pod("a", "x", Some(Role::Model)))));
    let mut world = World::new(NodeLimits::default());
    world.connect();
    world.node.name(&cluster);
    let model = world.agent.add(Group::ContainerCpu, &subject("/kubepods/poda/x", 7, "a", "x"));
    focus(&mut world);
    world.node.name(&cluster);
    assert_eq!(names(&world.view().subjects), [("shop/fraud".to_owned(), Role::Model, REQUESTS)]);
    assert_eq!(focus(&mut world), [model]);
}

#[test]
fn a_label_that_is_taken_away_ends_the_focus_and_a_pod_that_is_deleted_keeps_its_name() {
    let mut cluster = Cluster::default();
    cluster.take(News::Pod(Event::Apply(pod("a", "x", Some(Role::Model)))));
    let mut world = World::new(NodeLimits::default());
    world.agent.add(Group::ContainerCpu, &subject("/kubepods/poda/x", 7, "a", "x"));
    world.connect();
    world.node.name(&cluster);
    assert_eq!(focus(&mut world).len(), 1);
    cluster.take(News::Pod(Event::Apply(pod("a", "x", None))));
    world.node.name(&cluster);
    assert_eq!(focus(&mut world), []);
    cluster.take(News::Pod(Event::Delete(pod("a", "x", None))));
    world.node.name(&cluster);
    assert_eq!(names(&world.view().subjects), [("shop/fraud".to_owned(), Role::Other, REQUESTS)]);
}

#[test]
fn a_container_that_was_replaced_keeps_the_name_that_its_pod_has_forgotten() {
    let mut cluster = Cluster::default();
    cluster.take(News::Pod(Event::Apply(pod("a", "x", Some(Role::Model)))));
    let mut world = World::new(NodeLimits::default());
    world.agent.add(Group::ContainerCpu, &subject("/kubepods/poda/x", 7, "a", "x"));
    world.agent.add(Group::ContainerCpu, &subject("/kubepods/poda/y", 8, "a", "y"));
    world.connect();
    focus(&mut world);
    world.node.name(&cluster);
    let container = |world: &mut World| -> Vec<_> {
        let view = world.view();
        let who = view.subjects.iter().filter_map(|subject| subject.who.clone());
        who.map(|who| (who.container.clone(), who.role)).collect()
    };
    let main = || ("main".to_owned(), Role::Model);
    assert_eq!(container(&mut world), [main(), (String::new(), Role::Other)]);
    cluster.take(News::Pod(Event::Apply(pod("a", "y", Some(Role::Model)))));
    world.node.name(&cluster);
    assert_eq!(container(&mut world), [main(), main()]);
}
