//! Who is sampled, since when, and until when.

use std::time::Duration;

use berth::{GpuContainerSubject, Group, Seq, Series, SeriesId, Subject};
use berth_core::{node::NodeLimits, who::Role};

use crate::{
    agent::container,
    world::{World, attached},
};

#[test]
fn a_subject_says_who_it_is_and_why() {
    let mut world = World::new(NodeLimits::default());
    world.agent.add(Group::NodeCpu, &Subject::Node);
    world.agent.add_container("/m-shop", 7);
    world.agent.add_container("/init.scope", 8);
    world.connect();
    world.sample(4);
    world.deliver_all();
    let view = world.view();
    let [node, model, system] = &view.subjects[..] else { panic!("{:?}", view.subjects) };
    assert_eq!((node.who.as_ref(), &*node.role_reason), (None, ""));
    let who = model.who.as_ref().unwrap();
    assert_eq!((who.display_name().as_str(), who.role), ("demo/shop", Role::Model));
    assert_eq!(&*model.role_reason, "label berth.dev/role");
    assert_eq!(model.groups, [Group::ContainerCpu, Group::ContainerMemory, Group::ContainerThreads]);
    assert_eq!(model.first_sample, Some(crate::agent::at(0)));
    assert_eq!(system.who.as_ref().unwrap().container, "init.scope");
    assert_eq!(&*system.role_reason, "no label and no selector matches");
}

#[test]
fn a_part_of_a_gpu_belongs_to_the_container_that_uses_it() {
    let mut node = attached();
    let part = |cgroup: Option<&str>| {
        Subject::GpuContainer(GpuContainerSubject {
            gpu_uuid: "GPU-1".into(),
            cgroup: cgroup.map(Into::into),
        })
    };
    let series = [
        (Group::ContainerCpu, container("/m-shop", 7)),
        (Group::GpuContainer, part(Some("/m-shop"))),
        (Group::GpuContainer, part(None)),
    ];
    for (id, (group, subject)) in (1..).zip(series) {
        let id = SeriesId::new(id).unwrap();
        node.series(Series { id, first_seq: Seq::FIRST, group, subject }).unwrap();
    }
    let roles: Vec<_> =
        node.view().subjects.iter().map(|subject| subject.who.as_ref().map(|who| who.role)).collect();
    assert_eq!(roles, [Some(Role::Model), Some(Role::Model), None]);
}

#[test]
fn a_subject_ends_with_the_last_of_its_series() {
    let mut world = World::new(NodeLimits::default());
    let series = world.agent.add_container("/m-a", 7);
    world.connect();
    world.sample(4);
    // It left Focus; then its cgroup is gone.
    world.agent.retire(&series[2..]);
    world.sample(4);
    world.deliver_all();
    assert!(world.view().subjects[0].live);
    world.agent.retire(&series[..2]);
    world.sample(4);
    world.deliver_all();
    assert!(!world.view().subjects[0].live);
    assert_eq!(world.view().history.newest().count(), 0);
    world.check_history();
    world.node.tick(world.now + Duration::from_secs(16 * 60));
    assert_eq!(world.view().subjects.len(), 0, "its history is gone, and so is it");
}

#[test]
fn a_reused_path_with_another_inode_is_another_subject() {
    let mut world = World::new(NodeLimits::default());
    let first = world.agent.add_container("/m-a", 7);
    world.connect();
    world.sample(4);
    world.agent.retire(&first);
    world.agent.add_container("/m-a", 8);
    world.sample(4);
    world.deliver_all();
    let view = world.view();
    let lives: Vec<bool> = view.subjects.iter().map(|subject| subject.live).collect();
    assert_eq!(lives, [false, true]);
    world.check_history();
}

#[test]
fn a_container_back_in_focus_is_the_same_subject() {
    let mut world = World::new(NodeLimits::default());
    let series = world.agent.add_container("/m-a", 7);
    world.connect();
    world.sample(4);
    world.agent.retire(&series[2..]);
    world.sample(4);
    world.agent.add(Group::ContainerThreads, &container("/m-a", 7));
    world.sample(4);
    world.deliver_all();
    assert_eq!(world.view().subjects.len(), 1);
    world.check_history();
}

#[test]
fn a_series_named_again_after_its_end_stays_ended() {
    let mut world = World::new(NodeLimits::default());
    let first = world.agent.add_container("/m-a", 7);
    world.agent.add_container("/m-b", 9);
    world.connect();
    world.sample(4);
    world.agent.retire(&first);
    world.sample(4);
    world.deliver_all();
    world.disconnect();
    world.sample(4);
    // The ring still holds ticks of it, so the agent names it.
    world.connect();
    world.deliver_all();
    let lives: Vec<bool> = world.view().subjects.iter().map(|subject| subject.live).collect();
    assert_eq!(lives, [false, true]);
    world.check_history();
}

#[test]
fn a_series_that_a_new_stream_does_not_name_has_ended() {
    let mut world = World::new(NodeLimits::default());
    let first = world.agent.add_container("/m-a", 7);
    world.agent.add_container("/m-b", 9);
    world.connect();
    world.sample(4);
    world.deliver_all();
    world.disconnect();
    // Its Retire leaves the ring before anybody is there to hear it.
    world.agent.ring_records = 3;
    world.agent.retire(&first);
    (0..8).for_each(|_| world.sample(2));
    world.connect();
    world.deliver_all();
    let lives: Vec<bool> = world.view().subjects.iter().map(|subject| subject.live).collect();
    assert_eq!(lives, [false, true]);
    world.check_history();
}
