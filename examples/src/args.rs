//! The command lines of the two binaries.
//!
//! Invariant: what leaves here is valid; nothing below checks an argument again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use hyper::Uri;

/// A small real model service: it answers the Predict API at `POST /breast_cancer/predict`.
#[derive(Debug, Parser)]
#[command(name = "refmodel", version)]
pub struct Refmodel {
    /// Address to listen on; port 0 takes a free one and says which.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5111")]
    pub bind: SocketAddr,
    /// Worker threads; each computes one request at a time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub workers: u8,
}

/// A stand-in for a batch AI scanner: it burns CPU on scoring rows and calls a model at a low, steady rate.
#[derive(Debug, Parser)]
#[command(name = "scanner", version)]
pub struct Scanner {
    /// Predict API of the model to call; without it the scanner only scores.
    #[arg(long, value_name = "URL", value_parser = model_url)]
    pub model_url: Option<Uri>,
    /// CSV of rows to score, with a header and a label column last; by default the 3,000 rows built in.
    #[arg(long, value_name = "FILE")]
    pub rows: Option<PathBuf>,
    /// Scoring threads; each burns one CPU.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub concurrency: u8,
    /// Cap on the calls to the model, over the whole process.
    #[arg(long = "calls-per-sec", value_name = "R", default_value = "2", value_parser = period_of_rate)]
    pub call_period: Duration,
    /// Seed of the perturbations; the same seed perturbs the same rows in the same way.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Stop after this long; by default it runs until SIGTERM.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub seconds: Option<Duration>,
}

/// Timers tick in milliseconds, so a higher rate could not be kept steady.
const CALLS_PER_SEC_MAX: f64 = 200.0;

/// A year: longer than anybody scans, and far inside what a timer can hold.
const SECONDS_MAX: f64 = 365.0 * 86_400.0;

fn model_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err("give a URL such as http://127.0.0.1:5111/breast_cancer/predict".into());
    }
    Ok(uri)
}

fn period_of_rate(text: &str) -> Result<Duration, String> {
    number_up_to(text, CALLS_PER_SEC_MAX).map(|rate| Duration::from_secs_f64(1.0 / rate))
}

fn seconds(text: &str) -> Result<Duration, String> {
    number_up_to(text, SECONDS_MAX).map(Duration::from_secs_f64)
}

fn number_up_to(text: &str, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.001 && number <= most => Ok(number),
        _ => Err(format!("give a number above 0.001 and up to {most}")),
    }
}
