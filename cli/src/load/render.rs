//! A run as text: what was sent, what came back, how fast, and whether to believe it.

use berth_loadgen::{Ended, ErrorClass, Quantiles, Verdict};

use super::report::Report;
use crate::text::{self, NONE, Page};
use crate::view::plain;

pub(super) fn report(report: &Report) -> String {
    let summary = &report.summary;
    let counts = &summary.counts;
    let mut page = Page::default();
    page.line("target", &report.target);
    page.line("load", &load(report));
    page.line(
        "requests",
        &format!(
            "{} due, {} sent, {} succeeded, {} failed, {} dropped, {} without an answer at the end",
            counts.scheduled,
            counts.sent,
            counts.completed,
            counts.errors.total(),
            counts.dropped,
            counts.censored,
        ),
    );
    page.line(
        "throughput",
        &format!("{:.1} successes/s over {:.1}s", summary.throughput_per_sec, summary.load_sec),
    );
    for class in ErrorClass::ALL.into_iter().filter(|class| counts.errors.of(*class) > 0) {
        let example = report.examples.get(&class).map(|example| format!(", such as: {}", plain(example)));
        let count = counts.errors.of(class);
        page.line("errors", &format!("{count} {}{}", class.name(), example.unwrap_or_default()));
    }
    for objective in &report.objectives {
        page.line("objective", &objective.to_string());
    }
    page.line("generator", &generator(report));
    page.finish() + "\n" + &latencies(report)
}

fn load(report: &Report) -> String {
    let model = match (report.rate_per_sec, report.in_flight) {
        (Some(rate), _) => format!("{rate} requests/s, open"),
        (None, in_flight) => format!("{} requests in flight, closed", in_flight.unwrap_or_default()),
    };
    let ended = match report.ended {
        Ended::Completed => "",
        Ended::Stopped => ", stopped before its end",
    };
    format!("{model}, for {}s over at most {} connections{ended}", report.duration_sec, report.connections)
}

fn generator(report: &Report) -> String {
    match &report.summary.generator {
        Verdict::Ok if report.summary.counts.completed == 0 => "INVALID: no request succeeded".to_owned(),
        Verdict::Ok => {
            format!("ok: it kept its schedule with {} of its thread", text::percent(report.summary.cpu_share))
        }
        Verdict::GeneratorLimited { reason } => {
            format!("GENERATOR_LIMITED: these figures are not the target's, as {reason}")
        }
    }
}

fn latencies(report: &Report) -> String {
    let summary = &report.summary;
    let rows = [
        ("response, from when it was due", &summary.response),
        ("service, from when it was sent", &summary.service),
        ("first byte, from when it was sent", &summary.first_byte),
        ("send lag, from due to sent", &summary.send_lag),
        ("connect", &summary.connect),
    ];
    let header = ["MILLISECONDS", "MEAN", "P50", "P90", "P95", "P99", "P99.9", "MAX"];
    let mut table = text::table(&header, &[1, 2, 3, 4, 5, 6, 7]);
    for (name, quantiles) in rows {
        table.add_row(row(name, quantiles));
    }
    let mut page = String::new();
    text::add_table(&mut page, &table, []);
    page
}

fn row(name: &str, quantiles: &Quantiles) -> [String; 8] {
    let Quantiles { count: _, mean_usec, p50_usec, p90_usec, p95_usec, p99_usec, p999_usec, max_usec } =
        *quantiles;
    let mean = mean_usec.map_or_else(|| NONE.to_owned(), |usec| format!("{:.2}", usec / 1e3));
    let msec =
        |usec: Option<u64>| usec.map_or_else(|| NONE.to_owned(), |usec| format!("{:.2}", usec as f64 / 1e3));
    let [p50, p90, p95, p99, p999, max] =
        [p50_usec, p90_usec, p95_usec, p99_usec, p999_usec, max_usec].map(msec);
    [name.to_owned(), mean, p50, p90, p95, p99, p999, max]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_loadgen::{Generator, Summary, Totals};

    use super::*;

    fn sample() -> Report {
        let mut totals = Totals::default();
        totals.load.span_nanos = 2_000_000_000;
        totals.load.generator = Generator { cpu_usec: 50_000, throttled_usec: None };
        let tally = &mut totals.load.tally;
        (tally.counts.scheduled, tally.counts.sent, tally.counts.completed) = (100, 100, 100);
        for millis in 1..=100 {
            tally.response.record_nanos(millis * 1_000_000);
            tally.service.record_nanos(millis * 500_000);
        }
        Report {
            target: "http://127.0.0.1:5111/predict".to_owned(),
            rate_per_sec: Some(50.0),
            in_flight: None,
            duration_sec: 2.0,
            connections: 100,
            ended: Ended::Completed,
            objectives: Vec::new(),
            summary: Summary::of(&totals),
            examples: BTreeMap::new(),
        }
    }

    #[test]
    fn a_run_reads_from_what_was_sent_to_whether_to_believe_it() {
        insta::assert_snapshot!(report(&sample()));
    }

    #[test]
    fn figures_that_are_the_generators_own_are_called_so() {
        let mut limited = sample();
        let reason = berth_loadgen::Limit::Dropped { requests: 3 };
        limited.summary.generator = Verdict::GeneratorLimited { reason };
        assert!(report(&limited).contains("GENERATOR_LIMITED: these figures are not the target's"));
        let mut silent = sample();
        silent.summary.counts.completed = 0;
        assert!(report(&silent).contains("INVALID: no request succeeded"));
    }
}
