//! Random numbers that tell one life of something from the next.

use rustix::rand::{GetRandomFlags, getrandom};

/// A random number, from the kernel.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    // The kernel fills up to 256 bytes whole, once its pool has been seeded, which is at boot.
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    debug_assert_eq!(filled, Ok(bytes.len()));
    u64::from_ne_bytes(bytes)
}
