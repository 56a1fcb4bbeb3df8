//! What a worker shows at each call.
//!
//! Invariant: the token is read from its file each time, since the kubelet replaces it long before
//! a worker's stream ends. It leaves the machine under TLS only: an address in the clear is loopback.

use std::{fs, path::PathBuf};

use berth::BearerToken;
use tonic::{Request, Status, service::Interceptor};

/// The token's file, if there is one.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    token_file: Option<PathBuf>,
}

impl Identity {
    /// Shows what lies in the file.
    pub(super) fn new(token_file: Option<PathBuf>) -> Self {
        Self { token_file }
    }
}

impl Interceptor for Identity {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let Some(path) = &self.token_file else { return Ok(request) };
        let unusable = |error: &dyn std::fmt::Display| {
            Status::unauthenticated(format!("--token-file {}: {error}", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|error| unusable(&error))?;
        let token = BearerToken::parse(&text).map_err(|error| unusable(&error))?;
        request.metadata_mut().insert("authorization", token.header());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(identity: &mut Identity) -> Result<Option<String>, String> {
        let request = identity.call(Request::new(())).map_err(|status| status.message().to_owned())?;
        let value = request.metadata().get("authorization");
        Ok(value.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_token_that_was_replaced_is_shown_at_the_next_call() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let mut identity = Identity::new(Some(path.clone()));
        assert!(shown(&mut identity).unwrap_err().contains("--token-file"));
        for token in ["a.b.c", "d.e.f"] {
            fs::write(&path, format!("{token}\n")).unwrap();
            assert_eq!(shown(&mut identity).unwrap(), Some(format!("Bearer {token}")));
        }
        fs::write(&path, "").unwrap();
        assert!(shown(&mut identity).unwrap_err().contains("there is no token"));
        assert_eq!(shown(&mut Identity::new(None)).unwrap(), None);
    }
}
