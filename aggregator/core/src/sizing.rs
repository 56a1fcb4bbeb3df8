//! How much to ask for: requests from measured peaks, and how Kubernetes writes them.
//!
//! These rules live here only. Integers throughout, rounded up, as the scheduler counts. No CPU limit
//! is ever proposed: on a node of its own a model gains nothing from one. What is the best step of a
//! sweep is not decided here.

use std::{fmt, ops::Add};

use crate::node::Peaks;

/// A CPU request is a multiple of this: finer steps are noise from run to run.
const CPU_STEP_MILLI: u64 = 50;

/// A memory request is a multiple of this (16Mi).
const MEMORY_STEP_BYTES: u64 = 16 << 20;

/// Memory cannot be taken back as CPU time can, so the peak seen gets 15 % on top.
const MEMORY_PERCENT: u64 = 115;

/// Thousandths of a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CpuMilli(pub u64);

impl Add for CpuMilli {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for CpuMilli {
    /// In the canonical form: `1750m`, and `2` rather than `2000m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{}", self.0 / 1000) } else { write!(f, "{}m", self.0) }
    }
}

/// Bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MemoryBytes(pub u64);

impl Add for MemoryBytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for MemoryBytes {
    /// In the canonical form: the largest binary unit that leaves no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(60, "Ei"), (50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
        let unit = units.into_iter().find(|(bits, _)| self.0 > 0 && self.0.trailing_zeros() >= *bits);
        let (bits, suffix) = unit.unwrap_or((0, ""));
        write!(f, "{}{suffix}", self.0 >> bits)
    }
}

/// The most that a container was seen to use; `None` where it was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peak {
    /// The largest use over one second.
    pub cpu: Option<CpuMilli>,
    /// The largest use.
    pub memory: Option<MemoryBytes>,
}

impl From<Peaks> for Peak {
    fn from(peaks: Peaks) -> Self {
        Self { cpu: peaks.cpu_millicpu_max_1s.map(CpuMilli), memory: peaks.memory_bytes_max.map(MemoryBytes) }
    }
}

impl Peak {
    /// The larger of both, each for itself.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }

    /// What to ask for.
    pub fn request(self) -> Request {
        Request { cpu: self.cpu.map(cpu_request), memory: self.memory.map(memory_request) }
    }
}

/// What a container should ask for, where its peak is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// CPU.
    pub cpu: Option<CpuMilli>,
    /// Memory; its limit too.
    pub memory: Option<MemoryBytes>,
}

/// The largest one-second use, up to the next 50m.
pub fn cpu_request(peak_1s: CpuMilli) -> CpuMilli {
    CpuMilli(round_up(peak_1s.0, CPU_STEP_MILLI))
}

/// The largest peak and 15 %, up to the next 16Mi.
pub fn memory_request(peak: MemoryBytes) -> MemoryBytes {
    let bytes = u128::from(peak.0) * u128::from(MEMORY_PERCENT);
    let bytes = u64::try_from(bytes.div_ceil(100)).unwrap_or(u64::MAX);
    MemoryBytes(round_up(bytes, MEMORY_STEP_BYTES))
}

/// To a multiple of `step`, and at least one: a request of nothing asks for no place.
fn round_up(value: u64, step: u64) -> u64 {
    value.max(1).checked_next_multiple_of(step).unwrap_or(u64::MAX - u64::MAX % step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: u64 = 1 << 20;

    #[test]
    fn the_guides_best_step_asks_for_1750m_and_240_mi() {
        let peak = Peak { cpu: Some(CpuMilli(1750)), memory: Some(MemoryBytes(200 * MI)) };
        let request = peak.request();
        assert_eq!(request.cpu.unwrap().to_string(), "1750m");
        assert_eq!(request.memory.unwrap().to_string(), "240Mi");
    }

    #[test]
    fn requests_round_up_and_never_to_nothing() {
        for (peak, request) in [(0, 50), (1, 50), (50, 50), (51, 100), (1751, 1800), (3000, 3000)] {
            assert_eq!(cpu_request(CpuMilli(peak)), CpuMilli(request), "{peak}m");
        }
        for (peak, request) in [(0, 16), (13, 16), (14, 32), (200, 240), (1024, 1184)] {
            assert_eq!(memory_request(MemoryBytes(peak * MI)), MemoryBytes(request * MI), "{peak}Mi");
        }
        assert!(memory_request(MemoryBytes(u64::MAX)) >= MemoryBytes(u64::MAX - MEMORY_STEP_BYTES));
    }

    #[test]
    fn quantities_are_written_in_their_canonical_form() {
        for (milli, text) in [(0, "0"), (50, "50m"), (1750, "1750m"), (2000, "2"), (31_500, "31500m")] {
            assert_eq!(CpuMilli(milli).to_string(), text);
        }
        for (bytes, text) in [
            (0, "0"),
            (1000, "1000"),
            (1024, "1Ki"),
            (1536 * MI, "1536Mi"),
            (1024 * MI, "1Gi"),
            (3 << 40, "3Ti"),
        ] {
            assert_eq!(MemoryBytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn the_peak_of_two_pods_takes_the_larger_of_each() {
        let one = Peak { cpu: Some(CpuMilli(900)), memory: None };
        let two = Peak { cpu: Some(CpuMilli(300)), memory: Some(MemoryBytes(7)) };
        assert_eq!(one.request().memory, None, "what was not seen is not asked for");
        assert_eq!(one.max(two), Peak { cpu: Some(CpuMilli(900)), memory: Some(MemoryBytes(7)) });
    }
}
