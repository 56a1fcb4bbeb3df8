//! Where a load run's requests go.
//!
//! Deliberately absent: https, because the engine speaks plain HTTP/1.1 only; names that are resolved.

use std::fmt;

use crate::url::Url;

/// The port of plain HTTP when a URL names none (RFC 9110, 4.2.1).
const HTTP_PORT: u16 = 80;

/// `http://host[:port][/path][?query]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    url: String,
    authority: String,
    host: String,
    port: u16,
    path: String,
}

/// A target that is not one, with the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("target {url} is not plain http to one host: write http://host:port/path")]
pub struct TargetUrlError {
    /// What was given.
    pub url: String,
}

impl TargetUrl {
    /// Errors: another scheme, a user, no host, no port in 1..=65535, a fragment, or characters that
    /// a request line cannot hold.
    pub fn parse(url: &str) -> Result<Self, TargetUrlError> {
        let parts = Url::split(url)
            .filter(|parts| parts.scheme == "http")
            .ok_or_else(|| TargetUrlError { url: url.to_owned() })?;
        // `http://host?x=1` has no path, and a request line needs one.
        let slash = if parts.rest.starts_with('/') { "" } else { "/" };
        Ok(Self {
            url: url.to_owned(),
            authority: parts.authority.to_owned(),
            host: parts.host.trim_matches(['[', ']']).to_owned(),
            port: parts.port.unwrap_or(HTTP_PORT),
            path: format!("{slash}{}", parts.rest),
        })
    }

    /// The value of the Host header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A name or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The one named, or that of http.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the request line holds.
    pub fn path_and_query(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_what_a_request_needs() {
        for (url, authority, host, port, path) in [
            ("http://model:5111/tree/predict", "model:5111", "model", 5111, "/tree/predict"),
            ("http://model", "model", "model", 80, "/"),
            ("http://[::1]:81/v1?x=1", "[::1]:81", "::1", 81, "/v1?x=1"),
            ("http://model?x=1", "model", "model", 80, "/?x=1"),
        ] {
            let target = TargetUrl::parse(url).unwrap();
            assert_eq!((target.authority(), target.host()), (authority, host));
            assert_eq!((target.port(), target.path_and_query()), (port, path));
            assert_eq!(target.to_string(), url);
        }
    }

    #[test]
    fn what_is_not_plain_http_to_one_host_is_refused_with_the_mend() {
        for url in ["https://model/", "model:5111", "/predict", "http://", "http://me@model:1/", ""] {
            let error = TargetUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains("http://host:port/path"), "{url}: {error}");
        }
    }
}
