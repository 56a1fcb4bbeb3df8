//! A node with a GPU: what its agent tells of it becomes an episode at whoever watches.

use berth::{
    Group,
    wire::{self, agent_message::Message, episode_event::Event},
};

use crate::{
    agent::Agent,
    scene::{ROSTER, Scene, TICKS_PER_BATCH, VALUES_PER_TICK, packed},
    server::{Server, within},
};

/// 30 s.
const BATCHES: u64 = 150;

/// The ticks in which the scanner takes its turns on the GPU.
const SHARED: std::ops::Range<u64> = 100..200;

/// Of the GPU, of each container on it, and of what is nobody's there.
const GPU_VALUES_PER_TICK: u64 = 4 + 3 * 2;

const GIB: i64 = 1 << 30;

fn series() -> Vec<wire::Series> {
    use wire::series::Subject;
    let uuid = "GPU-1".to_owned();
    let gpu = wire::GpuSubject {
        uuid: uuid.clone(),
        index: 0,
        name: "made up".to_owned(),
        memory_bytes: (80 * GIB).unsigned_abs(),
    };
    let part = |cgroup: &str| {
        let (gpu_uuid, cgroup) = (uuid.clone(), cgroup.to_owned());
        Subject::GpuContainer(wire::GpuContainerSubject { gpu_uuid, cgroup })
    };
    let series = |id, group: Group, subject| wire::Series {
        id,
        first_seq: 1,
        group: group.to_wire().into(),
        subject: Some(subject),
    };
    vec![
        series(7, Group::GpuDevice, Subject::Gpu(gpu)),
        series(8, Group::GpuContainer, part("/model")),
        series(9, Group::GpuContainer, part("/scan")),
        series(10, Group::GpuContainer, part("")),
    ]
}

/// Alone the model holds the GPU for half of the time, beside the scanner for a third of it.
fn batch(scene: &Scene, seq: u64) -> wire::Batch {
    let first = (seq - 1) * TICKS_PER_BATCH;
    let sm = |tick| if SHARED.contains(&tick) { [330, 600, 70] } else { [500, 0, 0] };
    let ticks = || (first..first + TICKS_PER_BATCH).map(sm);
    let device = |sm: [i64; 3]| vec![sm.iter().sum(), 30 * GIB, 0, 0];
    let parts = |sm: [i64; 3]| sm.into_iter().chain([20 * GIB, 9 * GIB, GIB]).collect();
    let mut batch = scene.batch(seq);
    batch.produced_before = first * (VALUES_PER_TICK + GPU_VALUES_PER_TICK);
    batch.blocks.push(packed(Group::GpuDevice, &ticks().map(device).collect::<Vec<_>>()));
    batch.blocks.push(packed(Group::GpuContainer, &ticks().map(parts).collect::<Vec<_>>()));
    batch
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_a_models_gpu_is_an_episode_at_a_watcher() {
    let server = Server::start(ROSTER).await;
    let request = wire::WatchEpisodesRequest::default();
    let mut events = server.episodes().watch(request).await.unwrap().into_inner();
    let scene = Scene::new("node-1", BATCHES, 0..0);
    let agent = Agent::hello(&server.channel, scene.hello(1, BATCHES + 1)).await;
    agent.resumed().await;
    agent.name_series().await;
    for series in series() {
        agent.say(Message::Series(series)).await;
    }
    for seq in 1..=BATCHES {
        agent.say(Message::Batch(batch(&scene, seq))).await;
    }
    let cleared = within("the episode to clear", async {
        loop {
            let event = events.message().await.unwrap().unwrap().event.unwrap();
            match event {
                Event::Episode(episode) if episode.cleared.is_some() => break episode,
                Event::Episode(_) | Event::Reset(_) => {}
            }
        }
    });
    let episode = cleared.await;
    assert_eq!((episode.resource(), episode.verdict()), (wire::Resource::GpuTime, wire::Verdict::Neighbour));
    assert_eq!((episode.confidence(), episode.tier()), (wire::Confidence::Possible, wire::Tier::Usage));
    assert_eq!(episode.victim.as_ref().unwrap().pod, "model-0");
    let slowdown = episode.slowdown.unwrap();
    assert!((slowdown.estimate - 1.0 / 0.33).abs() < 0.1 && (slowdown.lo - 1.0).abs() < 1e-9, "{slowdown:?}");
    let shares: Vec<_> = episode
        .shares
        .iter()
        .map(|share| (share.who.as_ref().map_or("", |who| who.pod.as_str()), (share.share * 100.0).round()))
        .collect();
    assert_eq!(shares, [("scan-0", 90.0), ("", 10.0)], "what is nobody's is told apart");
    let all = server.episodes().list(wire::ListEpisodesRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.episodes.len(), 1, "nothing else was wrong: {:?}", all.episodes);
}
