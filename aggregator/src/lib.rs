//! Takes the agents' streams in, runs load, and answers.
