//! Episodes: found in what agents send, listed, fetched, watched.

use berth::wire::{self, episode_event::Event};
use berth_core::placement::CODES;
use tonic::{Code, Streaming};

use crate::{
    agent::Agent,
    scene::{ROSTER, Scene},
    server::{Server, until, within},
};

/// 30 s: quiet for 10 s, contended for 8, quiet again.
const BATCHES: u64 = 150;

fn scene(node: &str) -> Scene {
    Scene::new(node, BATCHES, 100..180)
}

async fn list(server: &Server, request: wire::ListEpisodesRequest) -> wire::ListEpisodesResponse {
    server.episodes().list(request).await.unwrap().into_inner()
}

async fn closed(server: &Server, count: usize) -> Vec<wire::Episode> {
    until("the episodes to close", || async {
        let all = list(server, wire::ListEpisodesRequest::default()).await.episodes;
        (all.len() == count && all.iter().all(|episode| episode.cleared.is_some())).then_some(all)
    })
    .await
}

async fn watch(server: &Server, incarnation: &str, after_revision: u64) -> Streaming<wire::EpisodeEvent> {
    let incarnation = incarnation.to_owned();
    let request = wire::WatchEpisodesRequest { incarnation, after_revision, filter: None };
    server.episodes().watch(request).await.unwrap().into_inner()
}

async fn next(events: &mut Streaming<wire::EpisodeEvent>) -> Event {
    within("an event", events.message()).await.unwrap().unwrap().event.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_held_up_by_a_scanner_is_an_episode_that_names_it() {
    let server = Server::start(ROSTER).await;
    let _agent = Agent::play(&server.channel, &scene("node-1"), BATCHES).await;
    let episode = closed(&server, 1).await.remove(0);
    let victim = episode.victim.as_ref().unwrap();
    assert_eq!((victim.namespace.as_str(), victim.owner_name.as_str()), ("prod", "model"));
    assert_eq!(episode.verdict(), wire::Verdict::Neighbour);
    let culprit = &episode.shares[0];
    assert_eq!(
        (culprit.cause(), culprit.who.as_ref().unwrap().pod.as_str()),
        (wire::Cause::Culprit, "scan-0")
    );
    assert!(episode.slowdown.unwrap().estimate > 1.5, "{:?}", episode.slowdown);

    let prefix = wire::GetEpisodeRequest { id: episode.id.chars().take(4).collect() };
    assert_eq!(server.episodes().get(prefix).await.unwrap().into_inner().id, episode.id);
    for (id, code) in [("", Code::InvalidArgument), ("XYZ", Code::InvalidArgument), ("0000", Code::NotFound)]
    {
        let status = server.episodes().get(wire::GetEpisodeRequest { id: id.into() }).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
    }
    let models =
        server.episodes().list_models(wire::ListModelsRequest::default()).await.unwrap().into_inner();
    assert_eq!(models.models.len(), 1);
    assert_eq!(models.models[0].verdict(), wire::Verdict::Nobody, "it has cleared");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_every_revision_once_and_in_order_across_two_connections() {
    let server = Server::start(ROSTER).await;
    let mut first = watch(&server, "", 0).await;
    let Event::Reset(reset) = next(&mut first).await else { panic!("the first event is no reset") };
    let _agent = Agent::play(&server.channel, &scene("node-1"), BATCHES).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let Event::Episode(episode) = next(&mut first).await else { panic!("a second reset") };
        seen.push(episode.revision);
    }
    drop(first);
    closed(&server, 1).await;
    let newest = list(&server, wire::ListEpisodesRequest::default()).await.revision;
    let mut second = watch(&server, &reset.incarnation, seen[1]).await;
    while *seen.last().unwrap() < newest {
        let Event::Episode(episode) = next(&mut second).await else { panic!("a reset") };
        assert_eq!(episode.incarnation, reset.incarnation);
        seen.push(episode.revision);
    }
    assert_eq!(seen, (reset.revision + 1..=newest).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_elsewhere_or_from_the_future_begins_with_a_reset_and_what_is_open() {
    let server = Server::start(ROSTER).await;
    let open = Scene::new("node-1", BATCHES, 100..1_000);
    let _agent = Agent::play(&server.channel, &open, BATCHES).await;
    until("an open episode", || async {
        list(&server, wire::ListEpisodesRequest::default()).await.episodes.pop()
    })
    .await;
    let ours = list(&server, wire::ListEpisodesRequest::default()).await;
    for (incarnation, after) in [("another", 1), (ours.incarnation.as_str(), ours.revision + 1_000), ("", 0)]
    {
        let mut events = watch(&server, incarnation, after).await;
        let Event::Reset(reset) = next(&mut events).await else { panic!("no reset") };
        assert_eq!(reset.incarnation, ours.incarnation);
        let Event::Episode(episode) = next(&mut events).await else { panic!("no open episode") };
        assert!(episode.cleared.is_none() && episode.revision <= reset.revision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_where_they_stood_and_filters_hold() {
    let server = Server::start(ROSTER).await;
    let mut agents = Vec::new();
    for node in ["node-1", "node-2", "node-3"] {
        agents.push(Agent::play(&server.channel, &scene(node), BATCHES).await);
    }
    closed(&server, 3).await;
    let page = |page_token: String| wire::ListEpisodesRequest { page_size: 2, page_token, filter: None };
    let first = list(&server, page(String::new())).await;
    let newcomer = Agent::play(&server.channel, &scene("node-4"), BATCHES).await;
    closed(&server, 4).await;
    let second = list(&server, page(first.next_page_token.clone())).await;
    let ids = |page: &wire::ListEpisodesResponse| {
        page.episodes.iter().map(|one| one.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(first.episodes.len(), 2);
    assert!(ids(&second).iter().all(|id| !ids(&first).contains(id)));
    let onset = |episode: &wire::Episode| episode.onset.map(|at| (at.seconds, at.nanos));
    let onsets: Vec<_> = first.episodes.iter().chain(&second.episodes).map(onset).collect();
    assert!(onsets.is_sorted_by(|a, b| a >= b), "newest first: {onsets:?}");

    let only = |filter| wire::ListEpisodesRequest { filter: Some(filter), ..Default::default() };
    let on_node = wire::EpisodeFilter { node: "node-2".into(), ..Default::default() };
    assert_eq!(list(&server, only(on_node)).await.episodes.len(), 1);
    let open = wire::EpisodeFilter { open_only: true, ..Default::default() };
    assert_eq!(list(&server, only(open)).await.episodes, []);
    let strange = wire::EpisodeFilter { role: 77, ..Default::default() };
    let refused = server.episodes().list(only(strange)).await.unwrap_err();
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("filter.role"));
    drop(newcomer);
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_keeps_its_id_and_its_time_from_one_look_to_the_next() {
    let server = Server::start(ROSTER).await;
    let _agent = Agent::play(&server.channel, &scene("node-1"), BATCHES).await;
    closed(&server, 1).await;
    let look = || async {
        let answer = server.advisor().list(wire::ListAdviceRequest::default()).await.unwrap().into_inner();
        (!answer.advice.is_empty()).then_some(answer.advice)
    };
    let first = until("advice", look).await;
    let unknown = wire::ListAdviceRequest { code: "BA999".to_owned(), ..wire::ListAdviceRequest::default() };
    let refused = server.advisor().list(unknown).await.unwrap_err();
    assert!(
        refused.code() == Code::InvalidArgument && CODES.iter().all(|code| refused.message().contains(code)),
        "{refused}"
    );
    let names =
        |advice: &[wire::Advice]| advice.iter().map(|one| (one.id.clone(), one.created)).collect::<Vec<_>>();
    // Another second, so it is computed again.
    let created = first[0].created.unwrap();
    until("the next second", || async {
        let node = server.samples().list_nodes(wire::ListNodesRequest {}).await.unwrap().into_inner();
        let (_, page) = server.page("/healthz").await;
        (!node.nodes.is_empty() && page == "ok\n" && seconds_now() > created.seconds + 1).then_some(())
    })
    .await;
    assert_eq!(names(&look().await.unwrap()), names(&first));
    let one =
        server.advisor().get(wire::GetAdviceRequest { id: first[0].id.chars().take(6).collect() }).await;
    assert_eq!(one.unwrap().into_inner().id, first[0].id);
    let gone = server.advisor().get(wire::GetAdviceRequest { id: "0".into() }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

fn seconds_now() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}
