//! Samples: what was sent is what is read, each tick once.

use std::collections::BTreeSet;

use berth::wire;
use tonic::Code;

use crate::{
    agent::Agent,
    scene::{ROSTER, Scene},
    server::{Server, until, within},
};

const BATCHES: u64 = 30;

fn cpu_of_model() -> wire::RangeRequest {
    wire::RangeRequest {
        filter: Some(wire::SubjectFilter { pod: "model-0".into(), ..Default::default() }),
        groups: vec![wire::Group::ContainerCpu.into()],
        ..Default::default()
    }
}

pub(crate) fn values(chunk: &wire::SampleChunk) -> Vec<i64> {
    assert!(chunk.series.iter().all(|series| series.values.len() == chunk.times_unix_nsec.len()));
    chunk.series.iter().flat_map(|series| series.values.clone()).collect()
}

pub(crate) async fn range(server: &Server, request: wire::RangeRequest) -> Vec<wire::SampleChunk> {
    let mut stream = server.samples().range(request).await.unwrap().into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = within("a chunk", stream.message()).await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

fn expected(ticks: std::ops::Range<u64>) -> Vec<i64> {
    ticks.map(Scene::model_usec).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_what_was_sent_and_ends() {
    let server = Server::start(ROSTER).await;
    let _agent = Agent::play(&server.channel, &Scene::new("node-1", BATCHES, 0..0), BATCHES).await;
    let sent = expected(0..BATCHES * 2);
    until("all ticks", || async {
        let chunks = range(&server, cpu_of_model()).await;
        let read: Vec<i64> = chunks.iter().flat_map(values).collect();
        (read == sent).then_some(())
    })
    .await;
    let times: Vec<i64> =
        range(&server, cpu_of_model()).await.into_iter().flat_map(|chunk| chunk.times_unix_nsec).collect();
    assert!(times.is_sorted_by(|a, b| a < b));

    let by_second = wire::RangeRequest { resolution: wire::Resolution::OneSecond.into(), ..cpu_of_model() };
    let seconds = range(&server, by_second).await;
    let largest = seconds.iter().flat_map(|chunk| &chunk.series).flat_map(|series| series.max.clone()).max();
    assert_eq!(largest, Some(50_000), "the change of one tick");
    for bad in [
        wire::RangeRequest { groups: vec![99], ..cpu_of_model() },
        wire::RangeRequest { resolution: 9, ..cpu_of_model() },
        wire::RangeRequest {
            filter: Some(wire::SubjectFilter { subject_id: "x".into(), ..Default::default() }),
            ..Default::default()
        },
    ] {
        assert_eq!(server.samples().range(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_tells_each_new_tick_once() {
    let server = Server::start(ROSTER).await;
    let scene = Scene::new("node-1", 5, 0..0);
    let agent = Agent::play(&server.channel, &scene, 5).await;
    until("the first ticks", || async {
        let chunks = range(&server, cpu_of_model()).await;
        (chunks.iter().flat_map(values).count() == 10).then_some(())
    })
    .await;
    let cpu = cpu_of_model();
    let request = wire::TailRequest { filter: cpu.filter, groups: cpu.groups, resolution: 0 };
    let mut tail = server.samples().tail(request).await.unwrap().into_inner();
    // The node's ticks come up to its present, so the new ones are after the request.
    let mut read = Vec::new();
    for seq in 6..=12 {
        let due = scene.began_nsec + seq * 2 * crate::scene::TICK_NSEC;
        until("the tick to be due", || async { (crate::scene::boottime_nsec() >= due).then_some(()) }).await;
        agent.batches(&scene, seq..=seq).await;
    }
    while read.last() != Some(&Scene::model_usec(23)) {
        let chunk = within("a chunk", tail.message()).await.unwrap().unwrap();
        read.extend(values(&chunk));
    }
    let first = u64::try_from(read[0] / 50_000).unwrap();
    assert!(first >= 9, "nothing from before: {first}");
    assert_eq!(read, expected(first..24));
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_say_who_they_are_and_why() {
    let server = Server::start(ROSTER).await;
    let _agent = Agent::play(&server.channel, &Scene::new("node-1", BATCHES, 0..0), BATCHES).await;
    let list = |filter| async {
        let request = wire::ListSubjectsRequest { filter: Some(filter) };
        server.samples().list_subjects(request).await.unwrap().into_inner().subjects
    };
    let models = until("the model", || async {
        let filter = wire::SubjectFilter { role: wire::Role::Model.into(), ..Default::default() };
        let models = list(filter).await;
        models.first().is_some_and(|model| model.first_sample.is_some()).then_some(models)
    })
    .await;
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].role_reason, "label berth.dev/role");
    assert!(models[0].live && models[0].groups.contains(&wire::Group::ContainerThreads.into()));
    let again = list(wire::SubjectFilter { subject_id: models[0].id.clone(), ..Default::default() }).await;
    assert_eq!(again, models);
    let all = list(wire::SubjectFilter::default()).await;
    let ids: BTreeSet<_> = all.iter().map(|subject| &subject.id).collect();
    assert_eq!((all.len(), ids.len()), (3, 3), "the node, the model, the scanner");
}
