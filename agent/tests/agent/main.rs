//! The real binary, against a hand-played aggregator and, where one can be made, a real cgroup.

mod cgroup;
mod process;
mod server;
mod stream;
mod waits;
