//! A batch's columns of GPUs as the detector reads them: each GPU with who uses it.
//!
//! Invariant: what the driver did not say is absent, and a part that is nobody's stays a part of its own.
//! Deliberately absent: which MIG instance belongs to which GPU; each is one by itself.

use std::collections::BTreeMap;

use berth::{Group, batch::Columns};

use super::{frames::gauge, subjects::Subjects};
use crate::{
    frame::{GpuUse, GpuUser},
    who::ContainerKey,
};

/// Where both groups have these columns.
const SM_PERMILLE: usize = 0;
const MEMORY_USED_BYTES: usize = 1;

/// One GPU's columns in a batch.
pub(super) struct Gpu<'a> {
    device: &'a Columns,
    memory_total_bytes: u64,
    users: Vec<(Option<ContainerKey>, &'a Columns)>,
}

/// Every GPU of a batch; by rising key, as columns come by rising series.
pub(super) fn gpus<'a>(columns: &'a [Columns], subjects: &Subjects) -> Vec<Gpu<'a>> {
    let of_group = |group: Group| columns.iter().filter(move |columns| columns.group == group);
    let mut users: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for part in of_group(Group::GpuContainer) {
        if let Some((uuid, container)) = subjects.gpu_user(part.series) {
            users.entry(uuid).or_default().push((container, part));
        }
    }
    let gpu = |device: &'a Columns| {
        let gpu = subjects.gpu(device.series)?;
        let users = users.remove(gpu.uuid.as_str()).unwrap_or_default();
        Some(Gpu { device, memory_total_bytes: gpu.memory_bytes, users })
    };
    of_group(Group::GpuDevice).filter_map(gpu).collect()
}

impl Gpu<'_> {
    /// As it was at a tick of the batch.
    pub(super) fn at(&self, index: usize) -> GpuUse {
        let user = |(container, part): &(Option<ContainerKey>, &Columns)| GpuUser {
            container: container.map(|ContainerKey(series)| series),
            sm_permille: gauge(part, SM_PERMILLE, index),
            memory_used_bytes: gauge(part, MEMORY_USED_BYTES, index),
        };
        GpuUse {
            key: self.device.series,
            sm_permille: gauge(self.device, SM_PERMILLE, index),
            memory_used_bytes: gauge(self.device, MEMORY_USED_BYTES, index),
            memory_total_bytes: self.memory_total_bytes,
            users: self.users.iter().map(user).collect(),
        }
    }
}
