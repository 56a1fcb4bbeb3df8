//! `berth trace record`: from the aggregator into a file.
//!
//! Invariant: under its own name the file is whole; while it grows, and if the recording is cut short,
//! it is beside it, as `FILE.part`, and readable up to its last second.

use std::ffi::OsString;
use std::future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use berth::trace::{Entry, Header, RawThreads};
use berth::wire;
use indicatif::ProgressBar;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tonic::{Status, Streaming};

use super::{EXAMPLES, Writer};
use crate::connect::{Place, Server};
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::stop;
use crate::text;
use crate::view::plain;

/// A recording that is killed loses no more; a shorter one would cost compression.
const FLUSH: Duration = Duration::from_secs(1);

/// What to do with a file that an earlier recording left.
const CUT_SHORT: &str =
    "it is of a recording that goes on or was cut short; rename it then, or --force overwrites it";

/// How progress looks.
const SPINNER: &str = "{spinner} {elapsed:>4} {msg}";

/// Flags of `berth trace record`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Whose detector; the only one that reports, if there is just one.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Keep the names of the node, namespaces, pods, containers, owners and cgroups; otherwise numbers
    /// stand for them.
    #[arg(long)]
    names: bool,
    /// Add what each thread of the models does, as its agent reads it 50 times a second: thread numbers, CPU
    /// time and run-queue wait, and never a name. The verdicts stay the same.
    #[arg(long)]
    threads: bool,
    /// How long to record; otherwise until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse_some)]
    duration: Option<Duration>,
    /// Overwrite the file if it is there.
    #[arg(long)]
    force: bool,
}

/// Runs the command; Ctrl-C ends it well.
pub(super) async fn run(
    args: Args,
    file: Option<PathBuf>,
    place: &Place,
    output: &Output,
) -> anyhow::Result<Exit> {
    let file = file.ok_or_else(|| usage("where to write is not said: give -o FILE"))?;
    let part = part(&file);
    is_free(&file, args.force, "--force overwrites it")?;
    is_free(&part, args.force, CUT_SHORT)?;
    let mut requests = stop::Requests::listen()?;
    let Begun { server, node, entries } = tokio::select! {
        begun = begin(&args, place, output) => begun?,
        () = requests.next() => return Ok(Exit::Stopped),
    };
    let mut writer = create(&part, args.force)?;
    let bar = output.bar(0, SPINNER);
    let mut threads = Threads { asked: args.threads, ..Threads::default() };
    let recorded = tokio::select! {
        ended = record(&node, entries, &mut writer, &mut threads, &bar, output) => Err(ended),
        () = requests.next() => Ok(if args.duration.is_none() { Exit::Done } else { Exit::Stopped }),
        () = after(args.duration) => Ok(Exit::Done),
    };
    let took = bar.elapsed();
    bar.finish_and_clear();
    let whole = writer.finish().with_context(|| format!("write {}", part.display()))?;
    let bytes = whole.metadata().with_context(|| format!("look at {}", part.display()))?.len();
    match recorded {
        Ok(exit) => {
            // Whoever made it meanwhile did not ask for it to be overwritten.
            let kept = || format!("what was recorded is in {}", part.display());
            let mend = format!("somebody made it meanwhile; move {} to another name", part.display());
            is_free(&file, args.force, &mend).with_context(kept)?;
            std::fs::rename(&part, &file)
                .with_context(|| format!("rename {} to {}", part.display(), file.display()))?;
            output.note(&format!("{}: {} in {bytes} bytes", file.display(), text::duration(took)));
            threads.say(output);
            Ok(exit)
        }
        Err(Ended::Output(error)) => Err(error).with_context(|| format!("write {}", part.display())),
        Err(Ended::Lost(status)) => {
            output.note(&format!("what came until then is in {}", part.display()));
            Err(server.failure(&status).into())
        }
    }
}

fn create(part: &Path, force: bool) -> anyhow::Result<Writer> {
    let made = if force { Writer::create(part) } else { Writer::create_new(part) };
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(usage(format!("{} is there already: {CUT_SHORT}", part.display())).into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            let mend = "give -o another name, or wait for it to end";
            Err(usage(format!("{}: another recording writes to it: {mend}", part.display())).into())
        }
        made => made.with_context(|| format!("write {}", part.display())),
    }
}

fn part(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".part");
    name.into()
}

/// Whether a file may be written there. What is no file, a device or a folder, is never replaced.
fn is_free(file: &Path, force: bool, mend: &str) -> anyhow::Result<()> {
    let name = file.display();
    if file.as_os_str().is_empty() {
        return Err(usage("-o has no name: give -o FILE").into());
    }
    if file.as_os_str() == "-" {
        return Err(usage("a recording is a file of its own, not stdout: give -o FILE").into());
    }
    match std::fs::symlink_metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("look for {name}")),
        Ok(there) if !there.is_file() => {
            Err(usage(format!("{name} is no file: give -o another name")).into())
        }
        Ok(_) if force => Ok(()),
        Ok(_) => Err(usage(format!("{name} is there already: {mend}")).into()),
    }
}

/// A recording that the aggregator has agreed to.
struct Begun {
    server: Server,
    /// Of which the file keeps no name, unless it was asked for.
    node: String,
    entries: Streaming<wire::TraceEntry>,
}

async fn begin(args: &Args, place: &Place, output: &Output) -> anyhow::Result<Begun> {
    let server = output.during("connecting", place.address.connect()).await?;
    let node = match &args.node {
        Some(node) => {
            server.knows(node).await?;
            node.clone()
        }
        None => server.only_node().await?,
    };
    let request = wire::RecordTraceRequest { node: node.clone(), names: args.names, threads: args.threads };
    let asked = server.traces().record(request).await;
    let entries = asked.map_err(|status| server.failure(&status))?.into_inner();
    Ok(Begun { server, node, entries })
}

async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => future::pending().await,
    }
}

/// Why a recording ended by itself.
enum Ended {
    Lost(Status),
    Output(std::io::Error),
}

/// What became of the single threads that were asked for.
#[derive(Debug, Default)]
struct Threads {
    asked: bool,
    /// Of one thread each.
    readings: u64,
    lost: u64,
}

impl Threads {
    fn hear(&mut self, raw: &RawThreads) {
        let readings = u64::try_from(raw.threads.len()).unwrap_or(u64::MAX);
        self.readings = self.readings.saturating_add(readings);
        self.lost = self.lost.saturating_add(raw.lost);
    }

    fn say(&self, output: &Output) {
        let Self { asked, readings, lost } = *self;
        if asked && readings == 0 {
            output.note(
                "no thread was seen: no model ran there (see berth roles) or its threads were idle, the agent or the \
                 aggregator is older, or nothing came through",
            );
        } else if lost > 0 {
            output.note(&format!("{lost} readings of threads are missing beside {readings}"));
        }
    }
}

/// Writes entries until there are no more.
async fn record(
    node: &str,
    mut entries: Streaming<wire::TraceEntry>,
    writer: &mut Writer,
    threads: &mut Threads,
    bar: &ProgressBar,
    output: &Output,
) -> Ended {
    let mut flushes = interval(FLUSH);
    flushes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = Instant::now();
    loop {
        let written = tokio::select! {
            entry = entries.message() => match entry {
                Ok(Some(entry)) => match Entry::try_from(entry) {
                    Ok(entry) => {
                        match &entry {
                            Entry::Header(header) => introduce(node, header, bar, output),
                            Entry::RawThreads(raw) => threads.hear(raw),
                            Entry::Who(_)
                            | Entry::Container(_)
                            | Entry::Frame(_)
                            | Entry::Late(_)
                            | Entry::Step(_)
                            | Entry::Reset(_) => {}
                        }
                        writer.write(entry)
                    }
                    Err(error) => return Ended::Lost(Status::internal(error.to_string())),
                },
                Ok(None) => return Ended::Lost(Status::unavailable("it ended the recording")),
                Err(status) => return Ended::Lost(status),
            },
            _ = flushes.tick() => writer.flush().map(|bytes| {
                bar.set_message(format!("{} recorded, {bytes} bytes", text::duration(began.elapsed())));
                bar.tick();
            }),
        };
        if let Err(error) = written {
            return Ended::Output(error);
        }
    }
}

fn introduce(node: &str, header: &Header, bar: &ProgressBar, output: &Output) {
    let names = if header.named { "with names" } else { "without names" };
    let threads = if header.threads { ", thread by thread" } else { "" };
    bar.suspend(|| output.note(&format!("recording {} {names}{threads}", plain(node))));
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}
