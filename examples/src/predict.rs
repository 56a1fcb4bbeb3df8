//! The Predict API: the bytes of a request become the text of an answer.
//!
//! Invariant: an answer has as many predictions, in the same order, as the request has rows. Pure: the HTTP
//! around it is in [`crate::worker`].

use hyper::StatusCode;
use serde_json::Value;

use crate::model::{COLUMNS, Model, Row};

/// Why a request gets no predictions.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body does not parse.
    #[error("the body is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The envelope is missing.
    #[error("the body has no payload")]
    NoPayload,
    /// The envelope holds something else.
    #[error("payload is not an object")]
    PayloadNotAnObject,
    /// The rows are missing.
    #[error("payload has no instances")]
    NoInstances,
    /// The rows are something else.
    #[error("instances is not an array")]
    InstancesNotAnArray,
    /// Some rows are arrays, and this one is not.
    #[error("instances[{row}] is not an array")]
    RowNotAnArray {
        /// Index of the row.
        row: usize,
    },
    /// A row is too short or too long.
    #[error("instances[{row}] has {cells} columns and the model takes {COLUMNS}")]
    Width {
        /// Index of the row.
        row: usize,
        /// Columns that it has.
        cells: usize,
    },
    /// A cell is text, null, or something nested.
    #[error("instances[{row}][{column}] ({name}) is not a number")]
    NotANumber {
        /// Index of the row.
        row: usize,
        /// Index of the cell.
        column: usize,
        /// Name of the column.
        name: String,
    },
}

impl Refusal {
    /// 400 for a request that is not of the API, 500 for rows that this model cannot take: the reference
    /// server validates the envelope itself and reports whatever its model raises.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_)
            | Self::NoPayload
            | Self::PayloadNotAnObject
            | Self::NoInstances
            | Self::InstancesNotAnArray => StatusCode::BAD_REQUEST,
            Self::RowNotAnArray { .. } | Self::Width { .. } | Self::NotANumber { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

/// The answer to the body of a predict request.
pub fn answer(model: &Model, body: &[u8]) -> (StatusCode, String) {
    match instances(model, body) {
        Ok(rows) => {
            let predictions: Vec<u8> = rows.iter().map(|row| model.classify(row)).collect();
            (StatusCode::OK, format!(r#"{{"payload":{{"predictions":{}}}}}"#, Value::from(predictions)))
        }
        Err(refusal) => (refusal.status(), failure(&refusal.to_string())),
    }
}

/// The API's form of an error.
pub fn failure(error: &str) -> String {
    format!(r#"{{"payload":{{"success":false,"error":{}}}}}"#, Value::from(error))
}

fn instances(model: &Model, body: &[u8]) -> Result<Vec<Row>, Refusal> {
    let body: Value = serde_json::from_slice(body)?;
    let payload = body.get("payload").ok_or(Refusal::NoPayload)?;
    let payload = payload.as_object().ok_or(Refusal::PayloadNotAnObject)?;
    let instances = payload.get("instances").ok_or(Refusal::NoInstances)?;
    let rows = instances.as_array().ok_or(Refusal::InstancesNotAnArray)?;
    if is_empty(instances) {
        return Ok(Vec::new());
    }
    if !rows.iter().any(Value::is_array) {
        return Ok(vec![parse_row(model, 0, rows)?]);
    }
    let parse = |(index, row): (usize, &Value)| {
        parse_row(model, index, row.as_array().ok_or(Refusal::RowNotAnArray { row: index })?)
    };
    rows.iter().enumerate().map(parse).collect()
}

/// Whether there is no cell at any depth: such input is answered with no predictions, not refused.
fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(|inner| inner.iter().all(is_empty))
}

fn parse_row(model: &Model, row: usize, cells: &[Value]) -> Result<Row, Refusal> {
    let cells: &[Value; COLUMNS] =
        cells.try_into().map_err(|_| Refusal::Width { row, cells: cells.len() })?;
    let mut numbers = [0.0; COLUMNS];
    for (column, (number, cell)) in numbers.iter_mut().zip(cells).enumerate() {
        let refusal = || Refusal::NotANumber { row, column, name: model.names()[column].to_owned() };
        *number = cell.as_f64().ok_or_else(refusal)?;
    }
    Ok(numbers)
}
