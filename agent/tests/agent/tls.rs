use berth::Seq;
use tonic::transport::{Identity, ServerTlsConfig};

use crate::{
    process::Agent,
    server::{Aggregator, Known},
};

/// A certificate for "localhost", signed by itself, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn over_tls_only_the_aggregator_that_the_ca_file_names_is_believed() {
    let (certificate_pem, key) = certificate();
    let identity = Identity::from_pem(&certificate_pem, key);
    let tls = ServerTlsConfig::new().identity(identity);
    let mut aggregator = Aggregator::listen_with(([127, 0, 0, 1], 0).into(), Some(tls)).await;
    let url = format!("https://localhost:{}", aggregator.address.port());
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, certificate().0).unwrap();
    let agent = Agent::start(&["--server", &url, "--ca-file", ca_file.to_str().unwrap()]);
    agent.says("no stream").await;
    // The file is read again at each dial.
    std::fs::write(&ca_file, certificate_pem).unwrap();
    let (hello, mut talk) = aggregator.accept().await;
    let mut known = Known::default();
    known.begin(hello.oldest_seq);
    assert_eq!(hello.oldest_seq, Seq::FIRST);
    talk.resume(hello.oldest_seq).await;
    known.listen_until(&mut talk, |known| !known.times_nsec.is_empty()).await;
}
