use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use serde_json::{Value, json};
use tonic::Code;

use super::*;
use crate::trust::review::ReviewError;

const STREAM: &str = "/berth.v1.Ingest/Stream";
const RANGE: &str = "/berth.v1.Samples/Range";
const START: &str = "/berth.v1.Load/Start";

fn told(status: Value) -> Result<TokenReviewStatus, ReviewError> {
    serde_json::from_value(status).map_err(|error| ReviewError(error.into()))
}

/// Knows one agent and one viewer, until it is away.
#[derive(Debug, Default)]
struct ApiServer {
    reviews: AtomicUsize,
    is_away: Mutex<bool>,
}

#[tonic::async_trait]
impl Reviewer for ApiServer {
    async fn review(
        &self,
        token: &BearerToken,
        audience: Audience,
    ) -> Result<TokenReviewStatus, ReviewError> {
        self.reviews.fetch_add(1, Ordering::Relaxed);
        if *lock(&self.is_away) {
            return Err(ReviewError("connection refused".into()));
        }
        let name = match token.secret() {
            "agent.b.c" if audience == Audience::Ingest => "berth-agent",
            "viewer.b.c" if audience == Audience::Query => "berth-viewer",
            _ => return told(json!({"error": "invalid bearer token"})),
        };
        let extra = json!({
            "authentication.kubernetes.io/node-name": ["node-a"],
            "authentication.kubernetes.io/pod-uid": ["pod-1"],
        });
        let user = json!({"username": format!("system:serviceaccount:berth-system:{name}"), "extra": extra});
        let status = json!({"authenticated": true, "audiences": [audience.as_str()], "user": user});
        told(status)
    }
}

/// The pods, until they are gone.
#[derive(Debug, Default)]
struct Watched {
    are_gone: Mutex<bool>,
}

impl Pods for Watched {
    fn lack(&self, _uid: &str) -> bool {
        *lock(&self.are_gone)
    }
}

fn gate() -> (Gate, Arc<ApiServer>) {
    let (gate, server, _) = gate_with_pods();
    (gate, server)
}

fn gate_with_pods() -> (Gate, Arc<ApiServer>, Arc<Watched>) {
    let (server, watched) = (Arc::new(ApiServer::default()), Arc::new(Watched::default()));
    let reviewer: Arc<dyn Reviewer> = Arc::<ApiServer>::clone(&server);
    let pods: Arc<dyn Pods> = Arc::<Watched>::clone(&watched);
    let gate = Gate::new(reviewer, Some(pods), "berth-system".to_owned(), Clock::start(), Arc::default());
    (gate, server, watched)
}

fn reviews(server: &ApiServer) -> usize {
    server.reviews.load(Ordering::Relaxed)
}

async fn admit(gate: &Gate, path: &str, token: &str, peer: u8) -> Result<Option<Principal>, Status> {
    let mut headers = HeaderMap::new();
    if !token.is_empty() {
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    }
    gate.admit(path, &headers, Some([10, 0, 0, peer].into())).await
}

async fn refusal(gate: &Gate, path: &str, token: &str, peer: u8) -> Code {
    let status = admit(gate, path, token, peer).await.unwrap_err();
    assert!(!status.message().contains("bearer"), "no word of why: {status}");
    status.code()
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_before_anybody_is_asked() {
    let (gate, server) = gate();
    let huge = format!("a.b.{}", "c".repeat(9_000));
    for (peer, token) in (0..).zip(["", "garbage", "eyJhbGciOiJub25lIn0.e30.", &huge]) {
        assert_eq!(refusal(&gate, STREAM, token, peer).await, Code::Unauthenticated);
    }
    assert_eq!(reviews(&server), 0);
    assert_eq!(Counters::get(&gate.counters.tokens_refused), 4);
}

#[tokio::test]
async fn a_token_is_asked_about_once_and_is_no_good_when_its_pod_is_gone() {
    let (gate, server, watched) = gate_with_pods();
    for _ in 0..3 {
        assert!(matches!(admit(&gate, STREAM, "agent.b.c", 1).await, Ok(Some(Principal::Agent(_)))));
    }
    assert_eq!(reviews(&server), 1);
    gate.forget_pod("another");
    let agent = admit(&gate, STREAM, "agent.b.c", 1).await.unwrap().unwrap();
    assert_eq!(reviews(&server), 1);
    let mut open = gate.lease(&agent);
    *lock(&watched.are_gone) = true;
    gate.forget_pod("pod-1");
    open.ended().await;
    gate.lease(&agent).ended().await;
    // The API server still believes it.
    assert_eq!(refusal(&gate, STREAM, "agent.b.c", 1).await, Code::Unauthenticated);
    assert_eq!(reviews(&server), 2);
}

#[tokio::test]
async fn a_pod_that_was_not_heard_of_yet_comes_in_as_soon_as_it_was() {
    let (gate, _, watched) = gate_with_pods();
    *lock(&watched.are_gone) = true;
    assert_eq!(refusal(&gate, STREAM, "agent.b.c", 1).await, Code::Unauthenticated);
    *lock(&watched.are_gone) = false;
    assert!(admit(&gate, STREAM, "agent.b.c", 1).await.is_ok());
}

#[tokio::test]
async fn a_token_is_good_for_its_own_service_only() {
    let (gate, _) = gate();
    assert_eq!(admit(&gate, RANGE, "viewer.b.c", 1).await.unwrap(), Some(Principal::Viewer));
    assert_eq!(refusal(&gate, START, "viewer.b.c", 1).await, Code::PermissionDenied);
    assert_eq!(refusal(&gate, STREAM, "viewer.b.c", 1).await, Code::Unauthenticated);
    assert_eq!(refusal(&gate, RANGE, "agent.b.c", 1).await, Code::Unauthenticated);
    assert_eq!(admit(&gate, "/grpc.health.v1.Health/Check", "", 1).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_tries_many_tokens_takes_the_api_server_from_nobody() {
    let (gate, server) = gate();
    let mut codes = Vec::new();
    for number in 0..100 {
        codes.push(refusal(&gate, STREAM, &format!("a.b.{number}"), 1).await);
    }
    let looked_at = reviews(&server);
    // The second may turn once while the test runs.
    assert!((10..=20).contains(&looked_at), "{looked_at}");
    assert!(codes.contains(&Code::ResourceExhausted));
    assert!(admit(&gate, STREAM, "agent.b.c", 2).await.is_ok());
    // Who is known comes in from wherever the others tried.
    assert!(admit(&gate, STREAM, "agent.b.c", 1).await.is_ok());
}

#[tokio::test]
async fn while_the_api_server_is_away_who_is_known_comes_in_and_others_wait() {
    let (gate, server) = gate();
    admit(&gate, STREAM, "agent.b.c", 1).await.unwrap();
    *lock(&server.is_away) = true;
    assert!(admit(&gate, STREAM, "agent.b.c", 1).await.is_ok());
    assert_eq!(refusal(&gate, RANGE, "viewer.b.c", 1).await, Code::Unavailable);
    *lock(&server.is_away) = false;
    assert!(admit(&gate, RANGE, "viewer.b.c", 1).await.is_ok(), "no answer is no refusal");
}
