//! A small real model service and a scanner to try Berth on.
//!
//! `refmodel` answers predictions that cost real CPU; `scanner` burns CPU beside it, as a batch AI scanner
//! does. Neither knows anything about Berth.

pub mod args;
pub mod calls;
pub mod model;
pub mod pace;
pub mod predict;
pub mod rows;
pub mod scanner;
pub mod scoring;
pub mod server;
pub mod signals;
pub mod worker;
