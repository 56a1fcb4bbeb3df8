//! What machine a trial ran on: what a reader needs to judge whether its figures are like theirs.
//!
//! Deliberately absent: names and addresses.

use std::{fmt, fs};

use berth_cli::stage::{Cpus, Hierarchies};
use serde::{Deserialize, Serialize};

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// `uname -r`.
    pub kernel: String,
    /// As the kernel names it; empty where it does not.
    pub cpu_model: String,
    /// Those that the trial may use.
    pub cpus: usize,
    /// All of it.
    pub memory_bytes: u64,
    /// Which versions.
    pub cgroups: String,
}

impl Machine {
    /// This one.
    pub fn this(hierarchies: &Hierarchies, cpus: &Cpus) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            cpu_model: model.map_or_else(String::new, |(_, model)| model.to_owned()),
            cpus: cpus.count(),
            memory_bytes: total_memory_bytes(),
            cgroups: hierarchies.versions().to_owned(),
        }
    }
}

impl Machine {
    /// Its processor is a program (QEMU's TCG).
    pub fn is_emulated(&self) -> bool {
        self.cpu_model.contains("TCG")
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, cpu_model, cpus, memory_bytes, cgroups } = self;
        write!(f, "{cpus} CPUs ({cpu_model}), {} GiB, Linux {kernel}, cgroups {cgroups}", memory_bytes >> 30)
    }
}

fn total_memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}
