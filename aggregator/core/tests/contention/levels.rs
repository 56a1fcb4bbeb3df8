//! Throttled: how much, and by whose limit: its own, its pod's, or one above its pod.

use berth_core::{
    contention::{Confidence, Episode, Verdict},
    frame::{Frame, Limits, QuotaUse},
    who::Role,
};

use crate::{
    added_part, assert_near_truth, detect, last, model, scanner, shares,
    sim::{Container, Node, Played, Thread, Work, container},
};

const OWN_MILLICPU: u64 = 400;
const SLICE_MILLICPU: u64 = 900;

/// A model that is throttled to 15 ms in 100, beside a scanner that hardly runs.
fn frames() -> Vec<Frame> {
    let mut model = model();
    model.quota = Some(15);
    let idle = scanner("scan", Thread::new(Work::Duty { on: 2, period: 40 }));
    Node::new(1, vec![model, idle]).play(10_000).frames
}

/// What is told where these parts of each stop, in percent, are those of its own quota, of its pod's and of
/// one above.
fn told(percent: [u64; 3], pod_cpu_millicpu: u64) -> Episode {
    let mut frames = frames();
    for frame in &mut frames {
        let victim = &mut frame.containers[0];
        let stopped_usec = victim.threads.unwrap_or_default().throttled_nsec.unsigned_abs() / 1_000;
        let [own, pod, slice] = percent.map(|percent| stopped_usec * percent / 100);
        victim.limits = Some(Limits { cpu_millicpu: Some(OWN_MILLICPU), ..Limits::default() });
        victim.quotas = Some(QuotaUse {
            own_usec: own,
            pod_usec: own + pod,
            any_usec: own + pod + slice,
            pod_cpu_millicpu: Some(pod_cpu_millicpu),
            slice_cpu_millicpu: Some(SLICE_MILLICPU),
        });
    }
    last(&detect(&frames)).clone()
}

fn limits(episode: &Episode) -> Vec<(&str, f64)> {
    let limits = episode.evidence.iter().filter(|evidence| evidence.name.ends_with("cpu_limit_millicpu"));
    limits.map(|evidence| (evidence.name, evidence.value)).collect()
}

#[test]
fn the_level_that_holds_the_quota_is_told_with_its_limit() {
    let (own, above) = (
        (Verdict::SelfThrottled, Confidence::Confirmed),
        // Its counter sums up CPUs on which others were stopped.
        (Verdict::SliceThrottled, Confidence::Likely),
    );
    for (percent, cause, limit, said) in [
        ([100, 0, 0], "throttle", ("cpu_limit_millicpu", 400.0), own),
        ([0, 100, 0], "pod_throttle", ("pod_cpu_limit_millicpu", 150.0), own),
        ([0, 0, 100], "slice_throttle", ("slice_cpu_limit_millicpu", 900.0), above),
    ] {
        let end = told(percent, 150);
        assert_eq!((end.verdict, end.confidence), said, "{cause}");
        assert_eq!(end.is_throttled_by_pod(), cause == "pod_throttle");
        assert!(shares(&end)[cause] >= 0.7, "{:?}", shares(&end));
        assert_eq!(limits(&end), [limit]);
        let throttles = shares(&end).into_keys().filter(|name| name.ends_with("throttle"));
        assert_eq!(throttles.collect::<Vec<_>>(), [cause]);
    }
}

#[test]
fn limits_of_several_levels_share_the_wait_and_the_larger_side_has_the_verdict() {
    let end = told([20, 30, 50], 150);
    let told_shares = shares(&end);
    assert!((told_shares["pod_throttle"] / told_shares["throttle"] - 1.5).abs() < 0.05, "{told_shares:?}");
    assert!((told_shares["slice_throttle"] / told_shares["throttle"] - 2.5).abs() < 0.05, "{told_shares:?}");
    assert_eq!(limits(&end).len(), 3);
    assert_eq!(told([25, 35, 40], 150).verdict, Verdict::SelfThrottled);
    assert_eq!(told([15, 25, 60], 150).verdict, Verdict::SliceThrottled);
}

#[test]
fn a_pods_limit_that_is_its_containers_over_again_is_the_containers_own() {
    let end = told([60, 40, 0], OWN_MILLICPU);
    assert_eq!(limits(&end), [("cpu_limit_millicpu", 400.0)]);
    assert!(!shares(&end).contains_key("pod_throttle"));
}

#[test]
fn throttling_of_an_agent_that_names_no_level_is_told_as_its_own() {
    let told = detect(&frames());
    let end = last(&told);
    assert_eq!(end.verdict, Verdict::SelfThrottled);
    assert!(shares(end)["throttle"] >= 0.7 && limits(end).is_empty());
}

#[test]
fn its_own_limit_is_not_a_neighbour() {
    let mut model = model();
    model.quota = Some(15);
    let played = Node::new(1, vec![model, scanner("scan", Thread::new(Work::Duty { on: 2, period: 40 }))])
        .play(10_000);
    let told = detect(&played.frames);
    let end = last(&told);
    assert_eq!((end.verdict, end.confidence), (Verdict::SelfThrottled, Confidence::Confirmed));
    assert!(end.culprits().is_empty());
    assert!(
        added_part(end) > 0.98,
        "all of the time for which it is stopped is added, not so what little else it waits"
    );
}

#[test]
fn who_is_stopped_in_the_midst_of_several_requests_is_slowed_by_the_time_for_which_it_is_stopped() {
    // Three requests at once need 90 ms, and of every 100 ms it may run 45. Those that come in the first 55
    // ms of a hundred end 45 ms after its end, 117 ms after they came in the mean, and the others after 145
    // ms.
    let expected = (0.55 * 117.5 + 0.45 * 145.0) / 90.0;
    let told = |quota| {
        let at_once = Thread::new(Work::Serve { service: 30, every: 1_000 });
        let model = Container {
            quota,
            ..container("model", Role::Model, [at_once.clone(), at_once.clone(), at_once])
        };
        detect(&Node::new(1, vec![model]).play(60_000).frames)
    };
    assert!(told(None).is_empty());
    let told = told(Some(45));
    let end = last(&told);
    assert_eq!(end.verdict, Verdict::SelfThrottled);
    let told = end.slowdown.estimate;
    assert!((told / expected - 1.0).abs() < 0.1, "told {told}, expected {expected}");
}

#[test]
fn own_threads_own_limit_and_a_neighbour_each_get_their_part() {
    let scan = scanner("scan", Thread::new(Work::Hog));
    let model = |quota| {
        let threads = vec![Thread::new(Work::Hog); 3];
        Container { quota, ..container("model", Role::Model, threads) }
    };
    for quota in [None, Some(15)] {
        let Played { frames, truth } = Node::new(1, vec![model(quota), scan.clone()]).play(20_000);
        assert_near_truth(last(&detect(&frames)), &truth, 0.1);
    }
}
