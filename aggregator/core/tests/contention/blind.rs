//! A model of whose threads few are seen: its pressure file tells what it waits.

use berth_core::{
    contention::{Resource, Tier},
    frame::{Pressure, QuotaUse},
};

use super::*;

/// Threads that live long enough to be read do a thirtieth of the work.
const FEW: i64 = 30;

/// A pressure file is read in every tenth frame.
const READ_EVERY: usize = 10;

/// How the model's pressure file is read.
#[derive(Clone, Copy)]
enum File {
    Absent,
    /// In every tenth frame from this one on.
    ReadFrom(usize),
}

/// The same frames of a model (the first container) whose threads live too short to be read, in the frames
/// that `is_blind` holds for.
fn blinded(mut frames: Vec<Frame>, file: File, is_blind: impl Fn(u64) -> bool) -> Vec<Frame> {
    let mut waited_nsec = 0;
    for (number, frame) in frames.iter_mut().enumerate() {
        let model = frame.containers.first_mut().expect("the model is there");
        let threads = model.threads.as_mut().expect("its threads are watched");
        waited_nsec += threads.wait_nsec.unsigned_abs();
        if is_blind(msec(frame.at)) {
            threads.run_nsec /= FEW;
        }
        let stopped_usec = threads.throttled_nsec.unsigned_abs() / 1_000;
        model.quotas =
            Some(QuotaUse { own_usec: stopped_usec, any_usec: stopped_usec, ..QuotaUse::default() });
        if let File::ReadFrom(first) = file {
            let mut pressure = Pressure::default();
            if number % READ_EVERY == first {
                pressure.cpu_full_usec = std::mem::take(&mut waited_nsec) / 1_000;
            }
            model.pressure = Some(pressure);
        }
    }
    frames
}

fn contended() -> Played {
    let scan = scanner("scan", Thread::new(Work::Hog).during(10_000, 20_000));
    Node::new(1, vec![model(), scan]).play(30_000)
}

#[test]
fn a_model_of_short_lived_threads_is_judged_by_its_pressure_file_whenever_that_is_read() {
    for first in 0..READ_EVERY {
        let told = detect(&blinded(contended().frames, File::ReadFrom(first), |_| true));
        let episode = last(&told);
        assert!(told.iter().all(|(_, told)| told.id == episode.id), "one episode");
        let said = (episode.resource, episode.tier, episode.verdict, episode.confidence);
        assert_eq!(said, (Resource::Cpu, Tier::Pressure, Verdict::Neighbour, Confidence::Possible));
        assert!(shares(episode)["demo/scan"] > 0.9, "{episode:?}");
        assert!(episode.coverage < 0.1, "few were seen: {}", episode.coverage);
        assert!(msec(episode.onset).abs_diff(10_000) <= 1_500, "{episode:?}");
        assert!(msec(episode.cleared.unwrap()) <= 21_500, "{episode:?}");
        let by_threads = detect(&contended().frames);
        let slowdown = last(&by_threads).slowdown.estimate;
        let error = (episode.slowdown.estimate / slowdown).ln().abs();
        assert!(error < 0.15, "{} by its threads, {} by pressure", slowdown, episode.slowdown.estimate);
    }
}

#[test]
fn who_comes_and_goes_between_two_readings_is_blamed_all_the_same() {
    let beats =
        (0..10).map(|beat| Thread::new(Work::Hog).during(10_000 + 2_000 * beat, 11_000 + 2_000 * beat));
    let scan = Container { threads: beats.collect(), ..scanner("scan", Thread::new(Work::Hog)) };
    let idle = scanner("idle", Thread::new(Work::Duty { on: 3, period: 100 }));
    for first in 0..READ_EVERY {
        let frames = Node::new(1, vec![model(), scan.clone(), idle.clone()]).play(30_000).frames;
        let told = detect(&blinded(frames, File::ReadFrom(first), |_| true));
        let episode = last(&told);
        assert_eq!(episode.verdict, Verdict::Neighbour, "{episode:?}");
        assert!(shares(episode)["demo/scan"] > 0.8, "{episode:?}");
    }
}

#[test]
fn a_limit_is_told_from_a_neighbour_by_its_pressure_file_too() {
    let limited = || Container { quota: Some(12), ..model() };
    let alone = Node::new(1, vec![limited()]).play(30_000).frames;
    let told = detect(&blinded(alone, File::ReadFrom(4), |_| true));
    assert_eq!(last(&told).verdict, Verdict::SelfThrottled, "{:?}", last(&told));
    assert!(told.iter().all(|(_, episode)| episode.confidence == Confidence::Possible));
}

#[test]
fn the_few_threads_that_are_seen_are_no_evidence_against_anybody() {
    assert!(detect(&blinded(contended().frames, File::Absent, |_| true)).is_empty());
}

#[test]
fn a_model_of_whose_threads_about_half_are_seen_keeps_one_episode() {
    let mut frames = contended().frames;
    for frame in frames.iter_mut().filter(|frame| (msec(frame.at) / 1_000).is_multiple_of(2)) {
        frame.containers[0].threads.as_mut().unwrap().run_nsec /= FEW;
    }
    let told = detect(&blinded(frames, File::ReadFrom(4), |_| false));
    assert!(told.iter().all(|(_, episode)| episode.id == told[0].1.id), "{told:?}");
    assert_eq!(last(&told).verdict, Verdict::Neighbour);
}

#[test]
fn what_pressure_told_ends_when_the_threads_are_seen_again() {
    let scan = scanner("scan", Thread::new(Work::Hog).during(10_000, 40_000));
    let frames = Node::new(1, vec![model(), scan]).play(40_000).frames;
    let told = detect(&blinded(frames, File::ReadFrom(4), |msec| msec < 20_000));
    let of = |tier| told.iter().rev().map(|(_, episode)| episode).find(move |episode| episode.tier == tier);
    let (by_pressure, by_threads) = (of(Tier::Pressure).unwrap(), of(Tier::Threads).unwrap());
    assert!(msec(by_pressure.cleared.unwrap()).abs_diff(20_000) <= 3_000, "{by_pressure:?}");
    assert!(msec(by_threads.onset).abs_diff(20_000) <= 3_000, "{by_threads:?}");
    assert_eq!(by_threads.verdict, Verdict::Neighbour);
    let open = |at: u64| {
        let newest: BTreeMap<_, _> =
            told.iter().filter(|(told, _)| *told <= at).map(|(_, episode)| (episode.id, episode)).collect();
        newest.values().filter(|episode| episode.cleared.is_none()).count()
    };
    assert!((0..400).all(|tick| open(tick * 100) <= 1), "one victim, one resource, one open episode");
}
