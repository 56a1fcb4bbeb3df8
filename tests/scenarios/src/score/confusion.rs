//! What was said of each kind of trial.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{figure::Judged, labelled::Truth};

/// The contract's word for a value, which is how result files spell it.
pub(super) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The trials of one class.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) expected: String,
    pub(super) positive: usize,
    pub(super) negative: usize,
    pub(super) grey: usize,
    pub(super) disturbed: usize,
    /// Measured slowdowns.
    pub(super) slowdowns: Vec<f64>,
    /// Measured slowdowns of the response, in which the victim's queue is.
    pub(super) response_slowdowns: Vec<f64>,
    /// Told slowdowns, put on the label's terms, for each one of the label's.
    pub(super) ratios: Vec<f64>,
    /// Trials by what was said of them.
    pub(super) said: BTreeMap<String, usize>,
}

/// By class.
pub(super) fn rows(judged: &[Judged<'_>]) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for judged in judged {
        let outcome = &judged.trial.outcome;
        let row = rows.entry(outcome.class.clone()).or_default();
        row.expected.clone_from(&outcome.expected.verdict);
        if outcome.disturbed {
            row.disturbed += 1;
            continue;
        }
        match judged.trial.truth() {
            Truth::Positive => row.positive += 1,
            Truth::Negative => row.negative += 1,
            Truth::Grey => row.grey += 1,
        }
        row.slowdowns.extend(outcome.slowdown.map(|slowdown| slowdown.estimate));
        row.response_slowdowns.extend(outcome.response_slowdown.map(|slowdown| slowdown.estimate));
        row.ratios.extend(judged.slowdown_ratio().map(|ratio| ratio / judged.before()));
        let said = judged.said().or_else(|| judged.findings.first().and_then(|finding| finding.said.last()));
        let said = said.map_or_else(|| "nobody".to_owned(), |said| word(&said.verdict));
        *row.said.entry(said).or_default() += 1;
    }
    rows
}
