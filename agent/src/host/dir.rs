//! A cgroup's directory, kept open for files that are read now and then.
//!
//! Opening below a kept directory walks one name instead of the whole path. The file itself is not
//! kept: a kernfs file that was read once holds a page of kernel memory for as long as it is open.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::{Errno, pread},
};

use crate::host::Reading;

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// What the error of opening or reading a kernel file means.
pub(super) fn absence<T>(error: Errno) -> Reading<T> {
    match error {
        // A removed cgroup, and a thread that exited (measured on v1, v2 and procfs).
        Errno::NODEV | Errno::NOENT | Errno::SRCH => Reading::Gone,
        _ => Reading::Unknown,
    }
}

impl Dir {
    /// Opens it, if it is there.
    pub fn open(path: &Path) -> Option<Self> {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok().map(Self)
    }

    /// Reads the start of one of its files into `buffer`.
    pub fn read<'a>(&self, file: &str, buffer: &'a mut [u8]) -> Reading<&'a [u8]> {
        match openat(&self.0, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(open) => match pread(&open, &mut *buffer, 0) {
                Ok(length) => Reading::Here(&buffer[..length]),
                Err(error) => absence(error),
            },
            Err(error) => absence(error),
        }
    }
}
