//! Takes the agents' streams in, runs load, and answers.

mod clock;
mod downlink;
mod edge;
mod entropy;
mod load;
mod tasks;
