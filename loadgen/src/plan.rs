//! What every connection of a run needs to know.

use std::net::SocketAddr;
use std::time::Duration;

use berth::load::Check;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};

use crate::payload::Payload;
use crate::spec::{Pace, Spec};
use crate::tls::Tls;

/// Who asks, where nobody says otherwise.
const USER: &str = concat!("berth-loadgen/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// Of an https target.
    pub(crate) tls: Option<Tls>,
    pub(crate) payload: Payload,
    pub(crate) request_timeout: Duration,
    pub(crate) check: Check,
    /// A closed run's connection rests after it was refused.
    pub(crate) rests_after_refusal: bool,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Plan {
    pub(crate) fn new(spec: &Spec, payload: Payload, address: SocketAddr) -> Self {
        let authority = HeaderValue::from_str(spec.target.authority());
        let mut headers = HeaderMap::new();
        for (name, value) in &spec.head.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a checked name is a token");
            headers.append(name, HeaderValue::from_str(value).expect("a checked value is printable ASCII"));
        }
        headers.entry(HOST).or_insert(authority.expect("an authority that was parsed is printable ASCII"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(USER));
        Self {
            address,
            tls: spec.tls.clone(),
            payload,
            request_timeout: spec.request_timeout,
            check: spec.check,
            rests_after_refusal: matches!(spec.pace, Pace::Closed { .. }),
            method: Method::from_bytes(spec.head.method.as_bytes()).expect("a checked method is a token"),
            uri: spec.target.path().clone(),
            headers,
        }
    }

    pub(crate) fn request(&self, body: &Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}
