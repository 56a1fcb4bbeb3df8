//! The way to an aggregator in a cluster, through the cluster's API server: any kubeconfig will do,
//! and no ingress is needed.
//!
//! Invariant: a person's own credentials go to the API server and nowhere else. The aggregator sees a
//! short-lived token of a `ServiceAccount` that the cluster's RBAC lets this person use, over TLS that
//! ends in the aggregator. Deliberately absent: tokens kept on disk, and every write but `TokenRequest`.

mod connection;
mod forward;
mod kubeconfig;
mod lists;
pub mod pods;
mod refusal;
mod tokens;

pub use connection::Cluster;
pub use forward::{ByteStream, Dial, Stream};
pub use kubeconfig::{Choice, Target};
pub use tokens::{Account, Tokens};

/// The aggregator's Service, Deployment and label.
pub const AGGREGATOR: &str = "berth-aggregator";

/// Where it answers gRPC.
pub const GRPC_PORT: u16 = 7700;

/// Where it answers HTTP.
pub const HTTP_PORT: u16 = 7701;
