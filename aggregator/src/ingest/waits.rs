//! How long each container's threads have waited so far, as counters that a scraper can follow.
//!
//! The history holds amounts a tick; a scraper wants totals. Invariant: a tick is added once, when
//! late news can no longer change it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth::{Group, limits};
use berth_core::{
    history::{HistoryView, Resolution, SliceSeries, SubjectId},
    time::AxisNsec,
};

/// Ticks older than this do not change any more: the horizon of late news, and a second for its way.
pub(crate) const SETTLED: Duration = limits::CORRECTION_HORIZON.saturating_add(Duration::from_secs(1));

// Positions in the tuple of `ContainerThreads`.
const RUN: usize = 0;
const WAIT: usize = 1;
const THROTTLED: usize = 2;

/// Totals of one container since it was first in Focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_field_names, reason = "names carry their unit")]
pub(crate) struct Waits {
    /// CPU time of its threads.
    pub(crate) run_nsec: u64,
    /// The part of their wait that a CPU limit caused.
    pub(crate) throttled_nsec: u64,
    /// The rest of it.
    pub(crate) contended_nsec: u64,
}

/// The totals of one node's containers.
#[derive(Debug, Default)]
pub(super) struct WaitMeter {
    until: AxisNsec,
    totals: Arc<BTreeMap<SubjectId, Waits>>,
}

impl WaitMeter {
    /// Adds what has settled since the last call; forgets those that are not `live`.
    pub(super) fn update(&mut self, history: &HistoryView, live: impl Fn(SubjectId) -> bool) {
        let Some(newest) = history.newest_at() else { return };
        let until = newest - SETTLED;
        if until <= self.until {
            return;
        }
        let totals = Arc::make_mut(&mut self.totals);
        totals.retain(|subject, _| live(*subject));
        let threads = |key: berth_core::history::SeriesKey| key.group == Group::ContainerThreads;
        for slice in history.range(Resolution::Raw, self.until..until, threads) {
            for series in &slice.series {
                add(totals.entry(series.key.subject).or_default(), series);
            }
        }
        self.until = until;
    }

    /// The totals so far.
    pub(super) fn totals(&self) -> Arc<BTreeMap<SubjectId, Waits>> {
        Arc::clone(&self.totals)
    }
}

fn add(waits: &mut Waits, series: &SliceSeries) {
    let sum = |metric: usize| {
        let values = series.metrics.get(metric).map_or(&[][..], |metric| &metric.values);
        // Late news may take away more than was there: a total does not go back.
        u64::try_from(values.iter().flatten().sum::<i64>()).unwrap_or(0)
    };
    let throttled = sum(THROTTLED);
    waits.run_nsec = waits.run_nsec.saturating_add(sum(RUN));
    waits.throttled_nsec = waits.throttled_nsec.saturating_add(throttled);
    waits.contended_nsec = waits.contended_nsec.saturating_add(sum(WAIT).saturating_sub(throttled));
}

#[cfg(test)]
mod tests {
    use berth_core::history::{Column, History, Rows, SeriesKey};

    use super::*;

    const KEY: SeriesKey = SeriesKey { subject: SubjectId(1), group: Group::ContainerThreads };

    /// Ten ticks a second; each ran 60, waited 50, of which 20 throttled.
    fn rows(history: &mut History, ticks: std::ops::Range<u64>) {
        for tick in ticks {
            let column = [60, 50, 20, 0].map(|value| vec![Some(value)]).into();
            let at = AxisNsec(1_000_000_000_000 + tick * 100_000_000);
            history.append(Rows::new(tick, vec![at], vec![Column { key: KEY, metrics: column }]));
        }
    }

    #[test]
    fn each_settled_tick_is_added_once() {
        let mut history = History::new(1 << 20);
        let mut meter = WaitMeter::default();
        rows(&mut history, 0..41);
        meter.update(&history.view(), |_| true);
        meter.update(&history.view(), |_| true);
        let waits = meter.totals()[&KEY.subject];
        assert_eq!(waits, Waits { run_nsec: 600, throttled_nsec: 200, contended_nsec: 300 });
        rows(&mut history, 41..61);
        meter.update(&history.view(), |_| true);
        assert_eq!(meter.totals()[&KEY.subject].run_nsec, 1_800);
        rows(&mut history, 61..62);
        meter.update(&history.view(), |_| false);
        assert_eq!(meter.totals()[&KEY.subject].run_nsec, 60, "what ended begins anew");
    }
}
