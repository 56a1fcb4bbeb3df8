//! The sampler on a fake host; then the real binary, against a hand-played aggregator and, where one
//! can be made, a real cgroup.
//!
//! The modules are marked as tests so that lints on tests hold for what supports them, too.

#[cfg(test)]
mod cgroup;
#[cfg(test)]
mod fake_host;
#[cfg(test)]
mod process;
#[cfg(test)]
mod sampler;
#[cfg(test)]
mod server;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod waits;
