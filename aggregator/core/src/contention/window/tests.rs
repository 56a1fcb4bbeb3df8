use super::*;
use crate::contention::fixtures::{key, suspect};

const TICK_MSEC: u64 = 100;

/// A second's worth of stall, told in the tick of a reading.
const STALL_USEC: u64 = 300_000;

/// A step of the model that ends at `msec`; `None`: it has no pressure file.
fn step(msec: u64, dt_msec: u64, stall_usec: Option<u64>) -> Step {
    let mut model = suspect(1, dt_msec * 1_000);
    model.pressure = stall_usec.map(|usec| Pressure { memory_some_usec: usec, ..Pressure::default() });
    let mut step = Step::for_test(dt_msec * 1_000_000, None, vec![model]);
    step.at = AxisNsec(msec * 1_000_000);
    step
}

/// When each window was heard, and from when to when it was, in milliseconds, with the stall in it.
fn windows(steps: impl IntoIterator<Item = Step>) -> Vec<(u64, [u64; 2], Option<u64>)> {
    let (mut windows, mut kept, mut told) = (Windows::of(key(1)), VecDeque::new(), Vec::new());
    let msec = |at: AxisNsec| at.0 / 1_000_000;
    for step in steps {
        let now = msec(step.at);
        kept.push_back(step);
        if let Some(window) = windows.next(&kept) {
            let (moment, own) = (window.moment(), window.own().expect("it is in each step"));
            let stall = own.pressure.map(|pressure| pressure.memory_some_usec);
            told.push((now, [msec(moment.start), msec(moment.at)], stall));
        }
    }
    told
}

fn at_ten_hz(seconds: u64, stall: impl Fn(u64) -> Option<u64>) -> impl Iterator<Item = Step> {
    (1..=seconds * 10).map(move |tick| step(tick * TICK_MSEC, TICK_MSEC, stall(tick)))
}

#[test]
fn a_window_is_the_second_that_a_reading_speaks_of_whenever_files_are_read() {
    for phase in 0..10 {
        let read = |tick: u64| Some(if tick % 10 == phase { STALL_USEC } else { 0 });
        let told = windows(at_ten_hz(20, read));
        assert!(told.len() >= 18, "{phase}: {told:?}");
        for (now, [from, until], stall) in told.iter().skip(2) {
            assert_eq!((now, *stall), (until, Some(STALL_USEC)), "heard at once: {phase}: {told:?}");
            assert_eq!((until - from, until / TICK_MSEC % 10), (1_000, phase), "{told:?}");
        }
    }
}

#[test]
fn each_step_is_in_one_window_whatever_moves_and_whenever() {
    for seed in 0..200_u64 {
        // Readings that jitter, stop and come back at another moment, some too small to be seen.
        let drawn = |tick: u64| (tick ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let read = |tick: u64| Some(if drawn(tick) < seed % 5 { STALL_USEC } else { 0 });
        let steps: Vec<Step> = at_ten_hz(30, read).collect();
        let (told, last) = (windows(steps.clone()), 30_000);
        assert!(told.windows(2).all(|pair| pair[0].1[1] == pair[1].1[0]), "{seed}: {told:?}");
        assert_eq!(told[0].1[0], 0);
        assert!(last - told.last().unwrap().1[1] < 1_500, "{seed}: {told:?}");
        assert!(told.iter().all(|(_, [from, until], _)| (400..1_600).contains(&(until - from))), "{told:?}");
    }
}

#[test]
fn the_first_reading_after_a_quiet_time_is_heard_at_once_whenever_files_are_read() {
    for phase in 50..60 {
        let read = |tick: u64| Some(if tick >= phase && tick % 10 == phase % 10 { STALL_USEC } else { 0 });
        let told = windows(at_ten_hz(8, read));
        let (now, [from, until], stall) = *told.iter().find(|told| told.2 != Some(0)).unwrap();
        let late_msec = now - phase * TICK_MSEC;
        assert!(late_msec == 0 || late_msec == 1_000 && stall == Some(2 * STALL_USEC), "{phase}: {told:?}");
        assert_eq!(until, now);
        assert!(until - from <= 1_500, "{told:?}");
    }
}

#[test]
fn without_pressure_files_a_window_is_a_second_and_steps_as_long_are_windows() {
    let told = windows(at_ten_hz(5, |_| None));
    let expected: Vec<_> = (1..=5).map(|sec| (sec * 1_000, [(sec - 1) * 1_000, sec * 1_000], None)).collect();
    assert_eq!(told, expected);
    for stall in [0, STALL_USEC] {
        let told = windows((1..=5).map(|sec| step(sec * 1_000, 1_000, Some(stall))));
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told.iter().all(|(now, [from, until], _)| now == until && until - from == 1_000));
    }
}

#[test]
fn growth_is_from_the_step_before_and_a_container_that_is_gone_is_seen_to_be() {
    let of = |tick: u64, bytes: u64| {
        let mut step = step(tick * TICK_MSEC, TICK_MSEC, Some(0));
        let mut other = suspect(2, 0);
        other.reclaim = Some(crate::frame::Reclaim { anon_bytes: bytes, ..Default::default() });
        step.containers.push(other);
        step
    };
    let steps = [of(1, 10), of(2, 30), of(3, 70)];
    let window = Window::new(key(1), steps[1..].iter().collect(), steps.first()).unwrap();
    let other = window.whole().container(key(2)).cloned().unwrap();
    assert!((window.grown_bytes(&other) - 60.0).abs() < 1e-9);
    let window = Window::new(key(3), steps.iter().collect(), None).unwrap();
    assert!(window.own().is_none() && window.whole().containers.len() == 2);
    assert!(Window::new(key(1), Vec::new(), None).is_none());
}
