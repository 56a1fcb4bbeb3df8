//! What the verdicts of recorded trials are worth: the figures of docs/accuracy.md.
//!
//! A trial's label comes from its result file, what was found comes from its trace, replayed: so every
//! method is judged on the same input, and a new detector is judged without new trials. Invariant: what is
//! labelled grey counts for nothing but its own share, and a disturbed trial for nothing but its number.
//! Deliberately absent: choosing a threshold; whoever does that looks at the tuning half only.

mod baselines;
mod confusion;
mod figure;
mod finding;
mod labelled;
mod methods;
mod page;
mod plot;
mod quantile;
mod quiet;
mod table;
mod timing;

pub use figure::Brief;
pub use labelled::{Labelled, Measured, Soaked, Truth, read_all};
pub use methods::Method;
pub use page::{Asides, page};
