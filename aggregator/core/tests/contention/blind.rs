//! A model of whose threads few are seen: its pressure file tells what it waits.

use berth_core::{
    contention::{Resource, Tier},
    frame::Pressure,
};

use super::*;

/// Threads that live long enough to be read do a thirtieth of the work.
const FEW: i64 = 30;

/// A pressure file is read in every tenth frame.
const READ_EVERY: usize = 10;

/// The same frames of a model (the first container) whose threads live too short to be read, in the frames
/// that `is_blind` holds for.
fn blinded(mut frames: Vec<Frame>, has_file: bool, is_blind: impl Fn(u64) -> bool) -> Vec<Frame> {
    let mut waited_nsec = 0;
    for (number, frame) in frames.iter_mut().enumerate() {
        let model = frame.containers.first_mut().expect("the model is there");
        let threads = model.threads.as_mut().expect("its threads are watched");
        waited_nsec += threads.wait_nsec.unsigned_abs();
        if is_blind(msec(frame.at)) {
            threads.run_nsec /= FEW;
        }
        let mut pressure = Pressure::default();
        if number % READ_EVERY == READ_EVERY - 1 {
            pressure.cpu_full_usec = std::mem::take(&mut waited_nsec) / 1_000;
        }
        model.pressure = has_file.then_some(pressure);
    }
    frames
}

fn contended() -> Played {
    let scan = scanner("scan", Thread::new(Work::Hog).during(10_000, 20_000));
    Node::new(1, vec![model(), scan]).play(30_000)
}

#[test]
fn a_model_of_short_lived_threads_is_judged_by_its_pressure_file() {
    let told = detect(&blinded(contended().frames, true, |_| true));
    let episode = last(&told);
    assert!(told.iter().all(|(_, told)| told.id == episode.id), "one episode");
    assert_eq!(
        (episode.resource, episode.tier, episode.verdict),
        (Resource::Cpu, Tier::Pressure, Verdict::Neighbour)
    );
    assert!(shares(episode)["demo/scan"] > 0.9, "{episode:?}");
    assert!(msec(episode.onset).abs_diff(10_000) <= 1_000 && msec(episode.cleared.unwrap()) <= 21_000);
    let by_threads = detect(&contended().frames);
    let slowdown = last(&by_threads).slowdown.estimate;
    let error = (episode.slowdown.estimate / slowdown).ln().abs();
    assert!(error < 0.1, "{} by its threads, {} by pressure", slowdown, episode.slowdown.estimate);
}

#[test]
fn the_few_threads_that_are_seen_are_no_evidence_against_anybody() {
    assert!(detect(&blinded(contended().frames, false, |_| true)).is_empty());
}

#[test]
fn what_pressure_told_ends_when_the_threads_are_seen_again() {
    let scan = scanner("scan", Thread::new(Work::Hog).during(10_000, 40_000));
    let frames = Node::new(1, vec![model(), scan]).play(40_000).frames;
    let told = detect(&blinded(frames, true, |msec| msec < 20_000));
    let of = |tier| told.iter().rev().map(|(_, episode)| episode).find(move |episode| episode.tier == tier);
    let (by_pressure, by_threads) = (of(Tier::Pressure).unwrap(), of(Tier::Threads).unwrap());
    assert!(msec(by_pressure.cleared.unwrap()).abs_diff(20_000) <= 1_500, "{by_pressure:?}");
    assert!(msec(by_threads.onset).abs_diff(20_000) <= 1_500, "{by_threads:?}");
    assert_eq!(by_threads.verdict, Verdict::Neighbour);
}
