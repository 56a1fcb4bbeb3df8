//! Where requests go.

use std::net::SocketAddr;
use std::time::Duration;

use berth::{TargetUrl, TargetUrlError};
use hyper::Uri;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::error::LoadError;
use crate::tls::Tls;

/// A target that a request line can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: TargetUrl,
    path: Uri,
}

impl Target {
    /// Parses `http://host[:port][/path]`, or https.
    pub fn parse(url: &str) -> Result<Self, TargetUrlError> {
        let parsed = TargetUrl::parse(url)?;
        let path = parsed.path_and_query().parse().map_err(|_| TargetUrlError { url: url.to_owned() })?;
        Ok(Self { url: parsed, path })
    }

    /// The value of the Host header.
    pub(crate) fn authority(&self) -> &str {
        self.url.authority()
    }

    /// A name or an address.
    pub(crate) fn host(&self) -> &str {
        self.url.host()
    }

    /// Whether it is spoken to through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.url.is_tls()
    }

    /// What the request line holds.
    pub(crate) fn path(&self) -> &Uri {
        &self.path
    }

    /// Resolves the name and connects once, so that a wrong target is named before the run and not
    /// by its thousandth error. The run uses the address that answered: it resolves no names.
    pub(crate) async fn preflight(
        &self,
        tls: Option<&Tls>,
        limit: Duration,
    ) -> Result<SocketAddr, LoadError> {
        let unreachable = |source| LoadError::Unreachable { target: self.to_string(), source };
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host((self.url.host(), self.url.port())).await.map_err(unreachable)? {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.shake_hands(tls, stream, limit).await.map(|()| address),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(unreachable(last))
    }

    async fn shake_hands(
        &self,
        tls: Option<&Tls>,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<(), LoadError> {
        let Some(tls) = tls else { return Ok(()) };
        let secured = timeout(limit, tls.secure(stream)).await;
        let secured = secured.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()));
        secured.map(drop).map_err(|source| LoadError::Untrusted { target: self.to_string(), source })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_no_request_line_holds_is_refused_with_the_mend() {
        assert_eq!(Target::parse("http://model:1/v1?x=1").unwrap().path(), "/v1?x=1");
        for url in ["http://model:1/<id>", "http://me@model:1/", "ftp://model:1/"] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains("http://host:port/path"), "{url}: {error}");
        }
    }
}
