//! What a request asks for, valid by construction.

use std::ops::RangeInclusive;

use berth::{Group, NodeName, ProtocolError, limits, wire};
use berth_core::{
    contention::{Cause, Episode, Severity},
    history::{Resolution, SubjectId},
    node::SubjectView,
    time::AxisNsec,
    who::{Role, Who},
};

use crate::edge::{at_most, optional_axis, refused};

/// Groups in one request: each once.
const GROUPS: usize = Group::ALL.len();

fn text(field: &'static str, text: String) -> Result<Option<String>, ProtocolError> {
    at_most(field, text.len(), limits::NAME_BYTES)?;
    Ok((!text.is_empty()).then_some(text))
}

fn node(name: String) -> Result<Option<NodeName>, ProtocolError> {
    if name.is_empty() { Ok(None) } else { NodeName::new(name).map(Some) }
}

fn role(field: &'static str, number: i32) -> Result<Option<Role>, ProtocolError> {
    match wire::Role::try_from(number) {
        Ok(wire::Role::Unspecified) => Ok(None),
        Ok(wire::Role::Model) => Ok(Some(Role::Model)),
        Ok(wire::Role::Scanner) => Ok(Some(Role::Scanner)),
        Ok(wire::Role::LoadGenerator) => Ok(Some(Role::LoadGenerator)),
        Ok(wire::Role::Other) => Ok(Some(Role::Other)),
        Err(_) => Err(refused(field, number, "a role of this contract")),
    }
}

fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, here: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == here)
}

/// Which episodes.
#[derive(Debug, Clone, Default)]
pub(super) struct EpisodeFilter {
    namespace: Option<String>,
    owner: Option<String>,
    node: Option<NodeName>,
    role: Option<Role>,
    severity: Option<Severity>,
    since: Option<AxisNsec>,
    until: Option<AxisNsec>,
    open_only: bool,
}

impl TryFrom<wire::EpisodeFilter> for EpisodeFilter {
    type Error = ProtocolError;

    fn try_from(wire: wire::EpisodeFilter) -> Result<Self, ProtocolError> {
        let severity = match wire::Severity::try_from(wire.min_severity) {
            Ok(wire::Severity::Unspecified) => None,
            Ok(wire::Severity::Transient) => Some(Severity::Transient),
            Ok(wire::Severity::Contended) => Some(Severity::Contended),
            Ok(wire::Severity::Severe) => Some(Severity::Severe),
            Err(_) => {
                let rule = "a severity of this contract";
                return Err(refused("filter.min_severity", wire.min_severity, rule));
            }
        };
        Ok(Self {
            namespace: text("filter.namespace", wire.namespace)?,
            owner: text("filter.owner_name", wire.owner_name)?,
            node: node(wire.node)?,
            role: role("filter.role", wire.role)?,
            severity,
            since: optional_axis("filter.since", wire.since)?,
            until: optional_axis("filter.until", wire.until)?,
            open_only: wire.open_only,
        })
    }
}

impl EpisodeFilter {
    /// Every part that is set matches.
    pub(super) fn matches(&self, episode: &Episode) -> bool {
        let victim = &episode.victim;
        let owner = victim.owner.as_ref().map_or("", |owner| &owner.name);
        is(self.namespace.as_deref(), victim.namespace.as_str())
            && is(self.owner.as_deref(), owner)
            && is(self.node.as_ref().map(NodeName::as_str), episode.node.as_str())
            && self.role.is_none_or(|role| takes_part(episode, role))
            && self.severity.is_none_or(|severity| episode.severity >= severity)
            && self.since.is_none_or(|since| episode.cleared.is_none_or(|cleared| cleared > since))
            && self.until.is_none_or(|until| episode.onset < until)
            && !(self.open_only && episode.cleared.is_some())
    }
}

fn takes_part(episode: &Episode, role: Role) -> bool {
    let culprit = |cause: &Cause| matches!(cause, Cause::Culprit(who) if who.role == role);
    episode.victim.role == role || episode.shares.iter().any(|share| culprit(&share.cause))
}

/// Which models.
#[derive(Debug, Clone, Default)]
pub(super) struct ModelFilter {
    namespace: Option<String>,
    node: Option<NodeName>,
}

impl TryFrom<wire::ListModelsRequest> for ModelFilter {
    type Error = ProtocolError;

    fn try_from(wire: wire::ListModelsRequest) -> Result<Self, ProtocolError> {
        Ok(Self { namespace: text("namespace", wire.namespace)?, node: node(wire.node)? })
    }
}

impl ModelFilter {
    /// Models of that node may match.
    pub(super) fn is_on(&self, node: &NodeName) -> bool {
        is(self.node.as_ref(), node)
    }

    /// A model on a node that may match does.
    pub(super) fn matches(&self, who: &Who) -> bool {
        is(self.namespace.as_deref(), who.namespace.as_str())
    }

    /// A model that is on no node yet may match.
    pub(super) fn is_in(&self, namespace: &str) -> bool {
        self.node.is_none() && is(self.namespace.as_deref(), namespace)
    }
}

/// Which subjects.
#[derive(Debug, Clone, Default)]
pub(super) struct SubjectFilter {
    node: Option<NodeName>,
    namespace: Option<String>,
    pod: Option<String>,
    role: Option<Role>,
    subject: Option<(NodeName, SubjectId)>,
}

impl TryFrom<wire::SubjectFilter> for SubjectFilter {
    type Error = ProtocolError;

    fn try_from(wire: wire::SubjectFilter) -> Result<Self, ProtocolError> {
        let unknown = || refused("filter.subject_id", &wire.subject_id, "an id from ListSubjects");
        let subject = match wire.subject_id.rsplit_once(':') {
            Some((node, number)) => {
                let number = number.parse().map_err(|_| unknown())?;
                Some((NodeName::new(node).map_err(|_| unknown())?, SubjectId(number)))
            }
            None if wire.subject_id.is_empty() => None,
            None => return Err(unknown()),
        };
        Ok(Self {
            node: node(wire.node)?,
            namespace: text("filter.namespace", wire.namespace)?,
            pod: text("filter.pod", wire.pod)?,
            role: role("filter.role", wire.role)?,
            subject,
        })
    }
}

impl SubjectFilter {
    /// Something of that node may match.
    pub(super) fn may_match(&self, node: &NodeName) -> bool {
        is(self.node.as_ref(), node) && is(self.subject.as_ref().map(|(node, _)| node), node)
    }

    /// Every part that is set matches; the subject is on a node that may match.
    pub(super) fn matches(&self, subject: &SubjectView) -> bool {
        let who = subject.who.as_deref();
        let named = |wanted: Option<&str>, of: fn(&Who) -> &str| {
            wanted.is_none_or(|wanted| who.is_some_and(|who| of(who) == wanted))
        };
        named(self.namespace.as_deref(), |who| &who.namespace)
            && named(self.pod.as_deref(), |who| &who.pod)
            && self.role.is_none_or(|role| who.is_some_and(|who| who.role == role))
            && is(self.subject.as_ref().map(|(_, id)| id), &subject.id)
    }
}

/// The id of a subject, as [`SubjectFilter`] reads it.
pub(super) fn subject_id(node: &NodeName, id: SubjectId) -> String {
    format!("{node}:{}", id.0)
}

/// Which groups; none named means all.
pub(super) fn groups(numbers: &[i32]) -> Result<Vec<Group>, ProtocolError> {
    at_most("groups", numbers.len(), GROUPS)?;
    let named: Vec<Group> =
        numbers.iter().map(|number| Group::try_from(*number)).collect::<Result<_, _>>()?;
    Ok(if named.is_empty() { Group::ALL.to_vec() } else { named })
}

/// How finely.
pub(super) fn resolution(number: i32) -> Result<Resolution, ProtocolError> {
    match wire::Resolution::try_from(number) {
        Ok(wire::Resolution::Unspecified | wire::Resolution::Raw) => Ok(Resolution::Raw),
        Ok(wire::Resolution::OneSecond) => Ok(Resolution::OneSecond),
        Err(_) => Err(refused("resolution", number, "a resolution of this contract")),
    }
}

/// Ids that begin so: the whole id, or the beginning of it.
pub(super) fn id_prefix(prefix: &str) -> Result<RangeInclusive<u64>, ProtocolError> {
    const DIGITS: usize = 16;
    let wrong = || refused("id", prefix, "1 to 16 hexadecimal digits");
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if prefix.is_empty() || prefix.len() > DIGITS || !prefix.bytes().all(lower) {
        return Err(wrong());
    }
    let filled = |digit: &str| {
        let whole = format!("{prefix}{}", digit.repeat(DIGITS - prefix.len()));
        u64::from_str_radix(&whole, 16).map_err(|_| wrong())
    };
    Ok(filled("0")?..=filled("f")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::fixture::episode;

    fn filter(change: impl FnOnce(&mut wire::EpisodeFilter)) -> EpisodeFilter {
        let mut wire = wire::EpisodeFilter::default();
        change(&mut wire);
        wire.try_into().unwrap()
    }

    fn at(seconds: i64) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos: 0 }
    }

    #[test]
    fn every_part_of_a_filter_that_is_set_must_match() {
        let mut hurt = episode(1, 10_000_000_000);
        hurt.cleared = Some(AxisNsec(20_000_000_000));
        let matching: [fn(&mut wire::EpisodeFilter); 8] = [
            |f| f.namespace = "prod".into(),
            |f| f.owner_name = "model".into(),
            |f| f.node = "node-1".into(),
            |f| f.role = wire::Role::Model.into(),
            |f| f.role = wire::Role::Scanner.into(),
            |f| f.min_severity = wire::Severity::Contended.into(),
            |f| f.since = Some(at(19)),
            |f| f.until = Some(at(11)),
        ];
        let missing: [fn(&mut wire::EpisodeFilter); 8] = [
            |f| f.namespace = "test".into(),
            |f| f.owner_name = "scan".into(),
            |f| f.node = "node-2".into(),
            |f| f.role = wire::Role::LoadGenerator.into(),
            |f| f.min_severity = wire::Severity::Severe.into(),
            |f| f.since = Some(at(20)),
            |f| f.until = Some(at(10)),
            |f| f.open_only = true,
        ];
        for (number, change) in matching.into_iter().enumerate() {
            assert!(filter(change).matches(&hurt), "matching {number}");
            assert!(
                !filter(|f| {
                    change(f);
                    f.open_only = true;
                })
                .matches(&hurt)
            );
        }
        for (number, change) in missing.into_iter().enumerate() {
            assert!(!filter(change).matches(&hurt), "missing {number}");
        }
    }

    #[test]
    fn a_value_of_another_version_is_refused_with_its_field() {
        let role = EpisodeFilter::try_from(wire::EpisodeFilter { role: 99, ..Default::default() });
        assert!(role.unwrap_err().to_string().starts_with("filter.role"));
        let subject = |id: &str| {
            SubjectFilter::try_from(wire::SubjectFilter { subject_id: id.into(), ..Default::default() })
        };
        for bad in ["x", "node:", "node:x", ":1", "no de:1"] {
            assert!(subject(bad).unwrap_err().to_string().starts_with("filter.subject_id"), "{bad}");
        }
        assert!(subject("node-1:7").unwrap().may_match(&NodeName::new("node-1").unwrap()));
        assert!(groups(&[0]).is_err() && groups(&[1; 99]).is_err() && resolution(9).is_err());
    }

    #[test]
    fn the_beginning_of_an_id_names_all_ids_that_begin_so() {
        assert_eq!(id_prefix("00000000000000ab").unwrap(), 0xab..=0xab);
        assert_eq!(id_prefix("ab").unwrap(), 0xab00_0000_0000_0000..=0xabff_ffff_ffff_ffff);
        for bad in ["", "AB", "+1", "0x1", "00000000000000abc"] {
            assert!(id_prefix(bad).is_err(), "{bad}");
        }
    }
}
