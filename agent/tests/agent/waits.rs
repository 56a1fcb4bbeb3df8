use berth::{
    Group, SeriesId,
    wire::{self, aggregator_message},
};

use crate::{
    cgroup::TestCgroup,
    process::Agent,
    server::{Aggregator, Known},
};

const SECOND_NSEC: i64 = 1_000_000_000;

/// Sums of run, wait, throttled and sibling over all ticks so far.
fn sums(known: &Known, container: &str) -> [i64; 4] {
    let Some(threads) = known.find(Group::ContainerThreads, container) else { return [0; 4] };
    std::array::from_fn(|metric| known.column(threads, metric).into_iter().flatten().sum())
}

/// Columns of whose quota stopped a container, from the one at `from` on, as they are now.
fn newest<const N: usize>(known: &Known, quotas: SeriesId, from: usize) -> [i64; N] {
    let last = |metric: usize| known.column(quotas, metric).into_iter().flatten().next_back();
    std::array::from_fn(|metric| last(from + metric).unwrap_or(0))
}

#[tokio::test]
async fn each_quota_is_told_by_its_level_also_one_that_is_set_while_it_is_watched() {
    let Some(mut cgroup) = TestCgroup::make_in_pod() else { return };
    // A kernel with version 1 wants no quota above that of the level over it, so the outermost comes first.
    if !cgroup.limit_cpu_above(2, 60_000, 100_000) {
        println!("skipped: no CPU quota can be set here");
        return;
    }
    cgroup.work();
    let mut aggregator = Aggregator::listen().await;
    let url = aggregator.url();
    let _agent = Agent::start(&["--server", &url, "--cpu-budget", "0", "--cgroup-root", &cgroup.root]);
    let (hello, mut talk) = aggregator.accept().await;
    if !hello.facts.thread_waits {
        println!("skipped: this kernel counts no waits of threads");
        return;
    }
    let mut known = Known::default();
    known.begin(hello.oldest_seq);
    talk.resume(hello.oldest_seq).await;
    let container = cgroup.container();
    known.listen_until(&mut talk, |known| known.find(Group::ContainerCpu, &container).is_some()).await;
    let usage = known.find(Group::ContainerCpu, &container).unwrap();
    let focus = wire::Focus { series: vec![usage.get()], thread_hz: 50, raw_threads: false };
    talk.order(aggregator_message::Message::Focus(focus)).await;
    known.listen_until(&mut talk, |known| known.find(Group::ContainerQuotas, &container).is_some()).await;
    let quotas = known.find(Group::ContainerQuotas, &container).unwrap();
    let own_limit = known.find(Group::ContainerLimits, &container).unwrap();
    // Above its pod, its pod's, its own: each time a smaller one, which is then the one that stops it.
    for (above, quota_usec, limits) in
        [(2, 60_000, [-1, -1, 600]), (1, 40_000, [-1, 400, 600]), (0, 20_000, [200, 400, 600])]
    {
        assert!(cgroup.limit_cpu_above(above, quota_usec, 100_000));
        let is_known = |known: &Known| {
            let ([own], [pod, slice]) = (newest(known, own_limit, 0), newest(known, quotas, 3));
            [own, pod, slice] == limits
        };
        known.listen_until(&mut talk, is_known).await;
        let before: [i64; 3] = newest(&known, quotas, 0);
        let stopped = |known: &Known| {
            let [own, pod, any] = newest(known, quotas, 0);
            let [own, pod, any] = [own - before[0], pod - before[1], any - before[2]];
            [own, pod - own, any - pod]
        };
        known.listen_until(&mut talk, |known| stopped(known).iter().sum::<i64>() >= 600_000).await;
        let stopped = stopped(&known);
        let whole: i64 = stopped.iter().sum();
        println!("{above} levels above: {stopped:?} of {whole} usec");
        assert!(stopped[above] * 10 >= whole * 8, "{above} levels above: {stopped:?}");
    }
    let usage_then = known.find(Group::ContainerCpu, &container).unwrap();
    assert_eq!(usage_then, usage, "a limit that is set leaves the other series as they are");
    let [run, wait, throttled, _] = sums(&known, &container);
    assert!(run > 0 && throttled <= wait && throttled * 10 >= wait * 5, "{throttled} of {wait}");
}

#[tokio::test]
async fn a_busy_loop_alone_under_a_quota_waits_for_its_quota() {
    let Some(mut cgroup) = TestCgroup::make() else { return };
    if !cgroup.limit_cpu(20_000, 100_000) {
        println!("skipped: no CPU quota can be set here");
        return;
    }
    cgroup.work();
    let mut aggregator = Aggregator::listen().await;
    let url = aggregator.url();
    let _agent = Agent::start(&["--server", &url, "--cpu-budget", "0", "--cgroup-root", &cgroup.root]);
    let (hello, mut talk) = aggregator.accept().await;
    if !hello.facts.thread_waits {
        println!("skipped: this kernel counts no waits of threads");
        return;
    }
    let mut known = Known::default();
    known.begin(hello.oldest_seq);
    talk.resume(hello.oldest_seq).await;
    let container = cgroup.container();
    let seen = |known: &Known| known.find(Group::ContainerThrottling, &container).is_some();
    known.listen_until(&mut talk, seen).await;
    let usage = known.find(Group::ContainerCpu, &container).unwrap();
    let focus = wire::Focus { series: vec![usage.get()], thread_hz: 50, raw_threads: false };
    talk.order(aggregator_message::Message::Focus(focus)).await;
    // Others may use this machine too: a second and a half of wait in which the quota is nearly all
    // of it must come, not the first one.
    let mut before = [0; 4];
    let mostly_throttled = |known: &Known| {
        let now = sums(known, &container);
        let [run, wait, throttled, sibling] = std::array::from_fn(|metric| now[metric] - before[metric]);
        if wait < 3 * SECOND_NSEC / 2 {
            return false;
        }
        assert!(0 <= throttled && throttled <= wait && run > 0);
        assert_eq!(sibling, 0, "one thread has no siblings");
        println!("run {run}, wait {wait}, throttled {throttled}");
        before = now;
        throttled * 10 >= wait * 9
    };
    known.listen_until(&mut talk, mostly_throttled).await;
}
