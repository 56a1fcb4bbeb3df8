//! The kernel's text, parsed: pure functions on bytes that allocate nothing.
//!
//! Every figure is normalised to cgroup v2's names and units, whichever version it came from.
//! Invariant: a key that the kernel did not write is `None`, never 0.

/// Text that is not what the kernel writes in this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{file} holds unexpected text")]
pub struct TextError {
    file: &'static str,
}

const fn error(file: &'static str) -> TextError {
    TextError { file }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A file of one number: cpuacct.usage, memory.current, cpu.shares.
pub fn number(text: &[u8]) -> Result<u64, TextError> {
    decimal(text.trim_ascii()).ok_or(error("a one-number file"))
}

/// How often and how long a quota stopped a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which it was runnable.
    pub periods: u64,
    /// Of those, the ones in which it was stopped.
    pub throttled_periods: u64,
    /// Stopped time, summed over run queues.
    pub throttled_usec: u64,
}

/// cpu.stat of either version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// CPU time; v1 shows it in cpuacct.usage instead.
    pub usage_usec: Option<u64>,
    /// Absent where the cpu controller is not enabled.
    pub throttling: Option<Throttling>,
}

/// Parses cpu.stat by key: v1 has `throttled_time` in nanoseconds, v2 `throttled_usec`, and a v2 cgroup
/// without the cpu controller shows the usage only (kernel/sched/core.c, kernel/cgroup/rstat.c).
pub fn cpu_stat(text: &[u8]) -> Result<CpuStat, TextError> {
    let bad = error("cpu.stat");
    let (mut usage_usec, mut periods, mut throttled_periods, mut throttled_usec) = (None, None, None, None);
    for line in lines(text) {
        let mut words = words(line);
        let key = words.next().ok_or(bad)?;
        let value = words.next().and_then(decimal).ok_or(bad)?;
        match key {
            b"usage_usec" => usage_usec = Some(value),
            b"nr_periods" => periods = Some(value),
            b"nr_throttled" => throttled_periods = Some(value),
            b"throttled_usec" => throttled_usec = Some(value),
            b"throttled_time" => throttled_usec = Some(value / 1_000),
            _ => {}
        }
    }
    let throttling = match (periods, throttled_periods, throttled_usec) {
        (Some(periods), Some(throttled_periods), Some(throttled_usec)) => {
            Some(Throttling { periods, throttled_periods, throttled_usec })
        }
        _ => None,
    };
    if usage_usec.is_none() && throttling.is_none() {
        Err(bad)
    } else {
        Ok(CpuStat { usage_usec, throttling })
    }
}

/// cpuacct.usage, which counts nanoseconds.
pub fn cpuacct_usage_usec(text: &[u8]) -> Result<u64, TextError> {
    Ok(number(text)? / 1_000)
}

/// The cumulative stall of one resource. The averages beside it move only every two seconds and are
/// never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// Some task was stalled.
    pub some_usec: u64,
    /// All of them were; absent for the CPU of a whole node before Linux 5.13.
    pub full_usec: Option<u64>,
}

/// Parses a `*.pressure` file, `total=` only.
pub fn pressure(text: &[u8]) -> Result<Stall, TextError> {
    let bad = error("a pressure file");
    let (mut some_usec, mut full_usec) = (None, None);
    for line in lines(text) {
        let total = words(line).find_map(|word| word.strip_prefix(b"total=")).and_then(decimal).ok_or(bad)?;
        match words(line).next() {
            Some(b"some") => some_usec = Some(total),
            Some(b"full") => full_usec = Some(total),
            _ => return Err(bad),
        }
    }
    Ok(Stall { some_usec: some_usec.ok_or(bad)?, full_usec })
}

/// What a thread ran, and waited on a run queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedstat {
    /// On a CPU.
    pub run_nsec: u64,
    /// Runnable and not on one; grows only when the wait ends (`sched_info_arrive`).
    pub wait_nsec: u64,
}

/// Parses /proc/TID/schedstat: run, wait, slices.
pub fn schedstat(text: &[u8]) -> Result<Schedstat, TextError> {
    let bad = error("schedstat");
    let mut numbers = words(text).map(|word| decimal(word).ok_or(bad));
    let mut next = || numbers.next().ok_or(bad)?;
    let (run_nsec, wait_nsec, _slices) = (next()?, next()?, next()?);
    Ok(Schedstat { run_nsec, wait_nsec })
}

/// When a thread started, in clock ticks since boot: field 22 of /proc/PID/task/TID/stat, counted
/// after the last parenthesis, because a command's name may hold spaces and parentheses.
pub fn start_ticks(text: &[u8]) -> Result<u64, TextError> {
    const AFTER_NAME: usize = 19;
    let bad = error("stat");
    let name_end = text.iter().rposition(|&byte| byte == b')').ok_or(bad)?;
    words(&text[name_end + 1..]).nth(AFTER_NAME).and_then(decimal).ok_or(bad)
}

/// The node's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meminfo {
    /// All of it.
    pub total_bytes: u64,
    /// What new work may take without swapping.
    pub available_bytes: u64,
    /// What nobody uses, not even as a cache.
    pub free_bytes: u64,
}

/// Parses /proc/meminfo.
pub fn meminfo(text: &[u8]) -> Result<Meminfo, TextError> {
    let bad = error("meminfo");
    let bytes_of = |key: &[u8]| {
        let line = lines(text).find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| words(rest).next()).and_then(decimal)?.checked_mul(1_024)
    };
    Ok(Meminfo {
        total_bytes: bytes_of(b"MemTotal:").ok_or(bad)?,
        available_bytes: bytes_of(b"MemAvailable:").ok_or(bad)?,
        free_bytes: bytes_of(b"MemFree:").ok_or(bad)?,
    })
}

/// What some CPUs of the node did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeCpu {
    /// user + nice + system. The kernel counts guests in user already.
    pub busy_usec: u64,
    /// idle + iowait.
    pub idle_usec: u64,
    /// Hard and soft interrupts.
    pub irq_usec: u64,
    /// Taken by the hypervisor.
    pub steal_usec: u64,
    /// How many of the wanted CPUs were there.
    pub cpus: usize,
}

/// /proc/stat counts in `USER_HZ`, which is 100 on every architecture that Linux runs containers on.
const USER_TICK_USEC: u64 = 10_000;

/// Sums /proc/stat over the CPUs that `wanted` names.
pub fn node_cpu(text: &[u8], wanted: impl Fn(u32) -> bool) -> Result<NodeCpu, TextError> {
    let bad = error("/proc/stat");
    let mut sum = NodeCpu::default();
    for line in lines(text).take_while(|line| line.starts_with(b"cpu")) {
        let mut words = words(line);
        let name = words.next().ok_or(bad)?;
        let Some(cpu) = name.strip_prefix(b"cpu").and_then(decimal) else { continue };
        if !u32::try_from(cpu).is_ok_and(&wanted) {
            continue;
        }
        let mut next = || {
            let ticks = words.next().and_then(decimal).ok_or(bad)?;
            ticks.checked_mul(USER_TICK_USEC).ok_or(bad)
        };
        let (user, nice, system) = (next()?, next()?, next()?);
        let (idle, iowait, irq, softirq, steal) = (next()?, next()?, next()?, next()?, next()?);
        sum.busy_usec += user + nice + system;
        sum.idle_usec += idle + iowait;
        sum.irq_usec += irq + softirq;
        sum.steal_usec += steal;
        sum.cpus += 1;
    }
    Ok(sum)
}

/// The CPUs that /proc/stat names: those that are online, rising.
pub fn online_cpus(text: &[u8]) -> impl Iterator<Item = u32> {
    let names = lines(text).filter_map(|line| words(line).next());
    names.filter_map(|name| name.strip_prefix(b"cpu").and_then(decimal)).filter_map(|cpu| cpu.try_into().ok())
}

/// Says "no limit" where the wire has one number.
pub const UNLIMITED: i64 = -1;

fn millicpu(quota_usec: u64, period_usec: u64) -> Option<i64> {
    let millicpu = quota_usec.checked_mul(1_000)?.checked_div(period_usec)?;
    i64::try_from(millicpu).ok()
}

/// Parses v2's cpu.max, "max 100000" or "20000 100000".
pub fn cpu_max_millicpu(text: &[u8]) -> Result<i64, TextError> {
    let bad = error("cpu.max");
    let mut words = words(text);
    let (quota, period) = (words.next().ok_or(bad)?, words.next().and_then(decimal).ok_or(bad)?);
    if quota == b"max" {
        return Ok(UNLIMITED);
    }
    decimal(quota).and_then(|quota| millicpu(quota, period)).ok_or(bad)
}

/// Whether v1's quota is none; then its period says nothing.
pub fn is_unlimited_quota(quota: &[u8]) -> bool {
    quota.trim_ascii() == b"-1"
}

/// The same of v1: `cpu.cfs_quota_us`, -1 for none, over `cpu.cfs_period_us`.
pub fn cfs_quota_millicpu(quota: &[u8], period: &[u8]) -> Result<i64, TextError> {
    if is_unlimited_quota(quota) {
        return Ok(UNLIMITED);
    }
    millicpu(number(quota)?, number(period)?).ok_or(error("cpu.cfs_quota_us"))
}

/// Puts v1's cpu.shares on v2's scale as the kernel itself does: a weight of 100 is 1024 shares
/// (`sched_weight_from_cgroup` in kernel/sched/core.c).
pub fn weight_of_shares(shares: u64) -> i64 {
    let weight = (shares.saturating_mul(100).saturating_add(512) / 1_024).clamp(1, 10_000);
    i64::try_from(weight).unwrap_or(10_000)
}

/// v1 writes "no limit" as the largest multiple of a page below 2^63; nothing real comes near.
const NO_MEMORY_LIMIT_BYTES: u64 = 1 << 62;

/// Parses memory.max, or v1's `memory.limit_in_bytes`.
pub fn memory_limit_bytes(text: &[u8]) -> Result<i64, TextError> {
    if text.trim_ascii() == b"max" {
        return Ok(UNLIMITED);
    }
    let bytes = number(text)?;
    if bytes >= NO_MEMORY_LIMIT_BYTES {
        return Ok(UNLIMITED);
    }
    i64::try_from(bytes).map_err(|_| error("memory.max"))
}

#[cfg(test)]
mod tests;
