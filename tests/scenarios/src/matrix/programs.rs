//! Real programs, of Debian and of Python, as victims and as suspects.

use super::{Cell, HOG, nobody, refmodel, suspect};
use crate::{
    plan::{Suspect, Victim},
    suspects::Kind,
    victims,
};
use berth_cli::stage::DEFAULT_WEIGHT;

/// Batch work, by the name that its trial has.
const BATCH: [(&str, Kind); 11] = [
    ("cpu-load-30", Kind::Stress("--cpu 1 --cpu-load 30")),
    ("matrix", Kind::Stress("--matrix 1")),
    ("vecmath", Kind::Stress("--vecmath 1")),
    ("stream", Kind::Stress("--stream 1")),
    ("vm", Kind::Stress("--vm 1 --vm-bytes 64M --vm-keep")),
    ("hdd", Kind::Stress("--hdd 1 --hdd-bytes 64M")),
    ("switch", Kind::Stress("--switch 1")),
    ("fork", Kind::Stress("--fork 1")),
    ("xz", Kind::Xz),
    ("zstd", Kind::Zstd),
    ("pandas", Kind::Pandas),
];

/// A memory-bound load on another CPU: what it takes is bandwidth, which nobody sees without counters.
const STREAM: Kind = Kind::Stress("--stream 1");

pub(super) fn cells() -> Vec<Cell> {
    let beside = |(name, kind): (&str, Kind)| {
        let cell = Cell::beside("cpu_batch", name, vec![suspect(kind)]);
        Cell { load: 0.3, victim: refmodel(2), ..cell }
    };
    let mut cells: Vec<Cell> = BATCH.into_iter().map(beside).collect();
    for (kind, threads, load) in
        [(victims::Kind::Nginx, 1, 0.3), (victims::Kind::Sklearn, 1, 0.3), (victims::Kind::Sklearn, 16, 0.3)]
    {
        let victim = Victim { kind, threads, weight: DEFAULT_WEIGHT };
        let name = format!("{}{threads}", kind.name());
        for suspects in [HOG, Kind::Scanner] {
            let name = format!("{name}-{}", suspects.name());
            cells.push(Cell { victim, load, ..Cell::beside("cpu_server", name, vec![suspect(suspects)]) });
        }
        cells.push(Cell { victim, load, ..Cell::of("quiet", name) });
    }
    let elsewhere = Suspect { elsewhere: true, ..suspect(STREAM) };
    let stream = Cell { load: 0.3, ..Cell::beside("decoy_stream", "refmodel1", vec![elsewhere]) };
    cells.push(Cell { expected: nobody(), ..stream });
    cells
}
