//! Names of runs, workers and targets, each valid by construction.

use std::fmt;

use berth::{ProtocolError, limits};

use crate::edge::refused;

/// A run, for the life of the aggregator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId(pub u64);

impl RunId {
    /// As [`fmt::Display`] writes it; `None` for anything else, which is no run.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A load worker, as it names itself: a pod's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerId(String);

impl WorkerId {
    /// Errors: the name is empty, too long, or not printable.
    pub(crate) fn new(id: String) -> Result<Self, ProtocolError> {
        if id.is_empty() || id.len() > limits::NAME_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused("hello.id", id, "1 to 253 printable ASCII characters without spaces"));
        }
        Ok(Self(id))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and port of a target: what can carry one run at a time, whatever the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(String);

const DEFAULT_PORT: u16 = 80;

impl Target {
    /// Errors: the URL has no host, names a user, or its port is no port.
    pub(crate) fn of(url: &str) -> Result<Self, ProtocolError> {
        let wrong = || refused("spec.target_url", url, "http://host:port/path");
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            Some(_) | None => (authority.as_str(), DEFAULT_PORT),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
        if host.is_empty() || !host.chars().all(plain) || port == 0 {
            return Err(wrong());
        }
        Ok(Self(format!("{host}:{port}")))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_paths_of_one_server_are_one_target() {
        for (url, target) in [
            ("http://Model:8080/v1/a:predict", "model:8080"),
            ("http://model:8080/v1/b:predict?x=1", "model:8080"),
            ("http://model", "model:80"),
            ("http://[::1]/x", "[::1]:80"),
            ("http://[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(Target::of(url).unwrap().to_string(), target);
        }
    }

    #[test]
    fn a_url_without_a_host_or_with_a_user_or_a_wrong_port_is_refused() {
        for url in [
            "http://",
            "http:///x",
            "http://:80/",
            "http://u@h/",
            "http://h:99999/",
            "http://h:0/",
            "https://h/",
        ] {
            assert!(Target::of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_run_id_is_read_as_it_is_written() {
        let id = RunId(0xab);
        assert_eq!(RunId::parse(&id.to_string()), Some(id));
        assert_eq!(
            (RunId::parse("ab"), RunId::parse(""), RunId::parse("+0000000000000ab")),
            (None, None, None)
        );
    }
}
