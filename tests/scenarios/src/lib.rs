//! Labelled trials of contention: real processes in real cgroups, watched by the real aggregator and
//! agent.
//!
//! A trial's label is the slowdown that was measured, from blocks in which its suspects ran and blocks
//! in which they stood still, in an order drawn by its seed; "the stressor was on" is no label. Each
//! trial writes one result file and a trace, and a run that was cut short goes on where it stopped.
//! Invariant: a trial leaves no process and no cgroup behind, however it ends. What a verdict is worth is
//! judged afterwards, by `score`, from the files alone.

#![deny(missing_docs)]

pub mod args;
pub mod bench;
pub mod blocks;

pub mod clock;
pub mod costs;
pub mod label;
pub mod live;
pub mod load;
pub mod machine;
pub mod matrix;
pub mod meter;
pub mod oracle;
pub mod parts;
pub mod plan;
pub mod result;
pub mod run;
pub mod scene;
pub mod score;
pub mod soak;
pub mod suspects;
pub mod timeline;
pub mod tools;
pub mod trace;
pub mod trial;
pub mod victims;
