use berth::{
    Group,
    wire::{self, aggregator_message},
};

use crate::{
    cgroup::TestCgroup,
    process::Agent,
    server::{Aggregator, Conversation, Known},
};

/// Ticks in which nothing of a thread may come: two seconds, so ten flushes.
const SILENT_TICKS: usize = 20;

/// What is read of one thread: enough that a time counted twice stands far above `LATE_NSEC`.
const READ_NSEC: u64 = 1_000_000_000;

/// The kernel adds to a running thread's time at a switch and at its tick (10 ms at the slowest), and a
/// host may hold the CPU and its tick back for some more: so much may have run before the first reading
/// began and be counted in it.
const LATE_NSEC: u64 = 100_000_000;

async fn ask(talk: &Conversation, known: &Known, container: &str, raw_threads: bool) {
    let usage = known.find(Group::ContainerCpu, container).unwrap();
    let focus = wire::Focus { series: vec![usage.get()], thread_hz: 50, raw_threads };
    talk.order(aggregator_message::Message::Focus(focus)).await;
}

async fn listen_for_ticks(talk: &mut Conversation, known: &mut Known, count: usize) {
    let ticks = known.times_nsec.len() + count;
    known.listen_until(talk, |known| known.times_nsec.len() >= ticks).await;
}

/// Ticks come, and nothing of single threads with them.
async fn assert_silent(talk: &mut Conversation, known: &mut Known) {
    known.raw.clear();
    listen_for_ticks(talk, known, SILENT_TICKS).await;
    assert_eq!(known.raw, []);
}

fn assert_is_of_one_thread(known: &Known, container: &str, pid: u32) {
    let series = known.find(Group::ContainerThreads, container).unwrap();
    let readings: Vec<_> = known.raw.iter().flat_map(|raw| &raw.containers).collect();
    let tids = |of: &berth::ContainerThreads| of.threads.iter().map(|thread| thread.tid).collect::<Vec<_>>();
    assert!(readings.iter().all(|of| of.series == series && tids(of) == [pid]), "{readings:?}");
    assert!(readings.windows(2).all(|pair| pair[0].at_nsec < pair[1].at_nsec));
    let spanned: u64 = readings.iter().map(|of| of.dt_nsec).sum();
    let ran = run_nsec(known);
    assert!(ran <= spanned + LATE_NSEC, "one thread ran for {ran} ns in {spanned} ns");
    assert_eq!(known.raw.iter().map(|raw| raw.lost).sum::<u64>(), 0);
}

fn run_nsec(known: &Known) -> u64 {
    let containers = known.raw.iter().flat_map(|raw| &raw.containers);
    containers.flat_map(|of| &of.threads).map(|thread| thread.run_nsec).sum()
}

#[tokio::test]
async fn a_threads_numbers_come_while_they_are_asked_for_and_not_after() {
    let Some(mut cgroup) = TestCgroup::make() else { return };
    let pid = cgroup.work();
    let mut aggregator = Aggregator::listen().await;
    let url = aggregator.url();
    let agent = Agent::start(&["--server", &url, "--cpu-budget", "0", "--cgroup-root", &cgroup.root]);
    let (hello, mut talk) = aggregator.accept().await;
    if !hello.facts.thread_waits {
        println!("skipped: this kernel counts no waits of threads");
        return;
    }
    let (mut known, container) = (Known::default(), cgroup.container());
    known.begin(hello.oldest_seq);
    talk.resume(hello.oldest_seq).await;
    known.listen_until(&mut talk, |known| known.find(Group::ContainerCpu, &container).is_some()).await;
    ask(&talk, &known, &container, false).await;
    known.listen_until(&mut talk, |known| known.find(Group::ContainerThreads, &container).is_some()).await;
    assert_silent(&mut talk, &mut known).await;

    ask(&talk, &known, &container, true).await;
    known.listen_until(&mut talk, |known| run_nsec(known) > READ_NSEC).await;
    assert_is_of_one_thread(&known, &container, pid);

    ask(&talk, &known, &container, false).await;
    agent.says("nobody records single threads any more").await;
    // What had left before that comes before the ticks of the next second.
    listen_for_ticks(&mut talk, &mut known, 10).await;
    assert_silent(&mut talk, &mut known).await;

    // A stream that breaks while somebody records: the next one begins in silence.
    ask(&talk, &known, &container, true).await;
    known.listen_until(&mut talk, |known| !known.raw.is_empty()).await;
    drop(talk);
    let (_, mut talk) = aggregator.accept().await;
    let next = known.next.unwrap();
    known.begin(next);
    talk.resume(next).await;
    assert_silent(&mut talk, &mut known).await;
}
