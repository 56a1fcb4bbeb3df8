//! Closed episodes as lines of a file under the data directory.
//!
//! Invariant: at most two files of a bounded size; each close of an episode is one line, once, also
//! when a replay after a restart closes it again. An episode that flared up anew after it had closed
//! has a line for each close, and the last line of an id holds. A disk that fails costs lines, which
//! are counted, and nothing else: the writer has its own thread and a bounded queue. Deliberately
//! absent: reading history back; the aggregator's state is never irreplaceable.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use berth_core::{
    contention::{Episode, EpisodeId},
    time::AxisNsec,
};
use prost_types::Timestamp;

use super::line::line;
use crate::edge::axis;

/// One file; with the one before it, some 100,000 episodes.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Episodes that wait for the disk: those of a bad minute.
const WAITING: usize = 1_024;

/// What is read back at the start, for the ids of episodes that a replay may close again: it reaches
/// over far more than the agents' two minutes.
const TAIL_BYTES: u64 = 1024 * 1024;

/// A restarted aggregator maps the node's clock anew, some milliseconds off; no flare that counts is
/// this short.
const SAME_CLOSE: Duration = Duration::from_millis(100);

const NAME: &str = "episodes.jsonl";
const OLD_NAME: &str = "episodes.jsonl.1";

/// The writer's thread, and the way to it. Dropping it writes what waits.
#[derive(Debug)]
pub(crate) struct EpisodeFile {
    queue: Option<SyncSender<Arc<Episode>>>,
    thread: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
}

impl EpisodeFile {
    /// Opens the file, which must be possible now.
    pub(crate) fn open(directory: &Path, incarnation: String) -> io::Result<Self> {
        let file = Lines::open(directory)?;
        let (queue, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        let thread = std::thread::Builder::new()
            .name("episodes".to_owned())
            .spawn(move || write_all(file, &waiting, &incarnation, &count))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), lost })
    }

    /// Hands an episode over that has closed.
    pub(crate) fn append(&self, episode: Arc<Episode>) {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.try_send(episode).is_ok());
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Episodes that are in no file, because the disk failed or was too slow.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for EpisodeFile {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the episode file panicked; report this as a bug");
        }
    }
}

fn write_all(mut file: Lines, waiting: &Receiver<Arc<Episode>>, incarnation: &str, lost: &AtomicU64) {
    let mut failing = false;
    for episode in waiting {
        match file.append(&episode, incarnation) {
            Ok(()) => failing = false,
            Err(error) => {
                lost.fetch_add(1, Ordering::Relaxed);
                if !failing {
                    let path = file.path.display();
                    tracing::error!(%path, %error, "episodes are not written: make room or mend the disk");
                }
                failing = true;
            }
        }
    }
}

#[derive(Debug)]
struct Lines {
    path: PathBuf,
    old: PathBuf,
    file: File,
    bytes: u64,
    /// The last write broke off, so the next line starts on a new one.
    torn: bool,
    /// The newest close of each episode that has a line.
    written: HashMap<EpisodeId, AxisNsec>,
}

impl Lines {
    fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let (path, old) = (directory.join(NAME), directory.join(OLD_NAME));
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let bytes = file.metadata()?.len();
        let mut written = HashMap::new();
        if bytes < TAIL_BYTES
            && let Ok(mut before) = File::open(&old)
        {
            remember(&tail(&mut before)?, &mut written);
        }
        let end = tail(&mut file)?;
        remember(&end, &mut written);
        let torn = end.last().is_some_and(|last| *last != b'\n');
        Ok(Self { path, old, file, bytes, torn, written })
    }

    fn append(&mut self, episode: &Episode, incarnation: &str) -> io::Result<()> {
        // A replay goes through the earlier closes of an episode again: none of them is news.
        let cleared = episode.cleared.unwrap_or_default();
        if self.written.get(&episode.id).is_some_and(|written| cleared <= *written + SAME_CLOSE) {
            return Ok(());
        }
        if self.bytes >= FILE_BYTES {
            self.rotate()?;
        }
        let mut bytes = line(episode, incarnation)?;
        if self.torn {
            bytes.insert(0, b'\n');
        }
        // Should it break off, the next line starts on a new one.
        self.torn = true;
        self.file.write_all(&bytes)?;
        self.torn = false;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.written.insert(episode.id, cleared);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.old)?;
        self.file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        self.bytes = 0;
        self.torn = false;
        // A replay reaches back two minutes; whoever closed a whole file ago is not in it.
        self.written.clear();
        Ok(())
    }
}

fn tail(file: &mut File) -> io::Result<Vec<u8>> {
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(tail)
}

/// What is read back of a line.
#[derive(serde::Deserialize)]
struct Close {
    id: String,
    cleared: Option<String>,
}

/// Broken lines, of which the first may be one, name nobody.
fn remember(lines: &[u8], written: &mut HashMap<EpisodeId, AxisNsec>) {
    let closes =
        lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Close>(line).ok());
    for close in closes {
        let Ok(id) = u64::from_str_radix(&close.id, 16) else { continue };
        let cleared = close.cleared.and_then(|text| text.parse::<Timestamp>().ok());
        let cleared = cleared.and_then(|at| axis("cleared", at).ok()).unwrap_or_default();
        let newest = written.entry(EpisodeId(id)).or_default();
        *newest = cleared.max(*newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::fixture::episode;

    fn lines(directory: &Path) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(directory.join(NAME)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_episode_is_one_line_with_the_names_of_the_contract() {
        let directory = tempfile::tempdir().unwrap();
        let file = EpisodeFile::open(directory.path(), "inc".into()).unwrap();
        file.append(Arc::new(episode(7, 1_500_000_000_000_000_000)));
        drop(file);
        let line = &lines(directory.path())[0];
        assert_eq!(line["id"], EpisodeId(7).to_string());
        assert_eq!(line["incarnation"], "inc");
        assert_eq!(line["onset"], "2017-07-14T02:40:00Z");
        assert_eq!(line["victim"]["role"], "model");
        assert_eq!(line["shares"][0]["cause"], "culprit");
        assert_eq!(line["severity"], "contended");
    }

    #[test]
    fn what_a_replay_closes_again_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let file = EpisodeFile::open(directory.path(), "inc".into()).unwrap();
            file.append(Arc::new(episode(1, 10)));
            file.append(Arc::new(episode(1, 10)));
            drop(file);
        }
        assert_eq!(lines(directory.path()).len(), 1);
    }

    #[test]
    fn an_episode_that_flares_up_anew_has_a_line_for_each_close() {
        let directory = tempfile::tempdir().unwrap();
        let closed = |msec: u64| {
            let at = AxisNsec(1_500_000_000_000_000_000) + Duration::from_millis(msec);
            Arc::new(Episode { cleared: Some(at), ..episode(7, 10) })
        };
        // Then a restart, after which both come again, their times mapped anew.
        for closes in [[0, 3_500], [2, 3_502]] {
            let file = EpisodeFile::open(directory.path(), "inc".into()).unwrap();
            for msec in closes {
                file.append(closed(msec));
            }
        }
        let cleared: Vec<_> = lines(directory.path()).iter().map(|line| line["cleared"].clone()).collect();
        assert_eq!(cleared, ["2017-07-14T02:40:00Z", "2017-07-14T02:40:03.500Z"]);
    }

    #[test]
    fn a_line_that_a_crash_tore_does_not_spoil_the_next() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NAME), b"{\"id\":\"00").unwrap();
        drop({
            let file = EpisodeFile::open(directory.path(), "inc".into()).unwrap();
            file.append(Arc::new(episode(1, 10)));
            file
        });
        let text = fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert!(text.starts_with("{\"id\":\"00\n{\"id\":\"0000000000000001\""), "{text}");
    }

    #[test]
    fn a_full_file_becomes_the_old_one_and_a_new_one_begins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        File::create(&path).unwrap().set_len(FILE_BYTES).unwrap();
        let mut file = Lines::open(directory.path()).unwrap();
        file.append(&episode(1, 10), "inc").unwrap();
        assert_eq!(fs::metadata(directory.path().join(OLD_NAME)).unwrap().len(), FILE_BYTES);
        assert_eq!(lines(directory.path()).len(), 1);
    }

    #[test]
    fn a_disk_that_refuses_costs_lines_that_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let mut lines = Lines::open(directory.path()).unwrap();
        lines.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (queue, waiting) = sync_channel(2);
        let lost = AtomicU64::new(0);
        for id in 1..=2 {
            queue.send(Arc::new(episode(id, 10))).unwrap();
        }
        drop(queue);
        write_all(lines, &waiting, "inc", &lost);
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }
}
