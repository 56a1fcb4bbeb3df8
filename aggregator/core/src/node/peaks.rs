//! The largest use of each container, which its requests are sized by.
//!
//! CPU use is taken over fixed windows of one second of the node's clock, so that a replay finds the
//! same peaks. Deliberately absent: a window that slides; it would find a larger peak at a higher
//! tick rate.

/// A window that is no second: ticks were missing at one of its ends.
const WINDOW_NSEC: std::ops::RangeInclusive<u64> = 500_000_000..=2_000_000_000;

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// The largest values since the container was first seen; `None` while none was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peaks {
    /// CPU use over one second.
    pub cpu_millicpu_max_1s: Option<u64>,
    /// Memory charged to it.
    pub memory_bytes_max: Option<u64>,
}

/// Where a window began.
#[derive(Debug, Clone, Copy)]
struct Window {
    nsec: u64,
    usage_usec: i64,
}

/// One container's peaks, and the window that is open.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PeakMeter {
    newest_second: Option<u64>,
    window: Option<Window>,
    peaks: Peaks,
}

impl PeakMeter {
    /// Its CPU counter at a tick. `true`: a peak rose.
    pub(super) fn cpu(&mut self, nsec: u64, usage_usec: i64) -> bool {
        let second = nsec / NSEC_PER_SEC;
        let newest = self.newest_second.replace(second);
        if newest.is_none() || newest == Some(second) {
            return false;
        }
        let begun = self.window.replace(Window { nsec, usage_usec });
        let millicpu = begun.and_then(|begun| {
            let length_nsec = nsec.checked_sub(begun.nsec).filter(|length| WINDOW_NSEC.contains(length))?;
            let used_usec = u64::try_from(usage_usec.checked_sub(begun.usage_usec)?).ok()?;
            Some(used_usec.saturating_mul(1_000_000) / length_nsec)
        });
        rise(&mut self.peaks.cpu_millicpu_max_1s, millicpu)
    }

    /// Its memory at a tick. `true`: a peak rose.
    pub(super) fn memory(&mut self, bytes: i64) -> bool {
        rise(&mut self.peaks.memory_bytes_max, u64::try_from(bytes).ok())
    }

    /// Something is missing: the open window is none.
    pub(super) fn cut(&mut self) {
        self.newest_second = None;
        self.window = None;
    }

    pub(super) fn peaks(&self) -> Peaks {
        self.peaks
    }
}

fn rise(peak: &mut Option<u64>, value: Option<u64>) -> bool {
    let rises = value > *peak;
    if rises {
        *peak = value;
    }
    rises
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten ticks a second, each adding `usec`, from `nsec` on.
    fn run(meter: &mut PeakMeter, from_tick: u64, usec: &[i64]) {
        let mut total = 1_000_000;
        for (tick, usec) in (from_tick..).zip(usec) {
            total += usec;
            meter.cpu(tick * 100_000_000 + 30_000_000, total);
        }
    }

    #[test]
    fn the_peak_is_of_a_whole_second_not_of_a_tick() {
        let mut meter = PeakMeter::default();
        // Half a CPU, but for one tick of four.
        let mut use_usec = vec![50_000; 40];
        use_usec[25] = 400_000;
        run(&mut meter, 0, &use_usec);
        assert_eq!(meter.peaks().cpu_millicpu_max_1s, Some(850));
    }

    #[test]
    fn a_window_cut_by_a_gap_does_not_count() {
        let mut meter = PeakMeter::default();
        run(&mut meter, 0, &[50_000; 15]);
        meter.cut();
        run(&mut meter, 600, &[10_000; 15]);
        assert_eq!(meter.peaks().cpu_millicpu_max_1s, None);
        run(&mut meter, 1_000, &[20_000; 31]);
        assert_eq!(meter.peaks().cpu_millicpu_max_1s, Some(200), "the jump from 60 s to 100 s is no second");
    }

    #[test]
    fn memory_remembers_its_largest() {
        let mut meter = PeakMeter::default();
        assert!(meter.memory(5));
        assert!(!meter.memory(4) && !meter.memory(-1));
        assert_eq!(meter.peaks().memory_bytes_max, Some(5));
    }
}
