//! The model: a support vector machine, smoothed over Gaussian noise.
//!
//! `train.py` fits it and says what it is; this is the inference alone. The score of a row is the mean
//! calibrated probability of noisy copies of it, and those copies are what a request costs: some 700,000
//! kernel evaluations a row, the same number for every row.

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
    gamma: f64,
    intercept: f64,
    sigmoid: Sigmoid,
    support: Vec<SupportVector>,
    draws: Vec<Row>,
}

/// A column's name, and the mean and standard deviation that the training rows had in it.
#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    mean: f64,
    scale: f64,
}

/// Platt's calibration of a margin into a probability.
#[derive(Debug, Deserialize)]
struct Sigmoid {
    slope: f64,
    offset: f64,
}

#[derive(Debug, Deserialize)]
struct SupportVector {
    weight: f64,
    at: Row,
}

impl Model {
    /// The model that `train.py` wrote, compiled in.
    pub fn embedded() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("../breast_cancer_svm.json"))
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
        let kernels =
            self.support.iter().map(|v| v.weight * (-self.gamma * distance_squared(&v.at, point)).exp());
        let margin = self.intercept + kernels.sum::<f64>();
        1.0 / (1.0 + (self.sigmoid.slope * margin + self.sigmoid.offset).exp())
    }
}

/// Square of the Euclidean distance between two rows.
pub fn distance_squared(a: &Row, b: &Row) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
