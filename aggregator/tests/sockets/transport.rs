//! The transport: its limits, TLS, reflection and health.

use std::{collections::BTreeMap, net::SocketAddr};

use berth::wire::{self, samples_client::SamplesClient};
use berth_aggregator::{Access, Aggregator, Settings, TlsFiles, config::Config};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::server::{Server, channel, within};

/// RFC 9113: the connection preface, then an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The settings with which the server opens a connection, by number.
async fn settings(address: SocketAddr) -> BTreeMap<u16, u32> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    let mut head = [0; 9];
    within("the server's settings", stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut payload).await.unwrap();
    let one = |entry: &[u8]| {
        let number = u16::from_be_bytes([entry[0], entry[1]]);
        (number, u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
    };
    payload.chunks(6).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_told_how_little_it_may_do() {
    let server = Server::start("").await;
    let settings = settings(server.aggregator.grpc_address()).await;
    // RFC 9113, 6.5.2: concurrent streams, initial window, frame size, header list.
    for (number, most) in [(3, 16), (4, 64 * 1024), (6, 16 * 1024)] {
        assert!(settings.get(&number).is_some_and(|value| *value <= most), "{number}: {settings:?}");
    }
    assert!(settings.get(&5).is_none_or(|frame| *frame <= 16 * 1024), "{settings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_resets_streams_as_fast_as_it_opens_them_is_cut_off() {
    let server = Server::start("").await;
    let mut stream = TcpStream::connect(server.aggregator.grpc_address()).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    // `:method: POST`, `:scheme: http`, `:path: /`, from HPACK's static table, and the reset of it.
    let mut attack = Vec::new();
    for id in (1..20_001_u32).step_by(2) {
        attack.extend_from_slice(&[0, 0, 3, 1, 4]);
        attack.extend_from_slice(&id.to_be_bytes());
        attack.extend_from_slice(&[0x83, 0x86, 0x84]);
        attack.extend_from_slice(&[0, 0, 4, 3, 0]);
        attack.extend_from_slice(&id.to_be_bytes());
        attack.extend_from_slice(&8_u32.to_be_bytes());
    }
    // The server may close before all is written.
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let (written, closed) = tokio::join!(
        within("the attack", write.write_all(&attack)),
        within("the connection to close", read.read_to_end(&mut answer)),
    );
    assert!(closed.is_ok() || written.is_err());
    assert_eq!(server.page("/healthz").await.1, "ok\n");
}

async fn node_count(channel: Channel) -> Option<usize> {
    let answer = SamplesClient::new(channel).list_nodes(wire::ListNodesRequest {}).await.ok()?;
    Some(answer.into_inner().nodes.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_only_those_who_trust_it_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&cert, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let tls = Access::Files(TlsFiles { cert, key });
    let settings = Settings::new(any, loopback, tls, Config::none(), None).unwrap();
    let aggregator = Aggregator::start(settings).await.unwrap();
    let port = aggregator.grpc_address().port();

    let trusting = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(signed.cert.pem()))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}")).unwrap();
    let trusted = endpoint.clone().tls_config(trusting).unwrap().connect_lazy();
    assert_eq!(within("an answer", node_count(trusted)).await, Some(0));

    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let other = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(other.cert.pem()));
    let distrustful = endpoint.tls_config(other.domain_name("localhost")).unwrap().connect_lazy();
    assert_eq!(within("a refusal", node_count(distrustful)).await, None);
    let plaintext = channel(([127, 0, 0, 1], port).into());
    assert_eq!(within("a refusal", node_count(plaintext)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_are_served() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = Server::start("").await;
    let check = HealthCheckRequest { service: String::new() };
    let health = HealthClient::new(server.channel.clone()).check(check).await.unwrap().into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(server.channel.clone())
        .server_reflection_info(tokio_stream::iter([list]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["Ingest", "Episodes", "Advisor", "Samples", "Load", "LoadWorkers"] {
        assert!(names.contains(&format!("berth.v1.{name}").as_str()), "{name} is not in {names:?}");
    }
}
