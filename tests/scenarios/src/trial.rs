//! One trial: the scene is set, its load runs, parts are switched on time, and all that was seen becomes
//! the result.
//!
//! Invariant: what is switched, what is read and what is asked of the aggregator happens beside the load
//! and never delays it: the load engine has a thread of its own.

use std::time::Duration;

use anyhow::Context as _;
use berth_cli::connect::{Address, Server};
use berth_loadgen::{Interval, Model as LoadModel, Phase as LoadPhase, Totals};

use crate::{
    bench::Bench,
    blocks::{self, Block},
    clock::Axis,
    label, live,
    load::{self, Shape},
    meter::{DISTURBED_CPUS, Use},
    oracle::{Recording, Tracer},
    plan::{self, Trial},
    result::{self, BlockDone, Outcome, Revision, Second, Switches},
    scene::Scene,
    timeline::{self, Toggle},
    trace::{self, Recorder},
};

/// How long the aggregator may take to hear of the model.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is asked meanwhile.
const KNOWN_POLL: Duration = Duration::from_millis(50);

/// All that was seen.
struct Seen {
    axis: Axis,
    intervals: Vec<Interval>,
    uses: Vec<Use>,
    /// When each block's last switch was made, from the start.
    block_starts: Vec<Duration>,
    live: Vec<Revision>,
}

/// Runs a trial to its end.
pub async fn run(bench: &Bench, trial: &Trial) -> anyhow::Result<Outcome> {
    let mut scene = Scene::set(bench, trial).await?;
    let server = Address::of_server(Some(&scene.server), None)?.connect().await?;
    known(&server, &mut scene).await?;
    let file = trace::file(&bench.dir, &trial.id);
    let recorder = Recorder::start(&bench.binaries, &scene.server, file, &bench.rest, scene.folder())?;
    let (seen, recording) = observe(bench, trial, &mut scene, &server).await?;
    recorder.finish().await?;
    scene.check()?;
    let switches = switches(recording).await;
    let outcome = outcome(bench, trial, &scene, seen, switches);
    scene.strike().await;
    Ok(outcome)
}

async fn known(server: &Server, scene: &mut Scene) -> anyhow::Result<()> {
    let victim = ["victim".to_owned()];
    let known = async {
        while !live::knows(server, &victim).await? {
            scene.check()?;
            tokio::time::sleep(KNOWN_POLL).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(KNOWN_TIMEOUT, known).await.context("wait until the aggregator knows the model")?
}

/// The run itself.
async fn observe(
    bench: &Bench,
    trial: &Trial,
    scene: &mut Scene,
    server: &Server,
) -> anyhow::Result<(Seen, Option<Recording>)> {
    let blocks = trial.blocks();
    let seconds = blocks::seconds(&blocks);
    let shape = Shape {
        model: LoadModel::steady(arrivals_per_sec(trial, scene))?,
        at_once: trial.at_once,
        connections: trial.victim.threads.div_ceil(trial.at_once),
        duration: Duration::from_secs(seconds.into()),
    };
    let door = scene.model.door.clone();
    let meters = scene.meters(bench.node.first());
    let tracer = tracer(bench, trial, scene);
    let axis = Axis::beginning_in(load::START_LEAD);
    let mut seen = Vec::new();
    let run = async {
        tokio::try_join!(
            load::run(&door, shape, Some(axis.start())),
            meters.watch(axis, seconds),
            switch(bench, trial, scene, axis, &blocks),
            record(tracer, axis),
        )
    };
    let (intervals, uses, block_starts, recording) = tokio::select! {
        run = run => run?,
        lost = live::watch(server, &mut seen) => return Err(lost.err().unwrap_or_else(|| anyhow::anyhow!("no watch"))),
    };
    Ok((Seen { axis, intervals, uses, block_starts, live: seen }, recording))
}

/// What records who ran, where it can and the trial is one of those that are judged by it.
fn tracer(bench: &Bench, trial: &Trial, scene: &Scene) -> Option<Tracer> {
    let (perf, block) = bench.perf.clone().zip(trial.blamed_block())?;
    Some(Tracer {
        perf,
        cpu: bench.node.first(),
        rest: bench.rest.clone(),
        victim: scene.model.group.thread_list(),
        suspects: trial.parts().into_iter().zip(scene.thread_lists()).collect(),
        block: block.start..block.end,
        folder: scene.folder().to_owned(),
    })
}

/// A trial is worth its label without it.
async fn record(tracer: Option<Tracer>, axis: Axis) -> anyhow::Result<Option<Recording>> {
    let Some(tracer) = tracer else { return Ok(None) };
    let recorded = tracer.record(axis).await;
    Ok(recorded.inspect_err(|error| eprintln!("    who ran was not recorded: {error:#}")).ok())
}

async fn switches(recording: Option<Recording>) -> Option<Switches> {
    let read = recording?.read().await;
    read.inspect_err(|error| eprintln!("    who ran is not known: {error:#}")).ok()
}

/// Of each stream.
fn arrivals_per_sec(trial: &Trial, scene: &Scene) -> f64 {
    trial.load / scene.model.cost.as_secs_f64() / f64::from(trial.at_once)
}

/// Switches every part when its time has come, and says when each block had really begun.
async fn switch(
    bench: &Bench,
    trial: &Trial,
    scene: &mut Scene,
    axis: Axis,
    blocks: &[Block],
) -> anyhow::Result<Vec<Duration>> {
    let toggles = timeline::toggles(blocks, &trial.rhythms(), trial.seed);
    let mut starts: Vec<Duration> =
        blocks.iter().map(|block| Duration::from_secs(block.start.into())).collect();
    for (number, toggle) in toggles.iter().enumerate() {
        axis.until(toggle.at).await;
        let length = on_for(&toggles[number..], toggle);
        scene.switch(bench, trial, toggle.part, toggle.on, length).await?;
        if let Some(begun) =
            blocks.iter().position(|block| Duration::from_secs(block.start.into()) == toggle.at)
        {
            starts[begun] = axis.elapsed();
        }
    }
    axis.until(Duration::from_secs(blocks::seconds(blocks).into())).await;
    Ok(starts)
}

/// How long a part stays on that is switched on by the first of `toggles`.
fn on_for(toggles: &[Toggle], on: &Toggle) -> Duration {
    let off = toggles.iter().find(|toggle| toggle.part == on.part && !toggle.on);
    off.map_or(Duration::ZERO, |off| off.at.saturating_sub(on.at))
}

fn outcome(bench: &Bench, trial: &Trial, scene: &Scene, seen: Seen, switches: Option<Switches>) -> Outcome {
    let Seen { axis, intervals, uses, block_starts, live } = seen;
    let (blocks, parts) = (trial.blocks(), trial.parts());
    let [off, on] = [false, true].map(|on| measured_uses(&blocks, &uses, on));
    let mean =
        |uses: &[Use], of: fn(&Use) -> f64| uses.iter().map(of).sum::<f64>() / uses.len().max(1) as f64;
    // Either side of the ratio is spoilt by others.
    let unowned_cpus = mean(&off, |one| one.unowned).max(mean(&on, |one| one.unowned));
    let counts = Totals::of(&intervals).tally().counts;
    let first_on = blocks.iter().position(|block| !block.on.is_empty());
    let shares = if trial.subsets { label::shapley(&blocks, &intervals, parts.len()) } else { Vec::new() };
    Outcome {
        id: trial.id.clone(),
        class: trial.class.to_owned(),
        seed: trial.seed,
        half: trial.half,
        victim: result::Victim {
            name: "victim".to_owned(),
            kind: trial.victim.kind.name(),
            threads: trial.victim.threads,
            load: trial.load,
            at_once: trial.at_once,
            arrivals_per_sec: arrivals_per_sec(trial, scene),
            weight: trial.victim.weight,
        },
        suspects: suspects(bench, trial, scene),
        bystanders: trial.bystanders,
        expected: trial.expected.clone(),
        onset_unix_nsec: first_on.map(|block| axis.unix_nsec(block_starts[block])),
        blocks: blocks_done(&blocks, &parts, axis, &block_starts),
        seconds: seconds(&intervals, &uses, axis),
        slowdown: label::service_slowdown(&blocks, &intervals, parts.len(), trial.seed),
        response_slowdown: label::response_slowdown(&blocks, &intervals, parts.len(), trial.seed),
        shapley: parts
            .iter()
            .zip(shares)
            .map(|(name, share)| result::Share { name: name.clone(), share })
            .collect(),
        switches,
        live,
        disturbed: unowned_cpus > DISTURBED_CPUS,
        unowned_cpus,
        unowned_peak_cpus: off.iter().chain(&on).map(|one| one.unowned).fold(0.0, f64::max),
        steal_cpus: mean(&uses, |one| one.steal),
        victim_off_cpus: mean(&off, |one| one.victim),
        sample_hz: bench.sample_hz,
        failed_requests: counts.scheduled - counts.completed,
        machine: bench.machine.clone(),
    }
}

/// What was used in the measured seconds of the blocks in which something was on, or nothing.
fn measured_uses(blocks: &[Block], uses: &[Use], on: bool) -> Vec<Use> {
    let side = blocks.iter().filter(|block| block.on.is_empty() != on).flat_map(Block::measured);
    side.filter_map(|second| uses.get(usize::try_from(second).ok()?).copied()).collect()
}

fn suspects(bench: &Bench, trial: &Trial, scene: &Scene) -> Vec<result::Suspect> {
    let shown = |((name, suspect), flags): ((String, &plan::Suspect), &[String])| result::Suspect {
        name,
        kind: suspect.kind.name().to_owned(),
        flags: flags.to_vec(),
        rhythm: suspect.rhythm,
        cpus: if suspect.elsewhere { bench.rest.list() } else { bench.node.list() },
        weight: suspect.weight,
    };
    trial.parts().into_iter().zip(&trial.suspects).zip(scene.flags()).map(shown).collect()
}

fn blocks_done(blocks: &[Block], parts: &[String], axis: Axis, starts: &[Duration]) -> Vec<BlockDone> {
    let end = Duration::from_secs(blocks::seconds(blocks).into());
    let ends = starts.iter().skip(1).copied().chain([end]);
    let named = |block: &Block| block.on.iter().map(|&part| parts[part].clone()).collect();
    blocks
        .iter()
        .zip(starts.iter().zip(ends))
        .map(|(block, (start, end))| BlockDone {
            start_unix_nsec: axis.unix_nsec(*start),
            end_unix_nsec: axis.unix_nsec(end),
            on: named(block),
            phase: block.phase,
        })
        .collect()
}

fn seconds(intervals: &[Interval], uses: &[Use], axis: Axis) -> Vec<Second> {
    let load = intervals.iter().filter(|interval| interval.phase == LoadPhase::Load);
    let uses = uses.iter().map(|one| Some(one.unowned)).chain(std::iter::repeat(None));
    load.zip(uses)
        .map(|(interval, unowned_cpus)| Second {
            start_unix_nsec: axis.unix_nsec(Duration::from_nanos(interval.from_nanos)),
            completed: interval.tally.counts.completed,
            service_mean_usec: interval.tally.service.mean_usec(),
            response_mean_usec: interval.tally.response.mean_usec(),
            unowned_cpus,
        })
        .collect()
}
