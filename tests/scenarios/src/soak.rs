//! A soak: many quiet models for a long time, and nothing beside them. Whatever is found counts as false.
//!
//! The load of one after another swings up for some seconds, to where a model works enough to be judged: its
//! own doing, and no neighbour's. Never that of two at once: requests that come at the same rate can meet
//! each time, which is harm. Invariant: all models together need so little of the CPU that their requests
//! meet seldom, and by chance.

use std::time::Duration;

use anyhow::Context as _;
use berth_cli::{
    connect::{Address, Server},
    exit::Exit,
    stage::DEFAULT_WEIGHT,
    stop,
};
use berth_loadgen::{Model as LoadModel, Random, Totals};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    bench::Bench,
    blocks::Phase,
    clock::Axis,
    live,
    load::{self, Door, Shape},
    machine::Machine,
    meter::{DISTURBED_CPUS, Use},
    plan::Victim,
    result::{self, BlockDone, Half, Revision},
    scene::{Crowd, names},
    trace::{self, Recorder},
    victims,
};

/// CPUs that a quiet model's load needs in the mean: a hundred of them need a fiftieth of one.
pub const QUIET_CPUS: f64 = 0.0002;

/// Steps in which that is drawn, from half of it to one and a half. Were it the same of all, their requests
/// would meet those of a swing each time, which is harm.
const QUIET_STEPS: u32 = 1_000;

/// CPUs that a swing adds: twice what a model must use for a slowdown to be spoken of.
pub const SWING_CPUS: f64 = 0.04;

/// A swing lasts so long ...
const SWING_SECONDS: u32 = 9;

/// ... and the next one comes so long after it began: the first is over by then.
const SWING_EVERY_SECONDS: u32 = 10;

/// What is kept of a load until it ends is counted this often.
const LOAD_SECONDS: u32 = 60;

/// How long the aggregator may take to hear of every model.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(15);

/// How often it is asked meanwhile.
const KNOWN_POLL: Duration = Duration::from_millis(200);

/// What a soak gave; fields that trials have too mean the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
// Soaks of another kind have other fields, and are not to be judged as these.
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// The name of the file.
    pub id: String,
    /// The swings are drawn from it.
    pub seed: u64,
    /// Which half it belongs to.
    pub half: Half,
    /// Models at once.
    pub victims: u32,
    /// How long, in seconds.
    pub seconds: u32,
    /// The swings.
    pub blocks: Vec<BlockDone>,
    /// Every revision that a watcher was told, in order.
    pub live: Vec<Revision>,
    /// Others took more of the models' CPU than a quiet machine does.
    pub disturbed: bool,
    /// CPUs that nobody of this soak used, mean.
    pub unowned_cpus: f64,
    /// The largest of any second.
    pub unowned_peak_cpus: f64,
    /// Requests that failed or were never answered.
    pub failed_requests: u64,
    /// Where it ran.
    pub machine: Machine,
}

impl Soak {
    /// How long every model had its load, in seconds: it comes in whole runs, the last of which end within
    /// the last run's length before the end.
    pub fn loaded_seconds(&self) -> u32 {
        self.seconds.saturating_sub(LOAD_SECONDS)
    }

    /// Others took more of the CPU than a quiet machine does, or models did not get or answer their load.
    pub fn is_disturbed(&self) -> bool {
        self.disturbed || self.failed_requests > 0
    }
}

/// What a soak is told to be.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// How long.
    pub seconds: u32,
    /// The swings are drawn from it.
    pub seed: u64,
    /// Models at once.
    pub models: u32,
}

impl Told {
    fn id(&self) -> String {
        format!("soak-{}x{}-{}", self.models, self.seconds, self.seed)
    }
}

/// All that was seen.
struct Seen {
    axis: Axis,
    live: Vec<Revision>,
    uses: Vec<Use>,
    failed_requests: u64,
}

/// A model gets more load for a while.
#[derive(Debug, Clone, Copy)]
struct Swing {
    at: Duration,
    model: usize,
}

/// Soaks, unless the result is there.
pub async fn run(bench: &Bench, told: Told) -> anyhow::Result<Exit> {
    let mut requests = stop::Requests::listen()?;
    let id = told.id();
    if result::file(&bench.dir, &id).try_exists().unwrap_or(false) {
        eprintln!("{id} is done already");
        return Ok(Exit::Done);
    }
    eprintln!("{id}: {} models for {} min", told.models, told.seconds / 60);
    let drawn = draw(told);
    let soak = tokio::select! {
        seen = soak(bench, told, &drawn) => found(bench, told, &drawn, seen?),
        () = requests.next() => return Ok(Exit::Stopped),
    };
    eprintln!("    {} revisions, others {:.3} CPUs", soak.live.len(), soak.unowned_cpus);
    result::write(&bench.dir, &soak.id, &soak)?;
    Ok(Exit::Done)
}

/// Whether a result of this name is a soak's.
pub fn is_soak(id: &str) -> bool {
    id.starts_with("soak")
}

fn half(seed: u64) -> Half {
    if seed.is_multiple_of(2) { Half::Tuning } else { Half::Report }
}

fn draw(told: Told) -> Vec<Swing> {
    let mut random = Random::new(told.seed);
    let swing = |turn: u32| Swing {
        at: Duration::from_secs((turn * SWING_EVERY_SECONDS).into()),
        model: usize::try_from(random.below(told.models.into())).expect("below the models"),
    };
    (0..told.seconds / SWING_EVERY_SECONDS).map(swing).collect()
}

async fn soak(bench: &Bench, told: Told, swings: &[Swing]) -> anyhow::Result<Seen> {
    let Told { seconds, models, .. } = told;
    let kind = victims::Kind::Refmodel { rows: 1 };
    let mut crowd = Crowd::set(bench, Victim { kind, threads: 1, weight: DEFAULT_WEIGHT }, models).await?;
    let server = Address::of_server(Some(&crowd.server), None)?.connect().await?;
    known(&server, &mut crowd, models).await?;
    let file = trace::file(&bench.dir, &told.id());
    let recorder = Recorder::start(&bench.binaries, &crowd.server, file, &bench.rest, crowd.folder())?;
    let meters = crowd.meters(bench.node.first());
    let axis = Axis::beginning_in(load::START_LEAD);
    let mut live = Vec::new();
    let run = async {
        tokio::try_join!(steady(&crowd, axis, told), swing(&crowd, axis, swings), meters.watch(axis, seconds))
    };
    let (failed_quiet, failed_swings, uses) = tokio::select! {
        run = run => run?,
        lost = live::watch(&server, &mut live) => {
            return Err(lost.err().unwrap_or_else(|| anyhow::anyhow!("no watch")));
        }
    };
    recorder.finish().await?;
    crowd.check()?;
    crowd.strike().await;
    Ok(Seen { axis, live, uses, failed_requests: failed_quiet + failed_swings })
}

async fn known(server: &Server, crowd: &mut Crowd, models: u32) -> anyhow::Result<()> {
    let names: Vec<String> = names(models).collect();
    let known = async {
        while !live::knows(server, &names).await? {
            crowd.check()?;
            tokio::time::sleep(KNOWN_POLL).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(KNOWN_TIMEOUT, known).await.context("wait until the aggregator knows the models")?
}

fn shape(cpus: f64, cost: Duration, seconds: u32) -> anyhow::Result<Shape> {
    let model = LoadModel::steady(cpus / cost.as_secs_f64())?;
    Ok(Shape { model, at_once: 1, connections: 1, duration: Duration::from_secs(seconds.into()) })
}

/// The models' own load; how many requests failed.
async fn steady(crowd: &Crowd, axis: Axis, told: Told) -> anyhow::Result<u64> {
    // Of the swings' seed, but another: which model swings is no matter of its rate.
    let mut random = Random::new(!told.seed);
    let mut drawn = || random.below(QUIET_STEPS.into()) as f64 / f64::from(QUIET_STEPS);
    let mut runs = JoinSet::new();
    for model in &crowd.models {
        let cpus = QUIET_CPUS * (0.5 + drawn());
        let (first, shape) =
            (model.cost.div_f64(cpus).mul_f64(drawn()), shape(cpus, model.cost, LOAD_SECONDS)?);
        let until = Duration::from_secs(told.seconds.into());
        runs.spawn(quiet(model.door.clone(), shape, axis, first, until));
    }
    let mut failed = 0;
    while let Some(run) = runs.join_next().await {
        failed += run??;
    }
    Ok(failed)
}

async fn quiet(door: Door, shape: Shape, axis: Axis, from: Duration, until: Duration) -> anyhow::Result<u64> {
    axis.until(from).await;
    let mut failed = 0;
    while axis.elapsed() + shape.duration <= until {
        failed += requests(&door, shape.clone()).await?;
    }
    Ok(failed)
}

/// The swings; how many requests failed.
async fn swing(crowd: &Crowd, axis: Axis, swings: &[Swing]) -> anyhow::Result<u64> {
    let mut failed = 0;
    for swing in swings {
        axis.until(swing.at).await;
        let model = &crowd.models[swing.model];
        failed += requests(&model.door, shape(SWING_CPUS, model.cost, SWING_SECONDS)?).await?;
    }
    Ok(failed)
}

/// Sends them; how many failed.
async fn requests(door: &Door, shape: Shape) -> anyhow::Result<u64> {
    let counts = Totals::of(&load::run(door, shape, None).await?).tally().counts;
    Ok(counts.scheduled - counts.completed)
}

fn found(bench: &Bench, told: Told, swings: &[Swing], seen: Seen) -> Soak {
    let Seen { axis, live, uses, failed_requests } = seen;
    let names: Vec<String> = names(told.models).collect();
    let block = |swing: &Swing| BlockDone {
        start_unix_nsec: axis.unix_nsec(swing.at),
        end_unix_nsec: axis.unix_nsec(swing.at + Duration::from_secs(SWING_SECONDS.into())),
        on: vec![names[swing.model].clone()],
        phase: Phase::Label,
    };
    let unowned_cpus = uses.iter().map(|one| one.unowned).sum::<f64>() / uses.len().max(1) as f64;
    Soak {
        id: told.id(),
        seed: told.seed,
        half: half(told.seed),
        victims: told.models,
        seconds: told.seconds,
        blocks: swings.iter().map(block).collect(),
        live,
        disturbed: unowned_cpus > DISTURBED_CPUS,
        unowned_cpus,
        unowned_peak_cpus: uses.iter().map(|one| one.unowned).fold(0.0, f64::max),
        failed_requests,
        machine: bench.machine.clone(),
    }
}
