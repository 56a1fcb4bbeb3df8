//! What single threads did, as an agent read it: for a recording, and for nobody else.
//!
//! Deliberately absent: a place in the stream's sequence. What is lost is counted, and never sent again.

use crate::{ProtocolError, SeriesId, limits, usage::ThreadReading, wire};

/// One reading of a container's threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerThreads {
    /// Its `ContainerThreads` series.
    pub series: SeriesId,
    /// When they were read, by the node's clock.
    pub at_nsec: u64,
    /// Since the reading before.
    pub dt_nsec: u64,
    /// Those that ran or waited.
    pub threads: Vec<ThreadReading>,
}

/// Some readings, of at most [`limits::RAW_READINGS`] threads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawThreads {
    /// Of single threads, dropped since the message before.
    pub lost: u64,
    /// By time.
    pub containers: Vec<ContainerThreads>,
}

impl TryFrom<wire::RawThreads> for RawThreads {
    type Error = ProtocolError;

    fn try_from(wire::RawThreads { lost, containers }: wire::RawThreads) -> Result<Self, ProtocolError> {
        let containers: Vec<ContainerThreads> =
            containers.into_iter().map(ContainerThreads::try_from).collect::<Result<_, _>>()?;
        let readings = containers.iter().map(|container| container.threads.len()).sum();
        ProtocolError::at_most("raw_threads.containers.threads", readings, limits::RAW_READINGS)?;
        Ok(Self { lost, containers })
    }
}

impl From<RawThreads> for wire::RawThreads {
    fn from(RawThreads { lost, containers }: RawThreads) -> Self {
        Self { lost, containers: containers.into_iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::ContainerThreads> for ContainerThreads {
    type Error = ProtocolError;

    fn try_from(wire: wire::ContainerThreads) -> Result<Self, ProtocolError> {
        let field = "raw_threads.containers.series";
        Ok(Self {
            series: SeriesId::new(wire.series).ok_or(ProtocolError::Missing { field })?,
            at_nsec: wire.at_nsec,
            dt_nsec: wire.dt_nsec,
            threads: readings("raw_threads.containers.threads", wire.threads.unwrap_or_default())?,
        })
    }
}

impl From<ContainerThreads> for wire::ContainerThreads {
    fn from(ContainerThreads { series, at_nsec, dt_nsec, threads }: ContainerThreads) -> Self {
        Self { series: series.get(), at_nsec, dt_nsec, threads: Some(columns(&threads)) }
    }
}

/// Row by row. Errors name the field: columns of several lengths, or too long.
pub(crate) fn readings(
    field: &'static str,
    wire::ThreadReadings { tid, run_nsec, wait_nsec }: wire::ThreadReadings,
) -> Result<Vec<ThreadReading>, ProtocolError> {
    ProtocolError::at_most(field, tid.len(), limits::RAW_READINGS)?;
    if run_nsec.len() != tid.len() || wait_nsec.len() != tid.len() {
        let lengths = format!("{}, {} and {} values", tid.len(), run_nsec.len(), wait_nsec.len());
        return Err(ProtocolError::invalid(field, lengths, "columns of one length"));
    }
    let rows = tid.into_iter().zip(run_nsec).zip(wait_nsec);
    Ok(rows.map(|((tid, run_nsec), wait_nsec)| ThreadReading { tid, run_nsec, wait_nsec }).collect())
}

/// Column by column.
pub(crate) fn columns(threads: &[ThreadReading]) -> wire::ThreadReadings {
    wire::ThreadReadings {
        tid: threads.iter().map(|thread| thread.tid).collect(),
        run_nsec: threads.iter().map(|thread| thread.run_nsec).collect(),
        wait_nsec: threads.iter().map(|thread| thread.wait_nsec).collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn refusal(container: wire::ContainerThreads) -> String {
        RawThreads::try_from(wire::RawThreads { lost: 0, containers: vec![container] })
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_the_fields_name() {
        let short = wire::ThreadReadings { tid: vec![1, 2], run_nsec: vec![1, 2], wait_nsec: vec![1] };
        let long = vec![ThreadReading { tid: 1, run_nsec: 1, wait_nsec: 1 }; limits::RAW_READINGS + 1];
        let container = |series, threads| wire::ContainerThreads { series, threads, ..Default::default() };
        assert!(refusal(container(0, None)).starts_with("raw_threads.containers.series"));
        let said = refusal(container(1, Some(short)));
        assert!(said.starts_with("raw_threads.containers.threads") && said.contains("2, 2 and 1"), "{said}");
        assert!(refusal(container(1, Some(columns(&long)))).starts_with("raw_threads.containers.threads"));
        let half = container(1, Some(columns(&long[..limits::RAW_READINGS])));
        let twice = wire::RawThreads { lost: 0, containers: vec![half.clone(), half] };
        assert!(RawThreads::try_from(twice).is_err(), "the limit is the message's");
    }

    #[test]
    fn the_most_readings_of_the_most_containers_fit_in_a_message_and_come_back() {
        let thread = ThreadReading { tid: 4_194_303, run_nsec: u64::MAX, wait_nsec: u64::MAX };
        // Ten years after the boot, a minute since the reading before.
        let container = ContainerThreads {
            series: SeriesId::new(1 << 24).unwrap(),
            at_nsec: 315_360_000_000_000_000,
            dt_nsec: 60_000_000_000,
            threads: vec![thread],
        };
        let raw = RawThreads { lost: u64::MAX, containers: vec![container; limits::RAW_READINGS] };
        let message = wire::AgentMessage {
            message: Some(wire::agent_message::Message::RawThreads(raw.clone().into())),
        };
        assert!(message.encoded_len() <= limits::MESSAGE_BYTES, "{}", message.encoded_len());
        assert_eq!(RawThreads::try_from(wire::RawThreads::from(raw.clone())), Ok(raw));
    }
}
