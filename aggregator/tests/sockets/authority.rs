//! An authority in memory: what an API server says of some tokens, and two objects.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use berth::BearerToken;
use berth_aggregator::{
    Access, Aggregator, Settings,
    config::Config,
    trust::{Audience, Authority, Kept, Object, ReviewError, Reviewer, Vault, VaultError},
};
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use serde_json::{Value, json};
use tonic::{
    Request, Status,
    service::interceptor::InterceptedService,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::server::{page, until};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Two objects that know their versions.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    objects: [Mutex<(u64, BTreeMap<String, String>)>; 2],
}

impl Memory {
    fn held(&self, object: Object) -> MutexGuard<'_, (u64, BTreeMap<String, String>)> {
        let object = match object {
            Object::Secret => &self.objects[0],
            Object::ConfigMap => &self.objects[1],
        };
        object.lock().unwrap()
    }

    pub(crate) fn data(&self, object: Object) -> BTreeMap<String, String> {
        self.held(object).1.clone()
    }

    /// As a person's edit would.
    pub(crate) fn edit(&self, object: Object, edit: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut object = self.held(object);
        object.0 += 1;
        edit(&mut object.1);
    }
}

#[tonic::async_trait]
impl Vault for Memory {
    async fn read(&self, object: Object) -> Result<Kept, VaultError> {
        let (version, data) = self.held(object).clone();
        Ok(Kept { data, version: version.to_string() })
    }

    async fn write(&self, object: Object, kept: Kept) -> Result<(), VaultError> {
        if self.held(object).0.to_string() != kept.version {
            return Err(VaultError::Conflict(object));
        }
        self.edit(object, |data| data.extend(kept.data));
        Ok(())
    }
}

/// Answers as an API server does to tokens that read `ACCOUNT.AUDIENCE.NODE`.
#[derive(Debug)]
struct Recorded;

#[tonic::async_trait]
impl Reviewer for Recorded {
    async fn review(
        &self,
        token: &BearerToken,
        audience: Audience,
    ) -> Result<TokenReviewStatus, ReviewError> {
        serde_json::from_value(answer(token.secret(), audience)).map_err(|error| ReviewError(error.into()))
    }
}

fn answer(token: &str, audience: Audience) -> Value {
    let [account, of, node] = token.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    if format!("berth.{of}") != audience.as_str() {
        let said = format!(
            "[invalid bearer token, token audiences [\"berth.{of}\"] is invalid for the target audiences [{:?}]]",
            audience.as_str()
        );
        return json!({"user": {}, "error": said});
    }
    let bound = json!({
        "authentication.kubernetes.io/credential-id": ["JTI=8f2c1a34-7f8f-4b1c-a2a3-0f6f2d1e9b77"],
        "authentication.kubernetes.io/node-name": [node],
        "authentication.kubernetes.io/node-uid": ["b1a7c2d0-33a0-4c43-9d2a-5a0e2c9ef001"],
        "authentication.kubernetes.io/pod-name": [format!("{account}-x7k2p")],
        "authentication.kubernetes.io/pod-uid": [format!("uid-of-{node}")],
    });
    json!({
        "authenticated": true,
        "audiences": [audience.as_str()],
        "user": {
            "username": format!("system:serviceaccount:berth-system:{account}"),
            "uid": "3fd0fb0e-5b4b-4f0b-8c0e-9d2f6b0f3c11",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": if node == "unbound" { json!({}) } else { bound },
        },
    })
}

/// A channel that shows a token, or none.
pub(crate) type Caller = InterceptedService<Channel, Shown>;

#[derive(Clone)]
pub(crate) struct Shown(Option<String>);

impl tonic::service::Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let value = value.parse().map_err(|_| Status::internal("no header's value"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// An aggregator that asks for tokens.
pub(crate) struct Guarded {
    pub(crate) aggregator: Aggregator,
    pub(crate) memory: Arc<Memory>,
    pub(crate) directory: tempfile::TempDir,
}

impl Guarded {
    pub(crate) async fn start() -> Self {
        let memory = Arc::<Memory>::default();
        let authority = Authority {
            reviewer: Arc::new(Recorded),
            vault: Arc::<Memory>::clone(&memory),
            namespace: "berth-system".into(),
        };
        let access = Access::Guarded(authority);
        let settings = Settings::new(LOOPBACK, LOOPBACK, access, Config::none(), None).unwrap();
        let aggregator = Aggregator::start(settings).await.unwrap();
        let http = aggregator.http_address();
        until("a certificate", || async { page(http, "/readyz").await.0.contains("200").then_some(()) })
            .await;
        let guarded = Self { aggregator, memory, directory: tempfile::tempdir().unwrap() };
        guarded.publish();
        guarded
    }

    /// Brings what is published to the agents, as the kubelet does.
    pub(crate) fn publish(&self) {
        std::fs::write(self.file("ca.crt"), &self.memory.data(Object::ConfigMap)["ca.crt"]).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.aggregator.grpc_address().port())
    }

    /// A new connection to it.
    pub(crate) fn channel(&self) -> Channel {
        let pem = std::fs::read(self.file("ca.crt")).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        Endpoint::from_shared(self.url()).unwrap().tls_config(tls).unwrap().connect_lazy()
    }

    /// Who shows this in `authorization`.
    pub(crate) fn caller(&self, authorization: Option<&str>) -> Caller {
        InterceptedService::new(self.channel(), Shown(authorization.map(str::to_owned)))
    }

    /// Who shows this token.
    pub(crate) fn holder(&self, token: &str) -> Caller {
        self.caller(Some(&format!("Bearer {token}")))
    }
}
