//! Metrics as text, in Prometheus' exposition format 0.0.4.
//!
//! Invariant: a family is written once, with its help and its type before its samples, and its
//! name and unit keep Prometheus' conventions. Deliberately absent: a registry of live metrics.
//! What is served is read from views at the scrape, so nothing is counted twice or goes stale; and
//! a crate that writes OpenMetrics names a counter's family without `_total`, which tools for this
//! format then find without help or type.

use std::fmt::{self, Write as _};

/// What kind of number a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, from 0 at a restart.
    Counter,
    /// It is as it is now.
    Gauge,
}

/// The text so far.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

/// A family that samples are written into.
pub(crate) struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Exposition {
    /// Begins a family. A counter's name ends in `_total`.
    pub(crate) fn family(&mut self, kind: Kind, name: &'static str, help: &'static str) -> Family<'_> {
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        debug_assert!(name.starts_with("berth_") && !help.contains(['\\', '\n']), "{name}");
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        append(&mut self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { name, text: &mut self.text }
    }

    /// A family of one sample without labels.
    pub(crate) fn single(&mut self, kind: Kind, name: &'static str, help: &'static str, value: f64) {
        self.family(kind, name, help).sample(&[], value);
    }

    /// All of it.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Writes a sample.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.name);
        for (position, (label, text)) in labels.iter().enumerate() {
            self.text.push(if position == 0 { '{' } else { ',' });
            append(self.text, format_args!("{label}=\""));
            escape(self.text, text);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        append(self.text, format_args!(" {value}\n"));
    }
}

fn append(text: &mut String, arguments: fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing into a string does not fail");
}

/// A label's value may hold anything but these three as they are.
fn escape(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_help_and_type_and_hostile_labels_are_escaped() {
        let mut out = Exposition::default();
        let mut family = out.family(Kind::Counter, "berth_x_total", "Things.");
        family.sample(&[("a", "1"), ("b", "\"\\\n")], 2.0);
        family.sample(&[], 0.5);
        out.single(Kind::Gauge, "berth_y_bytes", "Bytes.", 1_234_567.0);
        assert_eq!(
            out.finish(),
            "# HELP berth_x_total Things.\n# TYPE berth_x_total counter\n\
             berth_x_total{a=\"1\",b=\"\\\"\\\\\\n\"} 2\nberth_x_total 0.5\n\
             # HELP berth_y_bytes Bytes.\n# TYPE berth_y_bytes gauge\nberth_y_bytes 1234567\n"
        );
    }
}
