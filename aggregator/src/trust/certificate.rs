//! The aggregator's own certificate authority, and the certificate that it signs for itself.
//!
//! Invariant: what is there and works is left as it is, above all a key that somebody else put
//! there; what is served was checked as a client checks it. Pure: the caller supplies the time and
//! keeps the result.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::{
    self, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::serving::provider;

/// The authority's certificate.
pub(crate) const CA_CRT: &str = "ca.crt";

/// The authority's key.
pub(crate) const CA_KEY: &str = "ca.key";

/// The serving certificate.
pub(crate) const TLS_CRT: &str = "tls.crt";

/// The serving certificate's key.
pub(crate) const TLS_KEY: &str = "tls.key";

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The authority is replaced by emptying its Secret, never by running out: nobody would be watching.
const CA_LIFETIME: Duration = Duration::from_secs(36_500 * 24 * 3_600);

/// Whoever stole the serving key has it for so long at most.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3_600);

/// A month in which the API server may be away without harm.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Nodes whose clocks are behind ours believe it too.
const BACKDATED: Duration = DAY;

/// PEM texts by name.
pub(crate) type Pems = BTreeMap<String, String>;

/// Why there is nothing to serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// No PEM of that kind.
    #[error("{name} is no PEM")]
    Pem { name: &'static str, source: rustls::pki_types::pem::Error },
    /// Certificate and key do not belong together, or are of an unknown kind.
    #[error("{TLS_CRT} and {TLS_KEY} do not serve")]
    Pair(#[source] rustls::Error),
    /// The authority cannot sign, or what it signed is not believed.
    #[error("{CA_CRT} and {CA_KEY} cannot sign: empty both to have new ones made")]
    Authority(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Some of the keys are there, and others are not.
    #[error("{0} is missing beside the others: empty all of them to have new ones made")]
    Missing(&'static str),
}

/// What to serve.
#[derive(Debug)]
pub(crate) struct Settled {
    /// The certificate and its key.
    pub(crate) key: CertifiedKey,
    /// The certificate of whoever signed it, PEM.
    pub(crate) ca: String,
    /// What is to be kept in place of what was there, if it is new.
    pub(crate) write: Option<Pems>,
}

/// A certificate with its key, from PEM.
pub(crate) fn pair(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|source| CertificateError::Pem { name: TLS_CRT, source })?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|source| CertificateError::Pem { name: TLS_KEY, source })?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(CertificateError::Pair)
}

/// What to serve at `since_epoch` under these names, given what is kept.
pub(crate) fn settle(
    kept: &Pems,
    names: &[String],
    since_epoch: Duration,
) -> Result<Settled, CertificateError> {
    let of = |name| kept.get(name).map(String::as_str).filter(|pem| !pem.trim().is_empty());
    let missing = |name| CertificateError::Missing(name);
    match (of(CA_CRT), of(CA_KEY), of(TLS_CRT), of(TLS_KEY)) {
        (None, None, None, None) => {
            let (ca, ca_key) = authority(since_epoch).map_err(unable)?;
            issue(&ca, &ca_key, names, since_epoch)
        }
        (None, ..) => Err(missing(CA_CRT)),
        // Another's, such as cert-manager's, who renews it too.
        (Some(ca), None, Some(crt), Some(key)) => {
            let key = pair(crt.as_bytes(), key.as_bytes())?;
            Ok(Settled { key, ca: ca.to_owned(), write: None })
        }
        (Some(_), None, ..) => Err(missing(CA_KEY)),
        (Some(ca), Some(ca_key), crt, key) => {
            let then = since_epoch + RENEWED_BEFORE;
            let serves = crt.zip(key).and_then(|(crt, key)| pair(crt.as_bytes(), key.as_bytes()).ok());
            match serves.filter(|key| believed(ca, key, names, then).is_ok()) {
                Some(key) => Ok(Settled { key, ca: ca.to_owned(), write: None }),
                None => issue(ca, ca_key, names, since_epoch),
            }
        }
    }
}

fn unable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CertificateError {
    CertificateError::Authority(error.into())
}

/// A new authority: its certificate and its key.
fn authority(since_epoch: Duration) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = params("berth-aggregator CA", since_epoch, CA_LIFETIME, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// A new serving certificate, checked as clients will check it.
fn issue(
    ca: &str,
    ca_key: &str,
    names: &[String],
    since_epoch: Duration,
) -> Result<Settled, CertificateError> {
    let signed = || -> Result<(String, String), rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(ca_key)?)?;
        let key = KeyPair::generate()?;
        let mut params = params("berth-aggregator", since_epoch, LIFETIME, names)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    };
    let (crt, key) = signed().map_err(unable)?;
    let certified = pair(crt.as_bytes(), key.as_bytes())?;
    believed(ca, &certified, names, since_epoch).map_err(unable)?;
    let pems = [(CA_CRT, ca.to_owned()), (CA_KEY, ca_key.to_owned()), (TLS_CRT, crt), (TLS_KEY, key)];
    let write = pems.into_iter().map(|(name, pem)| (name.to_owned(), pem)).collect();
    Ok(Settled { key: certified, ca: ca.to_owned(), write: Some(write) })
}

/// A P-256 key signs 16 times as fast as RSA-2048, and every agent shakes hands after a restart.
fn params(
    name: &str,
    since_epoch: Duration,
    lifetime: Duration,
    names: &[String],
) -> Result<CertificateParams, rcgen::Error> {
    let at = |since_epoch: Duration| date_time_ymd(1970, 1, 1) + since_epoch;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(since_epoch.saturating_sub(BACKDATED));
    params.not_after = at(since_epoch + lifetime);
    Ok(params)
}

/// Whether a client that trusts `ca` believes this under every name at that time.
fn believed(
    ca: &str,
    key: &CertifiedKey,
    names: &[String],
    since_epoch: Duration,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate?)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let (certificate, intermediates) =
        key.cert.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
    for name in names {
        let name = ServerName::try_from(name.as_str())?;
        let at = UnixTime::since_unix_epoch(since_epoch);
        verifier.verify_server_cert(certificate, intermediates, &name, &[], at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
