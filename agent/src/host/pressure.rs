//! Pressure stall totals, and the guard that keeps us from destroying them.
//!
//! Each read of a pressure file weights the stall by the whole jiffies of non-idle time since the
//! last read and then moves that base (`psi_show` and `collect_percpu_times` in
//! kernel/sched/psi.c): a stall seen through a window below a jiffy is lost for *every* reader of
//! the node (measured: 44 % at 100 Hz, 0.2 % at 1 Hz). So the type that owns the descriptors
//! refuses to read them twice within [`GUARD_NSEC`]. The three files of one cgroup are one
//! collection and are read back to back.

use std::path::PathBuf;

use crate::{
    clock::SECOND_NSEC,
    host::{HostRoot, KeptFile, Reader, Reading, text},
};

/// How often the totals are read.
pub const PERIOD_NSEC: u64 = SECOND_NSEC;

/// Never twice within this time, whatever asks: 2 Hz is the most that loses nothing of a cgroup
/// that is busy 4 % of the time.
pub const GUARD_NSEC: u64 = SECOND_NSEC / 2;

/// The stall of the three resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Runnable and not running; a quota's stops count too.
    pub cpu: Option<text::Stall>,
    /// In reclaim, refaults and swap-ins.
    pub memory: Option<text::Stall>,
    /// Waiting for I/O.
    pub io: Option<text::Stall>,
}

/// What asking for a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A new reading.
    New(Pressure),
    /// Too soon.
    Refused,
    /// The cgroup has ended.
    Gone,
}

/// The three pressure files of one cgroup, or of the node.
#[derive(Debug)]
pub struct PressureFiles {
    cpu: KeptFile,
    memory: KeptFile,
    io: KeptFile,
    last_nsec: u64,
}

/// Whether the kernel measures stall at all; it may be built in and switched off.
pub fn is_stall_measured(host: &HostRoot) -> bool {
    let stall = crate::host::read(&host.proc("pressure/memory"));
    stall.parse(|stall| text::pressure(&stall)).here().is_some()
}

impl PressureFiles {
    /// The node's, opened at `now_nsec`. That counts as a read, because whoever had them open before
    /// may have read them just now. `None`: there are none.
    pub fn of_node(host: &HostRoot, now_nsec: u64) -> Option<Self> {
        Self::open(["pressure/cpu", "pressure/memory", "pressure/io"].map(|file| host.proc(file)), now_nsec)
    }

    /// A cgroup's.
    pub fn of_cgroup(host: &HostRoot, cgroup: &str, now_nsec: u64) -> Option<Self> {
        let files = ["cpu.pressure", "memory.pressure", "io.pressure"];
        Self::open(files.map(|file| host.identity_file(cgroup, file)), now_nsec)
    }

    fn open([cpu, memory, io]: [PathBuf; 3], now_nsec: u64) -> Option<Self> {
        let open = |path: PathBuf| KeptFile::open(&path).ok();
        Some(Self { cpu: open(cpu)?, memory: open(memory)?, io: open(io)?, last_nsec: now_nsec })
    }

    /// Reads them, unless they were read within [`GUARD_NSEC`].
    pub fn read(&mut self, now_nsec: u64, reader: &mut Reader) -> Answer {
        if now_nsec.saturating_sub(self.last_nsec) < GUARD_NSEC {
            return Answer::Refused;
        }
        self.last_nsec = now_nsec;
        let mut read = |file: &KeptFile| reader.read(file).parse(text::pressure);
        let (cpu, memory, io) = (read(&self.cpu), read(&self.memory), read(&self.io));
        if cpu == Reading::Gone {
            return Answer::Gone;
        }
        Answer::New(Pressure { cpu: cpu.here(), memory: memory.here(), io: io.here() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &std::path::Path, now_nsec: u64) -> PressureFiles {
        let file = |name: &str, total: u32| {
            let path = dir.join(name);
            let text = format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n");
            std::fs::write(&path, text).unwrap();
            path
        };
        PressureFiles::open([file("cpu", 1), file("memory", 2), file("io", 3)], now_nsec).unwrap()
    }

    #[test]
    fn a_second_read_within_half_a_second_is_refused_whoever_asks() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path(), 0);
        let mut reader = Reader::new(256);
        let mut reads = 0;
        for step in 1..=1_000_u64 {
            reads += u32::from(files.read(step * 10_000_000, &mut reader) != Answer::Refused);
        }
        assert_eq!(reads, 20, "10 s asked at 100 Hz");
    }

    #[test]
    fn taking_the_files_over_counts_as_a_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path(), 5 * SECOND_NSEC);
        assert_eq!(files.read(5 * SECOND_NSEC + GUARD_NSEC - 1, &mut Reader::new(256)), Answer::Refused);
        let Answer::New(read) = files.read(5 * SECOND_NSEC + GUARD_NSEC, &mut Reader::new(256)) else {
            panic!("half a second has passed");
        };
        assert_eq!(read.memory.unwrap().some_usec, 2);
    }
}
