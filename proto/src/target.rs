//! Where a load run's requests go.
//!
//! Deliberately absent: names that are resolved.

use std::fmt;

use crate::url::Url;

/// The port of plain HTTP when a URL names none (RFC 9110, 4.2.1).
const HTTP_PORT: u16 = 80;

/// That of HTTP over TLS (RFC 9110, 4.2.2).
const HTTPS_PORT: u16 = 443;

/// `http://host[:port][/path][?query]`, or the same with https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    url: String,
    authority: String,
    host: String,
    port: u16,
    path: String,
    is_tls: bool,
}

/// A target that is not one, with the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("target {url} is no URL of one host: write http://host:port/path, or https")]
pub struct TargetUrlError {
    /// What was given.
    pub url: String,
}

impl TargetUrl {
    /// Errors: a scheme that is neither http nor https, a user, no host, no port in 1..=65535, a
    /// fragment, or characters that a request line cannot hold.
    pub fn parse(url: &str) -> Result<Self, TargetUrlError> {
        let parts = Url::split(url).ok_or_else(|| TargetUrlError { url: url.to_owned() })?;
        let is_tls = parts.scheme == "https";
        // `http://host?x=1` has no path, and a request line needs one.
        let slash = if parts.rest.starts_with('/') { "" } else { "/" };
        Ok(Self {
            url: url.to_owned(),
            authority: parts.authority.to_owned(),
            host: parts.host.trim_matches(['[', ']']).to_owned(),
            port: parts.port.unwrap_or(if is_tls { HTTPS_PORT } else { HTTP_PORT }),
            path: format!("{slash}{}", parts.rest),
            is_tls,
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

    /// Whether it is spoken to through TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The one named, or that of its scheme.
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
            ("https://model/v1", "model", "model", 443, "/v1"),
        ] {
            let target = TargetUrl::parse(url).unwrap();
            assert_eq!((target.authority(), target.host()), (authority, host));
            assert_eq!((target.port(), target.path_and_query()), (port, path));
            assert_eq!((target.to_string().as_str(), target.is_tls()), (url, url.starts_with("https")));
        }
    }

    #[test]
    fn what_is_no_url_of_one_host_is_refused_with_the_mend() {
        for url in ["ftp://model/", "model:5111", "/predict", "http://", "http://me@model:1/", ""] {
            let error = TargetUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains("http://host:port/path"), "{url}: {error}");
        }
    }
}
