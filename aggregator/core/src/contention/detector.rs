//! One node's detector: frames and late news in, episodes out.
//!
//! Invariant: the same calls with the same values give the same episodes, byte for byte; no clock, no
//! randomness but what derives from an episode's id or a step's time. Bounded: 2 s of steps for late news,
//! 17 s of splits and one episode for each track of a model. Deliberately absent: learnt baselines,
//! regression, timing tests; each enters only with its gain on labelled runs.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    contention::{
        episode::{Episode, ModelState},
        history::LATE_AT_MOST,
        input::Input,
        part::Part,
        step::{Assembler, Step},
        victim::Victim,
    },
    frame::{Frame, Late},
    time::AxisNsec,
    who::{ContainerKey, Role},
};

/// Without a step for this long a model is gone, or its agent is.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// What is gone for this long and comes back is not the same trouble: nothing of it is kept.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// Finds out who hurts the models of one node.
#[derive(Debug)]
pub struct Detector {
    node: String,
    without: Option<Part>,
    assembler: Assembler,
    /// The steps that late news may still change, and that windows are made of; oldest first.
    steps: VecDeque<Step>,
    victims: BTreeMap<ContainerKey, Seen>,
    changed: Vec<Episode>,
}

#[derive(Debug)]
struct Seen {
    victim: Victim,
    last: AxisNsec,
    gone: bool,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new(node: String) -> Self {
        Self::without(node, None)
    }

    /// One that leaves a part of the method out.
    pub fn without(node: String, part: Option<Part>) -> Self {
        Self {
            node,
            without: part,
            assembler: Assembler::default(),
            steps: VecDeque::new(),
            victims: BTreeMap::new(),
            changed: Vec::new(),
        }
    }

    /// Takes in whatever comes next; [`Input::Step`] gives the episodes that changed.
    pub fn take(&mut self, input: Input) -> Vec<Episode> {
        match input {
            Input::Frame(frame) => self.push(frame),
            Input::Late(late) => self.late(late),
            Input::Step(now) => return self.step(now),
            Input::Reset(now) => self.reset(now),
        }
        Vec::new()
    }

    /// Takes in the next tick. Ticks come in their order; one that comes again is passed over.
    pub fn push(&mut self, frame: Frame) {
        if let Some(step) = self.assembler.push(frame) {
            self.take_in(step);
        }
    }

    /// Takes in late news. News of a tick more than 2 s old is passed over: its step is final.
    pub fn late(&mut self, late: Late) {
        if self.assembler.correct(&late) {
            return;
        }
        let Some(step) = self.steps.iter_mut().rev().find(|step| step.holds(late.tick)) else { return };
        if step.correct(&late)
            && let Some(seen) = self.victims.get_mut(&late.key)
        {
            seen.victim.cpu.history.mark(step.ordinal);
        }
    }

    /// Starts over: keys and ticks may mean something else now, and what is lost may have been the end of
    /// what was open, or all of it. What was open is
    /// cleared, as [`Detector::step`] will tell.
    pub fn reset(&mut self, now: AxisNsec) {
        for seen in self.victims.values_mut() {
            note(&mut self.changed, seen.victim.vanish(&self.node, now));
        }
        self.victims.clear();
        self.steps.clear();
        self.assembler = Assembler::default();
    }

    /// The episodes that changed since the last call, each as it is now: opened, worse, another
    /// verdict, cleared, and once a second while open.
    pub fn step(&mut self, now: AxisNsec) -> Vec<Episode> {
        for seen in self.victims.values_mut() {
            seen.victim.cpu.history.redo(&self.steps, seen.victim.key);
            if !seen.gone && now.since(seen.last) > GONE_AFTER {
                seen.gone = true;
                note(&mut self.changed, seen.victim.vanish(&self.node, now));
            }
        }
        self.victims.retain(|_, seen| now.since(seen.last) <= FORGOTTEN_AFTER);
        std::mem::take(&mut self.changed)
    }

    /// Every model that is seen, hurt or not, by rising key. It adds up 10 s of each: ask once a
    /// second, not once a frame.
    pub fn models(&self) -> Vec<ModelState> {
        self.victims.values().filter(|seen| !seen.gone).map(|seen| seen.victim.state()).collect()
    }

    fn take_in(&mut self, step: Step) {
        // Late news first: once a step is dropped it cannot be split again.
        for seen in self.victims.values_mut() {
            seen.victim.cpu.history.redo(&self.steps, seen.victim.key);
        }
        while self.steps.front().is_some_and(|old| step.at.since(old.at) >= LATE_AT_MOST) {
            self.steps.pop_front();
        }
        let models = step.containers.iter().filter(|container| container.who.role == Role::Model);
        for container in models {
            let seen = self.victims.entry(container.key).or_insert_with(|| Seen {
                victim: Victim::new(container.key, container.who.clone(), self.without),
                last: step.at,
                gone: false,
            });
            seen.last = step.at;
            seen.gone = false;
            seen.victim.who.clone_from(&container.who);
            note(&mut self.changed, seen.victim.push(&self.node, &step));
        }
        self.steps.push_back(step);
        for seen in self.victims.values_mut().filter(|seen| !seen.gone) {
            note(&mut self.changed, seen.victim.look_back(&self.node, &self.steps));
        }
    }
}

/// The newest state of an episode replaces one that nobody has asked for.
fn note(changed: &mut Vec<Episode>, episodes: impl IntoIterator<Item = Episode>) {
    for episode in episodes {
        changed.retain(|known| known.id != episode.id);
        changed.push(episode);
    }
}
