//! What a request costs this load generator's CPU, beside hey, oha and wrk: `make bench-load`.
//!
//! All clients send the same body to the same server in turns, so that a noisy machine is noisy to each.
//! The server counts, not the client; CPU time and memory are the kernel's. Deliberately absent: requests
//! a second of wall time, which on a shared machine measure the neighbours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "its figures are its data")]

mod client;
mod server;

use std::path::PathBuf;

use client::{Client, Used};
use server::Server;

/// A row of the Predict API as short as rows are: 56 bytes.
const BODY: &str = r#"{"payload":{"instances":[[7,107,74,0,0,29.6,0.254,31]]}}"#;

/// Of which the median counts.
const ROUNDS: usize = 3;

/// Long enough that starting a client does not count.
const SECONDS: u32 = 5;

const CONNECTIONS: u32 = 64;

const FIXED_PER_SEC: u32 = 5_000;

/// Rates whose schedule must be kept, and for how long.
const KEPT_PER_SEC: [&str; 4] = ["1", "7", "999.5", "10000"];
const KEPT_SECONDS: u32 = 10;

struct Args {
    tools: PathBuf,
    berth: PathBuf,
    /// Of the run whose memory is measured; 0 leaves it out.
    requests: u64,
}

fn args() -> Args {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let mut next =
        |what: &str| args.next().unwrap_or_else(|| panic!("{what} is missing: use make bench-load"));
    let (tools, berth) = (next("the folder of the tools").into(), next("the program berth").into());
    Args { tools, berth, requests: next("the number of requests").parse().unwrap() }
}

fn main() {
    let args = args();
    let server = Server::start();
    let clients = |flags: &dyn Fn(Client) -> Vec<String>, of: &[Client]| {
        let mut used: Vec<(Client, Vec<Used>)> = of.iter().map(|client| (*client, Vec::new())).collect();
        for _ in 0..ROUNDS {
            for (client, rounds) in &mut used {
                rounds.push(client.run(&args.tools, &args.berth, &flags(*client), &server));
            }
        }
        used
    };
    println!("body {} bytes, {CONNECTIONS} connections, median of {ROUNDS} runs of {SECONDS} s", BODY.len());

    let all = [Client::Berth, Client::Oha, Client::Hey, Client::Wrk];
    let closed = clients(&|client| client.closed(&server.url(), CONNECTIONS, SECONDS, BODY), &all);
    table("as fast as it can", &closed);

    let fixed = clients(
        &|client| client.fixed(&server.url(), CONNECTIONS, SECONDS, FIXED_PER_SEC, BODY),
        &[Client::Berth, Client::Oha],
    );
    table(&format!("at {FIXED_PER_SEC} requests/s"), &fixed);
    kept(&args, &server);
    if args.requests > 0 {
        memory(&args, &server);
    }
}

/// Median requests a CPU-second, and what ours is a multiple of.
fn table(what: &str, used: &[(Client, Vec<Used>)]) {
    println!(
        "\n{what}\n{:8}{:>22}{:>16}{:>12}{:>12}",
        "", "requests/CPU-second", "requests/s", "peak KiB", "ours is"
    );
    let ours = median(&used[0].1, Used::per_cpu_second);
    for (client, rounds) in used {
        let each = median(rounds, Used::per_cpu_second);
        let rate = median(rounds, |used| used.requests as f64 / used.wall_seconds);
        let peak = rounds.iter().map(|used| used.peak_kib).max().unwrap_or(0);
        println!("{:8}{each:>22.0}{rate:>16.0}{peak:>12}{:>11.2}x", client.name(), ours / each);
    }
}

/// How exactly a rate is kept, and how late requests are sent.
fn kept(args: &Args, server: &Server) {
    println!(
        "\na rate kept for {KEPT_SECONDS} s\n{:>10}{:>10}{:>12}{:>14}{:>14}",
        "rate", "sent", "error", "lag p50", "lag p99"
    );
    for rate in KEPT_PER_SEC.into_iter().chain(["5000"]) {
        let flags = Client::rate(&server.url(), CONNECTIONS, KEPT_SECONDS, rate, BODY);
        let report = client::report_of(&args.berth, &flags);
        let sent = report["sent"].as_f64().unwrap();
        let due = rate.parse::<f64>().unwrap() * f64::from(KEPT_SECONDS);
        let lag = |name| report["send_lag_usec"][name].as_u64().unwrap();
        println!(
            "{rate:>10}{sent:>10}{:>11.3}%{:>11} us{:>11} us",
            (sent / due - 1.0).abs() * 100.0,
            lag("p50"),
            lag("p99")
        );
    }
}

/// Peak memory after so many requests.
fn memory(args: &Args, server: &Server) {
    println!("\npeak memory after {} requests over {CONNECTIONS} connections", args.requests);
    for client in [Client::Berth, Client::Oha] {
        let flags = client.counted(&server.url(), CONNECTIONS, args.requests, BODY);
        let used = client.run(&args.tools, &args.berth, &flags, server);
        println!("{:8}{:>12} KiB, {} requests", client.name(), used.peak_kib, used.requests);
    }
}

fn median(rounds: &[Used], of: impl Fn(&Used) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
