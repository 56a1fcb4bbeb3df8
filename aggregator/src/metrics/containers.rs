//! Containers of models and of their suspects.

use std::collections::{BTreeMap, HashMap};

use berth::Group;
use berth_core::{
    history::SubjectId,
    node::{Peaks, SubjectView},
    who::{Role, Who},
};

use super::{
    Labels,
    exposition::{Exposition, Kind},
    seconds,
};
use crate::ingest::{Published, Waits};

/// Containers with series of their own: eight series each is 40,000, which a scrape of one target may
/// still have by Prometheus' usual limits.
const CONTAINERS: usize = 5_000;

#[derive(Debug, Default)]
struct Row {
    role: &'static str,
    cpu_usec: Option<u64>,
    memory_bytes: Option<u64>,
    peaks: Peaks,
    waits: Option<Waits>,
}

pub(super) fn write(out: &mut Exposition, nodes: &[Published]) {
    let mut rows: BTreeMap<Labels<'_>, Row> = BTreeMap::new();
    let mut left_out = 0_u64;
    for node in nodes {
        let newest = newest(node);
        for (subject, who) in watched(node) {
            let labels = Labels::of(node, who);
            if rows.len() == CONTAINERS && !rows.contains_key(&labels) {
                left_out += 1;
                continue;
            }
            rows.entry(labels).or_default().add(subject, who, &newest, node.waits.get(&subject.id));
        }
    }
    let help = "Containers of models and scanners that have series of their own at most.";
    out.single(Kind::Gauge, "berth_container_series_limit", help, CONTAINERS as f64);
    let help = "Containers of models and scanners that have no series because of the limit.";
    out.single(Kind::Gauge, "berth_container_series_left_out", help, left_out as f64);
    values(out, &rows);
    waits(out, &rows);
}

/// What is live and has a role that matters.
fn watched(node: &Published) -> impl Iterator<Item = (&SubjectView, &Who)> {
    let live = node.view.subjects.iter().filter(|subject| subject.live);
    let named = live.filter_map(|subject| Some((subject, subject.who.as_deref()?)));
    named.filter(|(_, who)| matches!(who.role, Role::Model | Role::Scanner))
}

/// The newest CPU time and memory of each container of a node.
fn newest(node: &Published) -> HashMap<(SubjectId, Group), u64> {
    let wanted = |group: Group| matches!(group, Group::ContainerCpu | Group::ContainerMemory);
    let values = node.view.history.newest().filter(|(key, _)| wanted(key.group));
    let first = |values: Vec<Option<i64>>| values.first().copied().flatten();
    values
        .filter_map(|(key, values)| Some(((key.subject, key.group), u64::try_from(first(values)?).ok()?)))
        .collect()
}

fn sum(total: &mut Option<u64>, more: Option<&u64>) {
    if let Some(more) = more {
        *total = Some(total.unwrap_or(0).saturating_add(*more));
    }
}

impl Row {
    fn add(
        &mut self,
        subject: &SubjectView,
        who: &Who,
        newest: &HashMap<(SubjectId, Group), u64>,
        waits: Option<&Waits>,
    ) {
        self.role = who.role.name();
        sum(&mut self.cpu_usec, newest.get(&(subject.id, Group::ContainerCpu)));
        sum(&mut self.memory_bytes, newest.get(&(subject.id, Group::ContainerMemory)));
        let peaks = &mut self.peaks;
        peaks.cpu_millicpu_max_1s = peaks.cpu_millicpu_max_1s.max(subject.peaks.cpu_millicpu_max_1s);
        peaks.memory_bytes_max = peaks.memory_bytes_max.max(subject.peaks.memory_bytes_max);
        if let Some(more) = waits {
            let total = self.waits.get_or_insert_default();
            total.run_nsec = total.run_nsec.saturating_add(more.run_nsec);
            total.throttled_nsec = total.throttled_nsec.saturating_add(more.throttled_nsec);
            total.contended_nsec = total.contended_nsec.saturating_add(more.contended_nsec);
        }
    }
}

type Value = fn(&Row) -> Option<f64>;

fn values(out: &mut Exposition, rows: &BTreeMap<Labels<'_>, Row>) {
    let families: [(Kind, &str, &str, Value); 4] = [
        (Kind::Counter, "berth_container_cpu_seconds_total", "CPU time used.", |row| {
            row.cpu_usec.map(|usec| usec as f64 / 1e6)
        }),
        (Kind::Gauge, "berth_container_memory_bytes", "Memory charged.", |row| {
            row.memory_bytes.map(|bytes| bytes as f64)
        }),
        (
            Kind::Gauge,
            "berth_container_cpu_peak_cores",
            "The largest CPU use over one second since the container was first seen.",
            |row| row.peaks.cpu_millicpu_max_1s.map(|millicpu| millicpu as f64 / 1e3),
        ),
        (
            Kind::Gauge,
            "berth_container_memory_peak_bytes",
            "The most memory that was charged since the container was first seen.",
            |row| row.peaks.memory_bytes_max.map(|bytes| bytes as f64),
        ),
    ];
    for (kind, name, help, value) in families {
        let mut family = out.family(kind, name, help);
        for (labels, row) in rows {
            let [node, namespace, pod, container] = labels.pairs();
            if let Some(value) = value(row) {
                family.sample(&[node, namespace, pod, container, ("role", row.role)], value);
            }
        }
    }
}

fn waits(out: &mut Exposition, rows: &BTreeMap<Labels<'_>, Row>) {
    let known = || rows.iter().filter_map(|(labels, row)| row.waits.map(|waits| (labels.pairs(), waits)));
    let help = "CPU time of the model's threads while they were watched.";
    let mut family = out.family(Kind::Counter, "berth_model_run_seconds_total", help);
    for (labels, waits) in known() {
        family.sample(&labels, seconds(waits.run_nsec));
    }
    let help = "Time that the model's threads waited for a CPU: throttled by a CPU limit, or contended.";
    let mut family = out.family(Kind::Counter, "berth_model_wait_seconds_total", help);
    for ([node, namespace, pod, container], waits) in known() {
        for (kind, nsec) in [("throttled", waits.throttled_nsec), ("contended", waits.contended_nsec)] {
            family.sample(&[node, namespace, pod, container, ("kind", kind)], seconds(nsec));
        }
    }
}
