//! How far the view of the cluster can be relied on, and when the API server is asked again.
//!
//! Invariant: a view is current only while the API server answers and no watch is broken; otherwise
//! it has an age. One question every few seconds finds out, whatever the watches see: a watch without
//! news is as silent as a dead one. After a failure each watch waits for longer and longer, and all of
//! them together go on when the API server answers again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_core::{cluster::GroupKind, time::AxisNsec};
use kube::{Client, runtime::watcher};
use tokio::{sync::watch, time::MissedTickBehavior};

use super::directory::Directory;
use crate::{clock::Clock, entropy::random_u64, seldom::Seldom};

/// How often the API server is asked for a sign of life: pods are to be known again 10 s after it is
/// back, and this is a third of what that leaves for.
const PULSE: Duration = Duration::from_secs(2);

/// An answer takes milliseconds; one that takes this long is none.
const PULSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Two answers that are late, and some: below this age a view is current.
const CURRENT_FOR: Duration = Duration::from_secs(8);

/// After the first failure, doubled after each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause: a watch that is refused, as for want of a permission, asks this often.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A watch that has gone on for this long without an error has begun.
const BEGUN_AFTER: Duration = Duration::from_secs(2);

/// After an outage this long a connection that it did not break may wait minutes for its peer (TCP
/// doubles its retransmission timeout).
const LONG_OUTAGE: Duration = Duration::from_secs(10);

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    /// Pods.
    Pods,
    /// Nodes.
    Nodes,
    /// Controllers, or namespaces.
    Groups(GroupKind),
}

impl Watched {
    /// As Kubernetes spells the kind.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pods => "Pod",
            Self::Nodes => "Node",
            Self::Groups(kind) => kind.name(),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        [Self::Pods, Self::Nodes].into_iter().chain(GroupKind::ALL.map(Self::Groups))
    }
}

/// How one watch fares.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// A list has come through once.
    complete: bool,
    broken_since: Option<AxisNsec>,
    /// When it was begun again after an error.
    resumed: Option<AxisNsec>,
}

/// What the view of the cluster is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// Some kinds have not been read at all.
    Incomplete(Vec<&'static str>),
    /// It is as the API server has it.
    Current,
    /// It is as it was so long ago; of these kinds, or of all where none is named.
    Old(Duration, Vec<&'static str>),
}

impl View {
    /// How old it is; `None` until all was read once.
    pub(crate) fn age(&self) -> Option<Duration> {
        match self {
            Self::Incomplete(_) => None,
            Self::Current => Some(Duration::ZERO),
            Self::Old(age, _) => Some(*age),
        }
    }

    /// What a person should know of it; `None` while all is well.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Self::Current => None,
            Self::Incomplete(kinds) => Some(format!(
                "names and roles are not complete: the API server has not told all of {}",
                kinds.join(", ")
            )),
            Self::Old(age, kinds) if kinds.is_empty() => Some(format!(
                "names and roles are as they were {} s ago: the API server does not answer",
                age.as_secs()
            )),
            Self::Old(age, kinds) => Some(format!(
                "names and roles are as they were {} s ago: watching {} fails",
                age.as_secs(),
                kinds.join(", ")
            )),
        }
    }
}

/// How the watches and the API server fare.
#[derive(Debug)]
pub(crate) struct Health {
    clock: Clock,
    states: Mutex<BTreeMap<Watched, State>>,
    answered: Mutex<AxisNsec>,
    /// How many outages are over, and how long the last one was.
    outages: watch::Sender<(u64, Duration)>,
    lines: Seldom,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            states: Mutex::new(Watched::all().map(|watched| (watched, State::default())).collect()),
            answered: Mutex::new(clock.now()),
            clock,
            outages: watch::Sender::new((0, Duration::ZERO)),
            lines: Seldom::default(),
        }
    }

    /// What the view is worth now.
    pub(crate) fn view(&self) -> View {
        let now = self.clock.now();
        let states = self.states();
        let kinds = |which: &dyn Fn(&State) -> bool| -> Vec<&'static str> {
            states.iter().filter(|(_, state)| which(state)).map(|(watched, _)| watched.name()).collect()
        };
        let incomplete = kinds(&|state| !state.complete);
        if !incomplete.is_empty() {
            return View::Incomplete(incomplete);
        }
        let age = now.since(self.answered());
        if age > CURRENT_FOR {
            return View::Old(age, Vec::new());
        }
        let broken = states.values().filter_map(|state| state.broken_since).min();
        match broken.map(|since| now.since(since)).filter(|age| *age > CURRENT_FOR) {
            Some(age) => View::Old(age, kinds(&|state| state.broken_since.is_some())),
            None => View::Current,
        }
    }

    /// All objects of a kind have been read.
    pub(super) fn has_read(&self, watched: Watched) -> bool {
        self.states().get(&watched).is_some_and(|state| state.complete)
    }

    /// A watch brought something.
    pub(super) fn worked(&self, watched: Watched, list_done: bool) {
        let mut states = self.states();
        let state = states.entry(watched).or_default();
        *state = State { complete: state.complete || list_done, ..State::default() };
    }

    /// A watch broke.
    pub(super) fn failed(&self, watched: Watched, error: &watcher::Error) {
        let now = self.clock.now();
        let mut states = self.states();
        let state = states.entry(watched).or_default();
        state.broken_since = state.broken_since.or(Some(now));
        state.resumed = None;
        if let Some(left_out) = self.lines.due(now) {
            let kind = watched.name();
            tracing::warn!(kind, error = %root(error), left_out, "watching the cluster is interrupted");
        }
    }

    /// A watch is begun again.
    pub(super) fn resumed(&self, watched: Watched) {
        self.states().entry(watched).or_default().resumed = Some(self.clock.now());
    }

    /// For one who waits.
    pub(super) fn outages(&self) -> Outages {
        Outages { over: self.outages.subscribe() }
    }

    /// The API server answered.
    fn pulse(&self) {
        let now = self.clock.now();
        let silent = now.since(std::mem::replace(&mut *self.lock_answered(), now));
        for state in self.states().values_mut() {
            if state.resumed.is_some_and(|at| now.since(at) >= BEGUN_AFTER) {
                *state = State { complete: state.complete, ..State::default() };
            }
        }
        if silent > PULSE + PULSE_TIMEOUT {
            tracing::info!(silent_sec = silent.as_secs(), "the API server answers again");
            self.outages.send_modify(|(count, last)| (*count, *last) = (*count + 1, silent));
        }
    }

    fn answered(&self) -> AxisNsec {
        *self.lock_answered()
    }

    fn lock_answered(&self) -> MutexGuard<'_, AxisNsec> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Watched, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells when an outage is over.
#[derive(Debug)]
pub(super) struct Outages {
    over: watch::Receiver<(u64, Duration)>,
}

impl Outages {
    /// Returns after an outage that a connection may not have survived.
    pub(super) async fn long_one_over(&mut self) {
        while self.over.changed().await.is_ok() {
            if self.over.borrow_and_update().1 >= LONG_OUTAGE {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits after so many failures in a row, until an outage is over at most; tells how many there
    /// are then to count from. What failed before the end of an outage says nothing of what follows:
    /// the first answer may be that a watch must begin anew.
    pub(super) async fn pause(&mut self, failures: u32) -> u32 {
        let doubled = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX);
        // Without randomness all ask at once, which they survive.
        let part = random_u64().unwrap_or(0) % 512;
        let pause = doubled / 2 + doubled.saturating_mul(u32::try_from(part).unwrap_or(0)) / 1_024;
        tokio::select! {
            () = tokio::time::sleep(pause) => failures,
            _ = self.over.changed() => 0,
        }
    }
}

/// Asks the API server for a sign of life, for ever.
pub(super) async fn listen(client: Client, directory: Arc<Directory>) {
    let mut pulses = tokio::time::interval(PULSE);
    pulses.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulses.tick().await;
        // What anybody may ask for, with or without a permission.
        let asked = tokio::time::timeout(PULSE_TIMEOUT, client.apiserver_version());
        if matches!(asked.await, Ok(Ok(_))) {
            directory.health.pulse();
        }
    }
}

/// The deepest cause: what is above it only says that something failed.
fn root<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().map_or(error, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_an_outage_is_over_and_counts_anew() {
        let health = Health::new(Clock::start());
        let (mut outages, begun) = (health.outages(), tokio::time::Instant::now());
        assert_eq!(outages.pause(20).await, 20);
        let waited = begun.elapsed();
        assert!(waited >= PAUSE_MAX / 2 && waited <= PAUSE_MAX, "{waited:?}");
        let over =
            async { health.outages.send_modify(|(count, last)| (*count, *last) = (*count + 1, PULSE)) };
        let (failures, ()) = tokio::join!(outages.pause(20), over);
        assert_eq!((failures, begun.elapsed()), (0, waited));
    }

    #[test]
    fn a_view_is_incomplete_until_every_kind_was_listed_once() {
        let health = Health::new(Clock::start());
        for watched in Watched::all().skip(1) {
            health.worked(watched, false);
            health.worked(watched, true);
        }
        assert_eq!(health.view(), View::Incomplete(vec!["Pod"]));
        health.worked(Watched::Pods, true);
        assert_eq!((health.view(), health.view().note()), (View::Current, None));
        health.failed(Watched::Pods, &watcher::Error::NoResourceVersion);
        assert_eq!(health.view(), View::Current, "a moment ago it was");
    }

    #[test]
    fn a_note_says_how_old_the_names_are_and_why() {
        let old = |kinds| View::Old(Duration::from_secs(65), kinds).note();
        let silent = "names and roles are as they were 65 s ago: the API server does not answer";
        assert_eq!(old(vec![]).as_deref(), Some(silent));
        let broken = "names and roles are as they were 65 s ago: watching Pod, Job fails";
        assert_eq!(old(vec!["Pod", "Job"]).as_deref(), Some(broken));
    }
}
