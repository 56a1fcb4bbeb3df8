use berth::{
    Group,
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
    let focus = wire::Focus { series: vec![usage.get()], thread_hz: 50 };
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
