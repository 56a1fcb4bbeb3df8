//! Every limit of the wire, each with its reason.

use std::time::Duration;

/// One message, encoded, both ways. Empty submessages decode to 72 times their wire size, so the
/// wire limit, not the allocator, bounds a hostile frame: 256 KiB is at most 19 MiB of heap.
pub const MESSAGE_BYTES: usize = 256 * 1024;

/// Live series of one agent: 2,048 containers (110 pods of two, with tenfold headroom) in each of
/// the eight groups that a container may have.
pub const SERIES: usize = 2_048 * 8;

/// Ticks in one batch: 10 s at the highest rate, which is also how often a batch is absolute.
pub const BATCH_TICKS: usize = 1_024;

/// Values that one batch may decode to: 4 MiB of integers. A zero run is two bytes whatever its
/// length, so the encoded size does not bound the decoded one.
pub const BATCH_VALUES: usize = 512 * 1024;

/// Groups in one batch: each group once.
pub const BATCH_BLOCKS: usize = 32;

/// Ticks that one correction may touch: 2 s at 100 Hz, rounded up.
pub const CORRECTION_TICKS: usize = 256;

/// How far back a correction may reach. A wait shows only when it ends; longer ones than this are
/// laid on the oldest tick that may still change.
pub const CORRECTION_HORIZON: Duration = Duration::from_secs(2);

/// A cgroup path: the kernel's `PATH_MAX`.
pub const PATH_BYTES: usize = 4_096;

/// A name: Kubernetes allows 253 characters for the longest of them (RFC 1123 subdomain).
pub const NAME_BYTES: usize = 253;

/// A token: a `ServiceAccount`'s has 1 to 2 KiB, and all headers of a request together 16 KiB.
pub const TOKEN_BYTES: usize = 8 * 1024;

/// The largest `NR_CPUS` of a distribution's kernel; a larger number is a typing error.
pub const MAX_CPUS: u32 = 8_192;

/// A list of CPUs such as "0-3,8": every second one of 1,024 CPUs, spelt out.
pub const CPU_LIST_BYTES: usize = 2_560;

/// Base ticks a second: below one a short container is never seen, above 100 the kernel's own
/// accounting (a tick of 1 to 10 ms) is coarser than the period.
pub const TICK_HZ: std::ops::RangeInclusive<u32> = 1..=100;

/// Reads of each thread a second in Focus. Slower than 10 a wait of one CFS period is smeared;
/// faster than 100 the sampler itself becomes a neighbour.
pub const THREAD_HZ: std::ops::RangeInclusive<u32> = 10..=100;

/// Containers in Focus on one node: half of its slots may be models.
pub const FOCUS_SERIES: usize = 1_024;

/// Readings of single threads in one message, and of one container in one entry of a trace: 55 bytes
/// each where every container has one thread, so they fit in a message, and all threads that an agent
/// watches fit in one reading.
pub const RAW_READINGS: usize = 4_096;

/// How long the agent keeps what it produced: a dead peer is found in 40 s, the longest backoff is
/// 30 s, and attaching 5,000 agents again takes 30 s.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(120);

/// The same in bytes: at 100 Hz this bound comes first.
pub const REPLAY_BYTES: usize = 8 * 1024 * 1024;

/// How often the agent sends. Shorter would cost more frames than samples, longer would spend the
/// budget of a detector that answers in a second.
pub const FLUSH_PERIOD: Duration = Duration::from_millis(200);

/// How often a batch is absolute, so that a reader who lost one is whole again soon.
pub const ABSOLUTE_PERIOD: Duration = Duration::from_secs(10);

/// HTTP/2 keep-alive on every stream, both sides: with the timeout, a dead peer is found in 40 s.
pub const KEEPALIVE_PERIOD: Duration = Duration::from_secs(30);

/// How long a keep-alive may stay unanswered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A first message must come this soon after the stream opened, or the slot is given back.
pub const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests a second of one run: ten workers of 20,000 each.
pub const LOAD_RATE_PER_SEC: f64 = 200_000.0;

/// The least rate: schedules hold rates in millionths.
pub const LOAD_LEAST_RATE_PER_SEC: f64 = 0.000_001;

/// Headers of a load run's requests, and the bytes of one: what servers take in all, by default, is 8 KiB.
pub const LOAD_HEADERS: usize = 64;

/// See [`LOAD_HEADERS`].
pub const LOAD_HEADER_BYTES: usize = 8 * 1024;

/// Stages of a rate: one a minute of the longest run.
pub const LOAD_STAGES: usize = 60;

/// How long one run may last: an hour finds every knee, and bounds a forgotten one.
pub const LOAD_DURATION: Duration = Duration::from_secs(3_600);

/// Connections of one run: 20,000 a worker, ten workers, below the ephemeral ports of ten hosts.
pub const LOAD_CONNECTIONS: u32 = 200_000;

/// A request's own deadline: nobody waits longer for a prediction.
pub const LOAD_REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Workers of one run.
pub const LOAD_WORKERS: u32 = 100;

/// One payload: 100,000 rows of 640 bytes.
pub const PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

/// Rows of one payload; each costs a pointer pair beside its bytes.
pub const PAYLOAD_ROWS: usize = 1_000_000;

/// One chunk of a payload: a quarter of a message, so that several fit in a window.
pub const PAYLOAD_CHUNK_BYTES: usize = 64 * 1024;

/// One encoded histogram: 3 significant digits from 1 us to 1 h are at most 26,000 buckets of at
/// most 9 bytes, and five histograms must fit in a message: values beyond this are refused.
pub const HISTOGRAM_BYTES: usize = 48 * 1024;

/// Rows of one page, for every List.
pub const PAGE_ROWS: u32 = 500;

/// Rows of one page when the client does not say.
pub const DEFAULT_PAGE_ROWS: u32 = 100;

/// One entry of a trace, encoded: a frame of 2,048 containers of at most 190 bytes each, and 5,000
/// users of GPUs of at most 25. Empty submessages decode to up to 190 times their wire size: a
/// hostile entry is 95 MiB of heap.
pub const TRACE_ENTRY_BYTES: usize = 512 * 1024;

/// Memory for those whom one trace names: 80,000 containers with names of 500 bytes on 64 CPUs,
/// which is one a second for 22 hours.
pub const TRACE_NAMES_BYTES: usize = 64 * 1024 * 1024;
