//! Streams of agents: taken in, kept apart, closed, taken over.

use berth::wire::{self, agent_message::Message};
use tonic::Code;

use crate::{
    agent::Agent,
    scene::{ROSTER, Scene, VALUES_PER_TICK},
    server::{Server, until},
};

const BATCHES: u64 = 20;

const STORED: u64 = BATCHES * 2 * VALUES_PER_TICK;

fn quiet(node: &str) -> Scene {
    Scene::new(node, BATCHES, 0..0)
}

async fn status(server: &Server, node: &str) -> Option<wire::NodeStatus> {
    let nodes = server.samples().list_nodes(wire::ListNodesRequest {}).await.unwrap().into_inner().nodes;
    nodes.into_iter().find(|status| status.node == node)
}

/// Waits until that node has so many values stored.
async fn stored(server: &Server, node: &str, values: u64) -> wire::NodeStatus {
    until("the values to be stored", || async {
        status(server, node).await.filter(|status| status.values_stored >= values)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_are_taken_in_side_by_side_and_their_clocks_are_mapped() {
    let server = Server::start(ROSTER).await;
    let (one, two) = (quiet("node-1"), quiet("node-2"));
    let agents = [
        Agent::play(&server.channel, &one, BATCHES).await,
        Agent::play(&server.channel, &two, BATCHES / 2).await,
    ];
    let first = stored(&server, "node-1", STORED).await;
    let second = stored(&server, "node-2", STORED / 2).await;
    for (status, values) in [(&first, STORED), (&second, STORED / 2)] {
        assert_eq!((status.values_received, status.values_stored), (values, values));
        assert!(status.connected && status.gaps.is_empty(), "{status:?}");
        assert_eq!(status.facts.as_ref().unwrap().cpus, 2);
    }
    let mapped = until("a pong", || async {
        status(&server, "node-1").await.and_then(|status| status.clock_error_nsec).filter(|&error| error > 0)
    })
    .await;
    assert!(mapped < 1_000_000_000, "{mapped}");
    let focus = until("the models to be in focus", || async { agents[0].heard().focus }).await;
    assert_eq!(focus, [2]);

    drop(agents);
    until("the streams to end", || async {
        let (one, two) = (status(&server, "node-1").await?, status(&server, "node-2").await?);
        (!one.connected && !two.connected).then_some(())
    })
    .await;
    let (_, metrics) = server.page("/metrics").await;
    assert!(
        metrics.contains("berth_ingest_streams_refused_total 0\n"),
        "a stream that breaks off is no offence"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_breaks_the_contract_closes_its_own_stream_and_no_other() {
    let server = Server::start(ROSTER).await;
    let (bad, good) = (quiet("bad"), quiet("good"));
    let bystander = Agent::play(&server.channel, &good, 5).await;
    let broken_block = |scene: &Scene, seq| {
        let mut batch = scene.batch(seq);
        batch.blocks[0].values.truncate(2);
        batch
    };
    let cases: [(&str, Message); 4] = [
        ("batch.seq", Message::Batch(wire::Batch { seq: 0, ..bad.batch(1) })),
        ("block.values", Message::Batch(broken_block(&bad, 1))),
        ("only the first message", Message::Hello(bad.hello(1, 1))),
        ("message", Message::Batch(wire::Batch { times: vec![0; 300 * 1024].into(), ..bad.batch(1) })),
    ];
    let count = u64::try_from(cases.len()).unwrap();
    for (field, message) in cases {
        let agent = Agent::hello(&server.channel, bad.hello(1, 1)).await;
        agent.resumed().await;
        agent.name_series().await;
        agent.say(message).await;
        // What waits for the node's clock is judged then, and told when the next record comes.
        let end = until("the stream to end", || async {
            agent.batches(&bad, 2..=2).await;
            agent.heard().end
        })
        .await;
        assert_eq!(end.code(), Code::InvalidArgument, "{field}: {end}");
        assert!(end.message().contains(field), "{field}: {end}");
    }
    let (_, metrics) = server.page("/metrics").await;
    let refused = format!("berth_ingest_streams_refused_total {count}\n");
    assert!(metrics.contains(&refused), "{refused} is not in\n{metrics}");
    bystander.batches(&good, 6..=BATCHES).await;
    stored(&server, "good", STORED).await;
    assert!(bystander.heard().end.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_begin_with_hello_is_refused() {
    let server = Server::start("").await;
    let channel = &server.channel;
    let scene = quiet("node-1");
    let old = Agent::hello(channel, wire::Hello { protocol: 9, ..scene.hello(1, 1) }).await;
    assert!(old.ended().await.message().contains("hello.protocol"));
    let nameless = Agent::hello(channel, wire::Hello { node: String::new(), ..scene.hello(1, 1) }).await;
    assert_eq!(nameless.ended().await.code(), Code::InvalidArgument);
    assert!(status(&server, "node-1").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stream_of_a_node_takes_over_and_goes_on_where_the_older_stood() {
    let server = Server::start(ROSTER).await;
    let scene = quiet("node-1");
    let older = Agent::play(&server.channel, &scene, 8).await;
    stored(&server, "node-1", 8 * 2 * VALUES_PER_TICK).await;
    let newer = Agent::hello(&server.channel, scene.hello(1, BATCHES + 1)).await;
    let end = tokio::time::timeout(std::time::Duration::from_secs(1), older.ended()).await;
    assert_eq!(end.expect("the older stream ends within a second").code(), Code::Aborted);
    assert_eq!(newer.resumed().await, 9);
    newer.name_series().await;
    newer.batches(&scene, 9..=BATCHES).await;
    let after = stored(&server, "node-1", STORED).await;
    assert_eq!((after.values_stored, after.values_repeated), (STORED, 0));
    assert!(after.connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_open_streams_as_unavailable() {
    let server = Server::start(ROSTER).await;
    let agent = Agent::play(&server.channel, &quiet("node-1"), 2).await;
    let mut watch =
        server.episodes().watch(wire::WatchEpisodesRequest::default()).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let stopped = server.aggregator.stop();
    tokio::time::timeout(std::time::Duration::from_secs(5), stopped).await.unwrap();
    assert_eq!(agent.ended().await.code(), Code::Unavailable);
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
}
