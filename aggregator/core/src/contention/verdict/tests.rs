use super::*;
use crate::contention::{
    account::Other,
    fixtures::{key, who},
};

fn account(fixed: [f64; 5], others: &[(&str, &str, f64)]) -> Account {
    let mut account = Account::default();
    [account.throttled, account.own, account.irq, account.steal, account.unowned] = fixed;
    account.others = others
        .iter()
        .zip(1..)
        .map(|((owner, pod, nsec), number)| (key(number), Other::new(who(owner, pod), *nsec)))
        .collect();
    account
}

fn names(shares: &[Share]) -> Vec<(String, f64)> {
    let culprit = |share: &Share| match &share.cause {
        Cause::Culprit(who) => Some((who.display_name(), share.share)),
        _ => None,
    };
    shares.iter().filter_map(culprit).collect()
}

#[test]
fn each_gate_is_passed_in_its_turn() {
    let verdict =
        |fixed, neighbour| judge(&shares(&account(fixed, &[("scan", "scan-0", neighbour)])), false, false).0;
    assert_eq!(verdict([70.0, 0.0, 0.0, 0.0, 0.0], 30.0), Verdict::SelfThrottled);
    assert_eq!(verdict([60.0, 0.0, 0.0, 0.0, 0.0], 40.0), Verdict::Mixed);
    assert_eq!(verdict([0.0, 50.0, 0.0, 0.0, 0.0], 50.0), Verdict::SelfOversubscribed);
    assert_eq!(verdict([0.0, 0.0, 0.0, 30.0, 0.0], 70.0), Verdict::Hypervisor);
    assert_eq!(verdict([0.0, 0.0, 0.0, 0.0, 50.0], 50.0), Verdict::Unowned);
    assert_eq!(verdict([20.0, 10.0, 5.0, 5.0, 5.0], 55.0), Verdict::Neighbour);
    assert_eq!(verdict([30.0, 20.0, 0.0, 0.0, 10.0], 40.0), Verdict::Mixed);
    let held_up = shares(&account([20.0, 10.0, 5.0, 5.0, 5.0], &[("scan", "scan-0", 55.0)]));
    assert_eq!(judge(&held_up, true, false).0, Verdict::OverEntitlement);
    assert_eq!(judge(&shares(&account([0.0; 5], &[])), false, false).0, Verdict::Nobody);
}

#[test]
fn pods_of_one_owner_are_one_culprit_told_by_the_largest() {
    let told = shares(&account(
        [0.0; 5],
        &[("scan", "scan-0", 20.0), ("scan", "scan-1", 40.0), ("web", "web-0", 40.0)],
    ));
    assert_eq!(names(&told), [("demo/scan".to_owned(), 0.6), ("demo/web".to_owned(), 0.4)]);
    let Cause::Culprit(who) = &told[0].cause else { panic!("a culprit leads") };
    assert_eq!(who.pod, "scan-1");
}

#[test]
fn a_long_tail_is_told_as_one_and_the_sum_stays_one() {
    let pods: Vec<(String, f64)> =
        (0..60).map(|index| (format!("job-{index}"), if index < 2 { 100.0 } else { 1.0 })).collect();
    let pods: Vec<(&str, &str, f64)> =
        pods.iter().map(|(name, nsec)| (name.as_str(), name.as_str(), *nsec)).collect();
    let told = shares(&account([0.0, 0.0, 0.0, 0.0, 10.0], &pods).with_wait(268.0));
    assert!((told.iter().map(|share| share.share).sum::<f64>() - 1.0).abs() < 1e-12);
    let listed: Vec<String> = names(&told).into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["demo/job-0", "demo/job-1", "other containers"], "less than a hundredth is not");
}
