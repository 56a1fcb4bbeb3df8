//! How many requests a second an open run sends, over its time.
//!
//! Invariant: a rate is one or more equally long stages, each of which holds a rate or changes it evenly,
//! none above [`limits::LOAD_RATE_PER_SEC`], and some request is due in it. Written as people type it:
//! `200`, `10..500` rises, `100,200,400` goes in steps.

use std::{fmt, str::FromStr};

use crate::limits;

/// An equally long part of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// When it begins.
    pub from_per_sec: f64,
    /// When it ends; between the two the rate changes evenly.
    pub to_per_sec: f64,
}

/// Requests a second over the time of a run, over all workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate(Vec<Stage>);

/// Why something is no rate, with the mend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RateError {
    /// A number that no stage can have.
    #[error("rate {0}/s: give one from 0.000001/s to {limit}/s, or 0 for a stage without requests", limit = limits::LOAD_RATE_PER_SEC)]
    PerSec(f64),
    /// Nothing would ever be sent.
    #[error("a rate of 0/s sends nothing: give one from 0.000001/s to {limit}/s", limit = limits::LOAD_RATE_PER_SEC)]
    Nothing,
    /// Too many stages.
    #[error("{0} stages: give at most {limit}", limit = limits::LOAD_STAGES)]
    Stages(usize),
    /// Not a number where one belongs.
    #[error(
        "{0:?} is no rate: write 200 for a steady one, 10..500 for one that rises, 100,200,400 for steps"
    )]
    Text(String),
}

impl Rate {
    /// Of these stages, in order.
    pub fn new(stages: Vec<Stage>) -> Result<Self, RateError> {
        if stages.len() > limits::LOAD_STAGES {
            return Err(RateError::Stages(stages.len()));
        }
        let ends = stages.iter().flat_map(|stage| [stage.from_per_sec, stage.to_per_sec]);
        let mut most = 0.0_f64;
        for per_sec in ends {
            let is_one = per_sec == 0.0
                || (limits::LOAD_LEAST_RATE_PER_SEC..=limits::LOAD_RATE_PER_SEC).contains(&per_sec);
            if !is_one {
                return Err(RateError::PerSec(per_sec));
            }
            most = most.max(per_sec);
        }
        if most > 0.0 { Ok(Self(stages)) } else { Err(RateError::Nothing) }
    }

    /// The same all the time.
    pub fn steady(per_sec: f64) -> Result<Self, RateError> {
        Self::new(vec![Stage { from_per_sec: per_sec, to_per_sec: per_sec }])
    }

    /// Its stages; at least one.
    pub fn stages(&self) -> &[Stage] {
        &self.0
    }

    /// The highest of any time.
    pub fn max_per_sec(&self) -> f64 {
        self.0.iter().fold(0.0, |most, stage| most.max(stage.from_per_sec).max(stage.to_per_sec))
    }

    /// Over the whole run.
    pub fn mean_per_sec(&self) -> f64 {
        let means = self.0.iter().map(|stage| f64::midpoint(stage.from_per_sec, stage.to_per_sec));
        means.sum::<f64>() / self.0.len() as f64
    }
}

impl Stage {
    /// Its rate, where that does not change.
    pub fn steady(&self) -> Option<f64> {
        (self.from_per_sec.to_bits() == self.to_per_sec.to_bits()).then_some(self.from_per_sec)
    }

    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        Some(Self { from_per_sec: from.trim().parse().ok()?, to_per_sec: to.trim().parse().ok()? })
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let stages: Option<Vec<Stage>> = text.split(',').map(Stage::parse).collect();
        Self::new(stages.ok_or_else(|| RateError::Text(text.to_owned()))?)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from_per_sec, to_per_sec } = self;
        match self.steady() {
            Some(per_sec) => write!(f, "{per_sec}"),
            None => write!(f, "{from_per_sec}..{to_per_sec}"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, stage) in self.0.iter().enumerate() {
            write!(f, "{}{stage}", if nth > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_reads_as_it_is_written_and_has_a_mean_and_a_highest() {
        for (text, mean, most) in [
            ("200", 200.0, 200.0),
            ("999.5", 999.5, 999.5),
            ("10..500", 255.0, 500.0),
            ("100,200,600", 300.0, 600.0),
            ("0..100,100,100..0", 200.0 / 3.0, 100.0),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.to_string().as_str(), rate.max_per_sec()), (text, most));
            assert!((rate.mean_per_sec() - mean).abs() < 1e-9, "{text}");
        }
        assert_eq!(" 1 .. 2 , 3".parse::<Rate>().unwrap().to_string(), "1..2,3");
    }

    #[test]
    fn what_is_no_rate_is_refused_with_the_mend() {
        for (text, mend) in [
            ("0", "sends nothing: give one from"),
            ("0..0,0", "sends nothing"),
            ("-1", "rate -1/s: give one from"),
            ("NaN", "rate NaN/s"),
            ("inf", "rate inf/s"),
            ("0.0000001", "rate 0.0000001/s"),
            ("1..200001", "rate 200001/s"),
            ("", "write 200 for a steady one"),
            ("100,", "write 200 for a steady one"),
            ("fast", "write 200 for a steady one"),
        ] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains(mend), "{text}: {error}");
        }
        let many = vec!["1"; limits::LOAD_STAGES + 1].join(",");
        assert!(many.parse::<Rate>().unwrap_err().to_string().contains("at most"));
        assert_eq!(Rate::new(Vec::new()), Err(RateError::Nothing));
    }
}
