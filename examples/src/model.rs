//! The model: a perceptron with two hidden layers, smoothed over Gaussian noise.
//!
//! `train.py` fits it and says what it is; this is the inference alone. The score of a row is the mean
//! probability of noisy copies of it, and those copies are what a request costs: some two million
//! multiplications a row, the same number for every row.
//!
//! Invariant: each sum is one chain of additions that wait for each other, so that what else runs on the
//! physical core changes a row's CPU time little (3 % on a shared virtual machine, where a loop that filled
//! the core's ports cost up to half more), and what a load generator sees of a neighbour is scheduling.

use serde::Deserialize;

/// Columns of a row.
pub const COLUMNS: usize = 10;

/// One row, in the order of [`Model::names`].
pub type Row = [f64; COLUMNS];

/// A row whose score reaches this is of class 1, malignant.
const THRESHOLD: f64 = 0.5;

/// A trained model.
#[derive(Debug, Deserialize)]
pub struct Model {
    columns: [Column; COLUMNS],
    layers: Vec<Vec<Unit>>,
    draws: Vec<Row>,
}

/// A column's name, and the mean and standard deviation that the training rows had in it.
#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    mean: f64,
    scale: f64,
}

#[derive(Debug, Deserialize)]
struct Unit {
    bias: f64,
    weights: Vec<f64>,
}

impl Model {
    /// The model that `train.py` wrote, compiled in.
    pub fn embedded() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("../breast_cancer.json"))
    }

    /// Names of the columns, in the order of a row.
    pub fn names(&self) -> [&str; COLUMNS] {
        self.columns.each_ref().map(|column| column.name.as_str())
    }

    /// Class of a row: 1 is malignant, 0 benign.
    pub fn classify(&self, row: &Row) -> u8 {
        u8::from(self.score(row) >= THRESHOLD)
    }

    /// Probability that a row is of class 1.
    pub fn score(&self, row: &Row) -> f64 {
        let centre: Row = std::array::from_fn(|i| (row[i] - self.columns[i].mean) / self.columns[i].scale);
        let mut sum = 0.0;
        // Each draw counts with both signs, so that the noise has no mean of its own.
        for draw in &self.draws {
            sum += self.probability(&std::array::from_fn(|i| centre[i] + draw[i]));
            sum += self.probability(&std::array::from_fn(|i| centre[i] - draw[i]));
        }
        sum / (2 * self.draws.len()) as f64
    }

    fn probability(&self, point: &Row) -> f64 {
        let mut values = point.to_vec();
        for (depth, layer) in self.layers.iter().enumerate() {
            // A hidden unit rectifies; the last layer's one unit gives the log-odds.
            let floor = if depth + 1 < self.layers.len() { 0.0 } else { f64::NEG_INFINITY };
            values = layer.iter().map(|unit| unit.sum(&values).max(floor)).collect();
        }
        1.0 / (1.0 + (-values[0]).exp())
    }
}

impl Unit {
    /// Compensated (Kahan, 1965): its error does not grow with the number of terms, and each term is four
    /// additions that wait for each other.
    fn sum(&self, inputs: &[f64]) -> f64 {
        let (mut sum, mut lost) = (self.bias, 0.0);
        for (weight, input) in self.weights.iter().zip(inputs) {
            let term = weight * input - lost;
            let next = sum + term;
            lost = (next - sum) - term;
            sum = next;
        }
        sum
    }
}

/// Square of the Euclidean distance between two rows.
pub fn distance_squared(a: &Row, b: &Row) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
