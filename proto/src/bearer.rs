//! A `ServiceAccount`'s token on its way to the aggregator: `authorization: Bearer TOKEN`.
//!
//! Invariant: what is held here has the shape of a signed token and a bounded size, so that nothing
//! else reaches whoever must check it; and it is never printed. Deliberately absent: any look into
//! the token; only the API server can say what it is worth.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};

use crate::limits::TOKEN_BYTES;

/// A token that looks like one: three parts in base64url, as in RFC 7515's compact form.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

/// Why something is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Nothing is there.
    #[error("there is no token")]
    Missing,
    /// More than any API server signs.
    #[error("the token has {0} bytes, and at most {TOKEN_BYTES} are read")]
    TooLong(usize),
    /// Another scheme than `Bearer`, or more than one header.
    #[error("authorization is not one `Bearer TOKEN`")]
    Scheme,
    /// Not three parts, or one of them is empty: an unsigned token has no third.
    #[error("it has not the shape of a signed token")]
    Shape,
}

impl BearerToken {
    /// The content of a token's file; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, BearerError> {
        let token = text.trim();
        if token.is_empty() {
            return Err(BearerError::Missing);
        }
        if token.len() > TOKEN_BYTES {
            return Err(BearerError::TooLong(token.len()));
        }
        let is_part = |part: &str| {
            let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !part.is_empty() && part.bytes().all(is_base64url)
        };
        let is_signed = token.split('.').count() == 3 && token.split('.').all(is_part);
        if is_signed { Ok(Self(token.to_owned())) } else { Err(BearerError::Shape) }
    }

    /// From the values of a request's `authorization` headers.
    pub fn from_headers<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Self, BearerError> {
        let value = values.next().ok_or(BearerError::Missing)?;
        if values.next().is_some() {
            return Err(BearerError::Scheme);
        }
        let value = std::str::from_utf8(value).map_err(|_| BearerError::Scheme)?;
        let (scheme, token) = value.split_once(' ').ok_or(BearerError::Scheme)?;
        if scheme.eq_ignore_ascii_case("bearer") { Self::parse(token) } else { Err(BearerError::Scheme) }
    }

    /// The value of the header that carries it.
    pub fn header(&self) -> MetadataValue<Ascii> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", self.0).parse().expect("base64url and dots are visible ASCII");
        // Kept out of what the transport prints and of HPACK's table.
        value.set_sensitive(true);
        value
    }

    /// The token itself, for whoever checks it.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_headers(values: &[&str]) -> Result<BearerToken, BearerError> {
        BearerToken::from_headers(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn what_one_side_sends_the_other_reads() {
        let token = BearerToken::parse("eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln-_\n").unwrap();
        let header = token.header();
        assert!(header.is_sensitive());
        assert_eq!(from_headers(&[header.to_str().unwrap()]), Ok(token));
    }

    #[test]
    fn what_no_api_server_could_have_signed_is_no_token() {
        let huge = format!("Bearer a.b.{}", "c".repeat(TOKEN_BYTES));
        for (values, error) in [
            (&[][..], BearerError::Missing),
            (&["Bearer "], BearerError::Missing),
            (&["Bearer a.b.c", "Bearer a.b.c"], BearerError::Scheme),
            (&["Basic a.b.c"], BearerError::Scheme),
            (&["a.b.c"], BearerError::Scheme),
            (&["Bearer garbage"], BearerError::Shape),
            (&["Bearer a.b."], BearerError::Shape),
            (&["Bearer a.b.c.d"], BearerError::Shape),
            (&["Bearer a.b.c d"], BearerError::Shape),
            (&["Bearer a.b.\u{e9}"], BearerError::Shape),
            (&[huge.as_str()], BearerError::TooLong(TOKEN_BYTES + 4)),
        ] {
            assert_eq!(from_headers(values), Err(error), "{values:?}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = BearerToken::parse("aaa.bbb.ccc").unwrap();
        assert!(!format!("{token:?}").contains("bbb"));
    }
}
