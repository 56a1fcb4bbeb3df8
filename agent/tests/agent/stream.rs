use berth::{
    CgroupVersion, Group, SeriesId,
    wire::{self, agent_message::Message, aggregator_message},
};

use crate::{
    cgroup::TestCgroup,
    process::Agent,
    server::{Aggregator, Known},
};

/// Flags for an agent that looks at nothing but the node and a cgroup that stays as it is.
fn flags<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--server", url, "--cpu-budget", "0"], more].concat()
}

#[tokio::test]
async fn samples_of_the_node_and_of_a_container_arrive() {
    let mut cgroup = TestCgroup::make();
    let mut aggregator = Aggregator::listen().await;
    let (url, root) = (aggregator.url(), cgroup.as_ref().map(|cgroup| cgroup.root.clone()));
    let mut more = vec!["--hz", "50"];
    more.extend(root.iter().flat_map(|root| ["--cgroup-root", root]));
    let _agent = Agent::start(&flags(&url, &more));
    if let Some(cgroup) = &mut cgroup {
        cgroup.work();
    }
    let (hello, mut talk) = aggregator.accept().await;
    assert_eq!(hello.node.as_str(), "test-node");
    assert_eq!((hello.tick_hz, hello.facts.gpus), (50, 0));
    assert!(hello.facts.cpus >= 1 && hello.facts.memory_bytes > 0);
    let mut known = Known::default();
    known.begin(hello.oldest_seq);
    talk.resume(hello.oldest_seq).await;
    known.listen_until(&mut talk, |known| known.times_nsec.len() >= 100).await;
    let node_cpu = known.find(Group::NodeCpu, "").unwrap();
    let busy: Vec<i64> = known.column(node_cpu, 0).into_iter().map(Option::unwrap).collect();
    assert!(busy.is_sorted() && busy.first() < busy.last(), "{busy:?}");
    let ticks = known.column(known.find(Group::Agent, "").unwrap(), 1);
    assert!(ticks.iter().flatten().is_sorted());
    let Some(cgroup) = cgroup else { return };
    let container = cgroup.container();
    let usage = known.find(Group::ContainerCpu, &container).unwrap();
    known
        .listen_until(&mut talk, |known| known.column(usage, 0).last().copied().flatten() > Some(200_000))
        .await;
    assert!(
        known.find(Group::ContainerMemory, &container).is_some()
            || hello.facts.cgroup_version == CgroupVersion::V2
    );
    let limits = known.find(Group::ContainerLimits, &container).unwrap();
    assert_eq!(known.column(limits, 0).last(), Some(&Some(-1)), "it has no quota");
    assert_eq!(known.find(Group::ContainerThrottling, &container), None);
    drop(cgroup);
    known.listen_until(&mut talk, |known| known.retired.contains(&usage)).await;
}

#[tokio::test]
async fn a_container_made_again_under_its_name_is_another_series() {
    let Some(first) = TestCgroup::make() else { return };
    let mut aggregator = Aggregator::listen().await;
    let (url, root) = (aggregator.url(), first.root.clone());
    let _agent = Agent::start(&flags(&url, &["--cgroup-root", &root]));
    let (hello, mut talk) = aggregator.accept().await;
    let mut known = Known::default();
    known.begin(hello.oldest_seq);
    talk.resume(hello.oldest_seq).await;
    let container = first.container();
    known.listen_until(&mut talk, |known| known.find(Group::ContainerCpu, &container).is_some()).await;
    let old = known.find(Group::ContainerCpu, &container).unwrap();
    first.remake_container();
    known.listen_until(&mut talk, |known| known.find(Group::ContainerCpu, &container) != Some(old)).await;
    known.listen_until(&mut talk, |known| known.retired.contains(&old)).await;
}

#[tokio::test]
async fn a_killed_agent_comes_back_as_another_incarnation() {
    let mut aggregator = Aggregator::listen().await;
    let url = aggregator.url();
    let mut incarnations = Vec::new();
    for _ in 0..2 {
        let mut agent = Agent::start(&flags(&url, &[]));
        let (hello, mut talk) = aggregator.accept().await;
        let mut known = Known::default();
        known.begin(hello.oldest_seq);
        talk.resume(hello.oldest_seq).await;
        known.listen_until(&mut talk, |known| !known.times_nsec.is_empty()).await;
        incarnations.push((hello.incarnation, hello.boot_id));
        agent.kill();
    }
    assert_ne!(incarnations[0].0, incarnations[1].0);
    assert_eq!(incarnations[0].1, incarnations[1].1, "the node did not start anew");
}

#[tokio::test]
async fn over_a_restart_of_the_aggregator_nothing_is_lost_and_nothing_comes_twice() {
    let mut aggregator = Aggregator::listen().await;
    let (url, address) = (aggregator.url(), aggregator.address);
    let _agent = Agent::start(&flags(&url, &["--hz", "50"]));
    let mut known = Known::default();
    let mut incarnation = None;
    for round in 1..=3 {
        let (hello, mut talk) = aggregator.accept().await;
        assert_eq!(*incarnation.get_or_insert(hello.incarnation), hello.incarnation);
        let from = known.next.unwrap_or(hello.oldest_seq);
        assert!(from <= hello.next_seq);
        known.begin(from);
        talk.resume(from).await;
        // What is heard is checked for order, holes and repeats: see `Known`.
        known.listen_until(&mut talk, |known| known.times_nsec.len() >= 50 * round).await;
        drop(talk);
        drop(aggregator);
        aggregator = Aggregator::listen_at(address).await;
    }
    let ticks: Vec<u64> = known.times_nsec.keys().copied().collect();
    assert!(ticks.windows(2).all(|pair| pair[1] == pair[0] + 1), "no tick is missing");
    assert!(known.times_nsec.values().is_sorted());
    assert!(known.gaps.iter().all(|gap| gap.values == 0), "{:?}", known.gaps);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_said_once() {
    let aggregator = Aggregator::listen().await;
    let (url, address) = (aggregator.url(), aggregator.address);
    drop(aggregator);
    let agent = Agent::start(&flags(&url, &[]));
    agent.says("no stream").await;
    let mut aggregator = Aggregator::listen_at(address).await;
    let (hello, talk) = aggregator.accept().await;
    talk.resume(hello.oldest_seq).await;
    let lines = agent.lines_with("no stream");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn a_stop_flushes_what_was_read_and_ends_well() {
    let mut aggregator = Aggregator::listen().await;
    let url = aggregator.url();
    let mut agent = Agent::start(&flags(&url, &["--hz", "5"]));
    let (hello, mut talk) = aggregator.accept().await;
    let mut known = Known::default();
    known.begin(hello.oldest_seq);
    talk.resume(hello.oldest_seq).await;
    known.listen_until(&mut talk, |known| known.times_nsec.len() >= 5).await;
    let asked_nsec = berth_agent::clock::now_nsec();
    agent.terminate();
    while let Some(message) = talk.next().await {
        known.hear(message);
    }
    let took_nsec = berth_agent::clock::now_nsec() - asked_nsec;
    assert!(took_nsec < 2_500_000_000, "it ends when all is sent, and does not wait for its deadline of 3 s");
    drop(talk);
    let ended = tokio::task::spawn_blocking(move || (agent.wait(), agent));
    let (status, agent) = ended.await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(agent.lines_with("no stream"), [""; 0], "it ended the stream, not the aggregator");
    let [stopped] = &agent.lines_with("stopped")[..] else { panic!("it says so once") };
    assert!(stopped.contains("pending=0 gaps=0"), "{stopped}");
}

#[tokio::test]
async fn a_ping_is_answered_in_the_nodes_boot_time() {
    let mut aggregator = Aggregator::listen().await;
    let url = aggregator.url();
    let _agent = Agent::start(&flags(&url, &[]));
    let (hello, mut talk) = aggregator.accept().await;
    talk.resume(hello.oldest_seq).await;
    let sent_nsec = berth_agent::clock::now_nsec();
    talk.order(aggregator_message::Message::Ping(wire::ClockPing { id: 77 })).await;
    let pong = loop {
        if let Message::Pong(pong) = talk.next().await.expect("the stream is open") {
            break pong;
        }
    };
    assert_eq!(pong.id, 77);
    assert!(sent_nsec <= pong.received_nsec && pong.received_nsec <= pong.sent_nsec);
    assert!(pong.sent_nsec <= berth_agent::clock::now_nsec());
}

#[tokio::test]
async fn another_rate_is_followed() {
    let mut aggregator = Aggregator::listen().await;
    let url = aggregator.url();
    let _agent = Agent::start(&flags(&url, &["--hz", "5"]));
    let (hello, mut talk) = aggregator.accept().await;
    let mut known = Known::default();
    known.begin(hello.oldest_seq);
    talk.resume(hello.oldest_seq).await;
    talk.order(aggregator_message::Message::Rate(wire::Rate { tick_hz: 1_000 })).await;
    // Clamped to 100 Hz, so that some two ticks lie 10 ms apart.
    let quick = |known: &Known| {
        let times: Vec<u64> = known.times_nsec.values().copied().collect();
        times.windows(2).filter(|pair| pair[1] - pair[0] < 15_000_000).count() > 10
    };
    known.listen_until(&mut talk, quick).await;
    let ids: Vec<SeriesId> = known.series.keys().copied().collect();
    assert!(known.retired.iter().all(|id| ids.contains(id)));
}

#[test]
fn what_cannot_be_followed_is_said_in_one_line_with_its_exit_code() {
    for (flags, code, said) in [
        (&["--hz", "0"][..], 2, "--hz"),
        (&["--server", "http://10.1.2.3:7700"], 2, "--ca-file"),
        (&["--cgroup-root", "/no/such/cgroup"], 3, "/no/such/cgroup"),
        (&["--proc-root", "/nowhere"], 3, "--proc-root"),
        (&["--cpus", "8000"], 3, "--cpus"),
    ] {
        let mut agent = Agent::start(flags);
        assert_eq!(agent.wait().code(), Some(code), "{flags:?}");
        assert_eq!(agent.lines_with(said).len(), 1, "{flags:?}");
    }
}
