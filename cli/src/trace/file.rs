//! A trace as a file: gzip over entries, each with its length before it.
//!
//! Invariant: what is read takes no more memory than the contract's limits, whatever the file holds.
//! A file that was not finished is readable up to its end.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth::ProtocolError;
use berth::trace::{Entry, Header};
use berth_core::contention::Input;
use berth_core::trace::Decoder;
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Why a trace cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} is no trace of berth: record one with `berth trace record -o FILE`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// An entry breaks the contract, or is of another version.
    #[error("{}: entry {entry} cannot be read, so nothing after it is: {source}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which entry, from 1.
        entry: u64,
        /// What is wrong with it.
        source: ProtocolError,
    },
    /// It ends in the midst: the recording was interrupted, or the copy.
    #[error("{} is cut: it ends after {entries} entries", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// Those that are whole.
        entries: u64,
    },
}

/// Opens a trace and reads its header.
pub fn read(path: &Path) -> Result<Reader, TraceError> {
    let path = path.to_owned();
    let file = File::open(&path).map_err(|source| TraceError::Io { path: path.clone(), source })?;
    let mut entries =
        Entries { path, gzip: BufReader::new(MultiGzDecoder::new(BufReader::new(file))), count: 0 };
    let foreign = |path: &Path| TraceError::Foreign { path: path.to_owned() };
    let first = match entries.next() {
        Ok(Some(first)) => first,
        // Gzip that begins otherwise, and what is no gzip at all.
        Err(TraceError::Io { path, source }) if source.kind() == io::ErrorKind::InvalidInput => {
            return Err(foreign(&path));
        }
        Ok(None) | Err(TraceError::Cut { .. }) => return Err(foreign(&entries.path)),
        Err(error) => return Err(error),
    };
    let decoder = Decoder::new(first).map_err(|_| foreign(&entries.path))?;
    Ok(Reader { entries, decoder, ended: false })
}

/// The inputs of a trace, in their order; after an error there are no more.
#[derive(Debug)]
pub struct Reader {
    entries: Entries,
    decoder: Decoder,
    ended: bool,
}

impl Reader {
    /// Whose trace it is.
    pub fn header(&self) -> &Header {
        self.decoder.header()
    }

    fn input(&mut self) -> Result<Option<Input>, TraceError> {
        while let Some(entry) = self.entries.next()? {
            let input = self.decoder.decode(entry).map_err(|source| self.entries.wrong(source))?;
            if input.is_some() {
                return Ok(input);
            }
        }
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = Result<Input, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.input().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[derive(Debug)]
struct Entries {
    path: PathBuf,
    gzip: BufReader<MultiGzDecoder<BufReader<File>>>,
    count: u64,
}

impl Entries {
    fn next(&mut self) -> Result<Option<Entry>, TraceError> {
        let mut begin = Vec::new();
        let length = loop {
            let mut byte = [0];
            match self.gzip.read(&mut byte) {
                Ok(0) if begin.is_empty() => return Ok(None),
                Ok(0) => return Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => begin.extend(byte),
                Err(error) => return Err(self.failed(error)),
            }
            if let Some(length) = Entry::length(&begin).map_err(|source| self.wrong_next(source))? {
                break length;
            }
        };
        let mut bytes = vec![0; length];
        self.gzip.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
        let entry = Entry::from_file(&bytes).map_err(|source| self.wrong_next(source))?;
        self.count += 1;
        Ok(Some(entry))
    }

    fn failed(&self, source: io::Error) -> TraceError {
        let path = self.path.clone();
        if source.kind() == io::ErrorKind::UnexpectedEof {
            TraceError::Cut { path, entries: self.count }
        } else {
            TraceError::Io { path, source }
        }
    }

    /// Of the entry that was read last.
    fn wrong(&self, source: ProtocolError) -> TraceError {
        TraceError::Entry { path: self.path.clone(), entry: self.count, source }
    }

    fn wrong_next(&self, source: ProtocolError) -> TraceError {
        TraceError::Entry { path: self.path.clone(), entry: self.count + 1, source }
    }
}

/// A trace that is being written.
#[derive(Debug)]
pub struct Writer {
    gzip: GzEncoder<File>,
}

impl Writer {
    /// Makes the file, which is not there yet, and has it for itself. Errors: `AlreadyExists`.
    pub fn create_new(path: &Path) -> io::Result<Self> {
        Self::open(path, OpenOptions::new().write(true).create_new(true))
    }

    /// Makes the file, or empties it, and has it for itself. Errors: `WouldBlock` where another writer
    /// has it.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::open(path, OpenOptions::new().write(true).create(true).truncate(false))
    }

    fn open(path: &Path, how: &OpenOptions) -> io::Result<Self> {
        let file = how.open(path)?;
        file.try_lock()?;
        // Who had it may have ended and renamed it since it was opened: then it is somebody's whole trace.
        let place = |of: Metadata| (of.dev(), of.ino());
        if std::fs::metadata(path).ok().map(place) != Some(place(file.metadata()?)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        file.set_len(0)?;
        Ok(Self { gzip: GzEncoder::new(file, Compression::default()) })
    }

    /// Adds an entry.
    pub fn write(&mut self, entry: Entry) -> io::Result<()> {
        self.gzip.write_all(&entry.to_file())
    }

    /// Makes what was written so far readable, and says how many bytes it takes.
    pub fn flush(&mut self) -> io::Result<u64> {
        self.gzip.flush()?;
        Ok(self.gzip.get_ref().metadata()?.len())
    }

    /// Ends the file, which is whole then. It is nobody else's until it is dropped.
    pub fn finish(self) -> io::Result<File> {
        let file = self.gzip.finish()?;
        file.sync_all()?;
        Ok(file)
    }
}
