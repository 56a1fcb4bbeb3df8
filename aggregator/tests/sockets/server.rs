//! An aggregator in this process, and what asks it.

use std::{future::Future, net::SocketAddr, time::Duration};

use berth::wire::{
    advisor_client::AdvisorClient, episodes_client::EpisodesClient, load_client::LoadClient,
    load_workers_client::LoadWorkersClient, samples_client::SamplesClient, traces_client::TracesClient,
};
use berth_aggregator::{Access, Aggregator, Settings, config::Config};
use berth_kit::DEADLINE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::transport::{Channel, Endpoint};

const POLL: Duration = Duration::from_millis(10);

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(crate) struct Server {
    pub(crate) aggregator: Aggregator,
    pub(crate) channel: Channel,
}

impl Server {
    pub(crate) async fn start(config: &str) -> Self {
        let settings =
            Settings::new(ANY, ANY, Access::Loopback, Config::parse(config).unwrap(), None).unwrap();
        let aggregator = Aggregator::start(settings).await.unwrap();
        let channel = channel(aggregator.grpc_address());
        Self { aggregator, channel }
    }

    pub(crate) fn samples(&self) -> SamplesClient<Channel> {
        SamplesClient::new(self.channel.clone())
    }

    pub(crate) fn traces(&self) -> TracesClient<Channel> {
        TracesClient::new(self.channel.clone())
    }

    pub(crate) fn episodes(&self) -> EpisodesClient<Channel> {
        EpisodesClient::new(self.channel.clone())
    }

    pub(crate) fn advisor(&self) -> AdvisorClient<Channel> {
        AdvisorClient::new(self.channel.clone())
    }

    pub(crate) fn load(&self) -> LoadClient<Channel> {
        LoadClient::new(self.channel.clone())
    }

    pub(crate) fn workers(&self) -> LoadWorkersClient<Channel> {
        LoadWorkersClient::new(self.channel.clone())
    }

    /// A page of its HTTP port: status line and body.
    pub(crate) async fn page(&self, path: &str) -> (String, String) {
        page(self.aggregator.http_address(), path).await
    }
}

pub(crate) fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

pub(crate) async fn page(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asked = async {
        let mut polls = tokio::time::interval(POLL);
        loop {
            polls.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    within(what, asked).await
}

/// What must come in time.
pub(crate) async fn within<T>(what: &str, coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, coming).await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for {what}"))
}
