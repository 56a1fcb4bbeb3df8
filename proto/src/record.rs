//! The sequenced part of an agent's stream.

use crate::{Batch, Correction, ProtocolError, Seq, SeriesId, limits, wire};

/// Why data is missing; `ingest.proto` says more of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapReason {
    /// The sampler was late, or stretched its period.
    MissedTick,
    /// Left the replay ring before it was sent.
    ReplayFull,
    /// Between two incarnations of the agent.
    AgentDown,
    /// Could have been resumed, was not asked for.
    Declined,
    /// Broke a rule of the contract.
    Refused,
}

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::MissedTick, Self::ReplayFull, Self::AgentDown, Self::Declined, Self::Refused];

    /// In snake_case, as metrics and tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissedTick => "missed_tick",
            Self::ReplayFull => "replay_full",
            Self::AgentDown => "agent_down",
            Self::Declined => "declined",
            Self::Refused => "refused",
        }
    }

    /// The number as it travels.
    pub fn to_wire(self) -> wire::GapReason {
        match self {
            Self::MissedTick => wire::GapReason::MissedTick,
            Self::ReplayFull => wire::GapReason::ReplayFull,
            Self::AgentDown => wire::GapReason::AgentDown,
            Self::Declined => wire::GapReason::Declined,
            Self::Refused => wire::GapReason::Refused,
        }
    }
}

/// Stands for records or ticks that will never come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its own sequence, or the first of those that it replaces.
    pub seq: Seq,
    /// The last sequence that it replaces.
    pub last_seq: Seq,
    /// Why.
    pub reason: GapReason,
    /// Ticks that are missing.
    pub ticks: u64,
    /// Values that were produced and are missing.
    pub values: u64,
}

/// Series that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retire {
    /// Its place in the stream.
    pub seq: Seq,
    /// Rising.
    pub series: Vec<SeriesId>,
}

/// What shares the one sequence of an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Some ticks of every live series.
    Batch(Batch),
    /// Amounts to add to earlier ticks.
    Correction(Correction),
    /// Series that ended.
    Retire(Retire),
    /// What will never come.
    Gap(Gap),
}

impl Record {
    /// Its place in the stream; of a gap, the first place that it takes.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Batch(batch) => batch.seq,
            Self::Correction(correction) => correction.seq,
            Self::Retire(retire) => retire.seq,
            Self::Gap(gap) => gap.seq,
        }
    }

    /// The last place that it takes: of a gap that replaces several, the last of those.
    pub fn last_seq(&self) -> Seq {
        match self {
            Self::Gap(gap) => gap.last_seq,
            Self::Batch(_) | Self::Correction(_) | Self::Retire(_) => self.seq(),
        }
    }
}

/// The sequence of a record. Errors: it is unset.
pub(crate) fn seq(field: &'static str, number: u64) -> Result<Seq, ProtocolError> {
    Seq::new(number).ok_or_else(|| ProtocolError::invalid(field, number, "from 1"))
}

impl TryFrom<wire::Gap> for Gap {
    type Error = ProtocolError;

    fn try_from(wire: wire::Gap) -> Result<Self, ProtocolError> {
        let reason = match wire::GapReason::try_from(wire.reason) {
            Ok(wire::GapReason::MissedTick) => GapReason::MissedTick,
            Ok(wire::GapReason::ReplayFull) => GapReason::ReplayFull,
            Ok(wire::GapReason::AgentDown | wire::GapReason::Declined | wire::GapReason::Refused) => {
                return Err(ProtocolError::invalid(
                    "gap.reason",
                    wire.reason,
                    "only an aggregator counts these",
                ));
            }
            Ok(wire::GapReason::Unspecified) | Err(_) => {
                return Err(ProtocolError::invalid("gap.reason", wire.reason, "a reason of this contract"));
            }
        };
        let (first, last) = (seq("gap.seq", wire.seq)?, seq("gap.last_seq", wire.last_seq)?);
        if last < first {
            return Err(ProtocolError::invalid("gap.last_seq", wire.last_seq, "not before gap.seq"));
        }
        Ok(Self { seq: first, last_seq: last, reason, ticks: wire.ticks, values: wire.values })
    }
}

impl From<Gap> for wire::Gap {
    fn from(gap: Gap) -> Self {
        Self {
            seq: gap.seq.get(),
            last_seq: gap.last_seq.get(),
            reason: gap.reason.to_wire().into(),
            ticks: gap.ticks,
            values: gap.values,
        }
    }
}

impl TryFrom<wire::Retire> for Retire {
    type Error = ProtocolError;

    fn try_from(wire: wire::Retire) -> Result<Self, ProtocolError> {
        ProtocolError::at_most("retire.series", wire.series.len(), limits::SERIES)?;
        let id = |&id: &u32| {
            SeriesId::new(id).ok_or_else(|| ProtocolError::invalid("retire.series", id, "from 1"))
        };
        let series: Vec<_> = wire.series.iter().map(id).collect::<Result<_, _>>()?;
        Ok(Self { seq: seq("retire.seq", wire.seq)?, series })
    }
}

impl From<Retire> for wire::Retire {
    fn from(retire: Retire) -> Self {
        Self { seq: retire.seq.get(), series: retire.series.into_iter().map(SeriesId::get).collect() }
    }
}
