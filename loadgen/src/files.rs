//! Room for a run's connections among the process's open files.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::LoadError;

/// Descriptors beside the connections: standard streams, epoll, timers, logs, the caller's own.
const OTHER_FILES: u64 = 256;

/// Raises the soft limit, which anyone may do up to the hard one (getrlimit(2)).
pub(crate) fn make_room(connections: u32) -> Result<(), LoadError> {
    let needed = u64::from(connections) + OTHER_FILES;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|limit| limit >= needed) {
        return Ok(());
    }
    if let Some(limit) = now.maximum.filter(|limit| *limit < needed) {
        return Err(LoadError::FileLimit { needed, limit });
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: now.maximum })
        .map_err(|errno| LoadError::Setup(io::Error::from(errno)))
}
