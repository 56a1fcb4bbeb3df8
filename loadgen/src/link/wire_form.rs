//! Intervals and reports between the wire and the engine's own types.

use std::collections::BTreeMap;

use berth::{Latencies, ProtocolError, wire};

use crate::{
    answer::ErrorClass,
    engine::Outcome,
    summary::{Summary, Verdict},
    tally::{Counts, Errors, Generator, Interval, Phase, Tally},
};

impl From<&Interval> for wire::RunInterval {
    fn from(interval: &Interval) -> Self {
        Self {
            seq: interval.seq,
            from_nsec: interval.from_nanos,
            to_nsec: interval.to_nanos,
            counts: Some(counts(&interval.tally)),
            histograms: Some(histograms(&interval.tally)),
            cost: Some(cost(&interval.generator)),
            draining: interval.phase == Phase::Drain,
        }
    }
}

impl TryFrom<&wire::RunInterval> for Interval {
    type Error = ProtocolError;

    fn try_from(wire: &wire::RunInterval) -> Result<Self, ProtocolError> {
        let histograms =
            wire.histograms.as_ref().ok_or(ProtocolError::Missing { field: "interval.histograms" })?;
        let counts = wire.counts.as_ref().ok_or(ProtocolError::Missing { field: "interval.counts" })?;
        let cost = wire.cost.unwrap_or_default();
        Ok(Self {
            seq: wire.seq,
            phase: if wire.draining { Phase::Drain } else { Phase::Load },
            from_nanos: wire.from_nsec,
            to_nanos: wire.to_nsec,
            tally: Tally {
                counts: counted(counts),
                response: Latencies::decode("response_hdr", &histograms.response_hdr)?,
                service: Latencies::decode("service_hdr", &histograms.service_hdr)?,
                send_lag: Latencies::decode("send_lag_hdr", &histograms.send_lag_hdr)?,
                pacing_lag: Latencies::decode("pacing_lag_hdr", &histograms.pacing_lag_hdr)?,
                connect: Latencies::decode("connect_hdr", &histograms.connect_hdr)?,
                first_byte: Latencies::decode("first_byte_hdr", &histograms.first_byte_hdr)?,
                statuses: statuses(counts),
                received_bytes: counts.received_bytes,
            },
            generator: Generator { cpu_usec: cost.cpu_usec, throttled_usec: cost.throttled_usec },
        })
    }
}

/// The whole run, counted apart from its intervals.
pub(super) fn final_report(run_id: &str, outcome: &Outcome) -> wire::WorkerFinal {
    let totals = &outcome.totals;
    let tally = totals.tally();
    let mut used = totals.load.generator;
    used.add(&totals.drain.generator);
    let generator = match Summary::of(totals).generator {
        Verdict::Ok => (wire::GeneratorVerdict::Ok, String::new()),
        Verdict::GeneratorLimited { reason } => (wire::GeneratorVerdict::Limited, reason.to_string()),
    };
    wire::WorkerFinal {
        run_id: run_id.to_owned(),
        totals: Some(wire::Totals {
            counts: Some(counts(&tally)),
            histograms: Some(histograms(&tally)),
            cost: Some(cost(&used)),
        }),
        intervals: totals.intervals,
        generator: Some(wire::Generator { verdict: generator.0.into(), reason: generator.1 }),
    }
}

fn counts(tally: &Tally) -> wire::Counts {
    let counts = &tally.counts;
    let status =
        |(status, count): (&u16, &u64)| wire::StatusCount { status: u32::from(*status), count: *count };
    let errors = ErrorClass::ALL.into_iter().map(|class| (class, counts.errors.of(class)));
    let error =
        |(class, count): (ErrorClass, u64)| wire::ErrorCount { class: class.name().to_owned(), count };
    wire::Counts {
        scheduled: counts.scheduled,
        sent: counts.sent,
        completed: counts.completed,
        dropped: counts.dropped,
        censored: counts.censored,
        errors: errors.filter(|(_, count)| *count > 0).map(error).collect(),
        statuses: tally.statuses.iter().map(status).collect(),
        received_bytes: tally.received_bytes,
    }
}

/// What is no status is left out: an aggregator lets none through.
fn statuses(wire: &wire::Counts) -> BTreeMap<u16, u64> {
    wire.statuses.iter().filter_map(|one| Some((u16::try_from(one.status).ok()?, one.count))).collect()
}

/// A class that this build does not know yet is counted as one of the body.
fn counted(wire: &wire::Counts) -> Counts {
    let class = |name: &str| ErrorClass::ALL.into_iter().find(|class| class.name() == name);
    let errors =
        wire.errors.iter().map(|error| (class(&error.class).unwrap_or(ErrorClass::Body), error.count));
    Counts {
        scheduled: wire.scheduled,
        sent: wire.sent,
        completed: wire.completed,
        errors: Errors::of_classes(errors),
        dropped: wire.dropped,
        censored: wire.censored,
    }
}

fn histograms(tally: &Tally) -> wire::Histograms {
    // A histogram of this program is within the limits of the contract by construction; should one
    // ever not be, an empty one makes the sums disagree, and the run is called invalid.
    let encode = |latencies: &Latencies, field| latencies.encode(field).unwrap_or_default();
    wire::Histograms {
        response_hdr: encode(&tally.response, "response_hdr"),
        service_hdr: encode(&tally.service, "service_hdr"),
        send_lag_hdr: encode(&tally.send_lag, "send_lag_hdr"),
        pacing_lag_hdr: encode(&tally.pacing_lag, "pacing_lag_hdr"),
        connect_hdr: encode(&tally.connect, "connect_hdr"),
        first_byte_hdr: encode(&tally.first_byte, "first_byte_hdr"),
    }
}

fn cost(generator: &Generator) -> wire::GeneratorCost {
    wire::GeneratorCost { cpu_usec: generator.cpu_usec, throttled_usec: generator.throttled_usec }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_travels_is_the_same() {
        let mut tally = Tally::default();
        tally.counts.sent = 3;
        tally.counts.errors = Errors::of_classes([(ErrorClass::Timeout, 2)].into_iter());
        tally.response.record_nanos(1_234_000);
        (tally.statuses, tally.received_bytes) = (BTreeMap::from([(200, 2), (503, 1)]), 93);
        let mut interval = Interval {
            seq: 4,
            phase: Phase::Drain,
            from_nanos: 4_000_000_000,
            to_nanos: 5_000_000_000,
            tally,
            generator: Generator { cpu_usec: 7, throttled_usec: Some(1) },
        };
        let there = wire::RunInterval::from(&interval);
        assert_eq!(Interval::try_from(&there).unwrap(), interval);
        interval.generator.throttled_usec = None;
        let there = wire::RunInterval::from(&interval);
        assert_eq!(Interval::try_from(&there).unwrap(), interval, "what is not known stays so");
    }
}
