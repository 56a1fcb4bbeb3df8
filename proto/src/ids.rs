//! Names and numbers that identify things, each valid by construction.

use std::fmt;

use crate::{ProtocolError, limits};

/// One life of an agent, drawn at random when it starts. Sequences and series ids have meaning
/// within one incarnation only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(u64);

impl Incarnation {
    /// Zero is what an unset field holds, so it is nobody's.
    pub fn new(value: u64) -> Option<Self> {
        (value != 0).then_some(Self(value))
    }

    /// The number as it travels.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The place of a record in its incarnation, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The first record of an incarnation.
    pub const FIRST: Self = Self(1);

    /// Zero is what an unset field holds, so no record has it; the last number is kept free so that
    /// [`Seq::next`] cannot overflow.
    pub fn new(value: u64) -> Option<Self> {
        (value != 0 && value != u64::MAX).then_some(Self(value))
    }

    /// The number as it travels.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The record after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A series of one agent, from 1, for the life of that agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(u32);

impl SeriesId {
    /// Zero is what an unset field holds, so no series has it.
    pub fn new(value: u32) -> Option<Self> {
        (value != 0).then_some(Self(value))
    }

    /// The number as it travels.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// A node's name: 1 to 253 letters, digits, `-`, `_` and `.` (a superset of RFC 1123, because
/// off Kubernetes people name their machines as they like).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// Errors: the name is empty, too long, or has other characters.
    pub fn new(name: impl Into<String>) -> Result<Self, ProtocolError> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > limits::NAME_BYTES || !name.chars().all(plain) {
            return Err(ProtocolError::invalid(
                "node",
                name,
                "1 to 253 letters, digits, dashes, underscores or dots",
            ));
        }
        Ok(Self(name))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_with_a_newline_or_nothing_in_it_is_refused() {
        for bad in ["", "a\nb", "a b", "../etc", &"x".repeat(254)] {
            assert!(NodeName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(NodeName::new("node-1.eu_west").unwrap().as_str(), "node-1.eu_west");
    }

    #[test]
    fn an_unset_field_is_no_identity() {
        assert!(Seq::new(0).is_none() && Seq::new(u64::MAX).is_none());
        assert!(SeriesId::new(0).is_none() && Incarnation::new(0).is_none());
    }
}
