use proptest::prelude::*;

use super::*;

const SEC: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SEC;
const EVER: std::ops::Range<AxisNsec> = AxisNsec(0)..AxisNsec(u64::MAX);
/// More than any of these tests fills.
const PLENTY: usize = 64 << 20;

fn key(subject: u32, group: Group) -> SeriesKey {
    SeriesKey { subject: SubjectId(subject), group }
}

fn at(tick: u64) -> AxisNsec {
    AxisNsec(START + tick * SEC / 10)
}

/// Counter, gauge and amounts of each subject; what they are is a function of the tick.
fn value(key: SeriesKey, metric: usize, tick: u64) -> Option<i64> {
    let mixed = (u64::from(key.subject.0) * 31 + u64::try_from(metric).unwrap() * 7 + tick)
        .wrapping_mul(0x9e37_79b9)
        >> 13;
    let value = match key.group.metrics()[metric].kind {
        berth::Kind::Counter => tick * 5_000 + mixed % 4_000,
        berth::Kind::Gauge | berth::Kind::Amount => mixed % 1_000_000,
    };
    (!mixed.is_multiple_of(19)).then(|| i64::try_from(value).unwrap())
}

fn rows(first_tick: u64, ticks: u64, subjects: u32) -> Rows {
    let groups = [Group::ContainerCpu, Group::ContainerMemory, Group::ContainerThreads];
    let keys = (0..subjects).flat_map(|subject| groups.map(|group| key(subject, group)));
    let column = |key: SeriesKey| {
        let metric =
            |metric: usize| (first_tick..first_tick + ticks).map(|tick| value(key, metric, tick)).collect();
        Column { key, metrics: (0..key.group.metrics().len()).map(metric).collect() }
    };
    Rows::new(first_tick, (first_tick..first_tick + ticks).map(at).collect(), keys.map(column).collect())
}

/// Batches of `flush` ticks, up to `ticks` in all.
fn filled(budget_bytes: usize, ticks: u64, flush: u64, subjects: u32) -> History {
    let mut history = History::new(budget_bytes);
    for first in (0..ticks).step_by(usize::try_from(flush).unwrap()) {
        history.append(rows(first, flush, subjects));
        history.age(at(first + flush));
    }
    history
}

fn appended(ticks: u64, subjects: u32) -> u64 {
    ticks * u64::from(subjects) * 6
}

fn check_raw(view: &HistoryView) -> Vec<u64> {
    let mut ticks = Vec::new();
    for slice in view.range(Resolution::Raw, EVER, |_| true) {
        for (row, time) in slice.times.iter().enumerate() {
            let tick = (time.0 - START) * 10 / SEC;
            ticks.push(tick);
            for series in &slice.series {
                for (metric, columns) in series.metrics.iter().enumerate() {
                    assert_eq!(
                        columns.values[row],
                        value(series.key, metric, tick),
                        "{:?} at {tick}",
                        series.key
                    );
                }
            }
        }
    }
    ticks
}

#[test]
fn two_minutes_of_ticks_and_a_quarter_of_an_hour_of_seconds_are_kept() {
    let ticks = 20 * 60 * 10;
    let mut history = filled(PLENTY, ticks, 2, 3);
    let view = history.view();
    let raw = check_raw(&view);
    let kept = u64::try_from(raw.len()).unwrap();
    assert_eq!(raw, (ticks - kept..ticks).collect::<Vec<_>>());
    assert!((1_200..1_320).contains(&kept), "{kept} ticks");
    let seconds =
        view.range(Resolution::OneSecond, EVER, |_| true).map(|slice| slice.times.len()).sum::<usize>();
    assert!((899..912).contains(&seconds), "{seconds} seconds");
    let aged = history.aged();
    assert_eq!(aged.raw_values + history.kept_values(), appended(ticks, 3));
    assert_eq!(aged.seconds + u64::try_from(seconds).unwrap(), 20 * 60 - 1, "the newest second is not over");
}

#[test]
fn the_byte_budget_holds_whatever_comes_and_the_account_too() {
    for (budget, flush) in [(200_000, 2), (40_000, 1), (1_000, 50), (0, 7)] {
        let mut history = History::new(budget);
        let ticks = 700 / flush * flush;
        for first in (0..ticks).step_by(usize::try_from(flush).unwrap()) {
            let batch = rows(first, flush, 20);
            let newest = batch.heap_bytes();
            history.append(batch);
            // The newest piece is kept even where it alone is over.
            assert!(history.heap_bytes() <= budget + newest, "{} of {budget}", history.heap_bytes());
            assert_eq!(history.aged().raw_values + history.kept_values(), appended(first + flush, 20));
        }
        let raw = check_raw(&history.view());
        assert!(raw.is_sorted() && raw.last() == Some(&(ticks - 1)), "the newest is there");
    }
}

#[test]
fn a_smaller_budget_holds_at_once_and_the_newest_stays() {
    let mut history = filled(PLENTY, 1_200, 10, 20);
    let before = history.heap_bytes();
    history.resize(before / 3);
    assert!(history.heap_bytes() <= before / 3, "{} of {before}", history.heap_bytes());
    assert_eq!(history.kept_values() + history.aged().raw_values, appended(1_200, 20));
    assert_eq!(history.view().newest_at(), Some(at(1_199)));
}

#[test]
fn a_second_reads_the_same_before_and_after_its_ticks_have_aged() {
    let mut history = filled(PLENTY, 600, 3, 2);
    let seconds = |history: &mut History| -> Vec<Slice> {
        history.view().range(Resolution::OneSecond, EVER, |_| true).collect()
    };
    let before = seconds(&mut history);
    assert_eq!(before.len(), 59);
    history.age(at(600) + RAW_WINDOW + Duration::from_secs(60));
    assert_eq!(history.kept_values(), 0, "all ticks have aged");
    let flat = |slices: &[Slice]| -> Vec<(AxisNsec, SeriesKey, usize, [Option<i64>; 3])> {
        let mut cells = Vec::new();
        for slice in slices {
            for (row, time) in slice.times.iter().enumerate() {
                for series in &slice.series {
                    for (metric, columns) in series.metrics.iter().enumerate() {
                        let cell = [columns.values[row], columns.min[row], columns.max[row]];
                        cells.push((*time, series.key, metric, cell));
                    }
                }
            }
        }
        cells
    };
    let after = seconds(&mut history);
    // The last second was not over before.
    let after: Vec<_> = flat(&after).into_iter().filter(|cell| cell.0 < at(590)).collect();
    assert_eq!(after, flat(&before));
}

#[test]
fn seconds_go_on_across_the_edge_between_aged_and_raw() {
    let ticks = 3_000;
    let mut whole = filled(PLENTY, ticks, 10, 1);
    let view = whole.view();
    let cpu = |key: SeriesKey| key.group == Group::ContainerCpu;
    for slice in view.range(Resolution::OneSecond, EVER, cpu).skip(1) {
        for (row, time) in slice.times.iter().enumerate() {
            let columns = &slice.series[0].metrics[0];
            let tick = (time.0 - START) * 10 / SEC;
            let known = |tick: u64| value(key(0, Group::ContainerCpu), 0, tick);
            let changes = (tick - 9..=tick).filter_map(|tick| Some(known(tick)? - known(tick - 1)?));
            assert_eq!(columns.max[row], changes.max(), "the second that ends at tick {tick}");
        }
    }
    // Reading from the middle finds the same as reading all.
    let all: Vec<_> = view.range(Resolution::OneSecond, EVER, cpu).collect();
    let late: Vec<_> = view.range(Resolution::OneSecond, at(2_500)..at(2_600), cpu).collect();
    assert_eq!(late.len(), 10);
    assert!(late.iter().all(|slice| all.contains(slice)));
}

#[test]
fn late_news_changes_the_ticks_it_names_and_no_view_that_is_out() {
    let mut history = filled(PLENTY, 100, 2, 2);
    let threads = key(1, Group::ContainerThreads);
    let before = history.view();
    let add = vec![vec![0, 0, 0], vec![100, 0, 300], vec![0, 0, 0], vec![-7, 0, 0]];
    assert!(history.correct(threads, 85, &add));
    check_raw(&before);
    let after = history.view();
    let mut changed = Vec::new();
    let both =
        before.range(Resolution::Raw, EVER, |_| true).zip(after.range(Resolution::Raw, EVER, |_| true));
    for (old, new) in both {
        for (old_series, new_series) in old.series.iter().zip(&new.series) {
            for metric in 0..old_series.metrics.len() {
                let values = old_series.metrics[metric].values.iter().zip(&new_series.metrics[metric].values);
                for (time, (old, new)) in old.times.iter().zip(values) {
                    if old != new {
                        assert_eq!(old_series.key, threads);
                        changed.push((metric, (time.0 - START) * 10 / SEC, new.unwrap() - old.unwrap()));
                    }
                }
            }
        }
    }
    changed.sort_unstable();
    let known = |(metric, tick, _): &(usize, u64, i64)| value(threads, *metric, *tick).is_some();
    let expected: Vec<_> = [(1, 85, 100), (1, 87, 300), (3, 85, -7)].into_iter().filter(known).collect();
    assert_eq!(changed, expected);
}

#[test]
fn late_news_of_sealed_ticks_or_of_nobody_lands_nowhere() {
    let mut history = filled(PLENTY, 100, 2, 2);
    let add = vec![vec![1], vec![1], vec![1], vec![1]];
    assert!(!history.correct(key(1, Group::ContainerThreads), 40, &add), "it is six seconds old");
    assert!(!history.correct(key(9, Group::ContainerThreads), 99, &add));
    assert!(!history.correct(key(1, Group::ContainerThreads), 100, &add), "it is not there yet");
    check_raw(&history.view());
}

#[test]
fn two_seconds_back_is_always_open() {
    for flush in [1, 2, 7, 10] {
        let ticks = 300 / flush * flush;
        let mut history = filled(PLENTY, ticks, flush, 1);
        let add = vec![vec![0], vec![1], vec![0], vec![0]];
        assert!(history.correct(key(0, Group::ContainerThreads), ticks - 21, &add), "flushes of {flush}");
    }
}

#[test]
fn a_series_that_was_not_there_is_unknown_not_zero() {
    let mut history = History::new(PLENTY);
    history.append(rows(0, 2, 1));
    history.append(rows(2, 2, 2));
    history.seal();
    let view = history.view();
    let slices: Vec<Slice> = view.range(Resolution::Raw, EVER, |key| key.subject == SubjectId(1)).collect();
    let memory = slices[0].series.iter().find(|series| series.key.group == Group::ContainerMemory).unwrap();
    assert_eq!(memory.metrics[0].values[..2], [None, None]);
    assert!(memory.metrics[0].values[2..].iter().any(Option::is_some));
}

#[test]
fn series_that_change_at_each_tick_cost_no_more_than_they_bring() {
    // As one block this second would have 51 million cells.
    let mut history = History::new(PLENTY);
    for number in 0..800 {
        let key = |subject: u32| key(number * 20 + subject, Group::ContainerThreads);
        let columns = (0..20).map(|subject| Column { key: key(subject), metrics: vec![vec![Some(1)]; 4] });
        let time = AxisNsec(START + u64::from(number) * 1_000);
        history.append(Rows::new(u64::from(number), vec![time], columns.collect()));
    }
    history.seal();
    assert!(history.sealed.chunks.iter().all(|chunk| chunk.width * chunk.times.len() <= CHUNK_CELLS));
    assert_eq!(history.kept_values() + history.aged().raw_values, 800 * 80);
    history.age(at(0) + RAW_WINDOW + CHUNK_SPAN * 2);
    assert!(history.seconds.chunks.iter().all(|chunk| chunk.width * chunk.times.len() <= CHUNK_CELLS));
}

#[test]
fn an_old_node_keeps_nothing() {
    let mut history = filled(PLENTY, 100, 2, 2);
    history.age(at(100) + SECONDS_WINDOW + CHUNK_SPAN);
    assert_eq!((history.heap_bytes(), history.kept_values()), (0, 0));
    assert_eq!(history.view().begins(), None);
}

proptest! {
    #[test]
    fn any_sizes_of_batches_read_back_tick_by_tick(
        flushes in prop::collection::vec(1..40_u64, 1..60), budget in prop_oneof![Just(PLENTY), 0..60_000_usize],
    ) {
        let mut history = History::new(budget);
        let mut next = 0;
        for flush in flushes {
            history.append(rows(next, flush, 2));
            next += flush;
        }
        let ticks = check_raw(&history.view());
        prop_assert!(ticks.windows(2).all(|pair| pair[1] == pair[0] + 1));
        prop_assert_eq!(ticks.last().copied(), Some(next - 1));
        prop_assert_eq!(history.aged().raw_values + history.kept_values(), appended(next, 2));
    }
}
