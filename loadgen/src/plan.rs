//! What every connection of a run needs to know.

use std::net::SocketAddr;
use std::time::Duration;

use berth::load::Check;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};

use crate::payload::Payload;
use crate::spec::{Arrivals, Spec};

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) payload: Payload,
    pub(crate) request_timeout: Duration,
    pub(crate) check: Check,
    /// A closed run's connection rests after it was refused.
    pub(crate) rests_after_refusal: bool,
    uri: Uri,
    headers: HeaderMap,
}

impl Plan {
    pub(crate) fn new(spec: &Spec, payload: Payload, address: SocketAddr) -> Self {
        let authority = HeaderValue::from_str(spec.target.authority());
        let headers = HeaderMap::from_iter([
            (HOST, authority.expect("an authority that was parsed is printable ASCII")),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static(concat!("berth-loadgen/", env!("CARGO_PKG_VERSION")))),
        ]);
        Self {
            address,
            payload,
            request_timeout: spec.request_timeout,
            check: spec.check,
            rests_after_refusal: matches!(spec.arrivals, Arrivals::Closed { .. }),
            uri: spec.target.path().clone(),
            headers,
        }
    }

    pub(crate) fn request(&self, body: &Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}
