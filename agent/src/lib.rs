//! Samples this node at high frequency and streams it.
