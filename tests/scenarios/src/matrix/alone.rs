//! Nobody in a container hurts the victim: it is quiet, or does it to itself, or unowned work does.

use super::{Cell, expected, nobody, refmodel};
use crate::{
    plan::{Own, Victim},
    victims::Kind,
};

/// A CPU limit that its load stays under on average, and bursts of it do not.
const LIMIT_CPUS: f64 = 0.3;

/// Rows of a request that outlasts a period's part of [`LIMIT_CPUS`]: 30 ms of some 5 ms each.
const ROWS_OF_A_LONG_REQUEST: usize = 9;

/// Far less than what the reader reads.
const LIMIT_BYTES: u64 = 12 << 20;

pub(super) fn cells() -> Vec<Cell> {
    let mut cells: Vec<Cell> = [1, 3, 16].map(throttled).to_vec();
    for (threads, load) in [(1, 0.05), (1, 0.2), (1, 0.5), (1, 0.8), (16, 0.2), (16, 0.5)] {
        let cell = Cell::of("quiet", format!("refmodel{threads}-{:.0}", load * 100.0));
        cells.push(Cell { victim: refmodel(threads), load, ..cell });
    }
    let flood = Cell { victim: refmodel(16), load: 0.2, ..Cell::of("own_flood", "refmodel16") };
    let own = expected("self_oversubscribed", "cpu", Vec::new());
    cells.push(Cell { own: Some(Own::Flood { in_flight: 12 }), expected: own, seeds: 6, ..flood });
    for (cpus, load) in [(0.3, 0.2), (0.3, 0.5)] {
        let cell = Cell::of("own_surge", format!("refmodel1-{:.0}", load * 100.0));
        cells.push(Cell { load, own: Some(Own::Surge { cpus }), seeds: 4, ..cell });
    }
    cells.push(Cell { own: Some(Own::Restart), load: 0.3, seeds: 4, ..Cell::of("cold_start", "refmodel1") });
    let churn = Victim { kind: Kind::Churn, ..refmodel(8) };
    cells.push(Cell { victim: churn, load: 0.4, seeds: 4, ..Cell::of("thread_churn", "churn") });
    let reader = Victim { kind: Kind::Reader, ..refmodel(2) };
    let memory = Cell { victim: reader, load: 0.1, ..Cell::of("own_memory", "reader") };
    let own = expected("memory_own_limit", "memory", Vec::new());
    cells.push(Cell { own: Some(Own::MemoryLimit(LIMIT_BYTES)), expected: own, seeds: 4, ..memory });
    for load in [0.2, 0.4] {
        let unowned = expected("unowned", "cpu", Vec::new());
        let cell = Cell::of("unowned", format!("refmodel1-{:.0}", load * 100.0));
        cells.push(Cell { load, stray: true, expected: unowned, seeds: 4, ..cell });
    }
    debug_assert!(cells.iter().all(|cell| cell.expected == nobody() || cell.own.is_some() || cell.stray));
    cells
}

/// Under its own CPU limit, with as many requests at a time as it has threads.
fn throttled(threads: u32) -> Cell {
    let at_once = threads.min(3);
    let victim = Victim { kind: Kind::Refmodel { rows: ROWS_OF_A_LONG_REQUEST }, ..refmodel(threads) };
    Cell {
        victim,
        load: 0.2,
        at_once,
        own: Some(Own::CpuLimit(LIMIT_CPUS)),
        expected: expected("self_throttled", "cpu", Vec::new()),
        seeds: 4,
        ..Cell::of("own_cpu_limit", format!("refmodel{threads}"))
    }
}
