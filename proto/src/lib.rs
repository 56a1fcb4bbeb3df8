//! What every part of Berth agrees on: the wire messages, their strict models, and their limits.
//!
//! The generated types in [`wire`] are parsed once, at the edge, into the strict types beside them;
//! past the edge only the strict types travel. Deliberately absent: Kubernetes, HTTP, files, the
//! network, and any clock.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod batch;
pub mod bearer;
pub mod columns;
pub mod cpu_list;
pub mod error;
pub mod hello;
pub mod histogram;
pub mod ids;
pub mod limits;
pub mod load;
pub mod raw;
pub mod record;
pub mod schema;
pub mod series;
pub mod server;
pub mod target;
pub mod trace;
mod url;
pub mod usage;

/// The generated messages and services, as they travel.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::large_enum_variant,
    reason = "generated; the .proto files carry the documentation"
)]
pub mod wire {
    tonic::include_proto!("berth.v1");

    /// The compiled `.proto` files, for server reflection and for the golden test.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/wire.fds"));
}

pub use batch::{Batch, Block, Correction};
pub use bearer::{BearerError, BearerToken};
pub use cpu_list::{CpuList, CpuListError};
pub use error::ProtocolError;
pub use hello::{CgroupVersion, Hello, NodeFacts};
pub use histogram::Latencies;
pub use ids::{Incarnation, NodeName, Seq, SeriesId};
pub use raw::{ContainerThreads, RawThreads};
pub use record::{Gap, GapReason, Record, Retire};
pub use schema::Schema;
pub use series::{
    ContainerSubject, GpuContainerSubject, GpuSubject, Group, Kind, Metric, Qos, Series, Subject,
};
pub use server::{ServerAddress, ServerAddressError};
pub use target::{TargetUrl, TargetUrlError};
