//! The clients of the benchmark, as they are called, and what they used.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::server::Server;

/// Kernel ticks of CPU time in a second, as /proc counts them (`USER_HZ`, proc(5)).
const TICKS_PER_SEC: f64 = 100.0;

/// Peak memory only grows, so the last look is short of it by what grew in this time.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Berth,
    Oha,
    Hey,
    Wrk,
}

/// What a run used, and what came of it.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) requests: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) peak_kib: u64,
}

impl Used {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.requests as f64 / self.cpu_seconds
    }
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Berth => "berth",
            Self::Oha => "oha",
            Self::Hey => "hey",
            Self::Wrk => "wrk",
        }
    }

    /// Each connection sends when it has its answer.
    pub(crate) fn closed(self, url: &str, connections: u32, seconds: u32, body: &str) -> Vec<String> {
        if self == Self::Wrk {
            let script = std::env::temp_dir().join(format!("bench-load-{}.lua", std::process::id()));
            fs::write(&script, format!("wrk.method = \"POST\"\nwrk.body = '{body}'\n")).unwrap();
            let flags = format!("-t1 -c{connections} -d{seconds}s -s {} {url}", script.display());
            return flags.split(' ').map(str::to_owned).collect();
        }
        self.flags(&format!("-c {connections} -z {seconds}s"), url, body)
    }

    /// So many requests a second over all connections.
    pub(crate) fn fixed(
        self,
        url: &str,
        connections: u32,
        seconds: u32,
        rate: u32,
        body: &str,
    ) -> Vec<String> {
        match self {
            Self::Berth => Self::rate(url, connections, seconds, &rate.to_string(), body),
            Self::Oha => self.flags(&format!("-c {connections} -z {seconds}s -q {rate}"), url, body),
            Self::Hey | Self::Wrk => unreachable!("they keep no rate over all connections"),
        }
    }

    /// Ours, at a rate.
    pub(crate) fn rate(url: &str, connections: u32, seconds: u32, rate: &str, body: &str) -> Vec<String> {
        Self::Berth.flags(&format!("-c {connections} -z {seconds}s --rate {rate}"), url, body)
    }

    /// So many requests.
    pub(crate) fn counted(self, url: &str, connections: u32, requests: u64, body: &str) -> Vec<String> {
        self.flags(&format!("-c {connections} -n {requests}"), url, body)
    }

    fn flags(self, flags: &str, url: &str, body: &str) -> Vec<String> {
        let own = match self {
            Self::Berth => "load --check status -o json",
            // One thread, as the others have one CPU; and no screen to draw.
            Self::Oha => "--no-tui -m POST",
            Self::Hey => "-cpus 1 -m POST",
            Self::Wrk => unreachable!("it has flags of its own"),
        };
        let words = own.split(' ').chain(flags.split(' ')).map(str::to_owned);
        words.chain(["-d".to_owned(), body.to_owned(), url.to_owned()]).collect()
    }

    /// Runs it on the first CPU.
    pub(crate) fn run(self, tools: &Path, berth: &Path, flags: &[String], server: &Server) -> Used {
        let program = if self == Self::Berth { berth.to_owned() } else { tools.join(self.name()) };
        let (before, began) =
            (server.served(), rustix::time::clock_gettime(rustix::time::ClockId::Monotonic));
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut peak_kib = 0;
        // It stays to be looked at until it is waited for below.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while rustix::process::waitid(WaitId::Pid(pid), ended).unwrap().is_none() {
            peak_kib = peak_kib.max(peak(pid).unwrap_or(0));
            thread::sleep(LOOK);
        }
        let cpu_seconds = cpu(pid);
        let wall = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic) - began;
        let status = child.wait().unwrap();
        assert!(status.success() || self == Self::Berth, "{} {flags:?}: {status}", self.name());
        let requests = server.served() - before;
        assert!(requests > 0, "{} sent nothing: {flags:?}", self.name());
        let wall_seconds = wall.tv_sec as f64 + wall.tv_nsec as f64 / 1e9;
        Used { requests, cpu_seconds, wall_seconds, peak_kib }
    }
}

/// What ours says of a run.
pub(crate) fn report_of(berth: &Path, flags: &[String]) -> serde_json::Value {
    let output = Command::new("taskset").args(["-c", "0"]).arg(berth).args(flags).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `VmHWM` of proc(5).
fn peak(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// `utime` and `stime` of proc(5), which count from behind the name in brackets.
fn cpu(pid: Pid) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let (_, after) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = after.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    ticks as f64 / TICKS_PER_SEC
}

/// The server's CPU, which no client has.
pub(crate) fn pin_to_last_cpu() {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(thread::available_parallelism().unwrap().get() - 1);
    rustix::thread::sched_setaffinity(None, &cpus).unwrap();
}
