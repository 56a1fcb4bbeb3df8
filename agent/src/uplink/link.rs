//! One connection to the aggregator: dialled, streamed, and ended with a reason.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use berth::{BearerToken, limits, wire};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{args::Server, clock::now_nsec};

/// A server that does not shake hands in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Messages between the session and the connection: enough to fill a packet, few enough that an
/// answer to a ping does not wait long behind them.
pub(super) const MESSAGES: usize = 4;

/// What the aggregator says, or the connection itself.
#[derive(Debug)]
pub(super) enum Heard {
    /// The connection is open.
    Opened,
    /// An order.
    Message(wire::aggregator_message::Message),
}

/// Where the answers to pings go; it does not keep the stream open.
pub(super) struct Link {
    pub(super) server: Server,
    pub(super) outgoing: mpsc::Receiver<wire::AgentMessage>,
    pub(super) answers: mpsc::WeakSender<wire::AgentMessage>,
    pub(super) heard: mpsc::Sender<Heard>,
}

async fn dial(server: &Server) -> anyhow::Result<Channel> {
    let mut endpoint = Endpoint::from(server.uri.clone())
        .tcp_nodelay(true)
        .http2_keep_alive_interval(limits::KEEPALIVE_PERIOD)
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if let Some(path) = &server.ca_file {
        let pem = std::fs::read(path).with_context(|| format!("read --ca-file {}", path.display()))?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        endpoint = endpoint.tls_config(tls).with_context(|| format!("use --ca-file {}", path.display()))?;
    }
    endpoint.connect().await.with_context(|| format!("connect to {}", server.uri))
}

/// The token of this moment: the kubelet replaces it before it ends.
fn token(path: &Path) -> anyhow::Result<BearerToken> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read --token-file {}", path.display()))?;
    BearerToken::parse(&text).with_context(|| format!("use --token-file {}", path.display()))
}

impl Link {
    /// Runs until the stream ends. Errors: why it ended, unless the aggregator closed it in peace.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { server, outgoing, answers, heard } = self;
        let channel = timeout(CONNECT_TIMEOUT, dial(&server)).await;
        let channel = channel.with_context(|| format!("connect to {}", server.uri))??;
        heard.send(Heard::Opened).await.context("hand over to the uplink")?;
        let mut client = wire::ingest_client::IngestClient::new(channel)
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .max_encoding_message_size(limits::MESSAGE_BYTES);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(path) = &server.token_file {
            request.metadata_mut().insert("authorization", token(path)?.header());
        }
        let stream = client.stream(request).await;
        let mut stream = stream.context("open a stream")?.into_inner();
        while let Some(message) = stream.message().await.context("read the stream")? {
            let received_nsec = now_nsec();
            match message.message {
                Some(wire::aggregator_message::Message::Ping(wire::ClockPing { id })) => {
                    let Some(answers) = answers.upgrade() else { continue };
                    let Ok(permit) = answers.reserve().await else { continue };
                    let pong = wire::ClockPong { id, received_nsec, sent_nsec: now_nsec() };
                    permit
                        .send(wire::AgentMessage { message: Some(wire::agent_message::Message::Pong(pong)) });
                }
                Some(message) => {
                    heard.send(Heard::Message(message)).await.context("hand over to the uplink")?;
                }
                None => {}
            }
        }
        Ok(())
    }
}
