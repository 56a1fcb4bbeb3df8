//! Tokens that nobody should believe, made from one that is good: by whoever has stolen the key that
//! signs them, or none of the keys at all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::stage::Stage;

/// An hour, in seconds.
const HOUR: i64 = 3_600;

/// A good token, taken apart, and the cluster's keys.
pub(crate) struct Forge {
    header: Header,
    claims: Value,
    key: Vec<u8>,
    public: Vec<u8>,
}

impl Forge {
    pub(crate) fn new(stage: &Stage, good: &str) -> Self {
        let claims = good.split('.').nth(1).unwrap();
        let read = |name: &str| fs::read(stage.cluster.keys().join(name)).unwrap();
        Self {
            header: jsonwebtoken::decode_header(good).unwrap(),
            claims: serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap(),
            key: read("sa.key"),
            public: read("sa.pub"),
        }
    }

    /// With other claims, signed as the API server does it.
    pub(crate) fn claiming(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        encode(&self.header, &claims, &EncodingKey::from_ec_pem(&self.key).unwrap()).unwrap()
    }

    pub(crate) fn expired(&self) -> String {
        self.shifted(-24 * HOUR)
    }

    pub(crate) fn not_yet_valid(&self) -> String {
        self.shifted(24 * HOUR)
    }

    fn shifted(&self, seconds: i64) -> String {
        self.claiming(|claims| {
            for time in ["iat", "nbf", "exp"] {
                claims[time] = json!(claims[time].as_i64().unwrap() + seconds);
            }
        })
    }

    /// Signed with a key that was taken out of use.
    pub(crate) fn of_another_key(&self) -> String {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        encode(&self.header, &self.claims, &EncodingKey::from_ec_pem(key.as_bytes()).unwrap()).unwrap()
    }

    /// For a server that lets the token choose how it is checked: the key that everybody knows is the
    /// secret.
    pub(crate) fn signed_with_the_public_key(&self) -> String {
        let header = Header { alg: Algorithm::HS256, ..self.header.clone() };
        encode(&header, &self.claims, &EncodingKey::from_secret(&self.public)).unwrap()
    }

    /// With this in place of a signature.
    pub(crate) fn unsigned(&self, signature: &str) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", part(&json!({"alg": "none", "typ": "JWT"})), part(&self.claims))
    }
}
