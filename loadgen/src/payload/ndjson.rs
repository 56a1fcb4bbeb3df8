//! Lines of JSON: an array is a row, an object is a body of any API.

use serde::de::IgnoredAny;
use serde_json::Number;

use super::{Builder, PayloadError};
use crate::protocol::Protocol;

pub(super) fn bodies(file: &str, text: &[u8], protocol: Protocol) -> Result<Builder, PayloadError> {
    let mut builder = Builder::new();
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let wrong = |problem: String| PayloadError::Line { file: file.to_owned(), line: number, problem };
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(line) {
            return Err(wrong(format!("not JSON ({error}): give one array or object a line")));
        }
        match line[0] {
            b'[' => {
                let numbers = serde_json::from_slice::<Vec<Number>>(line);
                if protocol == Protocol::V2 && numbers.is_err() {
                    let problem = "a V2 tensor has one type: give a row of numbers, or a whole body";
                    return Err(wrong(problem.to_owned()));
                }
                protocol.wrap(line, numbers.map_or(0, |numbers| numbers.len()), &mut builder.buffer);
            }
            b'{' => builder.buffer.extend_from_slice(line),
            _ => return Err(wrong("neither an array nor an object: give a row or a whole body".to_owned())),
        }
        builder.end(file)?;
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use crate::payload::Payload;
    use crate::protocol::Protocol;

    #[test]
    fn an_array_is_a_row_and_an_object_is_sent_as_it_is() {
        let text = b"[1, \"a\"]\r\n\n {\"payload\":{\"instances\":[[1],[2]]}} \n{\"inputs\":[]}\n[]";
        let payload = Payload::ndjson("rows.ndjson", text, Protocol::Predict).unwrap();
        let bodies: Vec<_> = payload
            .bodies()
            .iter()
            .map(|body| (str::from_utf8(&body.bytes).unwrap(), body.instances))
            .collect();
        assert_eq!(
            bodies,
            [
                (r#"{"payload":{"instances":[[1, "a"]]}}"#, Some(1)),
                (r#"{"payload":{"instances":[[1],[2]]}}"#, Some(2)),
                (r#"{"inputs":[]}"#, None),
                (r#"{"payload":{"instances":[[]]}}"#, Some(0)),
            ]
        );
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_mend() {
        for (text, expected) in [
            (&b"[1]\n[1,\n"[..], "payload x line 2: not JSON ("),
            (b"[1]\n\n[1] [2]\n", "payload x line 3: not JSON ("),
            (b"17\n", "payload x line 1: neither an array nor an object: give"),
            (b"\n\n", "payload x: it holds no row: give"),
        ] {
            let error = Payload::ndjson("x", text, Protocol::Predict).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let error = Payload::ndjson("x", b"[1]\n[\"a\"]", Protocol::V2).unwrap_err().to_string();
        assert!(error.starts_with("payload x line 2: a V2 tensor has one type"), "{error}");
    }
}
