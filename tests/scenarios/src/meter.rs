//! Who used the victim's CPU, second by second: ours, and everybody else.
//!
//! Idle time is what the kernel counts exactly; what is not idle, not stolen and not ours was others'.
//! Invariant: nothing is read more often than once a second. Deliberately absent: blame.

use std::time::Duration;

use anyhow::Context as _;
use berth_cli::stage::CpuMeter;
use procfs::{CurrentSI as _, KernelStats};

use crate::clock::Axis;

/// More than this on the victim's CPU, mean over the on or the off blocks, and a label is not its own: half
/// of the slowdown that a negative may show.
pub const DISTURBED_CPUS: f64 = 0.025;

/// A point in time.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    idle: Duration,
    steal: Duration,
    ours: Duration,
    victim: Duration,
}

/// What happened in one second of the trial, in CPUs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// When it began.
    pub from: Duration,
    /// Others on the victim's CPU.
    pub unowned: f64,
    /// The hypervisor.
    pub steal: f64,
    /// The victim.
    pub victim: f64,
}

/// What is read.
#[derive(Debug)]
pub struct Meters {
    /// The victim's CPU.
    pub cpu: usize,
    /// The victim.
    pub victim: CpuMeter,
    /// Everybody on the scene who runs on that CPU, the victim among them.
    pub ours: Vec<CpuMeter>,
}

impl Meters {
    /// Reads once a second until the trial ends.
    pub async fn watch(&self, axis: Axis, seconds: u32) -> anyhow::Result<Vec<Use>> {
        let mut readings = Vec::new();
        for second in 0..=seconds {
            axis.until(Duration::from_secs(second.into())).await;
            readings.push(self.read(axis)?);
        }
        Ok(readings.windows(2).map(|two| between(two[0], two[1])).collect())
    }

    fn read(&self, axis: Axis) -> anyhow::Result<Reading> {
        let stat = KernelStats::current().context("read /proc/stat")?;
        let cpu = self.cpu;
        let times = stat.cpu_time.get(cpu).with_context(|| format!("find cpu{cpu} in /proc/stat"))?;
        let idle = times.idle_duration() + times.iowait_duration().unwrap_or_default();
        let steal = times.steal_duration().unwrap_or_default();
        let ours: Duration = self.ours.iter().map(CpuMeter::read).sum::<anyhow::Result<_>>()?;
        Ok(Reading { at: axis.elapsed(), idle, steal, ours, victim: self.victim.read()? })
    }
}

fn between(from: Reading, to: Reading) -> Use {
    let seconds = (to.at.saturating_sub(from.at)).as_secs_f64();
    let cpus = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / seconds;
    let (idle, steal) = (cpus(from.idle, to.idle), cpus(from.steal, to.steal));
    let unowned = (1.0 - idle - steal - cpus(from.ours, to.ours)).max(0.0);
    Use { from: from.at, unowned, steal, victim: cpus(from.victim, to.victim) }
}
