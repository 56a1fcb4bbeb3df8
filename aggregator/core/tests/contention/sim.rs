//! A node in steps of 1 ms: round-robin CPUs, quotas, and counters as coarse and late as real ones.
//!
//! It knows who ran while each thread waited, so it tells the true shares beside the frames.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth::SeriesId;
use berth_core::{
    frame::{ContainerUse, Frame, NodeUse, ThreadUse},
    time::AxisNsec,
    who::{ContainerKey, Owner, Role, Who, WhoRef},
};

const MSEC: u64 = 1_000_000;
const SLICE_MSEC: u64 = 4;
const READ_MSEC: u64 = 20;
pub(crate) const START: AxisNsec = AxisNsec(1_700_000_000_000_000_000);

/// What a thread wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// All it can get.
    Hog,
    /// All it can get for `on` of every `period` milliseconds.
    Duty { on: u64, period: u64 },
    /// `service` milliseconds of CPU every `every` milliseconds on average, queueing what it does not
    /// get; the gaps vary, so that requests never keep step with the neighbours' slices.
    Serve { service: u64, every: u64 },
    /// As `Duty`, with `on` growing from 0 to `period` over `over` milliseconds.
    Ramp { period: u64, over: u64 },
}

#[derive(Debug, Clone)]
pub(crate) struct Thread {
    pub(crate) work: Work,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) cpu: Option<usize>,
    backlog: u64,
    next: u64,
    random: u64,
}

/// Knuth's MMIX generator: the tests need nothing better.
pub(crate) fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

impl Thread {
    pub(crate) fn new(work: Work) -> Self {
        Self { work, from: 0, to: u64::MAX, cpu: None, backlog: 0, next: 0, random: 7 }
    }

    pub(crate) fn during(self, from: u64, to: u64) -> Self {
        Self { from, to, ..self }
    }

    pub(crate) fn pinned(self, cpu: usize) -> Self {
        Self { cpu: Some(cpu), ..self }
    }

    fn wants(&mut self, now: u64) -> bool {
        if !(self.from..self.to).contains(&now) {
            self.backlog = 0;
            return false;
        }
        let age = now - self.from;
        match self.work {
            Work::Hog => true,
            Work::Duty { on, period } => age % period < on,
            Work::Ramp { period, over } => age % period < period * age.min(over) / over,
            Work::Serve { service, every } => {
                if now >= self.next.max(self.from) {
                    self.backlog += service;
                    self.next = now + every / 2 + random(&mut self.random, every + 1);
                }
                self.backlog > 0
            }
        }
    }
}

/// Where a container's CPU time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Container,
    /// In no sampled cgroup.
    Nowhere,
    /// Taken by the hypervisor.
    Steal,
}

#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) who: WhoRef,
    pub(crate) threads: Vec<Thread>,
    /// Milliseconds in every 100.
    pub(crate) quota: Option<u64>,
    pub(crate) counted: Counted,
}

pub(crate) fn container(name: &str, role: Role, threads: impl Into<Vec<Thread>>) -> Container {
    let who = Who {
        namespace: "demo".to_owned(),
        pod: format!("{name}-0"),
        pod_uid: format!("{name}-uid"),
        container: "main".to_owned(),
        owner: Some(Owner { kind: "Deployment".to_owned(), name: name.to_owned() }),
        role,
        cgroup: format!("/kubepods/{name}"),
    };
    Container { who: Arc::new(who), threads: threads.into(), quota: None, counted: Counted::Container }
}

#[derive(Debug, Default, Clone)]
struct Sums {
    cpu_nsec: u64,
    told_nsec: u64,
    throttled_msec: u64,
    columns: ThreadUse,
}

/// The frames, and for the first container what it waited for in milliseconds, by name.
pub(crate) struct Played {
    pub(crate) frames: Vec<Frame>,
    pub(crate) truth: BTreeMap<String, f64>,
}

pub(crate) struct Node {
    pub(crate) cpus: usize,
    pub(crate) containers: Vec<Container>,
    pub(crate) tick_msec: u64,
    /// The truth counts from here on.
    pub(crate) truth_from: u64,
}

type Place = (usize, usize);

struct Play<'a> {
    node: &'a mut Node,
    sums: Vec<Sums>,
    queue: Vec<Place>,
    running: Vec<Option<(Place, u64)>>,
    reads: BTreeMap<Place, (u64, u64)>,
    period_used: Vec<u64>,
    idle_nsec: u64,
    steal_nsec: u64,
    truth: BTreeMap<String, f64>,
    random: u64,
}

impl Node {
    pub(crate) fn new(cpus: usize, containers: Vec<Container>) -> Self {
        Self { cpus, containers, tick_msec: 100, truth_from: 0 }
    }

    pub(crate) fn play(mut self, msec: u64) -> Played {
        let (cpus, tick, count) = (self.cpus, self.tick_msec, self.containers.len());
        let mut play = Play {
            node: &mut self,
            sums: vec![Sums::default(); count],
            queue: Vec::new(),
            running: vec![None; cpus],
            reads: BTreeMap::new(),
            period_used: vec![0; count],
            idle_nsec: 0,
            steal_nsec: 0,
            truth: BTreeMap::new(),
            random: 1,
        };
        let mut frames = Vec::new();
        for now in 0..msec {
            play.advance(now);
            if (now + 1) % READ_MSEC == 0 {
                play.read();
            }
            if (now + 1) % tick == 0 {
                play.read();
                frames.push(play.frame((now + 1) / tick, tick));
            }
        }
        Played { frames, truth: play.truth }
    }
}

impl Play<'_> {
    fn is_throttled(&self, (container, _): Place) -> bool {
        self.node.containers[container].quota.is_some_and(|quota| self.period_used[container] >= quota)
    }

    fn advance(&mut self, now: u64) {
        if now.is_multiple_of(100) {
            self.period_used.fill(0);
        }
        for container in 0..self.node.containers.len() {
            for thread in 0..self.node.containers[container].threads.len() {
                let place = (container, thread);
                let wants = self.node.containers[container].threads[thread].wants(now);
                let queued = self.queue.contains(&place);
                let runs = self.running.iter().flatten().any(|(running, _)| *running == place);
                if wants && !queued && !runs {
                    self.queue.push(place);
                } else if !wants {
                    self.queue.retain(|waiting| *waiting != place);
                    self.running.iter_mut().for_each(|cpu| {
                        *cpu = cpu.filter(|(running, _)| *running != place);
                    });
                }
            }
        }
        for cpu in 0..self.running.len() {
            self.schedule(cpu);
        }
        self.account(now);
    }

    fn schedule(&mut self, cpu: usize) {
        if let Some((place, ran)) = self.running[cpu]
            && (ran >= SLICE_MSEC || self.is_throttled(place))
        {
            self.running[cpu] = None;
            self.queue.push(place);
        }
        let next = self.queue.iter().position(|&(container, thread)| {
            let pinned = self.node.containers[container].threads[thread].cpu;
            pinned.is_none_or(|pinned| pinned == cpu) && !self.is_throttled((container, thread))
        });
        if self.running[cpu].is_none() {
            self.running[cpu] = next.map(|at| (self.queue.remove(at), 0));
        }
    }

    fn account(&mut self, now: u64) {
        for cpu in 0..self.running.len() {
            let Some((place, ran)) = &mut self.running[cpu] else {
                self.idle_nsec += MSEC;
                continue;
            };
            *ran += 1;
            let (container, thread) = *place;
            self.reads.entry(*place).or_default().0 += MSEC;
            self.period_used[container] += 1;
            let thread = &mut self.node.containers[container].threads[thread];
            thread.backlog = thread.backlog.saturating_sub(1);
            match self.node.containers[container].counted {
                Counted::Steal => self.steal_nsec += MSEC,
                Counted::Container | Counted::Nowhere => self.sums[container].cpu_nsec += MSEC,
            }
        }
        for place in self.queue.clone() {
            self.reads.entry(place).or_default().1 += MSEC;
            let throttled = self.is_throttled(place);
            if throttled {
                self.sums[place.0].throttled_msec += 1;
            }
            if place.0 == 0 && now >= self.node.truth_from {
                self.blame(throttled);
            }
        }
    }

    fn blame(&mut self, throttled: bool) {
        if throttled {
            *self.truth.entry("throttle".to_owned()).or_default() += 1.0;
            return;
        }
        let running: Vec<usize> =
            self.running.iter().flatten().map(|((container, _), _)| *container).collect();
        for container in &running {
            let name = match (container, self.node.containers[*container].counted) {
                (0, _) => "own".to_owned(),
                (_, Counted::Nowhere) => "unowned".to_owned(),
                (_, Counted::Steal) => "steal".to_owned(),
                _ => self.node.containers[*container].who.display_name(),
            };
            *self.truth.entry(name).or_default() += 1.0 / running.len() as f64;
        }
    }

    /// Folds what each thread did since the last read into its container's columns.
    fn read(&mut self) {
        let reads = std::mem::take(&mut self.reads);
        let mut runs: BTreeMap<usize, u64> = BTreeMap::new();
        for ((container, _), (run, _)) in &reads {
            *runs.entry(*container).or_default() += run;
        }
        for ((container, _), (run, wait)) in reads {
            let siblings = runs[&container] - run;
            let columns = &mut self.sums[container].columns;
            columns.run_nsec += run.cast_signed();
            columns.wait_nsec += wait.cast_signed();
            columns.sibling_nsec_cpus += (wait * siblings / (READ_MSEC * MSEC)).cast_signed();
        }
        for sums in &mut self.sums {
            columns_throttled(sums);
        }
    }

    fn frame(&mut self, tick: u64, tick_msec: u64) -> Frame {
        let quantum = |nsec: u64| nsec / (10 * MSEC) * (10 * MSEC);
        let (idle, steal) = (quantum(self.idle_nsec), quantum(self.steal_nsec));
        self.idle_nsec -= idle;
        self.steal_nsec -= steal;
        let node = NodeUse {
            cpus: u32::try_from(self.running.len()).expect("a test has few CPUs"),
            idle_nsec: idle,
            irq_nsec: 0,
            steal_nsec: steal,
        };
        let mut containers = Vec::new();
        for index in 0..self.sums.len() {
            if self.node.containers[index].counted != Counted::Container {
                continue;
            }
            let runs = self.running.iter().flatten().any(|((container, _), _)| *container == index);
            let lag = if runs { random(&mut self.random, 4) * MSEC } else { 0 };
            let who = self.node.containers[index].who.clone();
            let sums = &mut self.sums[index];
            let told = sums.cpu_nsec.saturating_sub(lag).max(sums.told_nsec);
            let usage_nsec = told - sums.told_nsec;
            sums.told_nsec = told;
            let threads = (who.role == Role::Model).then(|| std::mem::take(&mut sums.columns));
            let key = key(index);
            containers.push(ContainerUse { threads, ..ContainerUse::new(key, who, usage_nsec) });
        }
        let at = START + Duration::from_millis(tick * tick_msec);
        let (node_pressure, available_bytes, gpus) = (None, None, Vec::new());
        let dt_nsec = tick_msec * MSEC;
        Frame { tick, at, dt_nsec, node: Some(node), node_pressure, available_bytes, containers, gpus }
    }
}

fn columns_throttled(sums: &mut Sums) {
    let msec = std::mem::take(&mut sums.throttled_msec);
    sums.columns.throttled_nsec += (msec * MSEC).cast_signed();
}

pub(crate) fn key(index: usize) -> ContainerKey {
    let number = u32::try_from(index + 1).expect("a test has few containers");
    ContainerKey(SeriesId::new(number).expect("it counts from 1"))
}
