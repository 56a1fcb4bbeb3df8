//! Real programs in real cgroups on chosen CPUs of this machine: what the demonstration and the labelled
//! trials both stand on.
//!
//! Invariant: whatever happens, dropping a [`Group`] or a [`Program`] leaves no process and no cgroup of
//! it behind. Deliberately absent: what is played here, and any figure.

mod cgroups;
mod cpus;
mod example;
mod programs;

pub use cgroups::{CpuMeter, DEFAULT_WEIGHT, Group, Hierarchies, QUOTA_PERIOD, ThreadList};
pub use cpus::Cpus;
pub use example::example_payload;
pub use programs::{Binaries, Program};
