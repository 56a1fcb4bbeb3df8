//! The configuration file: who is who, and what load may do.
//!
//! ```yaml
//! workloads:                      # names for cgroups, off Kubernetes; the first that matches counts
//!   - cgroup: /demo/model-*       # below the cgroup root; `*` within a component, `**` across
//!     namespace: prod             # may be left out
//!     pod: model-${1}             # ${1} is what the first star stands for
//!     container: main             # left out: the pod's name
//!     owner: {kind: Deployment, name: model}
//!     labels: {berth.dev/role: model}
//! roles:                          # roles by label, where the label berth.dev/role is not set
//!   - role: scanner               # model, scanner, load-generator or other
//!     namespace: batch            # left out: every namespace
//!     labels: {app: "scan*"}
//!     image: "**/scanner:*"       # of any of its containers, on Kubernetes
//! presets: [kserve, vllm]         # left out: all of kserve, seldon, triton, ray-serve, vllm, certifai
//! load:
//!   max_rate_per_sec: 200000      # of one run, over all workers
//!   max_duration_sec: 3600        # of one run
//!   prepare_timeout_sec: 30       # for workers to fetch the payload and dial the target
//! ```
//!
//! Invariant: every key is known and every value valid before anything starts; what is wrong is named
//! with its line and the mend. Deliberately absent: reloading; a changed file takes a restart, which
//! loses nothing.

use std::{fs, io, path::Path, time::Duration};

use berth::limits;
use berth_core::roles::{Preset, Roster, RosterConfig, RosterError, Selector, Workload};
use serde::Deserialize;

use crate::load::RunLimits;

/// A file this large is not a configuration: 4,096 workloads of 200 bytes.
const FILE_BYTES: u64 = 1024 * 1024;

/// Long enough for a payload of 64 MiB through a slow network.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);

/// A prepare that takes longer will not end.
const PREPARE_TIMEOUT_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    workloads: Vec<Workload>,
    roles: Vec<Selector>,
    presets: Option<Vec<Preset>>,
    load: LoadSection,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "these are the keys of the file, which carry their unit")]
struct LoadSection {
    max_rate_per_sec: f64,
    max_duration_sec: f64,
    prepare_timeout_sec: f64,
}

impl Default for LoadSection {
    fn default() -> Self {
        Self {
            max_rate_per_sec: limits::LOAD_RATE_PER_SEC,
            max_duration_sec: limits::LOAD_DURATION.as_secs_f64(),
            prepare_timeout_sec: PREPARE_TIMEOUT.as_secs_f64(),
        }
    }
}

/// What is wrong with a configuration; the text names the key, the line and the mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("it cannot be read: give a file of UTF-8 text that is yours to read")]
    Read(#[source] io::Error),
    /// It is no configuration.
    #[error("it is larger than {FILE_BYTES} bytes: let one pattern name many cgroups")]
    TooLarge,
    /// A key that nobody knows.
    #[error("line {line}: there is no key {key:?}{nearest}")]
    UnknownKey {
        /// Where.
        line: u64,
        /// What was written.
        key: String,
        /// The mend.
        nearest: String,
    },
    /// Not YAML, or a value of the wrong kind, and the mend.
    #[error("line {line}: {what}")]
    Yaml {
        /// Where.
        line: u64,
        /// In words.
        what: String,
    },
    /// A workload or a role that makes no sense.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// A number out of its range.
    #[error("load.{key} is {value}: write a number above 0 and at most {most}")]
    Load {
        /// Which.
        key: &'static str,
        /// What it is.
        value: f64,
        /// The most that it may be.
        most: f64,
    },
}

/// A configuration that was found valid.
#[derive(Debug)]
pub struct Config {
    pub(crate) roster: Roster,
    pub(crate) load: RunLimits,
}

impl Config {
    /// What holds without a file.
    pub fn none() -> Self {
        Self::parse("").expect("every key has a valid default")
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = fs::metadata(path).map_err(ConfigError::Read)?.len();
        if bytes > FILE_BYTES {
            return Err(ConfigError::TooLarge);
        }
        Self::parse(&fs::read_to_string(path).map_err(ConfigError::Read)?)
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // An empty document is null in YAML, and an empty configuration here.
        let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| located(&error))?;
        let file = file.unwrap_or_default();
        let most_rate = limits::LOAD_RATE_PER_SEC;
        let load = file.load;
        if !(load.max_rate_per_sec > 0.0 && load.max_rate_per_sec <= most_rate) {
            let value = load.max_rate_per_sec;
            return Err(ConfigError::Load { key: "max_rate_per_sec", value, most: most_rate });
        }
        Ok(Self {
            roster: Roster::new(RosterConfig {
                workloads: file.workloads,
                roles: file.roles,
                presets: file.presets,
            })?,
            load: RunLimits {
                max_rate_per_sec: load.max_rate_per_sec,
                max_duration: seconds("max_duration_sec", load.max_duration_sec, limits::LOAD_DURATION)?,
                prepare: seconds("prepare_timeout_sec", load.prepare_timeout_sec, PREPARE_TIMEOUT_MAX)?,
            },
        })
    }
}

fn seconds(key: &'static str, value: f64, most: Duration) -> Result<Duration, ConfigError> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= most)
        .ok_or(ConfigError::Load { key, value, most: most.as_secs_f64() })
}

fn located(error: &serde_saphyr::Error) -> ConfigError {
    let error = error.without_snippet();
    let line = error.location().map_or(1, |at| at.line());
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let nearest = nearest(field, expected).map_or_else(
                || format!(": write one of {}", expected.join(", ")),
                |nearest| format!(": write {nearest:?}"),
            );
            ConfigError::UnknownKey { line, key: field.clone(), nearest }
        }
        other => {
            let what = other.to_string();
            let what = what.lines().next().unwrap_or_default();
            // Our own checks name the mend; the parser's words are about YAML or the kind of a value.
            let mend =
                if what.contains(": write ") { "" } else { ": write YAML, and a value of its key's kind" };
            ConfigError::Yaml { line, what: format!("{what}{mend}") }
        }
    }
}

/// The known key that was cut short, or that a slip of the finger may have meant.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    if let Some(longer) = known.iter().find(|known| known.starts_with(key)) {
        return Some(longer);
    }
    let distance = |known: &&str| slips(key, known);
    let best = known.iter().min_by_key(|known| distance(known))?;
    (distance(best) <= best.len() / 3 + 1).then_some(*best)
}

/// How many letters were added, left out or mistaken (Levenshtein's distance).
fn slips(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let mistaken = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = mistaken.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_file_is_valid_and_an_empty_one_too() {
        let documented = "
workloads:
  - cgroup: /demo/model-*
    namespace: prod
    pod: model-${1}
    container: main
    owner: {kind: Deployment, name: model}
    labels: {berth.dev/role: model}
roles:
  - role: scanner
    namespace: batch
    labels: {app: \"scan*\"}
    image: \"**/scanner:*\"
presets: [kserve, vllm]
load:
  max_rate_per_sec: 1000
  max_duration_sec: 60
  prepare_timeout_sec: 5
";
        let config = Config::parse(documented).unwrap();
        assert_eq!(config.load.max_duration, Duration::from_secs(60));
        assert_eq!(config.load.prepare, Duration::from_secs(5));
        assert_eq!(Config::none().load.max_duration, limits::LOAD_DURATION);
        assert!(Config::parse("# nothing\n").is_ok());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
        assert_eq!(
            wrong("roles: []\nload:\n  max_rate: 5\n"),
            "line 3: there is no key \"max_rate\": write \"max_rate_per_sec\""
        );
        assert_eq!(wrong("workload: []\n"), "line 1: there is no key \"workload\": write \"workloads\"");
        assert_eq!(
            wrong("xyz: 1\n"),
            "line 1: there is no key \"xyz\": write one of workloads, roles, presets, load"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        assert!(wrong("roles:\n  - role: boss\n    namespace: x\n").contains("boss"));
        assert!(wrong("load:\n  max_duration_sec: -1\n").contains("load.max_duration_sec is -1"));
        assert!(wrong("load:\n  max_rate_per_sec: .nan\n").contains("load.max_rate_per_sec"));
        assert!(wrong("load: [\n").starts_with("line ") && wrong("load: [\n").contains("write YAML"));
        assert!(
            wrong("load: {max_duration_sec: soon}\n").ends_with("write YAML, and a value of its key's kind")
        );
        assert!(!wrong("roles:\n  - role: boss\n").contains("YAML"), "the mend is named already");
    }

    #[test]
    fn slips_are_counted_as_people_make_them() {
        for (a, b, count) in [("role", "roles", 1), ("laod", "load", 2), ("", "abc", 3), ("same", "same", 0)]
        {
            assert_eq!(slips(a, b), count, "{a} {b}");
        }
    }
}
