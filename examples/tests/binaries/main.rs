//! The two binaries, run as a person runs them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, and so do its helpers")]

mod refmodel;
mod running;
mod scanner;
