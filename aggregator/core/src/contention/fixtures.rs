//! Names and keys for the tests of this module.

use std::sync::Arc;

use berth::SeriesId;

use crate::{
    frame::ContainerUse,
    who::{ContainerKey, Owner, Role, Who, WhoRef},
};

pub(crate) fn key(number: u32) -> ContainerKey {
    ContainerKey(SeriesId::new(number).unwrap())
}

pub(crate) fn who(name: &str, pod: &str) -> WhoRef {
    Arc::new(Who {
        namespace: "demo".to_owned(),
        pod: pod.to_owned(),
        pod_uid: format!("{pod}-uid"),
        container: "main".to_owned(),
        owner: Some(Owner { kind: "Job".to_owned(), name: name.to_owned() }),
        role: Role::Scanner,
        cgroup: format!("/kubepods/{pod}"),
    })
}

pub(crate) fn suspect(number: u32, usage_nsec: u64) -> ContainerUse {
    let name = format!("suspect-{number}");
    ContainerUse::new(key(number), who(&name, &name), usage_nsec)
}
