//! Somebody comes into an episode that is open already.

use super::*;

/// Ten who take a little each, and one who takes all it can get from `from` on.
fn crowd_and_one(from: u64) -> Vec<Container> {
    let one = Container { quota: None, ..scanner("scan", Thread::new(Work::Hog).during(from, 30_000)) };
    let bystander = |number: u64| {
        let work = Work::Serve { service: 2, every: 90 };
        let thread = Thread::new(work).during(2_000 + number, 60_000);
        container(&format!("bystander-{number}"), Role::Other, [thread])
    };
    [model(), one].into_iter().chain((0..10).map(bystander)).collect()
}

fn names(episode: &Episode) -> Vec<String> {
    episode.culprits().iter().map(|who| who.display_name()).collect()
}

/// Each episode as it was last told by then.
fn episodes(told: &[(u64, Episode)], by_msec: u64) -> Vec<&Episode> {
    let told = told.iter().filter(|(at, _)| *at <= by_msec);
    let ids: BTreeMap<_, _> = told.map(|(_, episode)| (episode.id, episode)).collect();
    let mut episodes: Vec<_> = ids.into_values().collect();
    episodes.sort_by_key(|episode| episode.onset);
    episodes
}

#[test]
fn who_comes_into_a_mild_wait_of_many_begins_an_episode_of_its_own() {
    let told = detect(&Node::new(1, crowd_and_one(12_000)).play(40_000).frames);
    let episodes = episodes(&told, 15_000);
    let [crowd, one] = &episodes[..] else { panic!("two episodes: {episodes:?}") };
    assert!(msec(crowd.onset) < 10_000, "the many are felt: {crowd:?}");
    assert!(msec(crowd.cleared.unwrap()).abs_diff(12_000) <= 500, "{crowd:?}");
    assert!(!names(crowd).contains(&"demo/scan".to_owned()), "{crowd:?}");
    assert!(msec(one.onset).abs_diff(12_000) <= 200, "onset at {}", msec(one.onset));
    assert!(msec(one.alarm).abs_diff(12_000) <= 600, "alarm at {}", msec(one.alarm));
    assert_eq!((one.verdict, names(one)[0].as_str()), (Verdict::Neighbour, "demo/scan"));
    assert!(one.onset >= crowd.cleared.unwrap());
}

#[test]
fn who_had_a_part_from_the_beginning_and_does_more_is_the_same_episode() {
    let scan = Container {
        threads: vec![
            Thread::new(Work::Serve { service: 4, every: 40 }).during(2_000, 30_000),
            Thread::new(Work::Hog).during(12_000, 30_000),
        ],
        ..scanner("scan", Thread::new(Work::Hog))
    };
    let told = detect(&Node::new(1, vec![model(), scan]).play(40_000).frames);
    let episodes = episodes(&told, 40_000);
    let [only] = &episodes[..] else { panic!("one episode: {episodes:?}") };
    assert!(msec(only.onset) < 10_000 && only.severity == Severity::Severe, "{only:?}");
}
