//! The API server as the one who reviews tokens and keeps the certificate.
//!
//! Invariant: the one Secret and the one `ConfigMap` are read and replaced by name, under the version
//! that was read; nothing else is written.

use std::{collections::BTreeMap, fmt};

use berth::BearerToken;
use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus},
        core::v1::{ConfigMap, Secret},
    },
};
use kube::{Api, Client, api::PostParams};

use super::{
    keeper::{Kept, Object, Vault, VaultError},
    principal::Audience,
    review::{ReviewError, Reviewer},
};

const SECRET: &str = "berth-tls";
const CONFIG_MAP: &str = "berth-ca";

/// HTTP's "Conflict": the object's version is another one by now.
const CONFLICT: u16 = 409;

/// The API server.
#[derive(Clone)]
pub(crate) struct ApiServer {
    client: Client,
    namespace: String,
}

impl ApiServer {
    /// Asks as this client; our own objects lie in `namespace`.
    pub(crate) fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl Reviewer for ApiServer {
    async fn review(
        &self,
        token: &BearerToken,
        audience: Audience,
    ) -> Result<TokenReviewStatus, ReviewError> {
        let spec = TokenReviewSpec {
            audiences: Some(vec![audience.as_str().to_owned()]),
            token: token.secret().to_owned(),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| ReviewError(error.into()))?;
        answer.status.ok_or_else(|| ReviewError("a TokenReview came back without a status".into()))
    }
}

fn unusable(object: Object) -> impl FnOnce(kube::Error) -> VaultError {
    move |error| match error {
        kube::Error::Api(status) if status.code == CONFLICT => VaultError::Conflict(object),
        error => VaultError::Unusable(object, error.into()),
    }
}

fn texts(data: BTreeMap<String, ByteString>) -> BTreeMap<String, String> {
    // What is no text is none of our PEMs; it is named as missing or as no PEM, never written over.
    data.into_iter().map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes.0).into_owned())).collect()
}

#[tonic::async_trait]
impl Vault for ApiServer {
    async fn read(&self, object: Object) -> Result<Kept, VaultError> {
        let (data, metadata) = match object {
            Object::Secret => {
                let secret = self.secrets().get(SECRET).await.map_err(unusable(object))?;
                (texts(secret.data.unwrap_or_default()), secret.metadata)
            }
            Object::ConfigMap => {
                let config_map = self.config_maps().get(CONFIG_MAP).await.map_err(unusable(object))?;
                (config_map.data.unwrap_or_default(), config_map.metadata)
            }
        };
        Ok(Kept { data, version: metadata.resource_version.unwrap_or_default() })
    }

    async fn write(&self, object: Object, kept: Kept) -> Result<(), VaultError> {
        let Kept { data, version } = kept;
        // Read again for what stands beside the data; an update is refused if the version is not the
        // one that it names.
        match object {
            Object::Secret => {
                let api = self.secrets();
                let mut secret = api.get(SECRET).await.map_err(unusable(object))?;
                secret.metadata.resource_version = Some(version);
                let bytes = |(key, text): (String, String)| (key, ByteString(text.into_bytes()));
                secret.data.get_or_insert_default().extend(data.into_iter().map(bytes));
                api.replace(SECRET, &PostParams::default(), &secret).await.map_err(unusable(object))?;
            }
            Object::ConfigMap => {
                let api = self.config_maps();
                let mut config_map = api.get(CONFIG_MAP).await.map_err(unusable(object))?;
                config_map.metadata.resource_version = Some(version);
                config_map.data.get_or_insert_default().extend(data);
                api.replace(CONFIG_MAP, &PostParams::default(), &config_map)
                    .await
                    .map_err(unusable(object))?;
            }
        }
        Ok(())
    }
}
