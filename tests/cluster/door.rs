//! The aggregator's gRPC port, as somebody on the cluster's network finds it, with any token.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use berth::wire::{
    self, agent_message::Message, aggregator_message, episodes_client::EpisodesClient,
    ingest_client::IngestClient, load_client::LoadClient, samples_client::SamplesClient,
};
use tokio::runtime::Runtime;
use tonic::{
    Request, Status, Streaming,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::stage::Stage;

/// The name on the certificate; pods are dialled by their address.
const NAME: &str = "berth-aggregator.berth-system.svc";

/// No agent draws it.
const STRANGER: u64 = 4_711;

/// A connection to the aggregator, and somebody's token.
pub(crate) struct Door {
    runtime: Runtime,
    channel: Channel,
}

/// Shows a token, or none.
#[derive(Clone)]
struct Shown(Option<String>);

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value =
                format!("Bearer {token}").parse().map_err(|_| Status::internal("no header's value"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl Stage {
    /// Asks the API server for a token of an account of Berth's; bound to this pod of it.
    pub(crate) fn token(&self, account: &str, audience: &str, pod: Option<&str>) -> String {
        let bound = pod.map_or_else(String::new, |pod| {
            let uid = self
                .shell
                .must(&format!("kubectl get pod -n berth-system {pod} -o jsonpath={{.metadata.uid}}"));
            format!(" --bound-object-kind Pod --bound-object-name {pod} --bound-object-uid {uid}")
        });
        let words = format!("kubectl create token -n berth-system {account} --audience {audience}{bound}");
        self.shell.must(&words).trim().to_owned()
    }

    /// A token of somebody who looks.
    pub(crate) fn viewer(&self) -> String {
        self.token("berth-viewer", "berth.query", None)
    }
}

impl Door {
    /// Believes the certificate that the aggregator has published.
    pub(crate) fn find(stage: &Stage) -> Self {
        let path = "jsonpath={.items[0].status.podIP}";
        let list = "kubectl get pods -n berth-system -l app.kubernetes.io/name=berth-aggregator";
        let address = stage.shell.must(&format!("{list} -o {path}"));
        let ca =
            stage.shell.must(r"kubectl get configmap -n berth-system berth-ca -o jsonpath='{.data.ca\.crt}'");
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name(NAME);
        let endpoint = Endpoint::from_shared(format!("https://{address}:7700")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let channel = runtime.block_on(async { endpoint.tls_config(tls).unwrap().connect_lazy() });
        Self { runtime, channel }
    }

    fn caller(&self, token: Option<&str>) -> InterceptedService<Channel, Shown> {
        InterceptedService::new(self.channel.clone(), Shown(token.map(str::to_owned)))
    }

    /// Says hello as the agent of `node`, and waits for the first order or the refusal.
    pub(crate) fn hello(&self, token: Option<&str>, node: &str) -> Result<(), Status> {
        let message = Message::Hello(wire::Hello {
            protocol: 1,
            node: node.to_owned(),
            incarnation: STRANGER,
            boot_id: "stranger".into(),
            agent_version: "stranger".into(),
            oldest_seq: 1,
            next_seq: 1,
            tick_hz: 10,
            facts: Some(wire::NodeFacts {
                cpus: 1,
                cpu_list: "0".into(),
                memory_bytes: 1 << 30,
                cgroup_version: wire::CgroupVersion::V2.into(),
                pressure: true,
                thread_waits: true,
                kernel: "6.18".into(),
                gpus: 0,
                hidden_processes: 0,
            }),
        });
        let mut client = IngestClient::new(self.caller(token));
        self.runtime.block_on(async {
            let hello = wire::AgentMessage { message: Some(message) };
            let mut orders = client.stream(tokio_stream::iter([hello])).await?.into_inner();
            let order = orders.message().await?.and_then(|order| order.message);
            assert!(matches!(order, Some(aggregator_message::Message::Resume(_))), "{order:?}");
            Ok(())
        })
    }

    /// What there is to say of each node that was ever heard.
    pub(crate) fn nodes(&self, viewer: &str) -> Result<Vec<wire::NodeStatus>, Status> {
        let mut client = SamplesClient::new(self.caller(Some(viewer)));
        Ok(self.runtime.block_on(client.list_nodes(wire::ListNodesRequest {}))?.into_inner().nodes)
    }

    /// One of them.
    pub(crate) fn node(&self, viewer: &str, name: &str) -> Option<wire::NodeStatus> {
        self.nodes(viewer).ok()?.into_iter().find(|node| node.node == name)
    }

    /// The cgroups that are sampled now.
    pub(crate) fn cgroups(&self, viewer: &str) -> Result<Vec<String>, Status> {
        let mut client = SamplesClient::new(self.caller(Some(viewer)));
        let asked = client.list_subjects(wire::ListSubjectsRequest::default());
        let subjects = self.runtime.block_on(asked)?.into_inner().subjects.into_iter();
        let live = subjects.filter(|subject| subject.live);
        Ok(live.filter_map(|subject| Some(subject.who?.cgroup)).collect())
    }

    /// The models, and what should be known of the list.
    pub(crate) fn models(&self, viewer: &str) -> Result<wire::ListModelsResponse, Status> {
        let mut client = EpisodesClient::new(self.caller(Some(viewer)));
        let asked = client.list_models(wire::ListModelsRequest::default());
        Ok(self.runtime.block_on(asked)?.into_inner())
    }

    /// Every tick from now on.
    pub(crate) fn tail(&self, viewer: &str) -> Result<Streaming<wire::SampleChunk>, Status> {
        let mut client = SamplesClient::new(self.caller(Some(viewer)));
        let resolution = wire::Resolution::Raw.into();
        let asked = client.tail(wire::TailRequest { resolution, ..wire::TailRequest::default() });
        Ok(self.runtime.block_on(asked)?.into_inner())
    }

    /// Waits for the next of them.
    pub(crate) fn next<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>, Status> {
        self.runtime.block_on(stream.message())
    }

    /// Whether one of them is a stranger of [`Door::hello`].
    pub(crate) fn has_stranger(&self, viewer: &str) -> bool {
        self.nodes(viewer).unwrap().iter().any(|node| node.incarnation == STRANGER)
    }

    /// Asks for a load run that says nothing.
    pub(crate) fn start_load(&self, token: &str) -> Result<(), Status> {
        let mut client = LoadClient::new(self.caller(Some(token)));
        self.runtime.block_on(client.start(wire::StartRunRequest::default())).map(drop)
    }
}
