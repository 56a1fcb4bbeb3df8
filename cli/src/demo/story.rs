//! The five steps: observe, detect, advise, move, verify.

use std::time::Duration;

use anyhow::Context as _;
use berth::{load::Model, wire};
use berth_core::placement::SEPARATE;
use berth_loadgen::{Ratio, Statistic};

use super::{
    Args,
    result::{AdviceGiven, Baseline, Blame, Change, Contention, GENERATOR_OK, Outcome, Verification},
    runs::{self, Load, Measured},
    stage::{MODEL_REQUEST_CPUS, MODEL_WORKERS, Stage},
};
use crate::{
    connect::Server,
    output::{Format, Output},
    stage::QUOTA_PERIOD,
    text,
    view::{Advice, Episode, ModelSummary, word::Word as _},
};

/// The model's demand at the steady rate, of what it asks for and so gets when every scanner wants the node
/// too. Less, and contention is rare; much more, and the model saturates.
const STEADY_OF_REQUEST: f64 = 0.6;

/// With a limit the model needs less than that on average, or its queue would only grow.
const DEMAND_OF_LIMIT: f64 = 0.8;

/// With a limit one request needs more than a period's quota, or the limit binds nobody: this is how a model
/// is throttled that uses less than it may.
const REQUEST_OF_QUOTA: f64 = 1.5;

/// The scanners' calls to the model, as part of the steady rate and the same in every phase.
const SCANNER_CALLS: f64 = 0.02;

/// Long enough to fill every cache and to find the capacity within a few per cent.
const WARM_UP: Duration = Duration::from_secs(3);

/// Closed-loop runs compare throughput; the comparison wants eight intervals and gets ten.
const CLOSED_RUN: Duration = Duration::from_secs(10);

/// A scanner that was just started first reads its rows; its contention is whole after that.
const SETTLE: Duration = Duration::from_secs(2);

/// A host that takes a CPU away for a moment disturbs a run now and then; three in a row are no accident.
const TRIES: u32 = 3;

/// How long the aggregator may take to hear both agents and know the model.
const OBSERVED_TIMEOUT: Duration = Duration::from_secs(10);

/// How often to ask meanwhile.
const OBSERVED_POLL: Duration = Duration::from_millis(100);

/// Tells the story and collects its figures.
#[derive(Debug)]
pub(super) struct Story<'a> {
    args: &'a Args,
    output: &'a Output,
    server: &'a Server,
    limits: Vec<String>,
    repeated: Vec<String>,
}

/// The model beside its neighbours, at the steady rate and in a closed loop.
#[derive(Debug)]
struct Before {
    steady: Measured,
    closed: Option<Measured>,
}

impl<'a> Story<'a> {
    pub(super) fn new(args: &'a Args, output: &'a Output, server: &'a Server) -> Self {
        Self { args, output, server, limits: Vec::new(), repeated: Vec::new() }
    }

    /// Tells it to its end. Errors: a program ended, a run failed, nothing could be measured.
    pub(super) async fn tell(mut self, stage: &mut Stage) -> anyhow::Result<Outcome> {
        let [a, b] = &stage.nodes;
        self.say(&format!(
            "Two nodes on this machine: {} (CPU {}) and {} (CPU {}). A model serves on {}.",
            a.name,
            a.cpus.list(),
            b.name,
            b.cpus.list(),
            a.name
        ))?;
        self.observed(stage).await?;
        let load = self.load(stage).await?;
        let alone = self.steady_run(stage, &load, "the model alone").await?;
        let baseline = self.baseline(&alone)?;
        self.disturb(stage, &load).await?;
        let (contention, before) = self.contention(stage, &load, &alone).await?;
        let advice = self.advice().await?;
        let verification = self.verify(stage, &load, &alone, &before, &advice).await?;
        let given = |advice: Advice| AdviceGiven {
            id: advice.id,
            code: advice.code,
            title: advice.title,
            actions: advice.actions,
        };
        let advice = advice.into_iter().map(given).collect();
        let outcome = Outcome { baseline, contention, advice, verification };
        if let Format::Json | Format::Yaml = self.output.format() {
            self.output.object(&outcome)?;
        }
        Ok(outcome)
    }

    /// A line of the story: data for people, talk where stdout carries JSON.
    fn say(&self, line: &str) -> anyhow::Result<()> {
        match self.output.format() {
            Format::Table | Format::Wide | Format::Name => self.output.text(&format!("{line}\n"))?,
            Format::Json | Format::Yaml => self.output.note(line),
        }
        Ok(())
    }

    async fn observed(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let all_heard = async {
            loop {
                let nodes = self.server.samples().list_nodes(wire::ListNodesRequest {}).await;
                let nodes = nodes.map_err(|status| self.server.failure(&status))?.into_inner().nodes;
                let heard = nodes.iter().filter(|node| node.last_sample.is_some()).count();
                if heard == 2 && !self.models().await?.is_empty() {
                    return Ok(());
                }
                stage.check()?;
                tokio::time::sleep(OBSERVED_POLL).await;
            }
        };
        tokio::time::timeout(OBSERVED_TIMEOUT, all_heard).await.with_context(|| {
            format!("hear both agents within {OBSERVED_TIMEOUT:?}: is the machine overloaded?")
        })?
    }

    async fn models(&self) -> anyhow::Result<Vec<ModelSummary>> {
        let answer = self.server.episodes().list_models(wire::ListModelsRequest::default()).await;
        let models = answer.map_err(|status| self.server.failure(&status))?.into_inner().models;
        Ok(models.into_iter().map(ModelSummary::from).collect())
    }

    /// Warms the model up, and chooses from its capacity what to ask of it.
    async fn load(&mut self, stage: &mut Stage) -> anyhow::Result<Load> {
        let payload = runs::put_payload(self.server, 1).await?;
        // A request a CPU: more would have the model wait for itself, and be reported for it.
        let busy_cpus = u32::try_from(stage.nodes[0].cpus.count())?.min(MODEL_WORKERS);
        let closed = Load { payload, model: Model::Closed { in_flight: busy_cpus } };
        let capacity = self.run(stage, &closed, WARM_UP, "what one CPU can serve").await?;
        let offered = offered(capacity.rps() / f64::from(busy_cpus), self.args.model_cpu_limit);
        Ok(Load {
            payload: runs::put_payload(self.server, offered.rows).await?,
            model: Model::steady(offered.rate_per_sec)?,
        })
    }

    async fn steady_run(&mut self, stage: &mut Stage, load: &Load, what: &str) -> anyhow::Result<Measured> {
        let duration = Duration::from_secs(self.args.seconds);
        self.run(stage, load, duration, &format!("{what}, at a steady rate")).await
    }

    async fn closed_run(&mut self, stage: &mut Stage, load: &Load, what: &str) -> anyhow::Result<Measured> {
        let closed = Load { model: Model::Closed { in_flight: MODEL_WORKERS }, ..*load };
        self.run(stage, &closed, CLOSED_RUN, &format!("{what}, as fast as it can")).await
    }

    async fn run(
        &mut self,
        stage: &mut Stage,
        load: &Load,
        duration: Duration,
        what: &str,
    ) -> anyhow::Result<Measured> {
        let what = format!("measuring {what} for {} s", duration.as_secs());
        let run = runs::run(self.server, stage, load, duration);
        let mut measured = self.output.during(&what, run).await?;
        for _ in 1..TRIES {
            let Some(limit) = measured.limit.take() else { break };
            self.output.note(&format!("once more, because the load generator was the limit: {limit}"));
            self.repeated.push(limit);
            let again = runs::run(self.server, stage, load, duration);
            measured = self.output.during(&what, again).await?;
        }
        self.limits.extend(measured.limit.clone());
        Ok(measured)
    }

    fn baseline(&self, alone: &Measured) -> anyhow::Result<Baseline> {
        let baseline = Baseline {
            rps: alone.rps(),
            service_mean_usec: alone.service_mean_usec()?,
            response_p99_usec: alone.response_p99_usec()?,
        };
        self.say(&format!("\n(a) Baseline: the model alone\n    {}", figures(alone)?))?;
        Ok(baseline)
    }

    /// Sets the limit, and starts the scanners and the stray process.
    async fn disturb(&mut self, stage: &mut Stage, load: &Load) -> anyhow::Result<()> {
        if let Some(limit) = self.args.model_cpu_limit {
            stage.limit_model(limit)?;
        }
        self.start_scanners(stage, 0, load)?;
        if self.args.stray {
            stage.start_stray()?;
        }
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    /// Errors: one does not start.
    fn start_scanners(&self, stage: &mut Stage, on: usize, load: &Load) -> anyhow::Result<()> {
        let steady_per_sec = match &load.model {
            Model::Open { rate, .. } => rate.mean_per_sec(),
            Model::Closed { .. } => 0.0,
        };
        stage.start_scanners(on, self.args.scanner_count(), steady_per_sec * SCANNER_CALLS)
    }

    async fn contention(
        &mut self,
        stage: &mut Stage,
        load: &Load,
        alone: &Measured,
    ) -> anyhow::Result<(Vec<Contention>, Before)> {
        let beside = match (self.args.scanner_count(), self.args.stray) {
            (0, false) if self.args.model_cpu_limit.is_some() => "the model alone, under its limit",
            (0, false) => "the model, still alone",
            (0, true) => "the model beside a stray process",
            (1, _) => "the model beside a scanner",
            (_, _) => "the model beside scanners",
        };
        let steady = self.steady_run(stage, load, beside).await?;
        let measured_slowdown = steady.service_mean_usec()? / alone.service_mean_usec()?;
        let mut contention = Vec::new();
        self.say(&format!("\n(b) {}\n    {}", sentence(beside), figures(&steady)?))?;
        if self.args.scanner_count() > 0 {
            let scanners = stage.nodes[0].left_by_model_cpus();
            self.say(&format!(
                "    the model asks for {MODEL_REQUEST_CPUS} CPU, all scanners for {scanners}"
            ))?;
        }
        for model in self.models().await? {
            let episode = self.episode(&model).await?;
            self.say(&format!("    berth: {}", verdict_line(&model, episode.as_ref())))?;
            self.say(&format!("    the load generator saw a slowdown of {measured_slowdown:.2}x"))?;
            let (slowdown, shares) = match &episode {
                Some(episode) => (episode.slowdown, &episode.shares),
                None => (model.slowdown, &model.shares),
            };
            contention.push(Contention {
                victim: model.name(),
                verdict: model.verdict,
                resource: episode.as_ref().map_or(wire::Resource::Cpu, |episode| episode.resource),
                slowdown,
                measured_slowdown,
                shares: shares.iter().map(Blame::from).collect(),
            });
        }
        let moves = self.args.scanner_count() > 0;
        let closed = if moves { Some(self.closed_run(stage, load, beside).await?) } else { None };
        if let Some(closed) = &closed {
            self.say(&format!("    as fast as it can: {:.1} requests/s", closed.rps()))?;
        }
        Ok((contention, Before { steady, closed }))
    }

    /// The model's open episode, if any.
    async fn episode(&self, model: &ModelSummary) -> anyhow::Result<Option<Episode>> {
        if model.episode_id.is_empty() {
            return Ok(None);
        }
        let request = wire::GetEpisodeRequest { id: model.episode_id.clone() };
        let answer = self.server.episodes().get(request).await;
        Ok(Some(answer.map_err(|status| self.server.failure(&status))?.into_inner().into()))
    }

    async fn advice(&self) -> anyhow::Result<Vec<Advice>> {
        let answer = self.server.advisor().list(wire::ListAdviceRequest::default()).await;
        let answer = answer.map_err(|status| self.server.failure(&status))?.into_inner();
        let advice: Vec<_> = answer.advice.into_iter().map(Advice::from).collect();
        self.say("\n(c) Advice, with the commands for a cluster")?;
        for note in &answer.notes {
            self.say(&format!("    {note}"))?;
        }
        for advice in &advice {
            self.say(&format!("    {} {}", advice.code, advice.title))?;
            for action in &advice.actions {
                self.say(&format!("      {}", action.command))?;
            }
        }
        Ok(advice)
    }

    async fn verify(
        &mut self,
        stage: &mut Stage,
        load: &Load,
        alone: &Measured,
        before: &Before,
        advice: &[Advice],
    ) -> anyhow::Result<Verification> {
        let for_models = advice.iter().find(|advice| advice.code == SEPARATE).and_then(node_of);
        let [a, b] = &stage.nodes;
        let (Some(for_models), Some(closed_before), true) = (for_models, &before.closed, a.cpus != b.cpus)
        else {
            let (why, verdict) = match for_models {
                Some(_) => ("this machine has one CPU only", Change::NowhereToMove),
                None if self.args.scanner_count() > 0 => {
                    ("a scanner runs, and no advice says to move it", Change::NotAdvised)
                }
                None => ("no advice asks for one", Change::NothingToMove),
            };
            self.say(&format!("\n(d) No move: {why}"))?;
            return Ok(self.not_moved(verdict));
        };
        if for_models == a.name {
            self.say(&format!(
                "\n(d) Move: {for_models} is for models now; the scanner starts again on {}",
                b.name
            ))?;
            stage.stop_scanners().await;
            self.start_scanners(stage, 1, load)?;
        } else {
            self.say(&format!("\n(d) Move: {for_models} is for models now; the model starts again there"))?;
            stage.stop_scanners().await;
            stage.move_model(1).await?;
            self.start_scanners(stage, 0, load)?;
        }
        tokio::time::sleep(SETTLE).await;
        let after = self.steady_run(stage, load, "the model after the move").await?;
        let closed_after = self.closed_run(stage, load, "the model after the move").await?;
        let throughput = closed_after.ratio(closed_before, Statistic::Throughput)?;
        let p99 = after.ratio(&before.steady, Statistic::ResponseP99)?;
        let service_mean = after.ratio(&before.steady, Statistic::MeanService)?;
        let verdict =
            if p99.hi < 1.0 && throughput.lo > 1.0 { Change::Improved } else { Change::NotImproved };
        self.say(&format!("\n(e) After the move\n    {}", figures(&after)?))?;
        self.say(&format!("    as fast as it can: {:.1} requests/s", closed_after.rps()))?;
        for (name, ratio) in [("throughput", throughput), ("p99", p99), ("mean service time", service_mean)] {
            let Ratio { estimate, lo, hi } = ratio;
            self.say(&format!("    {name}, after / before: {estimate:.2} [{lo:.2}, {hi:.2}]"))?;
        }
        let service_mean_usec = after.service_mean_usec()?;
        let back = service_mean_usec / alone.service_mean_usec()?;
        self.say(&format!("    mean service time is {back:.2} times that of the baseline"))?;
        self.say(&format!("    verdict: {}", verdict.words()))?;
        Ok(Verification {
            throughput_ratio: Some(throughput),
            p99_ratio: Some(p99),
            service_mean_ratio: Some(service_mean),
            service_mean_usec: Some(service_mean_usec),
            ..self.not_moved(verdict)
        })
    }

    fn not_moved(&self, verdict: Change) -> Verification {
        Verification {
            throughput_ratio: None,
            p99_ratio: None,
            service_mean_ratio: None,
            service_mean_usec: None,
            verdict,
            repeated: self.repeated.clone(),
            generator: self.limits.first().cloned().unwrap_or_else(|| GENERATOR_OK.to_owned()),
        }
    }
}

/// The node that the advice gives to the models.
fn node_of(advice: &Advice) -> Option<&str> {
    let objects = advice.actions.iter().filter_map(|action| action.object.as_ref());
    objects.filter(|object| object.kind.eq_ignore_ascii_case("node")).map(|node| node.name.as_str()).next()
}

/// What is asked of the model at the steady rate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Offered {
    rows: usize,
    rate_per_sec: f64,
}

/// From what one CPU can serve, and the model's limit if it gets one.
fn offered(rows_per_cpu_sec: f64, limit_cpus: Option<f64>) -> Offered {
    let request_cpus = MODEL_REQUEST_CPUS * STEADY_OF_REQUEST;
    let (rows, demand_cpus) = match limit_cpus {
        None => (1, request_cpus),
        Some(limit_cpus) => {
            let quota_rows = rows_per_cpu_sec * limit_cpus * QUOTA_PERIOD.as_secs_f64();
            let enough = |rows: &u16| f64::from(*rows) >= quota_rows * REQUEST_OF_QUOTA;
            ((1..u16::MAX).find(enough).unwrap_or(u16::MAX), request_cpus.min(limit_cpus * DEMAND_OF_LIMIT))
        }
    };
    Offered { rows: usize::from(rows), rate_per_sec: rows_per_cpu_sec / f64::from(rows) * demand_cpus }
}

fn figures(run: &Measured) -> anyhow::Result<String> {
    Ok(format!(
        "{:.1} requests/s, mean service time {:.2} ms, p99 {:.1} ms",
        run.rps(),
        run.service_mean_usec()? / 1000.0,
        run.response_p99_usec()? as f64 / 1000.0
    ))
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

fn verdict_line(model: &ModelSummary, episode: Option<&Episode>) -> String {
    let slowdown = text::slowdown(episode.map_or(model.slowdown, |episode| episode.slowdown));
    match episode {
        None => format!("nobody hurts {} (slowdown {slowdown})", model.name()),
        Some(episode) => format!(
            "{} is slowed down {slowdown}; from: {}; verdict: {}; explain it with: berth explain {}",
            model.name(),
            text::blame(&episode.shares, episode.resource, episode.verdict),
            episode.verdict.word(),
            episode.id
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_fits_the_models_request_and_under_a_limit_each_request_outlasts_a_quota() {
        for (limit_cpus, rows, rate_per_sec) in [
            (None, 1, 30.0),
            (Some(0.3), 9, 30.0 / 9.0),
            (Some(0.9), 27, 30.0 / 27.0),
            (Some(0.1), 3, 16.0 / 3.0),
        ] {
            let offered = offered(200.0, limit_cpus);
            assert_eq!(offered.rows, rows, "{limit_cpus:?}");
            assert!((offered.rate_per_sec - rate_per_sec).abs() < 1e-9, "{limit_cpus:?}: {offered:?}");
        }
    }
}
