//! Who may call what.
//!
//! Invariant: what is not in the table of [`Need::of`] needs an operator. Deliberately absent:
//! namespaces; a viewer sees everything.

use berth::NodeName;

/// Whom a token was made for: a token for one is worth nothing to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Agents, which bring samples.
    Ingest,
    /// Load workers.
    Load,
    /// People and their programs.
    Query,
}

impl Audience {
    /// As it stands in a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "berth.ingest",
            Self::Load => "berth.load",
            Self::Query => "berth.query",
        }
    }
}

/// Where a token is bound to, by its claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The node that its pod runs on.
    pub(crate) node: NodeName,
    /// The pod; the token dies with it.
    pub(crate) pod_uid: String,
}

/// Who calls, proven by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The agent of one node.
    Agent(Place),
    /// A load worker.
    LoadWorker(Place),
    /// Somebody who looks.
    Viewer,
    /// Somebody who may also start and stop load.
    Operator,
}

impl Principal {
    /// What its token is bound to; people's tokens are bound to nothing.
    pub(crate) fn place(&self) -> Option<&Place> {
        match self {
            Self::Agent(place) | Self::LoadWorker(place) => Some(place),
            Self::Viewer | Self::Operator => None,
        }
    }
}

/// Who a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// An agent.
    Agent,
    /// A load worker.
    LoadWorker,
    /// A viewer, or an operator.
    Viewer,
    /// An operator.
    Operator,
}

impl Need {
    /// What the method at this path needs; `None` where it gives no data away.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        match (service, method) {
            ("grpc.health.v1.Health" | "grpc.reflection.v1.ServerReflection", _) => None,
            ("berth.v1.Ingest", _) => Some(Self::Agent),
            ("berth.v1.LoadWorkers", _) => Some(Self::LoadWorker),
            ("berth.v1.Episodes" | "berth.v1.Samples" | "berth.v1.Advisor" | "berth.v1.Traces", _)
            | ("berth.v1.Load", "Get" | "Watch") => Some(Self::Viewer),
            _ => Some(Self::Operator),
        }
    }

    /// The audience that a token must have been made for.
    pub(crate) fn audience(self) -> Audience {
        match self {
            Self::Agent => Audience::Ingest,
            Self::LoadWorker => Audience::Load,
            Self::Viewer | Self::Operator => Audience::Query,
        }
    }

    /// The account to show, for the refusal's text.
    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::Agent => "berth-agent",
            Self::LoadWorker => "berth-loadgen",
            Self::Viewer => "berth-viewer or berth-operator",
            Self::Operator => "berth-operator",
        }
    }

    /// Whether this one may.
    pub(crate) fn is_met_by(self, principal: &Principal) -> bool {
        match principal {
            Principal::Agent(_) => self == Self::Agent,
            Principal::LoadWorker(_) => self == Self::LoadWorker,
            Principal::Viewer => self == Self::Viewer,
            Principal::Operator => matches!(self, Self::Viewer | Self::Operator),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_contract_is_for_somebody_in_particular() {
        let set = FileDescriptorSet::decode(berth::wire::FILE_DESCRIPTOR_SET).unwrap();
        let mut seen = Vec::new();
        for service in set.file.iter().flat_map(|file| &file.service) {
            for method in &service.method {
                seen.push(format!("{}/{}", service.name(), method.name()));
            }
        }
        let needs = |need: Need| -> Vec<&str> {
            let of = |method: &&String| Need::of(&format!("/berth.v1.{method}")) == Some(need);
            seen.iter().filter(of).map(String::as_str).collect()
        };
        assert_eq!(needs(Need::Agent), ["Ingest/Stream"]);
        assert_eq!(needs(Need::LoadWorker), ["LoadWorkers/Work", "LoadWorkers/GetPayload"]);
        assert_eq!(needs(Need::Operator), ["Load/PutPayload", "Load/Start", "Load/Stop"]);
        let viewers = needs(Need::Viewer);
        assert_eq!(viewers.len(), seen.len() - 6, "{viewers:?}");
    }

    #[test]
    fn what_nobody_thought_of_needs_an_operator() {
        for path in ["", "/", "/berth.v1.Load", "/berth.v1.Load/", "/berth.v2.Samples/Range", "//berth.v1"] {
            assert_eq!(Need::of(path), Some(Need::Operator), "{path}");
        }
        assert_eq!(Need::of("/grpc.health.v1.Health/Check"), None);
    }

    #[test]
    fn nobody_stands_in_for_another_but_an_operator_for_a_viewer() {
        let place = || Place { node: NodeName::new("node-1").unwrap(), pod_uid: "uid".into() };
        let all = [Need::Agent, Need::LoadWorker, Need::Viewer, Need::Operator];
        for (principal, may) in [
            (Principal::Agent(place()), &[Need::Agent][..]),
            (Principal::LoadWorker(place()), &[Need::LoadWorker]),
            (Principal::Viewer, &[Need::Viewer]),
            (Principal::Operator, &[Need::Viewer, Need::Operator]),
        ] {
            let met: Vec<Need> = all.into_iter().filter(|need| need.is_met_by(&principal)).collect();
            assert_eq!(met, may, "{principal:?}");
        }
    }
}
