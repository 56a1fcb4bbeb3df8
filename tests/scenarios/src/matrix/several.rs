//! Two or three suspects at once, one among many, and an innocent in step with the culprit.

use super::{Cell, HOG, expected, suspect};
use crate::{plan::Suspect, suspects::Kind, timeline::Rhythm};

/// Half as much as a hog.
const HALF: Kind = Kind::Busy { threads: 1, duty: 0.5 };

/// Two threads weigh no more than one in a group of the same weight, but never pause both.
const PAIR: Kind = Kind::Busy { threads: 2, duty: 1.0 };

pub(super) fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let twos = [[HOG, HALF], [Kind::Scanner, HALF], [PAIR, HALF], [Kind::Scanner, HOG]];
    for (number, kinds) in (1..).zip(twos) {
        let suspects = kinds.map(suspect).to_vec();
        let cell =
            Cell { load: 0.2, subsets: true, ..Cell::beside("cpu_two", format!("pair{number}"), suspects) };
        cells.push(Cell { seeds: 4, ..cell });
    }
    for (number, kinds) in (1..).zip([[HOG, HALF, Kind::Scanner], [Kind::Scanner, HALF, HALF]]) {
        let suspects = kinds.map(suspect).to_vec();
        let name = format!("three{number}");
        let cell = Cell { load: 0.15, subsets: true, ..Cell::beside("cpu_three", name, suspects) };
        cells.push(Cell { seeds: 4, ..cell });
    }
    for kind in [HOG, Kind::Scanner] {
        let name = format!("one-of-eleven-{}", kind.name());
        let cell = Cell { load: 0.3, bystanders: 10, ..Cell::beside("cpu_crowd", name, vec![suspect(kind)]) };
        cells.push(Cell { seeds: 4, ..cell });
    }
    cells.extend([Rhythm::Steady, Rhythm::Bursty, Rhythm::Periodic].map(in_step));
    cells
}

/// The culprit, and an innocent of the same rhythm on another CPU.
fn in_step(rhythm: Rhythm) -> Cell {
    let culprit = Suspect { rhythm, ..suspect(HOG) };
    let innocent = Suspect { elsewhere: true, ..culprit };
    let name = format!("innocent-{}", format!("{rhythm:?}").to_lowercase());
    let cell = Cell { load: 0.3, ..Cell::beside("cpu_in_step", name, vec![innocent, culprit]) };
    Cell { seeds: 4, expected: expected("neighbour", "cpu", vec!["suspect-2".to_owned()]), ..cell }
}
