//! The aggregator itself.

use rustix::{
    param::page_size,
    time::{ClockId, clock_gettime},
};

use super::{
    Metrics,
    exposition::{Exposition, Kind},
};
use crate::counters::Counters;

pub(super) fn write(out: &mut Exposition, metrics: &Metrics) {
    out.family(Kind::Gauge, "berth_aggregator_info", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    out.single(
        Kind::Counter,
        "berth_aggregator_cpu_seconds_total",
        "CPU time that the aggregator used.",
        cpu_seconds(),
    );
    if let Some(bytes) = resident_bytes() {
        let help = "Memory that the aggregator holds.";
        out.single(Kind::Gauge, "berth_aggregator_resident_memory_bytes", help, bytes);
    }
    let counters = &metrics.counters;
    for (name, help, counter) in [
        ("berth_ingest_streams_total", "Streams of agents that began.", &counters.streams),
        (
            "berth_ingest_streams_refused_total",
            "Streams of agents that were closed because they broke the contract.",
            &counters.streams_refused,
        ),
        (
            "berth_ingest_takeovers_total",
            "Streams of agents that a newer one of the same node replaced.",
            &counters.takeovers,
        ),
        ("berth_token_reviews_total", "Tokens that the API server was asked about.", &counters.token_reviews),
        (
            "berth_calls_refused_total",
            "Calls that were refused for their token, or for want of one.",
            &counters.tokens_refused,
        ),
    ] {
        out.single(Kind::Counter, name, help, Counters::get(counter) as f64);
    }
    if let Some(age) = metrics.nodes.names().and_then(|view| view.age()) {
        let help = "How old what is known of the cluster is; 0 while the API server answers and every watch goes on.";
        out.single(Kind::Gauge, "berth_cluster_view_age_seconds", help, age.as_secs_f64());
    }
    let load = metrics.load.sizes();
    for (name, help, value) in [
        ("berth_load_workers", "Load workers that are connected.", load.workers),
        ("berth_load_runs", "Load runs that go on.", load.runs),
        ("berth_load_payload_bytes", "Payloads that are kept for load workers.", load.payload_bytes),
    ] {
        out.single(Kind::Gauge, name, help, value as f64);
    }
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// The second number of /proc/self/statm, in pages (the kernel's fs/proc/array.c, `proc_pid_statm`).
fn resident_bytes() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pages * page_size()) as f64)
}
