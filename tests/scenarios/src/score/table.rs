//! Tables in Markdown.

/// A table; every row has as many cells as the head.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let names: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    [line(&names), line(&rule)].into_iter().chain(rows.iter().map(|row| line(row))).collect()
}

/// To three digits behind the point, which is what some hundred trials bear.
pub(super) fn number(value: f64) -> String {
    if value.is_infinite() { "∞".to_owned() } else { format!("{value:.3}") }
}
