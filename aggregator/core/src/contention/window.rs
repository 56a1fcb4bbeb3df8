//! About a second of one model: the steps that a reading of its pressure files speaks of.
//!
//! The agent reads each file once a second, at another moment for each container, and what a reading says
//! lies in the second before it. So a model's window ends with the step in which its files moved: it
//! holds that second and no other, and what it says is heard at once. Invariant: each step is in exactly
//! one window. Deliberately absent: windows of the node. They end between two readings, half a second
//! late on average, and hold none or two where reads jitter.

use std::{cell::OnceCell, collections::VecDeque, time::Duration};

use crate::{
    contention::{
        gpu::Gpus,
        history::Moment,
        step::{Step, joined},
    },
    frame::{ContainerUse, Pressure},
    time::AxisNsec,
    who::ContainerKey,
};

/// How often the agent reads a pressure file, less the jitter of its ticks.
const READ_EVERY: Duration = Duration::from_millis(980);

/// Sooner than this after the window before, a reading is not its own second's: files are found to be read at
/// another moment than they were, which the next reading shows again.
const READ_AT_EARLIEST: Duration = Duration::from_millis(480);

/// By then a reading would have moved the counters if there were anything to tell: what was waited for is
/// nothing. Half a period late, so that whatever moment files are read at next, it ends a window.
const READ_AT_LATEST: Duration = Duration::from_millis(1_480);

/// The steps of one window, oldest first; there is at least one.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    steps: Vec<&'a Step>,
    /// The step before it.
    before: Option<&'a Step>,
    own: Option<ContainerUse>,
    whole: OnceCell<Step>,
}

impl<'a> Window<'a> {
    /// Of the container `own`, over these steps; `None` without any.
    pub(crate) fn new(own: ContainerKey, steps: Vec<&'a Step>, before: Option<&'a Step>) -> Option<Self> {
        steps.first()?;
        let uses = steps.iter().filter_map(|step| step.container(own)).cloned();
        let own = uses.reduce(|before, after| joined(&before, after));
        Some(Self { steps, before, own, whole: OnceCell::new() })
    }

    /// What its container did; `None`: it was not there.
    pub(crate) fn own(&self) -> Option<&ContainerUse> {
        self.own.as_ref()
    }

    /// All of it as one step. Adding up every container costs most, and mostly nobody asks.
    pub(crate) fn whole(&self) -> &Step {
        self.whole.get_or_init(|| {
            let (first, others) = self.steps.split_first().expect("a window has a step");
            others.iter().fold((*first).clone(), |whole, step| whole.and(step))
        })
    }

    /// When it was.
    pub(crate) fn moment(&self) -> Moment {
        let last = self.last().moment();
        let dt_nsec = self.steps.iter().map(|step| step.dt_nsec).sum::<u64>();
        let start = last.at - Duration::from_nanos(dt_nsec);
        Moment { start, dt_nsec: dt_nsec as f64, ..last }
    }

    /// Memory of the node that could be had without swapping, at its end.
    pub(crate) fn available_bytes(&self) -> Option<u64> {
        self.steps.iter().rev().find_map(|step| step.available_bytes)
    }

    /// By how much the anonymous memory and page cache of a container grew.
    pub(crate) fn grown_bytes(&self, of: &ContainerUse) -> f64 {
        let held = |of: &ContainerUse| {
            let held = of.reclaim.map(|reclaim| reclaim.anon_bytes.saturating_add(reclaim.file_bytes));
            held.map(|bytes| bytes as f64)
        };
        let steps = self.before.into_iter().chain(self.steps.iter().copied());
        let first = steps.filter_map(|step| step.container(of.key)).find_map(held);
        held(of).zip(first).map_or(0.0, |(now, before)| (now - before).max(0.0))
    }

    /// Time on each GPU.
    pub(crate) fn gpus(&self) -> Gpus {
        self.steps.iter().fold(Gpus::default(), |gpus, step| gpus.and(step))
    }

    /// CPUs that its container may run on.
    pub(crate) fn cpus(&self) -> f64 {
        let listed = self.own().and_then(|own| own.cpus.as_deref());
        let all = self.last().node.map_or(1.0, |node| node.cpus);
        listed.map_or(all, |cpus| (cpus.len() as f64).min(all))
    }

    fn last(&self) -> &Step {
        self.steps.last().expect("a window has a step")
    }
}

/// Finds the windows of one model.
#[derive(Debug)]
pub(crate) struct Windows {
    own: ContainerKey,
    /// The end of the last one.
    ended: Option<AxisNsec>,
}

impl Windows {
    /// Of the container `own`.
    pub(crate) fn of(own: ContainerKey) -> Self {
        Self { own, ended: None }
    }

    /// The window that the newest of these steps completes; they are the last ones, oldest first.
    pub(crate) fn next<'a>(&mut self, steps: &'a VecDeque<Step>) -> Option<Window<'a>> {
        let ended = *self.ended.get_or_insert(steps.back()?.moment().start);
        let until = self.until(steps, ended)?;
        self.ended = Some(until);
        let (before, after): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.at <= ended);
        let within = after.into_iter().filter(|step| step.at <= until).collect();
        Window::new(self.own, within, before.last().copied())
    }

    /// Where the window that began at `ended` ends, if it does by now.
    fn until(&self, steps: &VecDeque<Step>, ended: AxisNsec) -> Option<AxisNsec> {
        let newest = steps.back()?;
        let age = newest.at.since(ended);
        let pressure = newest.container(self.own).and_then(|own| own.pressure);
        // Where steps are as long as that, there is a reading in each.
        let is_split = u128::from(newest.dt_nsec) < READ_EVERY.as_nanos();
        let at_latest = if pressure.is_some() && is_split { READ_AT_LATEST } else { READ_EVERY };
        if pressure.is_some_and(|moved| moved != Pressure::default()) && age >= READ_AT_EARLIEST {
            return Some(newest.at);
        }
        let is_over = |step: &&Step| step.at.since(ended) >= READ_EVERY;
        steps.iter().find(is_over).filter(|_| age >= at_latest).map(|step| step.at)
    }
}

#[cfg(test)]
mod tests;
