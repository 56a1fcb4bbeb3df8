//! The scheduler's events, read from what `perf script` prints.
//!
//! Pure. Invariant: a line is an event that means what it says, or an error that quotes it. Deliberately
//! absent: names of programs; a thread is its number.

use anyhow::Context as _;
use berth_loadgen::{MonoNanos, NANOS_PER_SEC};

/// What was recorded at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    /// When.
    pub(super) at: MonoNanos,
    /// What.
    pub(super) what: What,
}

/// A thread, by its number; 0 is the idle one.
pub(super) type Tid = u32;

/// What the scheduler did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A thread that slept may run again.
    Woken(Tid),
    /// A thread was made.
    Made {
        /// The new one.
        tid: Tid,
        /// Who made it.
        by: Tid,
    },
    /// The CPU goes from one thread to another.
    Switched {
        /// Who ran.
        from: Tid,
        /// It would have run on, but for the other.
        preempted: bool,
        /// Who runs now.
        to: Tid,
    },
    /// So many events found no room.
    Lost(u64),
}

/// The fields that [`parse`] reads, as `perf script -F` names them.
pub(super) const FIELDS: &str = "tid,time,event,trace";

/// Reads a line: the thread in whose name the event happened, the time, the event, and its fields.
pub(super) fn parse(line: &str) -> anyhow::Result<Event> {
    event(line).with_context(|| format!("read the event {:?}", line.trim()))
}

fn event(line: &str) -> anyhow::Result<Event> {
    let (by, rest) = line.trim_start().split_once(' ').context("it has one word")?;
    let (at, rest) = rest.trim_start().split_once(": ").context("it has no time")?;
    let (name, fields) = rest.trim_start().split_once([':', ' ']).context("it has no name")?;
    let what = match (name, fields) {
        ("PERF_RECORD_LOST", lost) => {
            let count = lost.strip_prefix("lost ").context("it has no count")?;
            What::Lost(count.trim().parse().context("the count is no number")?)
        }
        ("sched", fields) => scheduled(fields, by)?,
        _ => anyhow::bail!("it is no event of the scheduler"),
    };
    Ok(Event { at: time(at)?, what })
}

fn scheduled(event: &str, by: &str) -> anyhow::Result<What> {
    let (name, fields) = event.split_once(": ").context("it has no fields")?;
    Ok(match name {
        "sched_wakeup" => What::Woken(number(fields, " pid=")?),
        "sched_wakeup_new" => {
            What::Made { tid: number(fields, " pid=")?, by: by.parse().context("who made it is no number")? }
        }
        "sched_switch" => What::Switched {
            from: number(fields, " prev_pid=")?,
            preempted: word(fields, " prev_state=")?.starts_with('R'),
            to: number(fields, " next_pid=")?,
        },
        _ => anyhow::bail!("it was not asked for"),
    })
}

/// Seconds of `CLOCK_MONOTONIC` with nine digits behind the point.
fn time(text: &str) -> anyhow::Result<MonoNanos> {
    let (sec, nanos) = text.split_once('.').filter(|(_, nanos)| nanos.len() == 9).context("its time")?;
    let (sec, nanos): (u64, u64) = (sec.parse().context("its seconds")?, nanos.parse().context("its time")?);
    Ok(MonoNanos(sec.saturating_mul(NANOS_PER_SEC).saturating_add(nanos)))
}

fn number(fields: &str, name: &str) -> anyhow::Result<Tid> {
    let word = word(fields, name)?;
    word.parse().with_context(|| format!("{}{word} is no thread", name.trim_start()))
}

/// The word after `name`: a program's own name, which may hold anything, stands before it.
fn word<'a>(fields: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = fields.rsplit_once(name).with_context(|| format!("it has no{name}"))?;
    Ok(rest.split(' ').next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Event {
        parse(line).unwrap()
    }

    #[test]
    fn events_are_read_as_perf_prints_them() {
        let at = |nanos| MonoNanos(46_924 * NANOS_PER_SEC + nanos);
        let line =
            "    0 46924.165931196:     sched:sched_wakeup: comm=perf-exec pid=10741 prio=120 target_cpu=000";
        assert_eq!(told(line), Event { at: at(165_931_196), what: What::Woken(10_741) });
        let line = "12 46924.000000001: sched:sched_wakeup_new: comm=sh pid=13 prio=120 target_cpu=000";
        assert_eq!(told(line), Event { at: at(1), what: What::Made { tid: 13, by: 12 } });
        let line = "10741 46924.166217484:     sched:sched_switch: prev_comm=my server prev_pid=10741 prev_prio=120 \
                    prev_state=R+ ==> next_comm=swapper/0 next_pid=0 next_prio=120";
        let what = What::Switched { from: 10_741, preempted: true, to: 0 };
        assert_eq!(told(line), Event { at: at(166_217_484), what });
        let slept = line.replace("R+", "D");
        let what = What::Switched { from: 10_741, preempted: false, to: 0 };
        assert_eq!(told(&slept).what, what);
        assert_eq!(told("16542 46924.403628043: PERF_RECORD_LOST lost 10340").what, What::Lost(10_340));
    }

    #[test]
    fn what_is_no_event_is_refused_by_name() {
        for line in [
            "",
            "perf",
            "12 46924.5: sched:sched_wakeup: comm=sh pid=13",
            "12 46924.000000001: sched:sched_wakeup: comm=sh pid=x ",
            "12 46924.000000001: sched:sched_stat_wait: comm=sh pid=13",
            "12 46924.000000001: irq:irq_handler_entry: irq=1",
        ] {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.starts_with("read the event"), "{error}");
        }
    }
}
