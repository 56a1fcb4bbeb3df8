//! What every request of a run says beside its body.
//!
//! Deliberately absent: bodies, which are the payload's.

use std::fmt;

use crate::{ProtocolError, limits, wire};

/// Method and headers, as they are sent. The headers that HTTP itself needs (Host, Content-Length, ...)
/// are the engine's, unless they are given here.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// Such as POST.
    pub method: String,
    /// Names and values, in order; a name may come twice.
    pub headers: Vec<(String, String)>,
}

/// What is sent where nobody says: a JSON body, posted.
impl Default for RequestHead {
    fn default() -> Self {
        let content_type = ("content-type".to_owned(), "application/json".to_owned());
        Self { method: "POST".to_owned(), headers: vec![content_type] }
    }
}

impl RequestHead {
    /// The same without the values of its headers: they may be a token, and a run is shown to everybody
    /// who may look.
    #[must_use]
    pub fn without_values(&self) -> Self {
        let headers = self.headers.iter().map(|(name, _)| (name.clone(), String::new()));
        Self { method: self.method.clone(), headers: headers.collect() }
    }
}

/// Without the values of its headers: they may be a token, and this may be logged.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("RequestHead").field("method", &self.method).field("headers", &names).finish()
    }
}

/// RFC 9110, 5.6.2: what methods and the names of headers are made of.
fn is_token(text: &str) -> bool {
    const MARKS: &str = "!#$%&'*+-.^_`|~";
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || MARKS.contains(char))
}

/// RFC 9110, 5.5; bytes above ASCII are left out, as nobody agrees on what they mean.
fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

impl RequestHead {
    /// Errors: a method or a name that is no token, a value that a header cannot hold, or more than the
    /// limits.
    pub fn checked(self) -> Result<Self, ProtocolError> {
        ProtocolError::at_most("spec.method", self.method.len(), limits::LOAD_HEADER_BYTES)?;
        if !is_token(&self.method) {
            return Err(ProtocolError::invalid("spec.method", &self.method, "a method such as GET or POST"));
        }
        ProtocolError::at_most("spec.headers", self.headers.len(), limits::LOAD_HEADERS)?;
        for (name, value) in &self.headers {
            ProtocolError::at_most("spec.headers", name.len() + value.len(), limits::LOAD_HEADER_BYTES)?;
            if !is_token(name) {
                let rule = "letters, digits and dashes";
                return Err(ProtocolError::invalid("spec.headers.name", name, rule));
            }
            if !is_value(value) {
                // The value itself may be a token.
                let rule = "printable ASCII as its value";
                return Err(ProtocolError::invalid("spec.headers", name, rule));
            }
        }
        Ok(self)
    }
}

/// An empty method is what an older client sends: it means what it did.
pub(super) fn read(method: String, headers: Vec<wire::Header>) -> Result<RequestHead, ProtocolError> {
    if method.is_empty() && headers.is_empty() {
        return Ok(RequestHead::default());
    }
    let headers = headers.into_iter().map(|header| (header.name, header.value)).collect();
    RequestHead { method, headers }.checked()
}

pub(super) fn write(head: RequestHead) -> (String, Vec<wire::Header>) {
    let headers = head.headers.into_iter().map(|(name, value)| wire::Header { name, value });
    (head.method, headers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, name: &str, value: &str) -> RequestHead {
        RequestHead { method: method.to_owned(), headers: vec![(name.to_owned(), value.to_owned())] }
    }

    #[test]
    fn what_http_cannot_hold_is_refused_and_a_value_is_never_shown() {
        assert!(head("PATCH", "X-Trace_id", "a b\tc").checked().is_ok());
        for (wrong, field) in [
            (head("", "a", "b"), "spec.method"),
            (head("GET /", "a", "b"), "spec.method"),
            (head("GET", "a b", "c"), "spec.headers.name"),
            (head("GET", "", "c"), "spec.headers.name"),
            (head("GET", "a", "secret\r\nb: c"), "spec.headers"),
            (head("GET", "a", &"x".repeat(limits::LOAD_HEADER_BYTES)), "spec.headers"),
            (RequestHead { headers: vec![Default::default(); 65], ..RequestHead::default() }, "spec.headers"),
        ] {
            let error = wrong.checked().unwrap_err().to_string();
            assert!(error.contains(field) && !error.contains("secret"), "{error}");
        }
        let secret = head("GET", "authorization", "secret");
        assert!(!format!("{secret:?}{:?}", secret.without_values().headers).contains("secret"));
    }

    #[test]
    fn a_client_that_says_nothing_posts_json() {
        assert_eq!(read(String::new(), Vec::new()).unwrap(), RequestHead::default());
        let (method, headers) = write(head("GET", "a", "b"));
        assert_eq!(read(method, headers).unwrap(), head("GET", "a", "b"));
    }
}
