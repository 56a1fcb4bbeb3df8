//! The flags of `berth load`, and the run that they ask for.
//!
//! Flags that hey has mean what they mean there; `hey.rs` has those that are spelled in its own way.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use berth::limits;
use berth_loadgen::{
    Body, Check, Label, Model, Payload, Protocol, Rate, RequestHead, Spacing, SpecDraft, Stripe, TlsDraft,
};

use super::objective::Objectives;
use super::usage;
use crate::duration;
use crate::exit::Failure;

/// Connections of an open run when nobody says: enough for 1,000 requests a second of 100 ms each.
const OPEN_CONNECTIONS: u32 = 100;

/// Connections of a closed run when nobody says, as in hey.
const CLOSED_CONNECTIONS: u32 = 50;

/// Requests of a run when nobody says how many or for how long, as in hey.
const REQUESTS: NonZeroU64 = NonZeroU64::new(200).unwrap();

/// How long a run of a rate lasts when nobody says.
const OPEN_DURATION: Duration = Duration::from_secs(10);

/// What counts as a success.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CheckArg {
    /// Predict where every body asks for predictions, else status.
    Auto,
    /// 200, and as many predictions as instances were sent.
    Predict,
    /// Any 2xx.
    Status,
}

/// The times between the requests of a schedule.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ArrivalsArg {
    /// Equal.
    Even,
    /// Random: a Poisson process.
    Poisson,
}

/// Which row goes out next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OrderArg {
    /// The first again after the last.
    Cycle,
    /// The same in a random order.
    Shuffle,
    /// Each once; the run ends with the last.
    Once,
}

/// What rows are wrapped into.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ProtocolArg {
    Predict,
    V1,
    V2,
}

impl From<ProtocolArg> for Protocol {
    fn from(arg: ProtocolArg) -> Self {
        match arg {
            ProtocolArg::Predict => Self::Predict,
            ProtocolArg::V1 => Self::V1,
            ProtocolArg::V2 => Self::V2,
        }
    }
}

/// Flags of `berth load`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # 200 requests a second for a minute, from the rows of a table\n  \
    berth load http://127.0.0.1:5111/predict --rate 200 -z 1m --payload rows.csv --label-column target\n\n  \
    # As hey would be called: 50 connections, each sends when it has its answer\n  \
    berth load http://127.0.0.1:5111/predict -z 30s -c 50 -m POST -T application/json -D body.json\n\n  \
    # From 10 to 500 requests a second, as many users who know nothing of each other send them\n  \
    berth load http://127.0.0.1:5111/predict --rate 10..500 --arrivals poisson -z 5m --payload rows.csv\n\n  \
    # Fail a pipeline unless the target answers fast enough and hardly ever fails\n  \
    berth load http://127.0.0.1:5111/predict --rate 50 --payload rows.csv --slo 'p99<50ms,errors<0.1%'\n\n\
    Latency counts from the time at which a request was due, so a stalled target cannot hide.\n\
    hey's other flags are understood too: -n, -A, -host and -cpus after a URL.")]
pub struct Args {
    /// Where requests are sent: http://host:port/path, or https, whose CA --ca-file may name.
    url: String,
    /// Send so many requests a second, whatever the answers do: 200, or 10..500 to rise, or 100,200,400 in
    /// steps.
    #[arg(long, value_name = "PER_SEC", allow_negative_numbers = true)]
    rate: Option<Rate>,
    /// The same for each connection: -c 10 -q 20 is --rate 200.
    #[arg(short = 'q', long, value_name = "PER_SEC", allow_negative_numbers = true, conflicts_with = "rate")]
    rate_per_connection: Option<f64>,
    /// Whether the times between requests are equal or random.
    #[arg(
        long,
        value_enum,
        value_name = "even|poisson",
        hide_possible_values = true,
        default_value = "even"
    )]
    arrivals: ArrivalsArg,
    /// What random times and orders come from: the same seed gives the same run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long requests are sent: 10s by default with a rate.
    #[arg(short = 'z', long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// End after so many requests: 200 by default with neither a rate nor -z.
    #[arg(long, value_name = "N")]
    requests: Option<NonZeroU64>,
    /// Connections at most with a rate, 100 by default; else each sends when it has its answer, 50 by
    /// default.
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    connections: Option<u32>,
    /// The requests: a .csv with a header, or an .ndjson with a row or a whole body on each line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["body", "body_file"])]
    payload: Option<PathBuf>,
    /// The column of the .csv that is the answer, and is not sent.
    #[arg(long, value_name = "NAME", requires = "payload")]
    label_column: Option<String>,
    /// What rows are wrapped into: the Predict API, KServe's V1, or its V2, which takes numbers only.
    #[arg(
        long,
        value_enum,
        value_name = "predict|v1|v2",
        hide_possible_values = true,
        default_value = "predict",
        requires = "payload"
    )]
    protocol: ProtocolArg,
    /// Which row goes out next.
    #[arg(
        long,
        value_enum,
        value_name = "cycle|shuffle|once",
        hide_possible_values = true,
        default_value = "cycle",
        requires = "payload"
    )]
    order: OrderArg,
    /// The body of every request.
    #[arg(short = 'd', long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// The same from a file.
    #[arg(short = 'D', long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// The HTTP method: POST by default with a body, else GET.
    #[arg(short = 'm', long, value_name = "METHOD")]
    method: Option<String>,
    /// A header of every request; may be given again.
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The header Content-Type: application/json by default with a body.
    #[arg(short = 'T', long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The header Accept.
    #[arg(long, value_name = "TYPE")]
    accept: Option<String>,
    /// The header Host.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Basic authentication.
    #[arg(short = 'a', long, value_name = "USER:PASSWORD")]
    auth: Option<String>,
    /// How long one request may take; a number alone is seconds.
    #[arg(short = 't', long, value_name = "TIME", default_value = "20s", value_parser = timeout)]
    timeout: Duration,
    /// The certificate (PEM) that an https target is shown, with its key in --key.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key (PEM) of --cert.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Take any certificate of an https target.
    #[arg(short = 'k', long)]
    insecure: bool,
    /// What counts as a success.
    #[arg(
        long,
        value_enum,
        value_name = "auto|predict|status",
        hide_possible_values = true,
        default_value = "auto"
    )]
    check: CheckArg,
    /// Exit with 4 unless the run meets these: mean, p50, p90, p95, p99, p99.9 and max of the response time,
    /// errors, throughput.
    #[arg(long, value_name = "OBJECTIVES")]
    pub(super) slo: Vec<Objectives>,
}

/// hey has seconds, and 0 for as long as it takes: which is the longest that any request may take here.
fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(0) => Ok(limits::LOAD_REQUEST_TIMEOUT),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => duration::parse(text),
    }
}

impl Args {
    /// The run, and what it sends. Errors: flags that make none, or a file that cannot be read.
    /// `ca_file` is the one that signed an https target's certificate.
    pub(super) fn run(&self, ca_file: Option<&Path>) -> Result<(SpecDraft, Payload), Failure> {
        let payload = self.payload()?;
        let model = self.model()?;
        let (is_open, rows) = (matches!(model, Model::Open { .. }), payload.bodies().len());
        let requests = match self.order {
            OrderArg::Once => NonZeroU64::new(rows as u64).into_iter().chain(self.requests).min(),
            OrderArg::Cycle | OrderArg::Shuffle => self.requests,
        };
        // A number of requests ends a run by itself.
        let (duration, requests) = match (self.duration, requests) {
            (Some(duration), requests) => (duration, requests),
            (None, Some(requests)) => (limits::LOAD_DURATION, Some(requests)),
            (None, None) if is_open => (OPEN_DURATION, None),
            (None, None) => (limits::LOAD_DURATION, Some(REQUESTS)),
        };
        // Answers are awaited as long as a request may take, so that none is cut off.
        let draft = SpecDraft {
            target_url: self.url.clone(),
            connections: self.connections(),
            model,
            duration,
            request_timeout: self.timeout,
            drain: self.timeout,
            check: self.check(&payload),
            stripe: Stripe::WHOLE,
            requests,
            head: self.head()?,
            tls: self.tls(ca_file)?,
        };
        Ok((draft, payload))
    }

    fn is_open(&self) -> bool {
        self.rate.is_some() || self.rate_per_connection.is_some()
    }

    fn connections(&self) -> u32 {
        self.connections.unwrap_or(if self.is_open() { OPEN_CONNECTIONS } else { CLOSED_CONNECTIONS })
    }

    fn model(&self) -> Result<Model, Failure> {
        let rate = match (&self.rate, self.rate_per_connection) {
            (Some(rate), _) => rate.clone(),
            (None, Some(each)) => Rate::steady(each * f64::from(self.connections()))
                .map_err(|error| usage(error.to_string()))?,
            (None, None) => return Ok(Model::Closed { in_flight: self.connections() }),
        };
        let spacing = match self.arrivals {
            ArrivalsArg::Even => Spacing::Even,
            ArrivalsArg::Poisson => Spacing::Poisson { seed: self.seed },
        };
        Ok(Model::Open { rate, spacing })
    }

    fn payload(&self) -> Result<Payload, Failure> {
        let whole = |error: berth_loadgen::PayloadError| usage(super::whole(&error));
        if let Some(path) = &self.payload {
            let label = self.label_column.clone().map_or(Label::None, Label::Named);
            let payload = Payload::read(path, &label, self.protocol.into()).map_err(whole)?;
            return Ok(if self.order == OrderArg::Shuffle { payload.shuffled(self.seed) } else { payload });
        }
        match (&self.body, &self.body_file) {
            (Some(body), _) => Ok(Payload::single(body.clone().into())),
            (None, Some(path)) => Payload::of_file(path).map_err(whole),
            (None, None) => Ok(Payload::single(Vec::new().into())),
        }
    }

    fn has_body(&self) -> bool {
        self.payload.is_some() || self.body.is_some() || self.body_file.is_some()
    }

    fn check(&self, payload: &Payload) -> Check {
        let counts = |body: &Body| body.instances.is_some();
        match self.check {
            CheckArg::Predict => Check::PredictApi,
            CheckArg::Auto if payload.bodies().iter().all(counts) => Check::PredictApi,
            CheckArg::Auto | CheckArg::Status => Check::Status,
        }
    }

    fn tls(&self, ca_file: Option<&Path>) -> Result<TlsDraft, Failure> {
        let read = |file: &Path| {
            std::fs::read(file).map_err(|error| usage(format!("read {}: {error}", file.display())))
        };
        let client_pem = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        };
        let ca_pem = ca_file.map(read).transpose()?;
        Ok(TlsDraft { ca_pem, client_pem, insecure: self.insecure })
    }

    /// Later flags of the same header stand beside earlier ones, as in hey.
    fn head(&self) -> Result<RequestHead, Failure> {
        let mut headers = Vec::new();
        for header in &self.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                // What has no colon may be a token alone.
                usage("-H: a header without a colon: write 'NAME: VALUE'")
            })?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let says = |name: &str| headers.iter().any(|(said, _)| said.eq_ignore_ascii_case(name));
        let json = (self.has_body() && !says("content-type")).then(|| "application/json".to_owned());
        let basic =
            |auth: &String| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(auth));
        let more = [
            ("content-type", self.content_type.clone().or(json)),
            ("accept", self.accept.clone()),
            ("host", self.host.clone()),
            ("authorization", self.auth.as_ref().map(basic)),
        ];
        headers.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        let method = match &self.method {
            Some(method) => method.to_uppercase(),
            None if self.has_body() => "POST".to_owned(),
            None => "GET".to_owned(),
        };
        Ok(RequestHead { method, headers })
    }
}
