//! The load engine, and the worker that the aggregator drives.
