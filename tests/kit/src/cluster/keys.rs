//! The cluster's certificate authority, and a kubeconfig for each of its clients.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};

/// The group that Kubernetes' own rules let do everything.
pub(super) const MASTERS: &str = "system:masters";

/// The group of kubelets, which the Node authorizer knows.
pub(super) const NODES: &str = "system:nodes";

/// Signs, and writes what it signed into the cluster's folder.
pub(super) struct Keys {
    folder: PathBuf,
    server: Ipv4Addr,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Keys {
    /// Makes the authority (`ca.crt`), and the pair that signs service accounts' tokens (`sa.key`, `sa.pub`).
    pub(super) fn make(folder: &Path, server: Ipv4Addr) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = subject("berth-ring-ca", None);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let tokens = KeyPair::generate()?;
        let keys = Self { folder: folder.to_owned(), server, issuer };
        keys.write("ca.crt", &keys.issuer.pem())?;
        keys.write("sa.key", &tokens.serialize_pem())?;
        keys.write("sa.pub", &tokens.public_key_pem())?;
        Ok(keys)
    }

    /// A certificate for both ends of TLS: `NAME.crt` and `NAME.key`.
    pub(super) fn certificate(
        &self,
        name: &str,
        user: &str,
        group: Option<&str>,
        hosts: &[String],
    ) -> anyhow::Result<()> {
        let (certificate, key) = self.sign(user, group, hosts)?;
        self.write(&format!("{name}.crt"), &certificate)?;
        self.write(&format!("{name}.key"), &key)
    }

    /// `NAME.kubeconfig`, which needs no other file.
    pub(super) fn kubeconfig(&self, name: &str, user: &str, group: Option<&str>) -> anyhow::Result<()> {
        let (certificate, key) = self.sign(user, group, &[])?;
        let [ca, certificate, key] =
            [&self.issuer.pem(), &certificate, &key].map(|pem| BASE64_STANDARD.encode(pem));
        let server = self.server;
        let text = format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters: [{{name: berth, cluster: {{server: \"https://{server}:6443\", certificate-authority-data: {ca}}}}}]\n\
             users: [{{name: {name}, user: {{client-certificate-data: {certificate}, client-key-data: {key}}}}}]\n\
             contexts: [{{name: berth, context: {{cluster: berth, user: {name}}}}}]\n\
             current-context: berth\n"
        );
        self.write(&format!("{name}.kubeconfig"), &text)
    }

    fn sign(&self, user: &str, group: Option<&str>, hosts: &[String]) -> anyhow::Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = subject(user, group);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}

/// Kubernetes reads the user from the common name, and its groups from the organizations.
fn subject(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name
}
