//! A copy of what the detector takes, while somebody records.
//!
//! Invariant: a recording holds everything, in its order, or it is told that it does not. It costs
//! nothing while nobody records.

use crate::contention::Input;

/// Memory for what is kept until somebody fetches it. The fullest node at 100 Hz fills 16 MiB within the
/// 200 ms in which that is done once.
const KEPT_BYTES: usize = 24 * 1024 * 1024;

/// More came than is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more came at once than a recording can hold")]
pub struct Overflow;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Tap {
    on: bool,
    inputs: Vec<Input>,
    bytes: usize,
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
        self.bytes += input.bytes();
        if self.bytes <= KEPT_BYTES {
            self.inputs.push(input.clone());
        } else {
            self.inputs = Vec::new();
        }
    }

    /// All that was kept since it was last emptied.
    pub(super) fn empty(&mut self) -> Result<Vec<Input>, Overflow> {
        let before = std::mem::take(self);
        self.on = before.on;
        if before.bytes <= KEPT_BYTES { Ok(before.inputs) } else { Err(Overflow) }
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
        let input = Input::Step(AxisNsec(1));
        for _ in 0..=KEPT_BYTES / input.bytes() {
            tap.keep(&input);
        }
        assert_eq!(tap.empty(), Err(Overflow));
        tap.keep(&Input::Step(AxisNsec(2)));
        assert_eq!(tap.empty(), Ok(vec![Input::Step(AxisNsec(2))]));
    }
}
