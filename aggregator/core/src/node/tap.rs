//! A copy of what the detector takes, while somebody records.
//!
//! Invariant: a recording holds everything, in its order, or it is told that it does not. It costs
//! nothing while nobody records.

use crate::contention::Input;

/// Containers, and users of GPUs, in the ticks that are kept until somebody fetches them, 350 bytes each at
/// most: 23 MB. The fullest node at 100 Hz has 41,000 within the 200 ms in which they are fetched once.
const KEPT_CONTAINER_TICKS: usize = 65_536;

/// More came than is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more came at once than a recording can hold")]
pub struct Overflow;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Tap {
    on: bool,
    inputs: Vec<Input>,
    container_ticks: usize,
}

impl Tap {
    /// Keeps what comes from now on, or nothing.
    pub(super) fn turn(&mut self, on: bool) {
        *self = Self { on, ..Self::default() };
    }

    pub(super) fn keep(&mut self, input: &Input) {
        if !self.on {
            return;
        }
        self.container_ticks += match input {
            Input::Frame(frame) => {
                let users: usize = frame.gpus.iter().map(|gpu| 1 + gpu.users.len()).sum();
                (frame.containers.len() + users).max(1)
            }
            Input::Late(_) | Input::Step(_) | Input::Reset(_) => 1,
        };
        if self.container_ticks <= KEPT_CONTAINER_TICKS {
            self.inputs.push(input.clone());
        } else {
            self.inputs = Vec::new();
        }
    }

    /// All that was kept since it was last emptied.
    pub(super) fn empty(&mut self) -> Result<Vec<Input>, Overflow> {
        let before = std::mem::take(self);
        self.on = before.on;
        if before.container_ticks <= KEPT_CONTAINER_TICKS { Ok(before.inputs) } else { Err(Overflow) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::AxisNsec;

    #[test]
    fn what_comes_while_it_is_on_is_kept_once_and_in_order() {
        let mut tap = Tap::default();
        tap.keep(&Input::Step(AxisNsec(1)));
        tap.turn(true);
        let inputs = [Input::Step(AxisNsec(2)), Input::Reset(AxisNsec(3))];
        for input in &inputs {
            tap.keep(input);
        }
        assert_eq!(tap.empty(), Ok(inputs.to_vec()));
        assert_eq!(tap.empty(), Ok(Vec::new()));
    }

    #[test]
    fn too_much_at_once_is_told_and_what_comes_later_is_kept_again() {
        let mut tap = Tap::default();
        tap.turn(true);
        for _ in 0..=KEPT_CONTAINER_TICKS {
            tap.keep(&Input::Step(AxisNsec(1)));
        }
        assert_eq!(tap.empty(), Err(Overflow));
        tap.keep(&Input::Step(AxisNsec(2)));
        assert_eq!(tap.empty(), Ok(vec![Input::Step(AxisNsec(2))]));
    }
}
