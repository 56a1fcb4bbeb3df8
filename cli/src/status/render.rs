//! A status as ten lines, and as a table of nodes for those with room.

use std::collections::BTreeMap;

use berth::wire::Tier;

use super::model::{Degraded, NodeState, Sees, Status};
use crate::cluster::pods::PodState;
use crate::text::{self, NONE, Page};
use crate::view::word::Word;

/// Lines of the short form: what fits beside a prompt.
const LINES: usize = 10;

/// Lines about what nodes let us see: two are left for what is degraded.
const SIGHTS_SHOWN: usize = 3;

/// Names in one line; the wide form has them all.
const NAMES_SHOWN: usize = 3;

pub(super) fn status(status: &Status, wide: bool) -> String {
    let mut lines: Vec<(&str, String)> = vec![
        ("aggregator", aggregator(status)),
        ("nodes", reporting(&status.nodes)),
        ("workers", workers(status.workers.as_deref())),
        ("models", models(status)),
    ];
    let mut label = "sees";
    for line in sights(&status.nodes) {
        lines.push((std::mem::take(&mut label), line));
    }
    lines.extend(missed(&status.nodes).map(|missed| ("missed", missed)));
    let room = if wide { usize::MAX } else { LINES.saturating_sub(lines.len()).max(1) };
    let mut label = "degraded";
    for line in degraded(&status.degraded, room) {
        lines.push((std::mem::take(&mut label), line));
    }
    let mut page = Page::default();
    for (label, line) in &lines {
        page.line(label, line);
    }
    let mut page = page.finish();
    if wide && !status.nodes.is_empty() {
        page.push('\n');
        text::add_table(&mut page, &table(&status.nodes), []);
    }
    page
}

fn aggregator(status: &Status) -> String {
    match (&status.aggregator, &status.context) {
        (Some(pod), _) if pod.ready => {
            let started = pod.started.map_or_else(|| NONE.to_owned(), |started| started.to_string());
            let version = if pod.version.is_empty() { NONE } else { &pod.version };
            format!("{} on {}, version {version}, up since {started}", pod.pod, pod.node)
        }
        (Some(pod), _) => format!("{} is not ready: {}", pod.pod, pod.reason),
        (None, Some(context)) => format!("none in context {context}"),
        (None, None) => "answers".to_owned(),
    }
}

fn reporting(nodes: &[NodeState]) -> String {
    let report = nodes.iter().filter(|node| node.reports);
    let versions = report.clone().map(|node| node.agent_version.as_str());
    let mut versions: Vec<&str> = versions.filter(|version| !version.is_empty()).collect();
    versions.sort_unstable();
    versions.dedup();
    let versions =
        if versions.is_empty() { String::new() } else { format!(", agent {}", versions.join(", ")) };
    format!("{} of {} report{versions}", report.count(), nodes.len())
}

fn workers(workers: Option<&[PodState]>) -> String {
    match workers {
        None => NONE.to_owned(),
        Some([]) => "none, as long as nobody scales berth-loadgen up".to_owned(),
        Some(pods) => format!("{} of {} ready", pods.iter().filter(|pod| pod.ready).count(), pods.len()),
    }
}

fn models(status: &Status) -> String {
    match &status.models {
        None => NONE.to_owned(),
        Some(models) if models.hurt == 0 => format!("{}, none is hurt", models.known),
        Some(models) => format!("{}, {} hurt: `berth report` says by whom", models.known, models.hurt),
    }
}

/// Nodes that let us see the same in one line, the best sight first.
fn sights(nodes: &[NodeState]) -> Vec<String> {
    let mut by_sight: BTreeMap<(Tier, String), Vec<&str>> = BTreeMap::new();
    for node in nodes {
        if let Some(sees) = &node.sees {
            by_sight.entry((sees.tier, sight(sees))).or_default().push(&node.node);
        }
    }
    let kinds = by_sight.len();
    let lines = by_sight.into_iter().map(|((_, sight), nodes)| format!("{}: {sight}", names(&nodes)));
    if kinds <= SIGHTS_SHOWN {
        return lines.collect();
    }
    let more = format!("{} more kinds of node: -o wide names them", kinds + 1 - SIGHTS_SHOWN);
    lines.take(SIGHTS_SHOWN - 1).chain([more]).collect()
}

fn sight(sees: &Sees) -> String {
    let waits = match sees.tier {
        Tier::Threads => "each thread's wait",
        Tier::Pressure => "pressure, no thread's wait",
        Tier::Usage => "use only, no wait",
        Tier::Unspecified => "unknown",
    };
    let mut sight = format!("{waits}, cgroup {}", sees.cgroup.word());
    if !sees.pressure && sees.tier == Tier::Threads {
        sight.push_str(", no pressure");
    }
    if sees.hidden_processes > 0 {
        sight.push_str(", some processes hidden");
    }
    sight
}

fn names(nodes: &[&str]) -> String {
    let shown = nodes.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
    match nodes.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn missed(nodes: &[NodeState]) -> Option<String> {
    let missing: Vec<&str> =
        nodes.iter().filter(|node| node.missed_ticks > 0).map(|node| &*node.node).collect();
    let ticks: u64 = nodes.iter().map(|node| node.missed_ticks).sum();
    (ticks > 0).then(|| format!("{ticks} ticks on {}", names(&missing)))
}

fn degraded(all: &[Degraded], room: usize) -> Vec<String> {
    if all.is_empty() {
        return vec!["nothing".to_owned()];
    }
    let shown = if all.len() > room { room.saturating_sub(1) } else { all.len() };
    let mut lines: Vec<String> = all.iter().take(shown).map(line).collect();
    if shown < all.len() {
        lines.push(format!("{} more: -o wide names them", all.len() - shown));
    }
    lines
}

fn line(degraded: &Degraded) -> String {
    let since = degraded.since.map(|since| format!(" (since {since})")).unwrap_or_default();
    degraded.what.clone() + &since
}

fn table(nodes: &[NodeState]) -> comfy_table::Table {
    let header = ["NODE", "REPORTS", "LAST SAMPLE", "AGENT", "SEES", "GPUS", "HIDDEN", "MISSED TICKS"];
    let mut table = text::table(&header, &[5, 6, 7]);
    for node in nodes {
        let sees = node.sees.as_ref();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        table.add_row([
            node.node.clone(),
            if node.reports { "yes" } else { "no" }.to_owned(),
            or_none(node.last_sample.map(|time| time.to_string())),
            or_none(Some(node.agent_version.clone()).filter(|version| !version.is_empty())),
            or_none(sees.map(|sees| sees.tier.word())),
            or_none(sees.map(|sees| sees.gpus.to_string())),
            or_none(sees.map(|sees| sees.hidden_processes.to_string())),
            node.missed_ticks.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::model::tests::{facts, heard, pod};

    #[test]
    fn all_is_green_where_every_node_reports() {
        let mut facts = facts();
        let cluster = facts.cluster.as_mut().unwrap();
        cluster.nodes = Ok(vec!["node-a".to_owned(), "node-c".to_owned()]);
        cluster.workers = vec![pod("berth-loadgen-0", "node-c", true)];
        facts.answers.as_mut().unwrap().nodes =
            vec![heard("node-a", true, true), heard("node-c", true, false)];
        insta::assert_snapshot!(status(&Status::of(facts), false));
    }

    #[test]
    fn what_is_degraded_comes_with_its_time() {
        insta::assert_snapshot!(status(&Status::of(facts()), true));
    }

    #[test]
    fn a_large_fleet_in_trouble_still_takes_ten_lines() {
        let mut facts = facts();
        let names = (0..500).map(|n| format!("node-{n:03}")).collect();
        facts.cluster.as_mut().unwrap().nodes = Ok(names);
        let page = status(&Status::of(facts), false);
        assert_eq!(page.lines().count(), LINES, "{page}");
        assert!(page.contains("more: -o wide names them"), "{page}");
    }

    #[test]
    fn without_a_cluster_the_aggregator_answers_and_nobody_knows_more() {
        let mut facts = facts();
        facts.cluster = None;
        insta::assert_snapshot!(status(&Status::of(facts), false));
    }
}
