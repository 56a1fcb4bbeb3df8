//! JSON as text: the core reads none, and writes the little that a patch needs.

use crate::scheduling::{Requirement, Term, Toleration};

/// A string, quoted.
pub(super) fn string(text: &str) -> String {
    let letter = |letter: char| match letter {
        '"' | '\\' => format!("\\{letter}"),
        control if control < ' ' => format!("\\u{:04x}", u32::from(control)),
        plain => plain.to_string(),
    };
    let quoted: String = text.chars().map(letter).collect();
    format!("\"{quoted}\"")
}

/// A list of what is JSON already.
pub(super) fn array(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

/// An object of values that are JSON already.
pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let field = |(name, value): (&str, String)| format!("{}:{value}", string(name));
    format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
}

/// As the API server writes it: what is empty is left out.
pub(super) fn toleration(toleration: &Toleration) -> String {
    let texts = [
        ("effect", &toleration.effect),
        ("key", &toleration.key),
        ("operator", &toleration.operator),
        ("value", &toleration.value),
    ];
    let texts =
        texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, string(text)));
    object(texts.chain(toleration.seconds.map(|seconds| ("tolerationSeconds", seconds.to_string()))))
}

/// As the API server writes it.
pub(super) fn term(term: &Term) -> String {
    let parts = [("matchExpressions", &term.expressions), ("matchFields", &term.fields)];
    let there = parts.into_iter().filter(|(_, all)| !all.is_empty());
    object(there.map(|(name, all)| (name, array(all.iter().map(requirement)))))
}

fn requirement(one: &Requirement) -> String {
    let values = (!one.values.is_empty()).then(|| array(one.values.iter().map(|value| string(value))));
    let named = [("key", string(&one.key)), ("operator", string(&one.operator))];
    object(named.into_iter().chain(values.map(|values| ("values", values))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_is_read_as_it_was_written(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }
    }
}
