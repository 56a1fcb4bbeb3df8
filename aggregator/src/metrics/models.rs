//! How the models fare, and what was found.

use std::collections::BTreeMap;

use berth_core::contention::{Cause, Episode};

use super::{
    Labels,
    exposition::{Exposition, Kind},
};
use crate::{
    ingest::Published,
    journal::{Journal, cause_name},
};

pub(super) fn episodes(out: &mut Exposition, journal: &Journal) {
    let (open, newest) = {
        let ledger = journal.read();
        (ledger.open(), ledger.newest())
    };
    let name = |episode: &Episode| (verdict(episode), severity(episode));
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for revised in &open {
        *counts.entry(name(&revised.episode)).or_default() += 1;
    }
    let help = "Episodes that have not cleared.";
    let mut family = out.family(Kind::Gauge, "berth_episodes_open", help);
    for ((verdict, severity), count) in &counts {
        family.sample(&[("verdict", verdict), ("severity", severity)], *count as f64);
    }
    let help = "Changes of episodes.";
    out.single(Kind::Counter, "berth_episode_revisions_total", help, newest as f64);
    let help = "Closed episodes that could not be written under --data-dir.";
    let lost = journal.lost_lines() as f64;
    out.single(Kind::Counter, "berth_episode_lines_lost_total", help, lost);
}

/// The names of the contract, as JSON spells them.
fn spelt(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

fn verdict(episode: &Episode) -> String {
    spelt(&episode.verdict)
}

fn severity(episode: &Episode) -> String {
    spelt(&episode.severity)
}

pub(super) fn write(out: &mut Exposition, nodes: &[Published]) {
    let mut slowdowns = BTreeMap::new();
    let mut shares: BTreeMap<(Labels<'_>, &str, String), f64> = BTreeMap::new();
    // How a model fared when its node was last heard is no news.
    for node in nodes.iter().filter(|node| node.view.connected) {
        for model in node.view.models.iter() {
            let labels = Labels::of(node, &model.who);
            if let Some(slowdown) = model.slowdown {
                slowdowns.insert(labels.clone(), slowdown.estimate);
            }
            for share in &model.shares {
                let culprit = match &share.cause {
                    Cause::Culprit(who) => who.display_name(),
                    Cause::Own
                    | Cause::Throttle
                    | Cause::PodThrottle
                    | Cause::SliceThrottle
                    | Cause::Irq
                    | Cause::Steal
                    | Cause::Unowned => String::new(),
                };
                // Two pods of one owner are one culprit here.
                *shares.entry((labels.clone(), cause_name(&share.cause), culprit)).or_default() +=
                    share.share;
            }
        }
    }
    let help = "Wall seconds per second of the model's work, over the last 10 s; 1 is undisturbed.";
    let mut family = out.family(Kind::Gauge, "berth_model_slowdown_ratio", help);
    for (labels, slowdown) in slowdowns {
        family.sample(&labels.pairs(), slowdown);
    }
    let help = "Where the model's wait of the last 10 s came from; the parts sum to 1.";
    let mut family = out.family(Kind::Gauge, "berth_model_wait_share_ratio", help);
    for ((labels, cause, culprit), share) in shares {
        let [node, namespace, pod, container] = labels.pairs();
        let cause = ("cause", cause);
        family.sample(&[node, namespace, pod, container, cause, ("culprit", &culprit)], share);
    }
}
