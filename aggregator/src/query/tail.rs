//! Samples as they come.
//!
//! Invariant: each tick is sent once, in the order of its node's time. A reader's place is a time in
//! the history, so waiting for it takes no memory; one that falls so far behind that it would miss
//! something is told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use berth::{NodeName, limits};
use berth_core::{
    history::{RAW_WINDOW, Resolution},
    time::AxisNsec,
};
use tokio::time::MissedTickBehavior;
use tonic::Status;

use super::samples::{End, Reader, Selection};
use crate::ingest::{Nodes, Published};

/// A reader that takes this long for what came in one round will soon miss ticks that go.
const FAR_BEHIND: Duration = RAW_WINDOW.checked_div(2).expect("two is not zero");

/// One nanosecond after the newest tick that was sent.
const NEXT: Duration = Duration::from_nanos(1);

/// A reader is told so.
pub(super) fn too_slow() -> Status {
    Status::resource_exhausted("this reader does not keep up: narrow the filter or read at one second")
}

/// Sends what comes after `from`, for ever.
pub(super) async fn follow(nodes: Arc<Nodes>, selection: Selection, from: AxisNsec, mut to: Reader) {
    let mut sent = HashMap::new();
    let mut rounds = tokio::time::interval(limits::FLUSH_PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = loop {
        tokio::select! {
            _ = rounds.tick() => {}
            end = to.ended() => break end,
        }
        let round = round(&nodes, &selection, from, &mut sent, &mut to);
        match tokio::time::timeout(FAR_BEHIND, round).await {
            Ok(Ok(())) => {}
            Ok(Err(end)) => break end,
            Err(_) => break End::Told(too_slow()),
        }
    };
    to.finish(end);
}

async fn round(
    nodes: &Nodes,
    selection: &Selection,
    from: AxisNsec,
    sent: &mut HashMap<NodeName, AxisNsec>,
    to: &mut Reader,
) -> Result<(), End> {
    for node in nodes.all().into_iter().filter(|node| selection.filter.may_match(&node.view.name)) {
        let Some(until) = complete_until(&node, selection.resolution) else { continue };
        let since = sent.get(&node.view.name).copied().unwrap_or(from);
        if until <= since {
            continue;
        }
        to.send(&node, selection, since..until).await?;
        sent.insert(node.view.name.clone(), until);
    }
    Ok(())
}

/// Up to here nothing more will come: after the newest tick, or where its second begins.
fn complete_until(node: &Published, resolution: Resolution) -> Option<AxisNsec> {
    const SECOND_NSEC: u64 = 1_000_000_000;
    let newest = node.view.history.newest_at()?;
    Some(match resolution {
        Resolution::Raw => newest + NEXT,
        Resolution::OneSecond => AxisNsec(newest.0 / SECOND_NSEC * SECOND_NSEC),
    })
}
