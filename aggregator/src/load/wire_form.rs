//! Load between the wire and the strict types: workers' messages in, runs out.

use berth::{Latencies, NodeName, ProtocolError, hello::PROTOCOL, load::RunSpec, wire};
use berth_core::{time::AxisNsec, timeline::Pong};

use super::{
    coordinator::{News, Report},
    figures::{
        Cost, Counts, ERROR_CLASSES, ErrorClass, Figures, FinalReport, Generator, GeneratorVerdict,
        Histograms, STATUSES, Second,
    },
    ids::{RunId, WorkerId},
    run::{Phase, Snapshot},
    workers::{Order, WorkerHello},
};
use crate::edge::{at_most, refused, timestamp};

/// The longest reason that a worker may give: some sentences.
const REASON_BYTES: usize = 1_024;

/// What a worker said, but for its hello; a pong still lacks the time that only we know.
pub(crate) enum Said {
    /// Something for the coordinator.
    Report(Report),
    /// The answer to the ping of this id.
    Pong(u64, Pong),
}

impl Said {
    /// The same with the time when the ping left that it answers.
    pub(super) fn timed(self, ping: impl FnOnce(u64) -> Option<AxisNsec>) -> Option<Report> {
        match self {
            Self::Report(report) => Some(report),
            Self::Pong(id, pong) => Some(Report::Pong(ping(id)?, pong)),
        }
    }
}

impl TryFrom<wire::WorkerHello> for WorkerHello {
    type Error = ProtocolError;

    fn try_from(wire: wire::WorkerHello) -> Result<Self, ProtocolError> {
        if wire.protocol != PROTOCOL {
            let rule = "1: update the older of worker and aggregator";
            return Err(refused("hello.protocol", wire.protocol, rule));
        }
        Ok(Self { id: WorkerId::new(wire.id)?, node: NodeName::new(wire.node)? })
    }
}

fn run_id(text: &str) -> Result<RunId, ProtocolError> {
    RunId::parse(text).ok_or_else(|| refused("run_id", text, "16 hexadecimal digits"))
}

impl TryFrom<wire::WorkerMessage> for Said {
    type Error = ProtocolError;

    fn try_from(wire: wire::WorkerMessage) -> Result<Self, ProtocolError> {
        use wire::worker_message::Message;
        let message = wire.message.ok_or(ProtocolError::Missing { field: "message" })?;
        Ok(Self::Report(match message {
            Message::Hello(hello) => return Err(refused("hello", hello.id, "only the first message")),
            Message::Pong(pong) => {
                let (id, received_nsec, sent_nsec) = (pong.id, pong.received_nsec, pong.sent_nsec);
                return Ok(Self::Pong(id, Pong { received_nsec, sent_nsec }));
            }
            Message::Ready(ready) => Report::Ready(run_id(&ready.run_id)?),
            Message::Interval(interval) => {
                let second = interval.interval.ok_or(ProtocolError::Missing { field: "interval" })?;
                Report::Second(run_id(&interval.run_id)?, Box::new(second.try_into()?))
            }
            Message::Final(report) => Report::Final(run_id(&report.run_id)?, Box::new(report.try_into()?)),
            Message::Failed(failed) => {
                at_most("failed.reason", failed.reason.len(), REASON_BYTES)?;
                Report::Failed(run_id(&failed.run_id)?, failed.reason)
            }
        }))
    }
}

impl TryFrom<wire::RunInterval> for Second {
    type Error = ProtocolError;

    fn try_from(wire: wire::RunInterval) -> Result<Self, ProtocolError> {
        // The last interval of a drain that ended at once has no length.
        if wire.to_nsec < wire.from_nsec {
            return Err(refused("interval.to_nsec", wire.to_nsec, "not before from_nsec"));
        }
        if wire.seq == u64::MAX {
            return Err(refused("interval.seq", wire.seq, "below 2^64 - 1"));
        }
        Ok(Self {
            seq: wire.seq,
            from_nsec: wire.from_nsec,
            to_nsec: wire.to_nsec,
            draining: wire.draining,
            figures: figures(wire.counts, wire.histograms, wire.cost)?,
        })
    }
}

impl TryFrom<wire::WorkerFinal> for FinalReport {
    type Error = ProtocolError;

    fn try_from(wire: wire::WorkerFinal) -> Result<Self, ProtocolError> {
        let totals = wire.totals.ok_or(ProtocolError::Missing { field: "final.totals" })?;
        let generator = wire.generator.ok_or(ProtocolError::Missing { field: "final.generator" })?;
        let verdict = match wire::GeneratorVerdict::try_from(generator.verdict) {
            Ok(wire::GeneratorVerdict::Ok) => GeneratorVerdict::Ok,
            Ok(wire::GeneratorVerdict::Limited) => GeneratorVerdict::Limited,
            Ok(wire::GeneratorVerdict::Invalid) => GeneratorVerdict::Invalid,
            Ok(wire::GeneratorVerdict::Unspecified) | Err(_) => {
                return Err(refused("generator.verdict", generator.verdict, "ok, limited or invalid"));
            }
        };
        at_most("generator.reason", generator.reason.len(), REASON_BYTES)?;
        Ok(Self {
            figures: figures(totals.counts, totals.histograms, totals.cost)?,
            intervals: wire.intervals,
            generator: Generator { verdict, reason: generator.reason },
        })
    }
}

fn figures(
    counts: Option<wire::Counts>,
    histograms: Option<wire::Histograms>,
    cost: Option<wire::GeneratorCost>,
) -> Result<Figures, ProtocolError> {
    let (counts, histograms) = (counts.unwrap_or_default(), histograms.unwrap_or_default());
    at_most("counts.errors", counts.errors.len(), ERROR_CLASSES)?;
    at_most("counts.statuses", counts.statuses.len(), STATUSES)?;
    let status = |one: wire::StatusCount| match one.status {
        100..=999 => Ok((one.status, one.count)),
        other => Err(refused("counts.statuses.status", other, "from 100 to 999")),
    };
    let class = |error: wire::ErrorCount| Ok((ErrorClass::new(error.class)?, error.count));
    let cost = cost.unwrap_or_default();
    Ok(Figures {
        counts: Counts {
            scheduled: counts.scheduled,
            sent: counts.sent,
            completed: counts.completed,
            dropped: counts.dropped,
            censored: counts.censored,
            errors: counts.errors.into_iter().map(class).collect::<Result<_, ProtocolError>>()?,
            statuses: counts.statuses.into_iter().map(status).collect::<Result<_, ProtocolError>>()?,
            received_bytes: counts.received_bytes,
        },
        histograms: Histograms {
            response: Latencies::decode("response_hdr", &histograms.response_hdr)?,
            service: Latencies::decode("service_hdr", &histograms.service_hdr)?,
            send_lag: Latencies::decode("send_lag_hdr", &histograms.send_lag_hdr)?,
            pacing_lag: Latencies::decode("pacing_lag_hdr", &histograms.pacing_lag_hdr)?,
            connect: Latencies::decode("connect_hdr", &histograms.connect_hdr)?,
            first_byte: Latencies::decode("first_byte_hdr", &histograms.first_byte_hdr)?,
        },
        cost: Cost { cpu_usec: cost.cpu_usec, throttled_usec: cost.throttled_usec },
    })
}

fn counts(counts: &Counts) -> wire::Counts {
    let error =
        |(class, &count): (&ErrorClass, &u64)| wire::ErrorCount { class: class.as_str().to_owned(), count };
    wire::Counts {
        scheduled: counts.scheduled,
        sent: counts.sent,
        completed: counts.completed,
        dropped: counts.dropped,
        censored: counts.censored,
        errors: counts.errors.iter().map(error).collect(),
        statuses: counts
            .statuses
            .iter()
            .map(|(&status, &count)| wire::StatusCount { status, count })
            .collect(),
        received_bytes: counts.received_bytes,
    }
}

fn histograms(histograms: &Histograms) -> Result<wire::Histograms, ProtocolError> {
    Ok(wire::Histograms {
        response_hdr: histograms.response.encode("response_hdr")?,
        service_hdr: histograms.service.encode("service_hdr")?,
        send_lag_hdr: histograms.send_lag.encode("send_lag_hdr")?,
        pacing_lag_hdr: histograms.pacing_lag.encode("pacing_lag_hdr")?,
        connect_hdr: histograms.connect.encode("connect_hdr")?,
        first_byte_hdr: histograms.first_byte.encode("first_byte_hdr")?,
    })
}

fn cost(cost: Cost) -> wire::GeneratorCost {
    wire::GeneratorCost { cpu_usec: cost.cpu_usec, throttled_usec: cost.throttled_usec }
}

fn generator(generator: &Generator) -> wire::Generator {
    let verdict = match generator.verdict {
        GeneratorVerdict::Ok => wire::GeneratorVerdict::Ok,
        GeneratorVerdict::Limited => wire::GeneratorVerdict::Limited,
        GeneratorVerdict::Invalid => wire::GeneratorVerdict::Invalid,
    };
    wire::Generator { verdict: verdict.into(), reason: generator.reason.clone() }
}

/// A run, as clients see it. Errors: its histograms do not fit in a message.
pub(crate) fn run(run: &Snapshot) -> Result<wire::Run, ProtocolError> {
    let state = match run.phase {
        Phase::Preparing => wire::RunState::Preparing,
        Phase::Running | Phase::Stopping => wire::RunState::Running,
        Phase::Done => wire::RunState::Done,
        Phase::Failed => wire::RunState::Failed,
        Phase::Stopped => wire::RunState::Stopped,
    };
    let worker = |(id, node, lost): &(WorkerId, String, bool)| wire::RunWorker {
        id: id.to_string(),
        node: node.clone(),
        lost: *lost,
    };
    let spec = RunSpec { head: run.spec.head.without_values(), ..(*run.spec).clone() };
    Ok(wire::Run {
        id: run.id.to_string(),
        spec: Some(spec.into()),
        state: state.into(),
        reason: run.reason.clone(),
        started: run.started.map(timestamp),
        ended: run.ended.map(timestamp),
        workers: run.workers.iter().map(worker).collect(),
        totals: Some(wire::Totals {
            counts: Some(counts(&run.totals.counts)),
            histograms: Some(histograms(&run.totals.histograms)?),
            cost: Some(cost(run.totals.cost)),
        }),
        generator: run.generator.as_ref().map(generator),
    })
}

/// A watcher's news. Errors: its histograms do not fit in a message.
pub(crate) fn event(news: &News) -> Result<wire::RunEvent, ProtocolError> {
    use wire::run_event::Event;
    let event = match news {
        News::Run(snapshot) => Event::Run(run(snapshot)?),
        News::Second(second) => Event::Interval(wire::RunInterval {
            seq: second.seq,
            from_nsec: second.from_nsec,
            to_nsec: second.to_nsec,
            counts: Some(counts(&second.figures.counts)),
            histograms: Some(histograms(&second.figures.histograms)?),
            cost: Some(cost(second.figures.cost)),
            draining: second.draining,
        }),
    };
    Ok(wire::RunEvent { event: Some(event) })
}

/// An order, as workers see it.
pub(crate) fn order(order: Order) -> wire::WorkerOrder {
    use wire::worker_order::Order as Wire;
    let order = match order {
        Order::Prepare { run, spec, index, of } => Wire::Prepare(wire::Prepare {
            run_id: run.to_string(),
            spec: Some((*spec).clone().into()),
            index,
            of,
        }),
        Order::Begin { run, start_nsec } => Wire::Begin(wire::Begin { run_id: run.to_string(), start_nsec }),
        Order::Stop { run } => Wire::Stop(wire::StopWorking { run_id: run.to_string() }),
        Order::Ping { id } => Wire::Ping(wire::ClockPing { id }),
    };
    wire::WorkerOrder { order: Some(order) }
}
