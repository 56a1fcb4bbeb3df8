//! The scanner's work: how far a row is from changing its class.
//!
//! Perturbed copies of a row are compared with every known row of the other class, as counterfactual and
//! robustness reports do. It is pure arithmetic over memory that fits a core's own cache, so a scoring thread
//! takes all the CPU that it is given.

use crate::model::{Row, distance_squared};
use crate::rows::Labelled;

/// Copies of a row that are compared. So many make a row cost about half a millisecond: long enough to be
/// work, short enough that a stop is prompt.
const COPIES: u32 = 64;

/// How far a perturbation goes, in standard deviations of a column.
const REACH: f64 = 0.2;

/// Rows brought to a common scale.
#[derive(Debug)]
pub struct Scorer {
    scaled: Vec<Labelled>,
    scale: Row,
}

impl Scorer {
    /// Scales each column to a standard deviation of one.
    pub fn new(rows: &[Labelled]) -> Self {
        let scale = std::array::from_fn(|column| deviation(rows.iter().map(|known| known.row[column])));
        let scaled =
            rows.iter().map(|known| Labelled { row: divide(&known.row, &scale), ..*known }).collect();
        Self { scaled, scale }
    }

    /// Mean distance of perturbed copies of a row from the nearest row of the other class.
    pub fn robustness(&self, index: usize, noise: &mut Noise) -> f64 {
        let known = self.scaled[index % self.scaled.len()];
        let distance = |_| self.distance_to_other_class(&noise.perturb(&known.row), known.label);
        (0..COPIES).map(distance).sum::<f64>() / f64::from(COPIES)
    }

    /// A perturbed copy of a row, in the units of the model.
    pub fn perturbed(&self, index: usize, noise: &mut Noise) -> Row {
        let row = noise.perturb(&self.scaled[index % self.scaled.len()].row);
        std::array::from_fn(|column| row[column] * self.scale[column])
    }

    fn distance_to_other_class(&self, row: &Row, label: u8) -> f64 {
        let others = self.scaled.iter().filter(|known| known.label != label);
        others.map(|known| distance_squared(&known.row, row)).fold(f64::INFINITY, f64::min).sqrt()
    }
}

fn divide(row: &Row, scale: &Row) -> Row {
    std::array::from_fn(|column| row[column] / scale[column])
}

/// Standard deviation; 1 for a column that never varies, which then keeps its values.
fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    if variance > 0.0 { variance.sqrt() } else { 1.0 }
}

/// A stream of perturbations: the same seed gives the same stream (`SplitMix64`, Steele et al. 2014).
#[derive(Debug)]
pub struct Noise {
    state: u64,
}

impl Noise {
    /// Starts one of the streams of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { state: seed ^ stream.rotate_left(32) }
    }

    fn perturb(&mut self, row: &Row) -> Row {
        row.map(|cell| cell + REACH * self.next())
    }

    /// The next draw, even over -1 to 1.
    fn next(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of each class, which differ in the first column only.
    fn rows() -> Vec<Labelled> {
        let row =
            |first, label| Labelled { row: std::array::from_fn(|i| if i == 0 { first } else { 5.0 }), label };
        vec![row(0.0, 0), row(10.0, 0), row(90.0, 1), row(100.0, 1)]
    }

    #[test]
    fn a_row_near_the_other_class_is_less_robust_than_one_far_away() {
        let scorer = Scorer::new(&rows());
        let mut noise = Noise::new(7, 0);
        let robustness: Vec<f64> = (0..4).map(|index| scorer.robustness(index, &mut noise)).collect();
        // 80 apart in a column of deviation 45.3, less and plus what the perturbation adds.
        assert!((robustness[1] - 80.0 / 45.3).abs() < 0.2, "{robustness:?}");
        assert!(robustness[0] > robustness[1] && robustness[3] > robustness[2], "{robustness:?}");
    }

    #[test]
    fn a_perturbed_row_stays_within_reach_and_repeats_with_its_seed() {
        let scorer = Scorer::new(&rows());
        let first = scorer.perturbed(0, &mut Noise::new(7, 0));
        let is_first = |seed, stream| {
            scorer.perturbed(0, &mut Noise::new(seed, stream)).map(f64::to_bits) == first.map(f64::to_bits)
        };
        assert!(is_first(7, 0) && !is_first(8, 0) && !is_first(7, 1));
        assert!(first[0].abs() <= REACH * 45.3 && (first[1] - 5.0).abs() <= REACH, "{first:?}");
    }
}
