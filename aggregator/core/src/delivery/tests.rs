use super::*;

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn hello(incarnation: u64, oldest: u64, next: u64) -> Hello {
    Hello {
        node: berth::NodeName::new("a").unwrap(),
        incarnation: Incarnation::new(incarnation).unwrap(),
        boot_id: "boot".into(),
        agent_version: "1".into(),
        oldest_seq: seq(oldest),
        next_seq: seq(next),
        tick_hz: 10,
        facts: berth::NodeFacts {
            cpus: 2,
            cpu_list: "0-1".into(),
            memory_bytes: 1,
            cgroup_version: berth::CgroupVersion::V2,
            pressure: true,
            thread_waits: true,
            kernel: "6".into(),
            gpus: 0,
            hidden_processes: 0,
        },
    }
}

/// Batch `number` carries two ticks of five values each.
fn batch(number: u64) -> Batch {
    Batch {
        seq: seq(number),
        first_tick: (number - 1) * 2,
        times_nsec: vec![1, 2],
        absolute: true,
        produced_before: (number - 1) * 10,
        blocks: Vec::new(),
    }
}

fn at(tick: u64) -> AxisNsec {
    AxisNsec(1_000_000_000_000 + tick * 100_000_000)
}

fn take(delivery: &mut Delivery, number: u64) -> bool {
    assert_eq!(delivery.place(seq(number), seq(number)).unwrap(), Place::New, "record {number}");
    delivery.stored(&batch(number), 10, at(number * 2), at(number * 2 + 1))
}

fn gap(first: u64, last: u64, reason: GapReason, ticks: u64, values: u64) -> Gap {
    Gap { seq: seq(first), last_seq: seq(last), reason, ticks, values }
}

#[test]
fn a_stream_resumes_after_the_last_record_taken() {
    let mut delivery = Delivery::default();
    assert_eq!(delivery.attach(&hello(1, 1, 1), u64::MAX), seq(1));
    assert!((1..=3).all(|number| !take(&mut delivery, number)));
    assert_eq!(delivery.attach(&hello(1, 1, 6), u64::MAX), seq(4));
    assert!((4..=6).all(|number| !take(&mut delivery, number)));
    let account = delivery.account();
    assert_eq!((account.values_stored, account.values_unexplained), (60, 0));
    assert!(account.gaps().all(|(_, count)| count == GapCount::default()));
}

#[test]
fn a_new_aggregator_asks_for_the_oldest_and_misses_nothing_before_it() {
    let mut delivery = Delivery::default();
    assert_eq!(delivery.attach(&hello(1, 40, 100), u64::MAX), seq(40));
    assert!(!take(&mut delivery, 40));
    assert!(delivery.account().gaps().all(|(_, count)| count.gaps == 0));
}

#[test]
fn a_hole_inside_a_stream_is_an_error_and_moves_nothing() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    let error = delivery.place(seq(3), seq(3)).unwrap_err();
    assert!(error.to_string().starts_with("record.seq: 3 is not valid"), "{error}");
    assert_eq!(delivery.attach(&hello(1, 1, 4), u64::MAX), seq(2));
}

#[test]
fn a_stream_cannot_begin_after_what_hello_named() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 5), u64::MAX);
    assert!(delivery.place(seq(6), seq(6)).is_err());
    assert!(delivery.place(seq(5), seq(5)).is_ok());
}

#[test]
fn repeats_are_told_from_news() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    (1..=3).for_each(|number| assert!(!take(&mut delivery, number)));
    delivery.attach(&hello(1, 1, 4), u64::MAX);
    assert_eq!(delivery.place(seq(2), seq(2)).unwrap(), Place::Repeat);
    assert_eq!(delivery.place(seq(2), seq(2)).unwrap(), Place::Again);
    assert_eq!(delivery.place(seq(3), seq(3)).unwrap(), Place::Repeat);
    assert_eq!(delivery.place(seq(4), seq(4)).unwrap(), Place::New);
    assert_eq!(delivery.place(seq(3), seq(3)).unwrap(), Place::Again);
}

#[test]
fn what_left_the_ring_after_it_was_sent_is_counted_by_the_next_batch() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    assert_eq!(delivery.attach(&hello(1, 8, 20), u64::MAX), seq(8));
    assert!(take(&mut delivery, 8), "the history is broken before it");
    let lost = GapCount { gaps: 1, ticks: 12, values: 60 };
    assert_eq!(delivery.account().gap(GapReason::ReplayFull), lost);
    assert_eq!(delivery.account().values_unexplained, 0);
}

#[test]
fn a_gap_that_the_agent_reports_explains_what_is_missing() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    delivery.attach(&hello(1, 2, 9), u64::MAX);
    let gap = gap(2, 6, GapReason::ReplayFull, 10, 50);
    assert_eq!(delivery.place(gap.seq, gap.last_seq).unwrap(), Place::New);
    delivery.gap(&gap);
    take(&mut delivery, 7);
    assert_eq!(delivery.account().gap(GapReason::ReplayFull).values, 50);
    assert_eq!(delivery.account().values_unexplained, 0);
}

#[test]
fn a_refill_beyond_the_budget_is_declined_and_counted() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    assert_eq!(delivery.attach(&hello(1, 1, 20), 5), seq(15));
    assert!(take(&mut delivery, 15));
    let declined = GapCount { gaps: 1, ticks: 26, values: 130 };
    assert_eq!(delivery.account().gap(GapReason::Declined), declined);
}

#[test]
fn a_new_aggregator_estimates_what_it_declined_from_the_first_batch() {
    let mut delivery = Delivery::default();
    assert_eq!(delivery.attach(&hello(1, 10, 20), 5), seq(15));
    take(&mut delivery, 15);
    let declined = GapCount { gaps: 1, ticks: 10, values: 50 };
    assert_eq!(delivery.account().gap(GapReason::Declined), declined);
}

#[test]
fn the_time_between_two_agents_is_one_gap_of_estimated_ticks() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1); // Its rows are ticks 2 and 3 of the axis.
    delivery.attach(&hello(2, 1, 1), u64::MAX);
    assert_eq!(delivery.place(seq(1), seq(1)).unwrap(), Place::New);
    assert!(delivery.stored(&batch(1), 10, at(53), at(54)));
    assert_eq!(delivery.account().gap(GapReason::AgentDown), GapCount { gaps: 1, ticks: 49, values: 0 });
    assert!(!take(&mut delivery, 2), "it is counted once");
}

#[test]
fn what_was_refused_is_a_gap_and_is_not_asked_for_again() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    assert_eq!(delivery.place(seq(2), seq(2)).unwrap(), Place::New);
    delivery.refused(true, 2, 10);
    assert_eq!(delivery.attach(&hello(1, 1, 4), u64::MAX), seq(3));
    take(&mut delivery, 3);
    let account = delivery.account();
    assert_eq!(account.gap(GapReason::Refused), GapCount { gaps: 1, ticks: 2, values: 10 });
    assert_eq!((account.values_received, account.values_stored, account.values_refused), (30, 20, 10));
    assert_eq!(account.values_unexplained, 0);
}

#[test]
fn missed_ticks_are_counted_and_break_no_count_of_values() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    let missed = gap(2, 2, GapReason::MissedTick, 7, 0);
    assert_eq!(delivery.place(seq(2), seq(2)).unwrap(), Place::New);
    delivery.gap(&missed);
    let next = Batch { seq: seq(3), first_tick: 2, produced_before: 10, ..batch(3) };
    assert_eq!(delivery.place(seq(3), seq(3)).unwrap(), Place::New);
    assert!(!delivery.stored(&next, 10, at(20), at(21)));
    assert_eq!(delivery.account().gap(GapReason::MissedTick), GapCount { gaps: 1, ticks: 7, values: 0 });
    assert_eq!(delivery.account().values_unexplained, 0);
}

#[test]
fn an_agent_that_miscounts_is_found_out() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    assert_eq!(delivery.place(seq(2), seq(2)).unwrap(), Place::New);
    delivery.stored(&Batch { produced_before: 17, ..batch(2) }, 10, at(4), at(5));
    assert_eq!(delivery.account().values_unexplained, 7);
}

#[test]
fn a_gap_that_has_grown_since_it_was_told_is_counted_once() {
    let mut delivery = Delivery::default();
    delivery.attach(&hello(1, 1, 1), u64::MAX);
    take(&mut delivery, 1);
    for gap in [gap(2, 4, GapReason::ReplayFull, 6, 30), gap(2, 6, GapReason::ReplayFull, 10, 50)] {
        delivery.attach(&hello(1, 2, 9), u64::MAX);
        assert_eq!(delivery.place(gap.seq, gap.last_seq).unwrap(), Place::New);
        delivery.gap(&gap);
    }
    assert!(take(&mut delivery, 7));
    let count = delivery.account().gap(GapReason::ReplayFull);
    assert_eq!((count.ticks, count.values, delivery.account().values_unexplained), (10, 50, 0));
}
