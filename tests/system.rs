//! The real agent and the real aggregator, killed and started again.

#[path = "system/node.rs"]
mod node;
#[path = "system/restart.rs"]
mod restart;
#[path = "system/threads.rs"]
mod threads;
