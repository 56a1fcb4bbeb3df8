//! How fast a trace is judged, against the time in which it was recorded.

use berth_core::{
    contention::{Detector, Input},
    time::AxisNsec,
};
use rustix::time::{ClockId, clock_gettime};

/// Seconds of recording for each CPU second of one core; `None` without a trace.
pub(super) fn replay_speed<'a>(traces: impl Iterator<Item = &'a [Input]>) -> Option<f64> {
    let (mut recorded, mut took) = (0.0, 0.0);
    for trace in traces {
        // Made before the clock starts: reading a file is not judging it.
        let inputs = trace.to_vec();
        recorded += length_sec(trace);
        let start = thread_sec();
        let mut detector = Detector::new(String::new());
        let told: usize = inputs.into_iter().map(|input| detector.take(input).len()).sum();
        std::hint::black_box(told);
        took += thread_sec() - start;
    }
    (took > 0.0).then(|| recorded / took)
}

fn length_sec(trace: &[Input]) -> f64 {
    let times: Vec<AxisNsec> = trace
        .iter()
        .filter_map(|input| match input {
            Input::Frame(frame) => Some(frame.at),
            Input::Late(_) | Input::Step(_) | Input::Reset(_) => None,
        })
        .collect();
    times.last().zip(times.first()).map_or(0.0, |(last, first)| last.since(*first).as_secs_f64())
}

fn thread_sec() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
