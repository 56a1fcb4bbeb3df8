//! Where an aggregator is, for all that dial it.
//!
//! Invariant: what travels to another machine is encrypted, and its server is known by a certificate.
//! Deliberately absent: names that are resolved, and connections.

use std::fmt;

use crate::url::Url;

/// `http://host:port` on this machine, or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress(String);

/// Why an address cannot be dialled, with the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerAddressError {
    /// No URL, or one with more or less than host and port.
    #[error("{url} is no server's URL: write http://host:port or https://host:port")]
    Url {
        /// What was given.
        url: String,
    },
    /// A server that could not be told from another.
    #[error("{url} needs --ca-file, the certificate that signed the server's")]
    NoCertificate {
        /// What was given.
        url: String,
    },
    /// A certificate that would be ignored.
    #[error("--ca-file is for https, but the server is {url}")]
    PlainWithCertificate {
        /// What was given.
        url: String,
    },
    /// Anybody on the way could read and change what is sent.
    #[error("{url} is another machine, and plain http goes to this one only: use https:// and --ca-file")]
    PlainToAnotherMachine {
        /// What was given.
        url: String,
    },
}

impl ServerAddress {
    /// `has_ca`: whether a certificate to trust is at hand.
    pub fn parse(url: &str, has_ca: bool) -> Result<Self, ServerAddressError> {
        let given = || url.to_owned();
        let parts = Url::split(url)
            .filter(|parts| parts.port.is_some() && matches!(parts.rest, "" | "/"))
            .ok_or_else(|| ServerAddressError::Url { url: given() })?;
        match (parts.scheme, has_ca) {
            ("https", false) => Err(ServerAddressError::NoCertificate { url: given() }),
            ("http", true) => Err(ServerAddressError::PlainWithCertificate { url: given() }),
            ("http", false) if !parts.is_loopback() => {
                Err(ServerAddressError::PlainToAnotherMachine { url: given() })
            }
            _ => Ok(Self(given())),
        }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_dialled_in_the_clear_and_others_by_certificate() {
        for (url, has_ca) in [
            ("http://127.0.0.1:7700", false),
            ("http://localhost:7700/", false),
            ("http://[::1]:7700", false),
            ("https://berth-aggregator.berth-system.svc:7700", true),
        ] {
            assert_eq!(ServerAddress::parse(url, has_ca).unwrap().as_str(), url);
        }
    }

    #[test]
    fn an_address_that_cannot_work_is_refused_with_the_mend() {
        for (url, has_ca, mend) in [
            ("node:7700", false, "http://host:port"),
            ("http://127.0.0.1", false, "http://host:port"),
            ("http://127.0.0.1:7700/grpc", false, "http://host:port"),
            ("http://me@127.0.0.1:7700", false, "http://host:port"),
            ("https://node:7700", false, "needs --ca-file"),
            ("http://127.0.0.1:7700", true, "is for https"),
            ("http://node:7700", false, "use https:// and --ca-file"),
            ("http://10.1.2.3:7700", false, "use https:// and --ca-file"),
        ] {
            let error = ServerAddress::parse(url, has_ca).unwrap_err().to_string();
            assert!(error.contains(mend), "{url}: {error}");
        }
    }
}
