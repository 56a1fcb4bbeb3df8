//! Random numbers that tell one life of something from the next.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// A random number, from the kernel. Errors: it gives none, as under a filter of system calls.
pub(crate) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; size_of::<u64>()];
    // The kernel fills up to 256 bytes whole, once its pool has been seeded, which is at boot.
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if filled < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(u64::from_ne_bytes(bytes))
}
