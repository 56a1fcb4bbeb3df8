//! An API server that answers by heart, for the faults that a real one does not produce on demand; the
//! ring under tests/cluster has the real one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::forward;

/// Berth's namespace in the API.
pub(crate) const BERTH: &str = "/api/v1/namespaces/berth-system";

/// What it says of each path, and what it was asked.
#[derive(Debug, Default)]
struct Script {
    answers: HashMap<String, (u16, Value)>,
    /// Where forwarded ports lead.
    forwards: HashMap<String, SocketAddr>,
    bodies: Vec<Value>,
}

/// It serves until it is dropped.
pub(crate) struct Api {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    dir: TempDir,
    _runtime: Runtime,
}

impl Api {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).unwrap()
        };
        runtime.handle().clone().spawn(serve(listener, Arc::clone(&script)));
        Self { address, script, dir: tempfile::tempdir().unwrap(), _runtime: runtime }
    }

    /// From now on this path is answered so. `METHOD /path`, without a query.
    pub(crate) fn answer(&self, request: &str, status: u16, body: Value) -> &Self {
        self.script.lock().unwrap().answers.insert(request.to_owned(), (status, body));
        self
    }

    /// A list of these objects.
    pub(crate) fn list(&self, path: &str, items: &Value) -> &Self {
        self.answer(&format!("GET {path}"), 200, json!({"metadata": {}, "items": items}))
    }

    /// RBAC does not allow it.
    pub(crate) fn forbid(&self, request: &str) -> &Self {
        self.answer(request, 403, status(403, "forbidden"))
    }

    /// Everything that a client needs before it dials.
    pub(crate) fn installed(&self, ca: &str, token_life_sec: i64) -> &Self {
        self.answer(&format!("GET {BERTH}/configmaps/berth-ca"), 200, json!({"data": {"ca.crt": ca}}));
        for account in ["berth-viewer", "berth-operator"] {
            self.answer(
                &format!("POST {BERTH}/serviceaccounts/{account}/token"),
                201,
                json!({
                    "spec": {"audiences": ["berth.query"], "expirationSeconds": token_life_sec},
                    "status": {"token": account, "expirationTimestamp": "2030-01-01T00:00:00Z"}
                }),
            );
        }
        self
    }

    /// Every port of this pod leads there.
    pub(crate) fn forward(&self, pod: &str, to: SocketAddr) -> &Self {
        let ready = json!({"metadata": {"name": pod}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        self.list(&format!("{BERTH}/pods"), &json!([ready]));
        let path = format!("GET {BERTH}/pods/{pod}/portforward");
        self.script.lock().unwrap().forwards.insert(path, to);
        self
    }

    /// The bodies of every request that had one.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.script.lock().unwrap().bodies.clone()
    }

    /// A kubeconfig whose current context, `test`, prefers the namespace `shop`.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let file = self.dir.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\n\
             users: [{{name: u, user: {{token: own}}}}]\n\
             contexts: [{{name: test, context: {{cluster: c, user: u, namespace: shop}}}}]\n",
            self.address
        );
        std::fs::write(&file, text).unwrap();
        file
    }
}

/// The API server's way of saying no.
fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": ""})
}

async fn serve(listener: tokio::net::TcpListener, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let script = Arc::clone(&script);
        let answers = service_fn(move |request| answer(Arc::clone(&script), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answers);
        connections.spawn(connection.with_upgrades());
    }
}

async fn answer(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let asked = format!("{} {}", request.method(), request.uri().path());
    let to = script.lock().unwrap().forwards.get(&asked).copied();
    if let Some(to) = to {
        return Ok(forward::accept(request, to));
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut script = script.lock().unwrap();
    script.bodies.extend(serde_json::from_slice::<Value>(&body));
    let known = script.answers.get(&asked).cloned();
    let (code, body) = known.unwrap_or_else(|| (404, status(404, &format!("no answer to {asked}"))));
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap();
    Ok(response)
}
