//! The run's rules, one at a time; the whole over sockets is in the crate's tests.

use std::time::Duration;

use berth::load::{Check, Model, OnLoss, RequestHead};

use super::*;
use crate::load::figures::Counts;

const SEC: Duration = Duration::from_secs(1);
const NOW: AxisNsec = AxisNsec(1_000_000_000_000);

fn limits() -> RunLimits {
    RunLimits { max_rate_per_sec: 100.0, max_duration: SEC * 60, prepare: SEC * 30 }
}

fn steady(per_sec: f64) -> Model {
    Model::steady(per_sec).unwrap()
}

fn spec(on_loss: OnLoss, model: Model) -> Arc<RunSpec> {
    Arc::new(RunSpec {
        target_url: "http://model:8080/".into(),
        model,
        duration: SEC * 3,
        connections: 4,
        request_timeout: SEC,
        drain: SEC,
        payload: [0; 32],
        check: Check::Status,
        workers: 2,
        on_loss,
        requests: None,
        head: RequestHead::default(),
    })
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name.into()).unwrap()
}

struct Case {
    run: Run,
    effects: Vec<Effect>,
    now: AxisNsec,
}

impl Case {
    fn preparing(on_loss: OnLoss, model: Model) -> Self {
        let workers = ["a", "b"].map(|name| (worker(name), "node".to_owned())).into();
        let (run, effects) = Run::new(RunId(1), spec(on_loss, model), workers, limits(), NOW);
        assert!(matches!(&effects[..], [Effect::Prepare(_, 0, 2), Effect::Prepare(_, 1, 2)]));
        Self { run, effects: Vec::new(), now: NOW }
    }

    fn running(on_loss: OnLoss) -> Self {
        let mut case = Self::preparing(on_loss, steady(10.0));
        case.begin();
        case
    }

    fn begin(&mut self) {
        for name in ["a", "b"] {
            self.run.ready(&worker(name), self.now, &mut self.effects);
        }
        assert_eq!(self.run.phase(), Phase::Running);
        self.effects.clear();
    }

    fn second(&mut self, name: &str, seq: u64, sent: u64) {
        self.now = self.now.max(NOW + START_LEAD + SEC * u32::try_from(seq + 1).unwrap());
        self.run.second(&worker(name), &second(seq, sent), self.now, &mut self.effects).unwrap();
    }

    fn report(&mut self, name: &str, intervals: u64, sent: u64) {
        let figures = figures(sent);
        let generator = Generator { verdict: GeneratorVerdict::Ok, reason: String::new() };
        let report = FinalReport { figures, intervals, generator };
        self.run.report(&worker(name), &report, self.now, &mut self.effects);
    }

    fn merged(&self) -> Vec<(u64, u64)> {
        let of = |effect: &Effect| match effect {
            Effect::Second(second) => Some((second.seq, second.figures.counts.sent)),
            Effect::Prepare(..) | Effect::Begin(..) | Effect::Stop(_) | Effect::Changed => None,
        };
        self.effects.iter().filter_map(of).collect()
    }

    fn generator(&self) -> Generator {
        self.run.snapshot().generator.unwrap()
    }
}

/// As many latencies of 1 ms as were sent.
fn figures(sent: u64) -> Figures {
    let mut figures = Figures { counts: Counts { sent, ..Counts::default() }, ..Figures::default() };
    for _ in 0..sent {
        figures.histograms.response.record_nanos(1_000_000);
    }
    figures
}

fn second(seq: u64, sent: u64) -> Second {
    let from_nsec = seq * 1_000_000_000;
    Second { seq, from_nsec, to_nsec: from_nsec + 1_000_000_000, draining: false, figures: figures(sent) }
}

#[test]
fn a_second_is_told_once_all_have_sent_it_and_the_sum_is_exact() {
    let mut case = Case::running(OnLoss::Abort);
    case.second("a", 0, 3);
    case.second("a", 1, 4);
    assert_eq!(case.merged(), []);
    case.second("b", 0, 5);
    assert_eq!(case.merged(), [(0, 8)]);
    case.second("b", 1, 6);
    case.report("a", 2, 7);
    case.report("b", 2, 11);
    assert_eq!(case.merged(), [(0, 8), (1, 10)]);
    let end = case.run.snapshot();
    assert_eq!((end.phase, end.totals.counts.sent), (Phase::Done, 18));
    assert_eq!(end.totals.histograms.response.count(), 18);
    assert_eq!(case.generator(), Generator { verdict: GeneratorVerdict::Ok, reason: String::new() });
}

#[test]
fn a_repeated_interval_counts_once() {
    let mut case = Case::running(OnLoss::Abort);
    for seq in [0, 0, 1, 0, 1] {
        case.second("a", seq, 2);
    }
    case.second("b", 0, 1);
    case.report("a", 2, 4);
    case.report("b", 1, 1);
    assert_eq!(case.run.snapshot().totals.counts.sent, 5);
    assert_eq!(case.generator().verdict, GeneratorVerdict::Ok);
}

#[test]
fn a_skipped_interval_or_a_final_report_that_is_not_the_sum_makes_the_run_invalid() {
    let mut skipped = Case::running(OnLoss::Abort);
    skipped.second("a", 0, 1);
    skipped.second("a", 2, 1);
    skipped.second("b", 0, 1);
    skipped.report("a", 3, 3);
    skipped.report("b", 1, 1);
    assert!(skipped.generator().reason.contains("a skipped interval 1"), "{:?}", skipped.generator());

    let mut wrong = Case::running(OnLoss::Abort);
    wrong.second("a", 0, 1);
    wrong.report("a", 1, 2);
    wrong.report("b", 0, 0);
    assert_eq!(wrong.run.phase(), Phase::Done);
    assert_eq!(wrong.generator().verdict, GeneratorVerdict::Invalid);
    assert!(wrong.generator().reason.contains("final report of a"), "{:?}", wrong.generator());
}

#[test]
fn an_interval_of_a_future_second_or_before_the_start_is_refused() {
    let mut case = Case::preparing(OnLoss::Abort, steady(1.0));
    assert!(case.run.second(&worker("a"), &second(0, 1), NOW, &mut case.effects).is_err());
    case.begin();
    let far = second(SECONDS_AHEAD + 1, 1);
    let error = case.run.second(&worker("a"), &far, NOW + START_LEAD, &mut case.effects).unwrap_err();
    assert!(error.to_string().contains("interval.seq"), "{error}");
}

#[test]
fn who_is_not_ready_in_time_is_named() {
    let mut case = Case::preparing(OnLoss::Degrade, steady(1.0));
    case.run.ready(&worker("a"), NOW, &mut case.effects);
    case.run.tick(NOW + limits().prepare - Duration::from_nanos(1), &mut case.effects);
    assert_eq!(case.run.phase(), Phase::Preparing);
    case.run.tick(NOW + limits().prepare, &mut case.effects);
    let end = case.run.snapshot();
    assert_eq!((end.phase, end.reason.as_str()), (Phase::Failed, "not ready within 30 s: b"));
    assert!(case.effects.contains(&Effect::Stop(worker("a"))));
}

#[test]
fn a_lost_worker_fails_the_run_or_leaves_it_limited_as_the_spec_says() {
    let mut abort = Case::running(OnLoss::Abort);
    abort.run.lost(&worker("b"), "its stream ended", abort.now, &mut abort.effects);
    assert_eq!(abort.run.phase(), Phase::Failed);
    assert_eq!(abort.run.snapshot().reason, "worker b was lost: its stream ended");
    assert!(abort.effects.contains(&Effect::Stop(worker("a"))));

    let mut degrade = Case::running(OnLoss::Degrade);
    degrade.second("a", 0, 2);
    degrade.run.lost(&worker("b"), "its stream ended", degrade.now, &mut degrade.effects);
    assert_eq!(degrade.merged(), [(0, 2)]);
    degrade.report("a", 1, 2);
    let end = degrade.run.snapshot();
    assert_eq!((end.phase, end.workers[1].2), (Phase::Done, true));
    assert_eq!(degrade.generator().verdict, GeneratorVerdict::Limited);
    assert!(degrade.generator().reason.contains("b was lost"));
}

#[test]
fn a_run_whose_workers_are_all_lost_has_failed_under_any_policy() {
    let mut case = Case::running(OnLoss::Degrade);
    for name in ["a", "b"] {
        case.run.lost(&worker(name), "its stream ended", case.now, &mut case.effects);
    }
    assert_eq!(case.run.phase(), Phase::Failed);
    assert!(case.run.snapshot().reason.contains("worker b was lost"));
}

#[test]
fn a_worker_too_far_behind_the_others_is_lost() {
    let mut case = Case::running(OnLoss::Degrade);
    for seq in 0..=u64::try_from(SECONDS_BEHIND).unwrap() {
        case.second("a", seq, 1);
    }
    assert_eq!(case.merged().len(), SECONDS_BEHIND + 1);
    assert!(case.run.snapshot().workers[1].2);
}

#[test]
fn a_stopped_run_keeps_what_was_sent_and_waits_for_the_reports() {
    let mut case = Case::running(OnLoss::Abort);
    case.second("a", 0, 3);
    case.second("b", 0, 3);
    case.run.stop(case.now, &mut case.effects);
    assert_eq!(case.run.phase(), Phase::Stopping);
    case.report("a", 1, 3);
    case.report("b", 1, 3);
    let end = case.run.snapshot();
    assert_eq!((end.phase, end.totals.counts.sent), (Phase::Stopped, 6));
    assert_eq!(case.generator().verdict, GeneratorVerdict::Ok);
}

#[test]
fn a_run_ends_even_if_nobody_reports() {
    let mut case = Case::running(OnLoss::Abort);
    let latest = NOW + START_LEAD + SEC * 4 + FINAL_GRACE;
    case.run.tick(latest, &mut case.effects);
    assert_eq!(case.run.phase(), Phase::Failed);
    assert_eq!(case.run.snapshot().reason, "worker a was lost: no final report");
}

#[test]
fn a_closed_model_that_goes_over_the_cap_is_ended() {
    let mut case = Case::preparing(OnLoss::Abort, Model::Closed { in_flight: 4 });
    case.begin();
    case.second("a", 0, 60);
    case.second("b", 0, 60);
    assert_eq!(case.run.phase(), Phase::Failed);
    assert!(case.run.snapshot().reason.contains("load.max_rate_per_sec"));
}
