use std::time::Duration;

use super::*;
use crate::{
    contention::fixtures::{key, suspect},
    frame::GpuUser,
};

const STEP_NSEC: u64 = 100_000_000;
const SECOND_NSEC: f64 = 1e9;

fn user(container: Option<u32>, sm_permille: Option<u64>) -> GpuUser {
    GpuUser { container: container.map(|number| key(number).0), sm_permille, memory_used_bytes: None }
}

fn users(permille: &[(u32, u64)]) -> Vec<GpuUser> {
    permille.iter().map(|(container, permille)| user(Some(*container), Some(*permille))).collect()
}

fn gpu(number: u32, sm_permille: Option<u64>, users: Vec<GpuUser>) -> GpuUse {
    GpuUse { key: key(number).0, sm_permille, memory_used_bytes: None, memory_total_bytes: 0, users }
}

/// A second of the containers 1, 2 and 3 with these GPUs; 1 is the victim.
fn second(gpus: impl Fn(u64) -> Vec<GpuUse>) -> Option<Split> {
    let step = |tick: u64| {
        let containers = [1, 2, 3].map(|number| suspect(number, 10_000_000)).to_vec();
        let mut step = Step::for_test(STEP_NSEC, None, containers);
        step.at = step.at + Duration::from_nanos(tick * STEP_NSEC);
        step.gpus = gpus(tick);
        step
    };
    let steps: Vec<Step> = (0..10).map(step).collect();
    let window = Window::new(key(1), steps.iter().collect(), None)?;
    let split = time(&window);
    if let Some(split) = &split {
        let parts = split.unowned + split.others.iter().map(|held| held.nsec).sum::<f64>();
        assert!((parts - split.wait).abs() < 1.0, "the parts sum to the whole: {split:?}");
    }
    split
}

/// What the victim held, what the others did, and who, in parts of the second.
fn shown(split: &Split) -> (f64, f64, Vec<(u32, f64)>) {
    let part = |nsec: f64| (nsec / SECOND_NSEC * 1e3).round() / 1e3;
    let others = split.others.iter().map(|held| (held.key.0.get(), part(held.nsec))).collect();
    (part(split.work), part(split.wait), others)
}

fn one_gpu(sm_permille: Option<u64>, users: &[GpuUser]) -> (f64, f64, Vec<(u32, f64)>) {
    shown(&second(|_| vec![gpu(7, sm_permille, users.to_vec())]).unwrap())
}

#[test]
fn who_shares_a_gpu_in_turns_waits_for_what_the_others_hold() {
    let shared = users(&[(1, 250), (2, 500), (3, 250)]);
    assert_eq!(one_gpu(Some(1000), &shared), (0.25, 0.75, vec![(2, 0.5), (3, 0.25)]));
    assert_eq!(one_gpu(None, &shared), (0.25, 0.75, vec![(2, 0.5), (3, 0.25)]), "its own figure is unknown");
}

#[test]
fn a_model_alone_never_waits_however_busy_it_is() {
    assert_eq!(one_gpu(Some(1000), &users(&[(1, 1000)])), (1.0, 0.0, vec![]));
    assert_eq!(one_gpu(Some(1000), &users(&[(1, 980), (2, 0)])), (0.98, 0.0, vec![]));
}

#[test]
fn nobody_waits_for_a_gpu_that_is_free_at_times() {
    assert_eq!(one_gpu(Some(940), &users(&[(1, 470), (2, 470)])), (0.47, 0.0, vec![]));
    // Two that run at once, each half of the time, leave it free for the rest.
    assert_eq!(one_gpu(Some(600), &users(&[(1, 500), (2, 500)])), (0.5, 0.0, vec![]));
}

#[test]
fn a_model_that_hardly_uses_the_gpu_is_not_said_to_wait_for_it() {
    assert_eq!(one_gpu(Some(1000), &users(&[(1, 40), (2, 950)])), (0.04, 0.0, vec![]));
    assert_eq!(one_gpu(Some(1000), &users(&[(1, 0), (2, 1000)])), (0.0, 0.0, vec![]));
}

#[test]
fn what_is_nobodys_is_unowned_and_so_is_who_is_not_sampled() {
    let strangers = [user(None, Some(200)), user(Some(9), Some(300)), user(Some(1), Some(500))];
    let split = second(|_| vec![gpu(7, Some(1000), strangers.to_vec())]).unwrap();
    assert!((split.unowned - 0.5 * SECOND_NSEC).abs() < 1.0 && split.others.is_empty(), "{split:?}");
}

#[test]
fn a_mig_instance_shows_no_use_by_process_so_nothing_is_said_of_it() {
    let mig = [user(Some(1), None), user(Some(2), None)];
    assert!(second(|_| vec![gpu(7, Some(1000), mig.to_vec())]).is_none());
    // One whose use is unknown may have held any part of it.
    let partly = [user(Some(1), Some(500)), user(Some(2), None)];
    assert!(second(|_| vec![gpu(7, Some(1000), partly.to_vec())]).is_none());
}

#[test]
fn who_holds_a_gpu_at_once_is_scaled_to_the_time_that_there_was() {
    let (run, wait, others) = one_gpu(Some(1000), &users(&[(1, 800), (2, 800), (3, 400)]));
    assert_eq!((run, wait, others), (0.4, 0.6, vec![(2, 0.4), (3, 0.2)]));
}

#[test]
fn of_several_gpus_the_one_on_which_it_fares_worst_is_told() {
    let gpus = |_| {
        let fair = gpu(7, Some(1000), users(&[(1, 500), (2, 500)]));
        let worse = gpu(8, Some(1000), users(&[(1, 200), (3, 800)]));
        vec![fair, worse, gpu(9, Some(1000), users(&[(1, 1000)]))]
    };
    assert_eq!(shown(&second(gpus).unwrap()), (0.2, 0.8, vec![(3, 0.8)]));
    let quiet = |_| vec![gpu(7, Some(100), users(&[(1, 100)])), gpu(8, Some(300), users(&[(1, 300)]))];
    assert_eq!(shown(&second(quiet).unwrap()), (0.3, 0.0, vec![]), "alone: the one that it uses most");
}

#[test]
fn what_was_not_read_for_a_moment_is_taken_from_the_rest_of_the_second() {
    let sometimes = |tick: u64| {
        let known = tick.is_multiple_of(2).then_some(500);
        vec![gpu(7, Some(1000), vec![user(Some(1), known), user(Some(2), Some(500))])]
    };
    assert_eq!(shown(&second(sometimes).unwrap()), (0.5, 0.5, vec![(2, 0.5)]));
}

#[test]
fn without_a_gpu_or_on_those_of_others_there_is_nothing_to_say() {
    assert!(second(|_| Vec::new()).is_none());
    assert!(second(|_| vec![gpu(7, Some(1000), users(&[(2, 500), (3, 500)]))]).is_none());
}
