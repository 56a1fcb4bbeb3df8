//! The detector on a simulated node: who is blamed, for how much, and when.

mod blind;
mod gpus;
mod levels;
mod newcomers;
mod sim;
mod stalls;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth_core::{
    contention::{Cause, Confidence, Detector, Episode, Severity, Verdict},
    frame::{Frame, Late, Limits, ThreadUse},
    who::{Role, Who},
};
use sim::{Container, Counted, Node, Played, START, Thread, Work, container};

/// A small model: 5 ms of CPU for each request, at 24 % of one CPU.
fn model() -> Container {
    container("model", Role::Model, [Thread::new(Work::Serve { service: 5, every: 21 })])
}

fn scanner(name: &str, thread: Thread) -> Container {
    container(name, Role::Scanner, [thread])
}

/// Every revision with the millisecond at which it was told.
fn detect(frames: &[Frame]) -> Vec<(u64, Episode)> {
    let mut detector = Detector::new("node-1".to_owned());
    let mut told = Vec::new();
    for frame in frames {
        let now = frame.at;
        detector.push(frame.clone());
        told.extend(detector.step(now).into_iter().map(|episode| (msec(now), episode)));
    }
    told
}

fn msec(at: berth_core::time::AxisNsec) -> u64 {
    (at.0 - START.0) / 1_000_000
}

fn shares(episode: &Episode) -> BTreeMap<String, f64> {
    let name = |cause: &Cause| match cause {
        Cause::Own => "own".to_owned(),
        Cause::Throttle => "throttle".to_owned(),
        Cause::PodThrottle => "pod_throttle".to_owned(),
        Cause::SliceThrottle => "slice_throttle".to_owned(),
        Cause::Culprit(who) => who.display_name(),
        Cause::Irq => "irq".to_owned(),
        Cause::Steal => "steal".to_owned(),
        Cause::Unowned => "unowned".to_owned(),
    };
    episode.shares.iter().map(|share| (name(&share.cause), share.share)).collect()
}

/// The last revision, after checks that hold for every one.
fn last(told: &[(u64, Episode)]) -> &Episode {
    for (_, episode) in told {
        let sum: f64 = episode.shares.iter().map(|share| share.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "shares sum to {sum}");
        assert!(episode.shares.is_sorted_by(|a, b| a.share >= b.share));
        let slowdown = episode.slowdown;
        assert!(slowdown.lo <= slowdown.estimate && slowdown.estimate <= slowdown.hi, "{slowdown:?}");
        assert!(episode.onset <= episode.alarm && episode.alarm <= episode.verdict_at);
    }
    &told.last().expect("an episode was told").1
}

/// The part of the wait that the slowdown counts.
fn added_part(episode: &Episode) -> f64 {
    let number = |name| episode.evidence.iter().find(|one| one.name == name).expect("it is told").value;
    (episode.slowdown.estimate - 1.0) * number("run_msec_per_sec") / number("wait_msec_per_sec")
}

fn assert_near_truth(episode: &Episode, truth: &BTreeMap<String, f64>, within: f64) {
    let whole: f64 = truth.values().sum();
    let told = shares(episode);
    for (name, wait) in truth {
        let share = told.get(name).copied().unwrap_or(0.0);
        assert!((share - wait / whole).abs() <= within, "{name}: told {share}, true {}", wait / whole);
    }
}

#[test]
fn a_model_alone_has_no_episode_and_is_said_to_be_unhurt() {
    let played =
        Node::new(1, vec![model(), scanner("scan", Thread::new(Work::Hog).during(0, 0))]).play(30_000);
    assert!(detect(&played.frames).is_empty());
    let mut detector = Detector::new("node-1".to_owned());
    played.frames.into_iter().for_each(|frame| detector.push(frame));
    let models = detector.models();
    let state = models.first().unwrap();
    assert_eq!((state.verdict, state.episode, models.len()), (Verdict::Nobody, None, 1));
    assert!(state.slowdown.unwrap().estimate < 1.01);
    assert!((state.cpus - 0.24).abs() < 0.01 && state.coverage > 0.99);
}

#[test]
fn a_busy_scanner_is_found_within_a_second_and_cleared_when_it_ends() {
    let scan = scanner("scan", Thread::new(Work::Hog).during(10_000, 30_000));
    let told = detect(&Node::new(1, vec![model(), scan]).play(40_000).frames);
    let (opened, first) = &told[0];
    assert!(msec(first.onset).abs_diff(10_000) <= 100, "onset at {}", msec(first.onset));
    assert!(msec(first.alarm) <= 10_600 && *opened <= 10_600, "alarm at {}", msec(first.alarm));
    assert_eq!(first.verdict, Verdict::Neighbour);
    let severe = told.iter().find(|(_, episode)| episode.severity == Severity::Severe).unwrap();
    assert!(severe.0 <= 13_000);
    let end = last(&told);
    assert_eq!((end.verdict, end.severity), (Verdict::Neighbour, Severity::Severe));
    assert_eq!(end.culprits().iter().map(|who| who.display_name()).collect::<Vec<_>>(), ["demo/scan"]);
    assert!((1.5..2.6).contains(&end.slowdown.estimate), "{:?}", end.slowdown);
    assert!((added_part(end) - 0.87).abs() < 1e-6, "who waits for a busy CPU needs not wake an idle one");
    assert!((end.added_wait_msec_per_cpu_sec - (end.slowdown.estimate - 1.0) * 1e3).abs() < 1e-6);
    assert!(msec(end.cleared.unwrap()).abs_diff(30_000) <= 300, "cleared at {}", msec(end.cleared.unwrap()));
    assert!(told.last().unwrap().0 <= 33_500);
    assert_eq!(end.confidence, Confidence::Likely);
    assert!(told.iter().all(|(_, episode)| episode.id == end.id));
}

#[test]
fn two_neighbours_are_named_in_the_order_of_what_they_hold() {
    let large = container("large", Role::Scanner, vec![Thread::new(Work::Hog).during(5000, 25_000); 2]);
    let small = scanner("small", Thread::new(Work::Hog).during(5000, 25_000));
    let mut node = Node::new(1, vec![model(), small, large]);
    node.truth_from = 5000;
    let Played { frames, truth } = node.play(32_000);
    let told = detect(&frames);
    let end = last(&told);
    assert_eq!(end.verdict, Verdict::Neighbour);
    assert_eq!(
        end.culprits().iter().map(|who| who.display_name()).collect::<Vec<_>>(),
        ["demo/large", "demo/small"]
    );
    assert_near_truth(end, &truth, 0.06);
}

#[test]
fn who_takes_the_place_of_another_is_named_within_seconds_in_the_same_episode() {
    let first = scanner("first", Thread::new(Work::Hog).during(5000, 65_000));
    let second = scanner("second", Thread::new(Work::Hog).during(65_000, 80_000));
    let told = detect(&Node::new(1, vec![model(), first, second]).play(90_000).frames);
    let named = |episode: &Episode| episode.culprits().first().map(|who| who.display_name());
    let by_then = |by: u64| named(&told.iter().rfind(|(at, _)| *at <= by).unwrap().1);
    assert_eq!(by_then(65_000).as_deref(), Some("demo/first"));
    assert_eq!(by_then(71_500).as_deref(), Some("demo/second"));
    let end = last(&told);
    assert!(told.iter().all(|(_, episode)| episode.id == end.id));
    assert_eq!(named(end).as_deref(), Some("demo/first"), "once cleared, the whole of it counts");
    assert!((shares(end)["demo/first"] - 0.8).abs() < 0.02, "{:?}", shares(end));
}

#[test]
fn its_own_threads_are_not_a_neighbour() {
    let threads = vec![Thread::new(Work::Serve { service: 22, every: 80 }).during(3000, 20_000); 4];
    let model = container("model", Role::Model, threads);
    let idle = scanner("scan", Thread::new(Work::Duty { on: 1, period: 100 }));
    let told = detect(&Node::new(1, vec![model, idle]).play(26_000).frames);
    let end = last(&told);
    assert_eq!(end.verdict, Verdict::SelfOversubscribed);
    assert!(end.cleared.is_some());
}

#[test]
fn requests_of_its_own_that_meet_are_its_load_and_nobodys_doing() {
    let threads = vec![Thread::new(Work::Serve { service: 6, every: 80 }); 4];
    let model = container("model", Role::Model, threads);
    let idle = scanner("scan", Thread::new(Work::Duty { on: 1, period: 100 }));
    assert!(detect(&Node::new(1, vec![model, idle]).play(26_000).frames).is_empty());
}

#[test]
fn work_in_no_cgroup_is_unowned_and_laid_on_nobody() {
    let mut stray = scanner("stray", Thread::new(Work::Hog).during(5000, 20_000));
    stray.counted = Counted::Nowhere;
    let other = scanner("other", Thread::new(Work::Duty { on: 2, period: 100 }));
    let told = detect(&Node::new(1, vec![model(), other, stray]).play(20_000).frames);
    let end = last(&told);
    assert_eq!(end.verdict, Verdict::Unowned);
    assert!(shares(end)["unowned"] > 0.9, "{:?}", shares(end));
}

#[test]
fn stolen_time_is_the_hypervisors() {
    let mut steal = scanner("steal", Thread::new(Work::Duty { on: 20, period: 40 }).during(5000, 20_000));
    steal.counted = Counted::Steal;
    let told = detect(&Node::new(1, vec![model(), steal]).play(20_000).frames);
    assert_eq!(last(&told).verdict, Verdict::Hypervisor);
}

#[test]
fn a_decoy_on_another_cpu_hurts_nobody() {
    let mut model = model();
    model.threads[0].cpu = Some(0);
    let decoy = scanner("decoy", Thread::new(Work::Hog).pinned(1));
    assert!(detect(&Node::new(2, vec![model, decoy]).play(30_000).frames).is_empty());
}

#[test]
fn a_slow_ramp_is_found_while_it_is_still_mild() {
    let ramp = scanner("scan", Thread::new(Work::Ramp { period: 20, over: 40_000 }));
    let told = detect(&Node::new(1, vec![model(), ramp]).play(40_000).frames);
    let contended = told.iter().find(|(_, episode)| episode.severity == Severity::Contended).unwrap();
    assert!(contended.1.slowdown.estimate < 1.5);
    let end = last(&told);
    assert_eq!(end.verdict, Verdict::Neighbour);
    assert!(told.iter().all(|(_, episode)| episode.id == end.id), "one trouble, one episode");
}

#[test]
fn a_scanner_that_comes_and_goes_is_one_episode() {
    let bursts: Vec<Thread> =
        (0..6).map(|i| Thread::new(Work::Hog).during(5000 + i * 7000, 5000 + i * 7000 + 3000)).collect();
    let told =
        detect(&Node::new(1, vec![model(), container("scan", Role::Scanner, bursts)]).play(60_000).frames);
    let end = last(&told);
    assert!(told.iter().all(|(_, episode)| episode.id == end.id));
    assert!(
        told.iter().filter(|(_, episode)| episode.cleared.is_some()).count() >= 5,
        "each pause clears it"
    );
    assert!(end.slowdown.estimate > 1.5, "the pauses are not in it: {:?}", end.slowdown);
}

#[test]
fn a_wait_too_small_to_be_felt_does_not_date_back_what_follows() {
    let mut frames = Node::new(1, vec![model(), scanner("scan", Thread::new(Work::Hog))]).play(80_000).frames;
    for (at, frame) in frames.iter_mut().enumerate() {
        let threads = frame.containers[0].threads.as_mut().unwrap();
        threads.run_nsec = 20_000_000;
        threads.wait_nsec = if at < 600 { 1_800_000 } else { 20_000_000 };
    }
    let told = detect(&frames);
    assert!(told[0].0 > 60_000 && told[0].0 <= 60_500, "the small wait alone opens nothing");
    let end = last(&told);
    assert!(msec(end.onset).abs_diff(60_000) <= 200 && end.alarm >= end.onset, "{end:?}");
    assert!((end.slowdown.estimate - 1.87).abs() < 0.02, "the small wait is not in it: {:?}", end.slowdown);
}

#[test]
fn trouble_after_the_merge_gap_is_another_episode() {
    let bursts = [(5000, 9000), (30_000, 34_000)].map(|(from, to)| Thread::new(Work::Hog).during(from, to));
    let told =
        detect(&Node::new(1, vec![model(), container("scan", Role::Scanner, bursts)]).play(45_000).frames);
    let ids: std::collections::BTreeSet<_> = told.iter().map(|(_, episode)| episode.id).collect();
    assert_eq!(ids.len(), 2);
    assert!(msec(last(&told).onset).abs_diff(30_000) <= 100);
}

#[test]
fn a_burst_of_a_fifth_of_a_second_opens_nothing() {
    let bursts: Vec<Thread> =
        (0..10).map(|i| Thread::new(Work::Hog).during(3000 + i * 3000, 3200 + i * 3000)).collect();
    let played = Node::new(1, vec![model(), container("kernel", Role::Other, bursts)]).play(35_000);
    assert!(detect(&played.frames).is_empty());
}

#[test]
fn a_wait_that_lies_in_two_readings_opens_nothing_however_far_apart_these_are() {
    let told = |tick_msec, from_msec: u64, last_msec| {
        let bursts = (0..10).map(|i| from_msec + i * 5_000);
        let bursts = bursts.map(|at| Thread::new(Work::Hog).during(at, at + last_msec));
        let kernel = container("kernel", Role::Other, bursts.collect::<Vec<_>>());
        let mut node = Node::new(1, vec![model(), kernel]);
        node.tick_msec = tick_msec;
        detect(&node.play(55_000).frames)
    };
    for (tick_msec, from_msec, last_msec) in
        [(500, 3_100, 300), (500, 3_350, 300), (200, 3_100, 200), (200, 3_020, 160)]
    {
        let told = told(tick_msec, from_msec, last_msec);
        assert!(told.is_empty(), "{last_msec} ms from {from_msec} ms on, each {tick_msec} ms: {told:?}");
    }
    let (opened, episode) = &told(500, 3_100, 2_500)[0];
    assert_eq!(episode.verdict, Verdict::Neighbour);
    assert!(*opened <= 5_000, "told at {opened}");
    assert_eq!(last(&told(200, 3_100, 1_200)).verdict, Verdict::Neighbour);
}

#[test]
fn a_first_reading_however_bad_opens_nothing() {
    for tick_msec in [100, 500] {
        let mut node = Node::new(1, vec![model(), scanner("scan", Thread::new(Work::Hog))]);
        node.tick_msec = tick_msec;
        let (opened, _) = &detect(&node.play(20_000).frames)[0];
        assert!(*opened >= 3 * tick_msec, "told at {opened}");
    }
}

#[test]
fn who_is_held_up_a_little_and_often_is_told_so_and_once_and_the_quiet_after_it_is_left_out() {
    let timer = scanner("timer", Thread::new(Work::Duty { on: 60, period: 500 }).during(5000, 45_000));
    let told = detect(&Node::new(1, vec![model(), timer]).play(70_000).frames);
    let (opened, first) = &told[0];
    assert!(*opened <= 20_000, "told at {opened}");
    assert!((1.05..1.3).contains(&first.slowdown.estimate), "{:?}", first.slowdown);
    let end = last(&told);
    assert_eq!((end.verdict, end.severity, end.id), (Verdict::Neighbour, Severity::Contended, first.id));
    assert!(msec(end.cleared.unwrap()).abs_diff(45_000) <= 600, "cleared at {}", msec(end.cleared.unwrap()));
    assert_eq!(told.iter().filter(|(_, episode)| episode.cleared.is_some()).count(), 1);
    let (_, open) = told.iter().rfind(|(at, _)| *at <= 45_000).unwrap();
    let [added, added_open] = [end, open].map(|episode| episode.slowdown.estimate - 1.0);
    assert!((added / added_open - 1.0).abs() < 0.01, "{added} once it was over, {added_open} before");
}

#[test]
fn who_has_all_that_its_request_gives_is_told_to_ask_for_more() {
    let verdict = |weight| {
        let model = container("model", Role::Model, [Thread::new(Work::Serve { service: 5, every: 7 })]);
        let mut frames =
            Node::new(1, vec![model, scanner("scan", Thread::new(Work::Hog))]).play(20_000).frames;
        for frame in &mut frames {
            for (container, cpu_weight) in frame.containers.iter_mut().zip([weight, Some(100)]) {
                container.limits = Some(Limits { cpu_weight, ..Limits::default() });
            }
        }
        last(&detect(&frames)).verdict
    };
    assert_eq!(verdict(Some(100)), Verdict::OverEntitlement, "it has the half that it is entitled to");
    assert_eq!(verdict(Some(300)), Verdict::Neighbour, "it is entitled to more");
    assert_eq!(verdict(None), Verdict::Neighbour, "nobody knows what it is entitled to");
}

#[test]
fn who_is_starved_by_the_system_is_not_told_to_ask_for_more() {
    let model = container("model", Role::Model, [Thread::new(Work::Serve { service: 5, every: 7 })]);
    let idle = scanner("web", Thread::new(Work::Duty { on: 1, period: 500 }));
    let mut system = scanner("containerd", Thread::new(Work::Hog));
    let who = Who { pod: String::new(), ..(*system.who).clone() };
    system.who = Arc::new(who);
    let mut frames = Node::new(1, vec![model, idle, system]).play(20_000).frames;
    for container in frames.iter_mut().flat_map(|frame| &mut frame.containers) {
        container.limits = Some(Limits { cpu_weight: Some(100), ..Limits::default() });
    }
    assert_eq!(last(&detect(&frames)).verdict, Verdict::Neighbour);
}

#[test]
fn the_rate_of_the_agent_does_not_change_the_answer() {
    let play = |tick_msec| {
        let scan = scanner("scan", Thread::new(Work::Hog).during(5000, 15_000));
        let mut node = Node::new(1, vec![model(), scan]);
        node.tick_msec = tick_msec;
        let told = detect(&node.play(22_000).frames);
        let end = last(&told).clone();
        assert!(end.cleared.is_some() && msec(end.onset).abs_diff(5000) <= 200);
        assert_eq!(end.severity, Severity::Severe);
        end.slowdown.estimate
    };
    let at_10_hz = play(100);
    for tick_msec in [20, 40, 200] {
        let other = play(tick_msec);
        assert!((other - at_10_hz).abs() < 0.1, "{tick_msec} ms: {other}, 100 ms: {at_10_hz}");
    }
}

#[test]
fn a_model_that_disappears_takes_its_episode_with_it() {
    let scan = scanner("scan", Thread::new(Work::Hog).during(2000, 60_000));
    let mut frames = Node::new(1, vec![model(), scan]).play(20_000).frames;
    for frame in &mut frames[100..] {
        frame.containers.retain(|container| container.who.role != Role::Model);
    }
    let told = detect(&frames);
    let end = last(&told);
    assert_eq!(msec(end.cleared.unwrap()), 10_000);
    assert!(told.last().unwrap().0 <= 13_200);
}

#[test]
fn a_reset_clears_what_was_open() {
    let scan = scanner("scan", Thread::new(Work::Hog));
    let frames = Node::new(1, vec![model(), scan]).play(5000).frames;
    let mut detector = Detector::new("node-1".to_owned());
    for frame in &frames {
        detector.push(frame.clone());
    }
    let open = detector.step(frames[49].at);
    assert_eq!(open[0].cleared, None);
    detector.reset(frames[49].at);
    let cleared = detector.step(frames[49].at);
    assert_eq!((cleared[0].id, cleared[0].cleared), (open[0].id, Some(frames[49].at)));
    assert!(detector.models().is_empty());
    detector.push(frames[0].clone());
    assert_eq!(detector.models().len(), 1, "ticks count anew");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let play = || {
        let scan = scanner("scan", Thread::new(Work::Duty { on: 30, period: 70 }).during(3000, 9000));
        format!("{:?}", detect(&Node::new(1, vec![model(), scan]).play(15_000).frames))
    };
    assert_eq!(play(), play());
}

/// Takes a part of each model's columns away, to come later.
fn split_off_late(frames: &mut [Frame], random: &mut impl FnMut(u64) -> u64) -> Vec<(usize, Late)> {
    let mut late = Vec::new();
    for (at, frame) in frames.iter_mut().enumerate() {
        let tick = frame.tick;
        for container in &mut frame.containers {
            let Some(threads) = &mut container.threads else { continue };
            for _ in 0..2 {
                let part = random(4).cast_signed();
                let add = ThreadUse {
                    wait_nsec: threads.wait_nsec * part / 8,
                    throttled_nsec: 0,
                    run_nsec: 0,
                    sibling_nsec_cpus: 0,
                };
                threads.wait_nsec -= add.wait_nsec;
                let delay = usize::try_from(random(16)).expect("it is below 16");
                late.push((at + delay, Late { tick, key: container.key, add }));
            }
        }
    }
    late
}

#[test]
fn late_news_in_any_order_gives_the_same_shares() {
    let scans = [("a", 3000), ("b", 6000)]
        .map(|(name, from)| scanner(name, Thread::new(Work::Hog).during(from, 14_000)));
    let frames = Node::new(1, [vec![model()], scans.to_vec()].concat()).play(20_000).frames;
    let in_time = last(&detect(&frames)).clone();
    for seed in 1..6_u64 {
        let mut state = seed;
        let mut random = |below| sim::random(&mut state, below);
        let mut frames = frames.clone();
        let late = split_off_late(&mut frames, &mut random);
        let mut detector = Detector::new("node-1".to_owned());
        let mut told = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            detector.push(frame.clone());
            let mut due: Vec<Late> =
                late.iter().filter(|(when, _)| *when == at).map(|(_, late)| *late).collect();
            if random(2) == 0 {
                due.reverse();
            }
            for late in due {
                detector.late(late);
            }
            told.extend(detector.step(frame.at));
        }
        let end = told.last().unwrap();
        assert_eq!(end.onset, in_time.onset);
        for (name, share) in shares(&in_time) {
            assert!((shares(end)[&name] - share).abs() < 1e-9, "seed {seed}: {name}");
        }
        assert!((end.slowdown.estimate - in_time.slowdown.estimate).abs() < 1e-9);
    }
}

#[test]
fn many_small_pods_of_one_owner_add_up() {
    let pods: Vec<Container> = (0..12)
        .map(|index| {
            let mut pod =
                scanner("scan", Thread::new(Work::Duty { on: 3, period: 40 }).during(4000 + index, 20_000));
            let mut who = (*pod.who).clone();
            who.pod = format!("scan-{index}");
            pod.who = who.into();
            pod
        })
        .collect();
    let told = detect(&Node::new(1, [vec![model()], pods].concat()).play(20_000).frames);
    let end = last(&told);
    assert_eq!(end.verdict, Verdict::Neighbour);
    assert_eq!(end.culprits().len(), 1);
    assert!(end.slowdown.estimate > 1.2);
}

#[test]
fn repeated_frames_change_nothing() {
    let scan = scanner("scan", Thread::new(Work::Hog).during(3000, 9000));
    let frames = Node::new(1, vec![model(), scan]).play(12_000).frames;
    let mut twice = frames.clone();
    let again = twice[40..60].to_vec();
    twice.splice(60..60, again);
    assert_eq!(last(&detect(&twice)).shares, last(&detect(&frames)).shares);
}

#[test]
fn who_was_seen_without_its_node_is_told_with_less_confidence() {
    let scan = scanner("scan", Thread::new(Work::Hog).during(3000, 9000));
    let mut frames = Node::new(1, vec![model(), scan]).play(9000).frames;
    for frame in &mut frames {
        frame.node = None;
    }
    let told = detect(&frames);
    assert_eq!((last(&told).verdict, last(&told).confidence), (Verdict::Neighbour, Confidence::Possible));
    assert!(last(&told).alarm.since(last(&told).onset) <= Duration::from_secs(1));
}
