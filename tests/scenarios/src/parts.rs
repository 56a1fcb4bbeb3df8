//! Programs that exist for the trials alone, played by this very binary: a busy loop of known duty, and
//! two small servers, one that makes a thread for each request and one that reads a file.
//!
//! Invariant: what a request costs is a constant number of CPU seconds, or of bytes read. Deliberately
//! absent: anything that a real program of Debian or of the examples does as well.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use berth_loadgen::MonoNanos;
use rustix::time::{ClockId, clock_gettime};

/// What to play.
#[derive(Debug, clap::Subcommand)]
pub enum Part {
    /// Uses a part of a CPU, for ever.
    Busy {
        /// CPUs, one thread each.
        #[arg(long, default_value_t = 1)]
        threads: u32,
        /// The busy part of each period.
        #[arg(long, default_value_t = 1.0)]
        duty: f64,
        /// In milliseconds.
        #[arg(long, default_value_t = 100)]
        period_msec: u64,
    },
    /// Answers each request from a thread of its own.
    Churn {
        /// On loopback.
        #[arg(long)]
        port: u16,
        /// CPU time of a request.
        #[arg(long, default_value_t = 3_000)]
        cpu_usec: u64,
    },
    /// Answers each request from a piece of a file, piece after piece, round and round.
    Reader {
        /// On loopback.
        #[arg(long)]
        port: u16,
        /// Which file.
        #[arg(long)]
        file: PathBuf,
    },
}

/// One request of [`Part::Reader`]: at 50/s it goes round a file of [`FILE_BYTES`] in about a second, so
/// that a cache that was lost is whole again when a block's guard is over.
const PIECE_BYTES: usize = 1 << 20;

/// What [`Part::Reader`] reads: more than the limit that it gets, and little enough to be read at once.
pub const FILE_BYTES: u64 = 48 << 20;

impl Part {
    /// Plays until it is killed.
    pub fn play(self) -> anyhow::Result<()> {
        match self {
            Self::Busy { threads, duty, period_msec } => {
                let period = Duration::from_millis(period_msec);
                let threads: Vec<_> =
                    (0..threads).map(|_| thread::spawn(move || be_busy(period, duty))).collect();
                for thread in threads {
                    drop(thread.join());
                }
                Ok(())
            }
            Self::Churn { port, cpu_usec } => serve(port, move || {
                // A thread that cannot be made is a request that is not answered; the client says so.
                let work = thread::Builder::new().spawn(move || burn(Duration::from_micros(cpu_usec)));
                work.is_ok_and(|work| work.join().is_ok())
            }),
            Self::Reader { port, file } => {
                let file = File::open(&file).with_context(|| format!("open {}", file.display()))?;
                let next = AtomicU64::new(0);
                serve(port, move || read_piece(&file, &next))
            }
        }
    }
}

fn be_busy(period: Duration, duty: f64) {
    let busy = u64::try_from(period.mul_f64(duty).as_nanos()).unwrap_or(u64::MAX);
    loop {
        let begun = MonoNanos::now();
        while MonoNanos::now().since(begun) < busy {
            std::hint::spin_loop();
        }
        if duty < 1.0 {
            thread::sleep(period.mul_f64(1.0 - duty));
        }
    }
}

/// Uses so much CPU time of the calling thread, however long that takes.
fn burn(cpu: Duration) {
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let end = used() + cpu;
    while used() < end {
        (0..1_000).for_each(|_| std::hint::spin_loop());
    }
}

fn read_piece(file: &File, next: &AtomicU64) -> bool {
    let bytes = u64::try_from(PIECE_BYTES).expect("a mebibyte fits");
    let mut piece = vec![0_u8; PIECE_BYTES];
    let at = next.fetch_add(1, Ordering::Relaxed) % (FILE_BYTES / bytes) * bytes;
    let read = file.read_exact_at(&mut piece, at).is_ok();
    // The sum is what the model would do with it.
    let sum = piece.iter().fold(0_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    read && std::hint::black_box(sum) != 1
}

/// Serves HTTP/1.1 with a thread for each connection; `answer` says whether it went well.
fn serve(port: u16, answer: impl Fn() -> bool + Send + Sync + 'static) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("listen on {port}"))?;
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        let answer = Arc::clone(&answer);
        // A connection that fails concerns its peer, who knows.
        thread::spawn(move || stream.and_then(|stream| converse(stream, &*answer)));
    }
    Ok(())
}

fn converse(stream: TcpStream, answer: &impl Fn() -> bool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    while let Some(length) = head(&mut requests)? {
        std::io::copy(&mut requests.by_ref().take(length), &mut std::io::sink())?;
        let status = if answer() { "200 OK" } else { "500 Internal Server Error" };
        out.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nOK").as_bytes())?;
    }
    Ok(())
}

/// Reads a request's head, and how long its body is; `None` when the peer has closed.
fn head(requests: &mut impl BufRead) -> std::io::Result<Option<u64>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            return Ok(Some(length));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
}
