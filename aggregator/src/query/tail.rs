//! Samples as they come.
//!
//! Invariant: of each group each tick is sent once, in the order of its node's time, when nothing
//! can change it any more: groups of amounts, which late news corrects, come later than the others.
//! A reader's place is a time in the history, so waiting for it takes no memory; one that falls so
//! far behind that it would miss something is told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use berth::{Group, Kind, NodeName, limits};
use berth_core::{
    history::{RAW_WINDOW, Resolution},
    time::AxisNsec,
};
use tokio::time::MissedTickBehavior;
use tonic::Status;

use super::samples::{End, Reader, Selection};
use crate::ingest::{Nodes, SETTLED};

/// A reader that takes this long for what came in one round will soon miss ticks that go.
const FAR_BEHIND: Duration = RAW_WINDOW.checked_div(2).expect("two is not zero");

/// One nanosecond after the newest tick that was sent.
const NEXT: Duration = Duration::from_nanos(1);

/// A reader is told so.
pub(super) fn too_slow() -> Status {
    Status::resource_exhausted("this reader does not keep up: narrow the filter or read at one second")
}

/// Groups that become final at the same time, and how far each node's were sent.
struct Part {
    selection: Selection,
    /// How long a tick may still change.
    settles: Duration,
    sent: HashMap<NodeName, AxisNsec>,
}

/// What is final at once, and what is not.
fn parts(selection: &Selection) -> [Part; 2] {
    let (amounts, at_once): (Vec<Group>, Vec<Group>) =
        selection.groups.iter().partition(|group| has_amounts(**group));
    [(at_once, Duration::ZERO), (amounts, SETTLED)].map(|(groups, settles)| Part {
        selection: Selection { groups, ..selection.clone() },
        settles,
        sent: HashMap::new(),
    })
}

fn has_amounts(group: Group) -> bool {
    group.metrics().iter().any(|metric| metric.kind == Kind::Amount)
}

/// Sends what comes after `from`, for ever.
pub(super) async fn follow(nodes: Arc<Nodes>, selection: Selection, from: AxisNsec, mut to: Reader) {
    let mut parts = parts(&selection);
    let mut rounds = tokio::time::interval(limits::FLUSH_PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = loop {
        tokio::select! {
            _ = rounds.tick() => {}
            end = to.ended() => break end,
        }
        let round = round(&nodes, &mut parts, from, &mut to);
        match tokio::time::timeout(FAR_BEHIND, round).await {
            Ok(Ok(())) => {}
            Ok(Err(end)) => break end,
            Err(_) => break End::Told(too_slow()),
        }
    };
    to.finish(end);
}

async fn round(nodes: &Nodes, parts: &mut [Part], from: AxisNsec, to: &mut Reader) -> Result<(), End> {
    let nodes = nodes.all();
    for part in parts.iter_mut().filter(|part| !part.selection.groups.is_empty()) {
        let Part { selection, settles, sent } = part;
        for node in nodes.iter().filter(|node| selection.filter.may_match(&node.view.name)) {
            let newest = node.view.history.newest_at();
            let Some(until) = newest.map(|newest| final_until(newest - *settles, selection.resolution))
            else {
                continue;
            };
            let since = sent.get(&node.view.name).copied().unwrap_or(from);
            if until <= since {
                continue;
            }
            to.send(node, selection, since..until).await?;
            sent.insert(node.view.name.clone(), until);
        }
    }
    Ok(())
}

/// Up to here nothing more will come where ticks up to `newest` are final: after that tick, or
/// where its second begins.
fn final_until(newest: AxisNsec, resolution: Resolution) -> AxisNsec {
    const SECOND_NSEC: u64 = 1_000_000_000;
    match resolution {
        Resolution::Raw => newest + NEXT,
        Resolution::OneSecond => AxisNsec(newest.0 / SECOND_NSEC * SECOND_NSEC),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_wait_until_late_news_cannot_change_them() {
        let groups = vec![Group::ContainerCpu, Group::ContainerThreads, Group::NodeCpu];
        let filter = berth::wire::SubjectFilter::default().try_into().unwrap();
        let [at_once, late] = parts(&Selection { filter, groups, resolution: Resolution::Raw });
        assert_eq!(at_once.selection.groups, [Group::ContainerCpu, Group::NodeCpu]);
        assert_eq!(late.selection.groups, [Group::ContainerThreads]);
        assert_eq!(at_once.settles, Duration::ZERO);
        assert!(late.settles > limits::CORRECTION_HORIZON);
    }

    #[test]
    fn a_second_is_final_when_the_next_has_begun() {
        let at = AxisNsec(5_700_000_000);
        assert_eq!(final_until(at, Resolution::OneSecond), AxisNsec(5_000_000_000));
        assert_eq!(final_until(at, Resolution::Raw), AxisNsec(5_700_000_001));
    }
}
