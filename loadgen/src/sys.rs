//! The crate's one `unsafe` block: tokio waits for a descriptor of one's own only when it is promised
//! that the descriptor stays.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the runtime wait until `fd` can be read.
#[expect(unsafe_code, reason = "tokio has no other way to wait for a descriptor of one's own")]
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and stays the same descriptor until it is dropped, and the
    // `AsyncFd` owns it: nobody else can close it or put another in its place.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? })
}
