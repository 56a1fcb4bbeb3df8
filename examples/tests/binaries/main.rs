//! The two binaries, run as a person runs them.

mod refmodel;
mod running;
mod scanner;
