//! A real Kubernetes on this machine: what it is made of, and how Berth lives in it.

#[path = "cluster/ring.rs"]
mod ring;
