//! One suspect beside the victim, or on another CPU.

use super::{Cell, HOG, expected, nobody, refmodel, suspect};
use crate::{
    plan::{Suspect, Victim},
    suspects::Kind,
    timeline::Rhythm,
    victims,
};
use berth_cli::stage::DEFAULT_WEIGHT;

/// The victim's CPUs, and the weight at which it is hurt and not saturated: a fair half of the CPU is
/// enough for the first two, and the third needs most of it.
const LOADS: [(f64, u64); 3] = [(0.2, DEFAULT_WEIGHT), (0.5, 2 * DEFAULT_WEIGHT), (0.8, 5 * DEFAULT_WEIGHT)];

/// Requests that ask for a quarter of the node, as the tutorial's do.
const QUARTER: (u64, u64) = (25, 75);

pub(super) fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for threads in [1, 16] {
        for (load, weight) in LOADS {
            for kind in [Kind::Scanner, HOG] {
                let name = format!("refmodel{threads}-{}-{}", percent(load), kind.name());
                let mut cell = Cell { load, ..Cell::beside("cpu_one", name, vec![suspect(kind)]) };
                cell.victim = refmodel(threads);
                cell.victim.weight = weight;
                cells.push(cell);
            }
        }
        cells.push(quarter(threads));
    }
    cells.push(over_request());
    cells.push(unseen());
    cells.extend([Rhythm::Bursty, Rhythm::Periodic, Rhythm::Ramping].map(rhythmic));
    cells.extend(LOADS.map(|(load, _)| decoy(load)));
    cells.push(Cell {
        expected: nobody(),
        ..Cell::beside("decoy_low_duty", "busy-1", vec![suspect(Kind::Busy { threads: 1, duty: 0.01 })])
    });
    cells
}

fn percent(load: f64) -> String {
    format!("{:.0}", load * 100.0)
}

fn quarter(threads: u32) -> Cell {
    let one = Suspect { weight: QUARTER.1, ..suspect(Kind::Scanner) };
    let name = format!("refmodel{threads}-quarter");
    let mut cell = Cell { load: 0.15, seeds: 4, ..Cell::beside("cpu_requests", name, vec![one]) };
    cell.victim = refmodel(threads);
    cell.victim.weight = QUARTER.0;
    cell
}

/// A model that needs more than the half of the CPU that its weight gives it.
fn over_request() -> Cell {
    let cell = Cell::beside("cpu_over_request", "refmodel1-70-busy", vec![suspect(HOG)]);
    let culprits = cell.expected.culprits.clone();
    Cell { load: 0.7, seeds: 4, expected: expected("over_entitlement", "cpu", culprits), ..cell }
}

/// A model of whose threads hardly any lives long enough to be read.
fn unseen() -> Cell {
    let victim = Victim { kind: victims::Kind::Churn, ..refmodel(8) };
    Cell { victim, load: 0.3, seeds: 4, ..Cell::beside("cpu_churn", "churn-busy", vec![suspect(HOG)]) }
}

fn rhythmic(rhythm: Rhythm) -> Cell {
    let name = format!("{rhythm:?}").to_lowercase();
    let one = Suspect { rhythm, ..suspect(HOG) };
    Cell { load: 0.3, seeds: 4, ..Cell::beside("cpu_rhythm", name, vec![one]) }
}

fn decoy(load: f64) -> Cell {
    // Not all of that CPU, which is the load engine's too, and may be the other half of the victim's core.
    let kind = Kind::Busy { threads: 1, duty: 0.5 };
    let one = Suspect { elsewhere: true, ..suspect(kind) };
    Cell { load, seeds: 4, ..Cell::beside("decoy_elsewhere", percent(load), vec![one]) }
}
