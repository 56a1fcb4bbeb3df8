//! The configuration of the roster, as people write it, and what can be wrong with it.

use std::collections::BTreeMap;

use berth::limits;
use serde::{Deserialize, Deserializer, de};

use super::{
    Entry, ROLE_LABEL, ROLE_NAMES, Roster,
    glob::{Glob, STARS},
    presets::Preset,
    role_named,
};
use crate::who::Role;

/// Workloads, and selectors: each new container is compared with each, so thousands still take less
/// than a millisecond.
const ENTRIES: usize = 4_096;

/// Who is who, as a file says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RosterConfig {
    /// Names of cgroups; the first that matches counts.
    pub workloads: Vec<Workload>,
    /// Roles by label; the first that matches counts.
    pub roles: Vec<Selector>,
    /// What else gives roles, after those; left out: every preset.
    pub presets: Option<Vec<Preset>>,
}

/// A pattern of cgroups, and who they are. In the names `${1}` is what the first star stands for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Below the hierarchy's root, with a leading slash; `*` within a component, `**` across.
    pub cgroup: String,
    /// May be left out off Kubernetes.
    #[serde(default)]
    pub namespace: String,
    /// What to call it.
    pub pod: String,
    /// Left out: the same as the pod.
    #[serde(default)]
    pub container: String,
    /// Its controller.
    #[serde(default)]
    pub owner: Option<OwnerEntry>,
    /// For the selectors, and for `berth.dev/role`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A controller.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerEntry {
    /// Such as Deployment or Job.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A role for every pod that has all of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// model, scanner, load-generator or other.
    #[serde(deserialize_with = "role")]
    pub role: Role,
    /// Left out: in every namespace.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Values may hold stars: `"*"` asks only that the label is there.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Of any of its containers; may hold stars. Nothing is known of images off Kubernetes.
    #[serde(default)]
    pub image: Option<String>,
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let name = String::deserialize(deserializer)?;
    role_named(&name).ok_or_else(|| de::Error::custom(format!("role {name:?}: write {ROLE_NAMES}")))
}

impl Selector {
    pub(super) fn selects(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        images: &[&str],
    ) -> bool {
        let here = self.namespace.as_ref().is_none_or(|wanted| wanted == namespace);
        let runs = self.image.as_ref().is_none_or(|wanted| {
            let wanted = Glob::new(wanted);
            images.iter().any(|image| wanted.captures(image).is_some())
        });
        here && runs
            && self.labels.iter().all(|(name, wanted)| {
                labels.get(name).is_some_and(|value| Glob::new(wanted).captures(value).is_some())
            })
    }
}

/// What is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// Too many.
    #[error("{list}: {count} entries are over the limit of {ENTRIES}: let one pattern name many cgroups")]
    TooMany {
        /// Which list.
        list: &'static str,
        /// How many.
        count: usize,
    },
    /// Not a pattern of a cgroup path.
    #[error("workloads[{index}].cgroup: {cgroup:?} is no path below the cgroup root: {mend}")]
    Cgroup {
        /// Which, from 0.
        index: usize,
        /// What it is.
        cgroup: String,
        /// What to write.
        mend: &'static str,
    },
    /// It can never match.
    #[error("workloads[{index}].cgroup: {cgroup:?} is that of workloads[{earlier}] too: remove one of them")]
    Twice {
        /// Which, from 0.
        index: usize,
        /// The one that matches first.
        earlier: usize,
        /// The pattern.
        cgroup: String,
    },
    /// A name that must be given.
    #[error("workloads[{index}].{field} is empty: name it, or take a part of the path with ${{1}}")]
    Unnamed {
        /// Which, from 0.
        index: usize,
        /// Which name.
        field: &'static str,
    },
    /// A name refers to what is not there.
    #[error(
        "workloads[{index}].{field}: {text:?} refers to none of the pattern's {stars} stars: write ${{1}} for the first"
    )]
    Reference {
        /// Which, from 0.
        index: usize,
        /// Which name.
        field: &'static str,
        /// What it is.
        text: String,
        /// How many there are.
        stars: usize,
    },
    /// The label that gives a role gives none.
    #[error("workloads[{index}].labels.{ROLE_LABEL}: {label:?} is no role: write {ROLE_NAMES}")]
    RoleLabel {
        /// Which, from 0.
        index: usize,
        /// What it is.
        label: String,
    },
    /// It would give its role to everybody.
    #[error("roles[{index}] selects everything: give it a label, an image or a namespace")]
    Everything {
        /// Which, from 0.
        index: usize,
    },
}

impl RosterConfig {
    pub(super) fn validate(self) -> Result<Roster, RosterError> {
        for (list, count) in [("workloads", self.workloads.len()), ("roles", self.roles.len())] {
            if count > ENTRIES {
                return Err(RosterError::TooMany { list, count });
            }
        }
        let everything = |selector: &Selector| {
            selector.namespace.is_none() && selector.labels.is_empty() && selector.image.is_none()
        };
        if let Some(index) = self.roles.iter().position(everything) {
            return Err(RosterError::Everything { index });
        }
        let mut seen = BTreeMap::new();
        let mut entries = Vec::with_capacity(self.workloads.len());
        for (index, workload) in self.workloads.into_iter().enumerate() {
            if let Some(earlier) = seen.insert(workload.cgroup.clone(), index) {
                return Err(RosterError::Twice { index, earlier, cgroup: workload.cgroup });
            }
            entries.push(workload.validate(index)?);
        }
        let presets = self.presets.unwrap_or_else(|| Preset::ALL.to_vec());
        let presets = presets.into_iter().flat_map(Preset::selectors).collect();
        Ok(Roster { entries, selectors: self.roles, presets })
    }
}

impl Workload {
    fn validate(self, index: usize) -> Result<Entry, RosterError> {
        let cgroup = Glob::new(&self.cgroup);
        let mend = if !self.cgroup.starts_with(['/', '*']) {
            Some("begin it with a slash")
        } else if cgroup.stars() > STARS {
            Some("use at most 8 stars")
        } else if self.cgroup.len() > limits::PATH_BYTES {
            Some("the kernel's paths have at most 4096 bytes")
        } else {
            None
        };
        if let Some(mend) = mend {
            return Err(RosterError::Cgroup { index, cgroup: self.cgroup, mend });
        }
        let name = |field: &'static str, text: String| {
            Template::new(&text, cgroup.stars()).ok_or(RosterError::Reference {
                index,
                field,
                text,
                stars: cgroup.stars(),
            })
        };
        let container = if self.container.is_empty() { self.pod.clone() } else { self.container };
        let mut named = vec![("pod", &self.pod)];
        named.extend(
            self.owner.iter().flat_map(|owner| [("owner.kind", &owner.kind), ("owner.name", &owner.name)]),
        );
        if let Some((field, _)) = named.into_iter().find(|(_, text)| text.is_empty()) {
            return Err(RosterError::Unnamed { index, field });
        }
        if let Some(label) = self.labels.get(ROLE_LABEL).filter(|label| role_named(label).is_none()) {
            return Err(RosterError::RoleLabel { index, label: label.clone() });
        }
        Ok(Entry {
            namespace: name("namespace", self.namespace)?,
            pod: name("pod", self.pod)?,
            container: name("container", container)?,
            owner: self.owner.map(|owner| Ok((owner.kind, name("owner.name", owner.name)?))).transpose()?,
            labels: self.labels,
            cgroup,
        })
    }
}

/// A name that may hold `${1}` and the like.
#[derive(Debug)]
pub(super) struct Template {
    /// Text, and the star that follows it; the last piece has none.
    pieces: Vec<(String, Option<usize>)>,
}

impl Template {
    /// `None`: it refers to a star that is not among `stars`, or is cut short.
    fn new(text: &str, stars: usize) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (number, after) = after.split_once('}')?;
            let star = number.parse::<usize>().ok().filter(|star| (1..=stars).contains(star))?;
            pieces.push((before.to_owned(), Some(star - 1)));
            rest = after;
        }
        pieces.push((rest.to_owned(), None));
        Some(Self { pieces })
    }

    pub(super) fn fill(&self, captures: &[&str]) -> String {
        let star =
            |star: &Option<usize>| star.and_then(|star| captures.get(star)).copied().unwrap_or_default();
        self.pieces.iter().flat_map(|(text, after)| [text.as_str(), star(after)]).collect()
    }
}
