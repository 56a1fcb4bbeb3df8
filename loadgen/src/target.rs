//! Where requests go.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Scheme;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::error::LoadError;

/// The port of plain HTTP when a URL names none (RFC 9110, 4.2.1).
const HTTP_PORT: u16 = 80;

/// A target that is not one, with the mend.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not a URL at all.
    #[error("target {url} is not a URL: write http://host:port/path")]
    Url {
        /// What was given.
        url: String,
        /// Why it is none.
        source: hyper::http::uri::InvalidUri,
    },
    /// Another scheme than http.
    #[error("target {url} is not plain http: write http://host:port/path")]
    Scheme {
        /// What was given.
        url: String,
    },
}

/// An http URL with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
}

impl Target {
    /// Parses `http://host[:port][/path]`.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|source| TargetError::Url { url: url.to_owned(), source })?;
        if uri.scheme() != Some(&Scheme::HTTP) || uri.host().is_none_or(str::is_empty) {
            return Err(TargetError::Scheme { url: url.to_owned() });
        }
        Ok(Self { uri })
    }

    /// The value of the Host header.
    pub(crate) fn authority(&self) -> &str {
        let authority = self.uri.authority().map_or("", hyper::http::uri::Authority::as_str);
        // A user name before the host is no part of the Host header.
        authority.rsplit('@').next().unwrap_or(authority)
    }

    /// What the request line holds.
    pub(crate) fn path_and_query(&self) -> String {
        let path = self.uri.path_and_query().map_or("", hyper::http::uri::PathAndQuery::as_str);
        // `http://host?x=1` has no path, and a request line needs one.
        if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
    }

    /// Resolves the name and connects once, so that a wrong target is named before the run and not
    /// by its thousandth error. The run uses the address that answered: it resolves no names.
    pub(crate) async fn preflight(&self, limit: Duration) -> Result<SocketAddr, LoadError> {
        let unreachable = |source| LoadError::Unreachable { target: self.to_string(), source };
        let host = self.uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = self.uri.port_u16().unwrap_or(HTTP_PORT);
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host((host, port)).await.map_err(unreachable)? {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(_connected)) => return Ok(address),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(unreachable(last))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uri.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_what_a_request_needs() {
        for (url, authority, path) in [
            ("http://model:5111/diabetes_dtree/predict", "model:5111", "/diabetes_dtree/predict"),
            ("http://model", "model", "/"),
            ("http://[::1]:80/v1?x=1", "[::1]:80", "/v1?x=1"),
            ("http://model?x=1", "model", "/?x=1"),
            ("http://me@model:1/", "model:1", "/"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.authority(), target.path_and_query().as_str()), (authority, path));
        }
    }

    #[test]
    fn what_is_not_plain_http_is_refused_with_the_mend() {
        for url in ["https://model/", "model:5111", "/predict", "http://", "", "http://a b/"] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains("http://host:port/path"), "{url}: {error}");
        }
    }
}
