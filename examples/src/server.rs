//! The model server's door: it accepts connections and shares them out among the workers.
//!
//! Each connection goes to the worker with the fewest open ones and stays there, so that N connections keep N
//! workers busy: where all workers accept from one socket, chance decides. Absent on purpose: TLS, HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::model::Model;
use crate::signals::Stop;
use crate::worker::{Guest, Worker};

/// Well below the usual soft limit of 1,024 open files. Further connections wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 256;

/// Inside the 30 s that a kubelet grants: a batch of 3,000 rows may end, a stuck peer cannot hold us.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// Serves until SIGTERM or SIGINT, then lets the requests in progress end.
pub fn serve(bind: SocketAddr, workers: u8) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        let mut stop = Stop::catch().context("catch signals")?;
        let listener = TcpListener::bind(bind)
            .await
            .with_context(|| format!("listen on {bind} (free it, or choose another address with --bind)"))?;
        let model = Arc::new(Model::embedded().context("parse the embedded model")?);
        // Every worker holds a sender, so the channel closes when the last one is done.
        let (alive, mut all_done) = mpsc::channel(1);
        let start = |number| Worker::start(number, model.clone(), alive.clone());
        let crew = (0..workers).map(start).collect::<anyhow::Result<Vec<_>>>()?;
        drop(alive);

        eprintln!("listening on {}", listener.local_addr().context("read the bound address")?);
        tokio::select! {
            result = admit(&listener, &crew) => result?,
            () = stop.requested() => {}
        }
        drop((listener, crew));
        if timeout(SHUTDOWN_GRACE, all_done.recv()).await.is_err() {
            eprintln!("gave up requests that were still in progress after {SHUTDOWN_GRACE:?}");
        }
        Ok(())
    })
}

async fn admit(listener: &TcpListener, crew: &[Worker]) -> anyhow::Result<()> {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let seat = seats.clone().acquire_owned().await.context("wait for a free seat")?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The peer left while it waited in the backlog: its loss alone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("accept a connection"),
        };
        // A socket that fails already is its peer's loss too.
        let Ok(guest) = Guest::new(stream, seat) else { continue };
        let idlest = crew.iter().min_by_key(|worker| worker.open_connections());
        idlest.context("find a worker")?.take(guest).await?;
    }
}
