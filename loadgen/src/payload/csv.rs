//! CSV rows become bodies, one row each.

use csv::{ByteRecord, ReaderBuilder};

use super::{Builder, Label, PayloadError};
use crate::protocol::Protocol;

pub(super) fn bodies(
    file: &str,
    text: &[u8],
    label: &Label,
    protocol: Protocol,
) -> Result<Builder, PayloadError> {
    let mut reader = ReaderBuilder::new().from_reader(text);
    let dropped =
        dropped_column(file, reader.byte_headers().map_err(|error| malformed(file, &error))?, label)?;
    let mut builder = Builder::new();
    let (mut record, mut row) = (ByteRecord::new(), Vec::new());
    while reader.read_byte_record(&mut record).map_err(|error| malformed(file, &error))? {
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |problem: String| PayloadError::Line { file: file.to_owned(), line, problem };
        row.clear();
        row.push(b'[');
        let cells = record.iter().enumerate().filter(|(column, _)| Some(*column) != dropped);
        for (nth, (column, cell)) in cells.enumerate() {
            if nth > 0 {
                row.push(b',');
            }
            let cell = str::from_utf8(cell)
                .map_err(|_| wrong(format!("column {} is not UTF-8: save the file as UTF-8", column + 1)))?;
            let is_number = push_cell(&mut row, cell);
            if protocol == Protocol::V2 && !is_number {
                let problem = format!(
                    "column {} is no number, and a V2 tensor has one type: leave the column out, or give whole bodies \
                     in an .ndjson",
                    column + 1
                );
                return Err(wrong(problem));
            }
        }
        row.push(b']');
        protocol.wrap(&row, record.len() - usize::from(dropped.is_some()), &mut builder.buffer);
        builder.end(file)?;
    }
    Ok(builder)
}

/// A number is copied digit for digit, so that 131101.04 and 1e-7 reach the model as they were
/// written. 007 is no JSON number: it is text, such as a postcode. Whether it is a number.
fn push_cell(buffer: &mut Vec<u8>, cell: &str) -> bool {
    let trimmed = cell.trim();
    let is_number = serde_json::from_str::<serde_json::Number>(trimmed).is_ok();
    if trimmed.is_empty() {
        buffer.extend_from_slice(b"null");
    } else if is_number {
        buffer.extend_from_slice(trimmed.as_bytes());
    } else {
        serde_json::to_writer(buffer, cell).expect("a string always serialises, and a Vec takes all of it");
    }
    is_number
}

fn dropped_column(file: &str, header: &ByteRecord, label: &Label) -> Result<Option<usize>, PayloadError> {
    match label {
        Label::None => Ok(None),
        Label::Last => Ok(header.len().checked_sub(1)),
        Label::Named(name) => {
            let column = header.iter().position(|column| column.trim_ascii() == name.as_bytes());
            column.map(Some).ok_or_else(|| PayloadError::NoColumn {
                file: file.to_owned(),
                name: name.clone(),
                header: header.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(", "),
            })
        }
    }
}

fn malformed(file: &str, error: &csv::Error) -> PayloadError {
    let line = error.position().map_or(1, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} columns, the header {expected_len}: give each line the header's columns")
        }
        _ => error.to_string(),
    };
    PayloadError::Line { file: file.to_owned(), line, problem }
}

#[cfg(test)]
mod tests {
    use crate::payload::{Label, Payload, PayloadError};
    use crate::protocol::Protocol;

    const CHURN: &[u8] = b"CreditScore,Geography,Balance,Active,Exited\n\
        619,Geography_Germany,131101.04,1,0\n\
        502,\"a \"\"b\"\", c\",1e-7,,1\n\
        007,NaN,-0,true,1\n";

    fn rows(label: &Label) -> Vec<String> {
        let payload = Payload::csv("churn.csv", CHURN, label, Protocol::Predict).unwrap();
        payload.bodies().iter().map(|body| String::from_utf8(body.bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_label_is_dropped_and_each_cell_keeps_its_type() {
        let expected = [
            r#"{"payload":{"instances":[[619,"Geography_Germany",131101.04,1]]}}"#,
            r#"{"payload":{"instances":[[502,"a \"b\", c",1e-7,null]]}}"#,
            r#"{"payload":{"instances":[["007","NaN",-0,"true"]]}}"#,
        ];
        assert_eq!(rows(&Label::Last), expected);
        assert_eq!(rows(&Label::Named("Exited".to_owned())), expected);
    }

    #[test]
    fn without_a_label_every_column_is_sent() {
        assert_eq!(
            rows(&Label::None)[0],
            r#"{"payload":{"instances":[[619,"Geography_Germany",131101.04,1,0]]}}"#
        );
    }

    #[test]
    fn each_row_asks_for_one_prediction() {
        let payload = Payload::csv("churn.csv", CHURN, &Label::Last, Protocol::Predict).unwrap();
        assert!(payload.bodies().iter().all(|body| body.instances == Some(1)));
    }

    #[test]
    fn a_tensor_takes_numbers_only() {
        let v2 = |text: &[u8]| Payload::csv("x.csv", text, &Label::Last, Protocol::V2);
        let payload = v2(b"a,b,y\n1,2.50,no\n").unwrap();
        let body = r#"{"inputs":[{"name":"input-0","shape":[1,2],"datatype":"FP64","data":[1,2.50]}]}"#;
        assert_eq!(payload.bodies()[0].bytes, body.as_bytes());
        for text in [&b"a,b,y\n1,x,no\n"[..], b"a,b,y\n1,,no\n"] {
            let error = v2(text).unwrap_err().to_string();
            assert!(error.starts_with("payload x.csv line 2: column 2 is no number"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_mend() {
        for (text, label, expected) in [
            (
                &b"a,b\n1,2\n1\n"[..],
                Label::None,
                "payload x.csv line 3: it has 1 columns, the header 2: give",
            ),
            (b"a,b\n1,\xff\n", Label::None, "payload x.csv line 2: column 2 is not UTF-8: save"),
            (b"a,b\n1,2\n", Label::Named("c".to_owned()), "payload x.csv: no column c: the header has a, b"),
            (b"a,b\n", Label::Last, "payload x.csv: it holds no row: give at least one"),
            (b"", Label::Last, "payload x.csv: it holds no row: give at least one"),
        ] {
            let error: PayloadError = Payload::csv("x.csv", text, &label, Protocol::Predict).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
