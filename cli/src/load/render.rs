//! A run as text: hey's report in hey's layout, then what hey does not tell.
//!
//! Latencies are those from when a request was due, where hey's are those from when it was sent: they are
//! the same as long as nothing waits for a connection. What was not measured has no line.

use berth_loadgen::{Ended, ErrorClass, Latencies, Quantiles};

use super::report::{Report, Word};
use crate::text;
use crate::view::plain;

/// Rows of the histogram: hey's.
const ROWS: usize = 11;

/// What the longest bar of the histogram is made of: hey's.
const BAR_CHARS: u64 = 40;

/// A shorter wait for a connection is that of opening one.
const WAITED_USEC: u64 = 1_000;

/// Percentiles that are shown: hey's.
const PERCENTILES: [u32; 7] = [10, 25, 50, 75, 90, 95, 99];

pub(super) fn report(report: &Report) -> String {
    let mut page = summary(report);
    if report.completed > 0 {
        page += &histogram(&report.response);
        page += &distribution(&report.response);
        page += &details(report);
    }
    page += &statuses(report);
    page += &errors(report);
    page + &honesty(report)
}

fn secs(usec: f64) -> String {
    format!("{:.4} secs", usec / 1e6)
}

fn summary(report: &Report) -> String {
    let response = &report.response_usec;
    let mut lines = vec![("Total", format!("{:.4} secs", report.duration_seconds))];
    let usec = |value: Option<u64>| value.map(|usec| secs(usec as f64));
    let known = [
        ("Slowest", usec(response.max_usec)),
        ("Fastest", usec(response.min_usec)),
        ("Average", response.mean_usec.map(secs)),
    ];
    lines.extend(known.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines.push(("Requests/sec", format!("{:.4}", report.throughput_rps)));
    let mut page = String::from("\nSummary:\n");
    push(&mut page, &lines);
    let answers = report.statuses.values().sum::<u64>();
    if report.received_bytes > 0 && answers > 0 {
        let total = ("Total data", format!("{} bytes", report.received_bytes));
        page += "  \n";
        push(&mut page, &[total, ("Size/request", format!("{} bytes", report.received_bytes / answers))]);
    }
    page
}

fn push(page: &mut String, lines: &[(&str, String)]) {
    page.extend(lines.iter().map(|(name, value)| format!("  {name}:\t{value}\n")));
}

/// Equal parts of the way from the fastest to the slowest; each row counts what is above the row before.
fn histogram(latencies: &Latencies) -> String {
    let fastest = latencies.buckets().next().map_or(0, |(usec, _)| usec);
    let slowest = latencies.quantile_usec(1.0).unwrap_or(0);
    let upper = |row: usize| fastest + (slowest - fastest) * row as u64 / (ROWS as u64 - 1);
    let mut counts = [0; ROWS];
    for (usec, count) in latencies.buckets() {
        let row = (0..ROWS - 1).take_while(|row| usec > upper(*row)).count();
        counts[row] += count;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut page = String::from("\nResponse time histogram:\n");
    page.extend(counts.iter().enumerate().map(|(row, count)| {
        let bar = "■".repeat(usize::try_from((count * BAR_CHARS + most / 2) / most).unwrap_or(0));
        format!("  {:.3} [{count}]\t|{bar}\n", upper(row) as f64 / 1e6)
    }));
    page
}

fn distribution(latencies: &Latencies) -> String {
    let mut page = String::from("\n\nLatency distribution:\n");
    page.extend(PERCENTILES.iter().filter_map(|percent| {
        let usec = latencies.quantile_usec(f64::from(*percent) / 100.0)?;
        Some(format!("  {percent}% in {}\n", secs(usec as f64)))
    }));
    page
}

/// hey's "DNS-lookup" and "req write" are not measured: a name is looked up once, before the run.
fn details(report: &Report) -> String {
    let rows = [("DNS+dialup", &report.connect_usec), ("resp wait", &report.first_byte_usec)];
    let mut page = String::from("\nDetails (average, fastest, slowest):\n");
    page.extend(rows.into_iter().filter_map(|(name, quantiles)| {
        let (mean, min, max) = (quantiles.mean_usec?, quantiles.min_usec?, quantiles.max_usec?);
        Some(format!("  {name}:\t{}, {}, {}\n", secs(mean), secs(min as f64), secs(max as f64)))
    }));
    page
}

fn statuses(report: &Report) -> String {
    let mut page = String::new();
    if !report.statuses.is_empty() {
        page += "\nStatus code distribution:\n";
    }
    page.extend(report.statuses.iter().map(|(status, count)| format!("  [{status}]\t{count} responses\n")));
    page
}

fn errors(report: &Report) -> String {
    let failed: Vec<_> = ErrorClass::ALL.into_iter().filter(|class| report.errors.of(*class) > 0).collect();
    let mut page = String::new();
    if !failed.is_empty() {
        page += "\nError distribution:\n";
    }
    page.extend(failed.into_iter().map(|class| {
        let example = report.examples.get(&class).map(|example| format!(", such as: {}", plain(example)));
        format!("  [{}]\t{}{}\n", report.errors.of(class), class.name(), example.unwrap_or_default())
    }));
    page
}

/// What the figures above are worth.
fn honesty(report: &Report) -> String {
    let mut page = text::Page::default();
    page.line("load", &load(report));
    page.line(
        "requests",
        &format!(
            "{} due, {} sent, {} succeeded, {} failed, {} dropped, {} without an answer at the end",
            report.scheduled,
            report.sent,
            report.completed,
            report.errors.total(),
            report.dropped,
            report.censored,
        ),
    );
    for (name, quantiles) in [
        ("response", &report.response_usec),
        ("service", &report.service_usec),
        ("send lag", &report.send_lag_usec),
        ("pacing lag", &report.pacing_lag_usec),
    ] {
        page.line(name, &quantiles_line(quantiles));
    }
    if let Some(waited) = waited(report) {
        page.line("connections", &waited);
    }
    for objective in &report.objectives {
        page.line("objective", &objective.to_string());
    }
    page.line("generator", &generator(report));
    format!("\nBeside hey's report, from when each request was due:\n{}", page.finish())
}

/// That requests waited because every connection was busy: their response time has it, their service time
/// not.
fn waited(report: &Report) -> Option<String> {
    let (send, pacing) = (report.send_lag_usec.p99_usec?, report.pacing_lag_usec.p99_usec?);
    let waited_usec = send.saturating_sub(pacing);
    (waited_usec > WAITED_USEC).then(|| {
        format!(
            "1 in 100 requests waited {:.1} ms or more, as all {} were busy; -c allows more",
            waited_usec as f64 / 1e3,
            report.connections
        )
    })
}

fn quantiles_line(quantiles: &Quantiles) -> String {
    let Quantiles { p50_usec, p99_usec, p999_usec, max_usec, .. } = *quantiles;
    let known = [("p50", p50_usec), ("p99", p99_usec), ("p99.9", p999_usec), ("max", max_usec)];
    let words = known.map(|(name, usec)| match usec {
        Some(usec) => format!("{name} {:.2} ms", usec as f64 / 1e3),
        None => format!("{name} {}", text::NONE),
    });
    words.join(", ")
}

fn load(report: &Report) -> String {
    let model = match (&report.rate, report.poisson_seed, report.in_flight) {
        (Some(rate), None, _) => format!("{rate} requests/s, open"),
        (Some(rate), Some(seed), _) => format!("{rate} requests/s at random times of seed {seed}, open"),
        (None, _, in_flight) => format!("{} requests in flight, closed", in_flight.unwrap_or_default()),
    };
    let ended = match report.ended {
        Ended::Completed => "",
        Ended::Stopped => ", stopped before its end",
    };
    let judged = match report.check {
        "predict" => "a success has as many predictions as were asked for",
        _ => "any 2xx is a success",
    };
    format!("{model}, over at most {} connections{ended}; {judged}", report.connections)
}

fn generator(report: &Report) -> String {
    let reason = report.reason.as_deref().unwrap_or_default();
    match report.verdict {
        Word::Ok => {
            format!("ok: it kept its schedule with {} of its thread", text::percent(report.cpu_share))
        }
        Word::GeneratorLimited => {
            format!("GENERATOR_LIMITED: these figures are not the target's, as {reason}")
        }
        Word::Invalid => format!("INVALID: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use berth_loadgen::{
        Check, Generator, Model, Outcome, RequestHead, SpecDraft, Stripe, Tally, TlsDraft, Totals,
    };
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn sample(change: impl Fn(&mut Totals)) -> Report {
        let mut totals = Totals::default();
        totals.load.span_nanos = 2_000_000_000;
        totals.load.generator = Generator { cpu_usec: 50_000, throttled_usec: None };
        let tally = &mut totals.load.tally;
        (tally.counts.scheduled, tally.counts.sent, tally.counts.completed) = (100, 100, 100);
        (tally.statuses, tally.received_bytes) = (BTreeMap::from([(200, 100)]), 3_100);
        for millis in 1..=100 {
            tally.response.record_nanos(millis * 1_000_000);
            tally.service.record_nanos(millis * 500_000);
            tally.first_byte.record_nanos(millis * 400_000);
        }
        tally.connect.record_nanos(200_000);
        change(&mut totals);
        let draft = SpecDraft {
            target_url: "http://127.0.0.1:5111/predict".to_owned(),
            model: Model::steady(50.0).unwrap(),
            duration: Duration::from_secs(2),
            connections: 100,
            request_timeout: Duration::from_secs(1),
            drain: Duration::from_secs(1),
            check: Check::PredictApi,
            stripe: Stripe::WHOLE,
            requests: None,
            head: RequestHead::default(),
            tls: TlsDraft::default(),
        };
        let outcome = Outcome {
            ended: Ended::Completed,
            start: berth_loadgen::MonoNanos(1),
            totals,
            censored_age: Latencies::default(),
            examples: BTreeMap::new(),
        };
        Report::new(draft, outcome, std::iter::empty())
    }

    #[test]
    fn a_run_reads_like_heys_and_then_says_whether_to_believe_it() {
        insta::assert_snapshot!(report(&sample(|_| ())));
    }

    #[test]
    fn a_wait_for_connections_is_told_and_is_not_the_generators_fault() {
        let busy = sample(|totals| {
            totals.load.tally.pacing_lag.record_nanos(50_000);
            totals.load.tally.send_lag.record_nanos(400_000_000);
        });
        let text = report(&busy);
        assert!(text.contains("waited 400.1 ms or more, as all 100 were busy"), "{text}");
        assert!(text.contains("generator   ok"), "{text}");
    }

    #[test]
    fn figures_that_are_the_generators_own_are_called_so() {
        let limited = sample(|totals| totals.load.tally.counts.dropped = 3);
        assert!(report(&limited).contains("GENERATOR_LIMITED: these figures are not the target's"));
        let silent = sample(|totals| {
            totals.load.tally = Tally::default();
            totals.load.tally.counts.scheduled = 9;
        });
        let text = report(&silent);
        assert!(text.contains("INVALID: no request succeeded") && !text.contains("histogram"), "{text}");
    }
}
