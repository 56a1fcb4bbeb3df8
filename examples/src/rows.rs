//! Rows with a known class, read from the payload file.
//!
//! The file is CSV with a header, plain numbers and the class, 0 or 1, last. Quoted cells are absent on
//! purpose: `train.py` writes none.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::model::{COLUMNS, Row};

/// A row and its class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// The columns that a model sees.
    pub row: Row,
    /// What the row really is.
    pub label: u8,
}

/// The payload file of this package.
const EMBEDDED: &str = include_str!("../payload.csv");

/// The rows of a file, or the embedded ones.
pub fn load(file: Option<&Path>) -> anyhow::Result<Vec<Labelled>> {
    let Some(file) = file else { return parse(EMBEDDED) };
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    parse(&text).with_context(|| format!("parse {}", file.display()))
}

/// Parses the text of a payload file.
pub fn parse(text: &str) -> anyhow::Result<Vec<Labelled>> {
    let lines = text.lines().enumerate().skip(1);
    let rows: Vec<Labelled> = lines
        .map(|(index, line)| parse_line(line).with_context(|| format!("line {}", index + 1)))
        .collect::<anyhow::Result<_>>()?;
    for class in [0, 1] {
        ensure!(
            rows.iter().any(|row| row.label == class),
            "no row is labelled {class}: both classes are needed"
        );
    }
    Ok(rows)
}

fn parse_line(line: &str) -> anyhow::Result<Labelled> {
    let (cells, label) = line.rsplit_once(',').context("there is one column only")?;
    let cells: Vec<f64> = cells
        .split(',')
        .map(|cell| cell.parse().with_context(|| format!("{cell:?} is not a number")))
        .collect::<anyhow::Result<_>>()?;
    let width = cells.len();
    let row =
        cells.try_into().ok().with_context(|| format!("{width} columns before the label, not {COLUMNS}"))?;
    let label = match label {
        "0" => 0,
        "1" => 1,
        other => anyhow::bail!("the label {other:?} is neither 0 nor 1"),
    };
    Ok(Labelled { row, label })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn the_payload_has_3000_rows_of_the_columns_that_the_model_takes() {
        let header = EMBEDDED.lines().next().unwrap();
        let model = Model::embedded().unwrap();
        assert_eq!(header, format!("{},label", model.names().join(",")));
        assert_eq!(load(None).unwrap().len(), 3_000);
    }

    #[test]
    fn each_damaged_line_is_named_with_what_is_wrong() {
        let good = "1,2,3,4,5,6,7,8,9,10,1\n1,2,3,4,5,6,7,8,9,10,0";
        assert_eq!(parse(&format!("header\n{good}\n")).unwrap().len(), 2);
        for (line, error) in [
            ("1,2,3,4,5,6,7,8,9,1", "line 4: 9 columns before the label, not 10"),
            ("1,2,3,4,x,6,7,8,9,10,1", "line 4: \"x\" is not a number"),
            ("1,2,3,4,5,6,7,8,9,10,2", "line 4: the label \"2\" is neither 0 nor 1"),
            ("", "line 4: there is one column only"),
        ] {
            let text = format!("header\n{good}\n{line}\n");
            let message = format!("{:#}", parse(&text).unwrap_err());
            assert!(message.starts_with(error), "{line}: {message}");
        }
        assert!(parse("header\n1,2,3,4,5,6,7,8,9,10,1\n").unwrap_err().to_string().contains("labelled 0"));
    }
}
