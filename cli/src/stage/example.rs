//! What the example model is asked.

use berth_loadgen::{Payload, PayloadError, Protocol};

/// The example's 3,000 rows.
const ROWS: &str = include_str!("../../../examples/payload.csv");

/// The rows of the example, so many in each request.
pub fn example_payload(rows_per_request: usize) -> Result<Payload, PayloadError> {
    // The label, which is the last column, is what the model should find.
    let rows: Vec<&str> =
        ROWS.lines().skip(1).filter_map(|row| row.rsplit_once(',')).map(|row| row.0).collect();
    let body = |rows: &[&str]| format!("{{\"payload\":{{\"instances\":[[{}]]}}}}\n", rows.join("],["));
    let bodies: String = rows.chunks(rows_per_request).map(body).collect();
    Payload::ndjson("payload.csv", bodies.as_bytes(), Protocol::Predict)
}
