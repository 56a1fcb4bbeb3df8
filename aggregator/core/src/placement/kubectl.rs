//! Commands as a person types them.

use crate::advice::ObjectRef;

/// A word of a POSIX shell: as it is where nothing in it is special, else in single quotes.
pub(super) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,%@".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// ` -n NAMESPACE`, or nothing for objects without one.
fn namespace(object: &ObjectRef) -> String {
    if object.namespace.is_empty() { String::new() } else { format!(" -n {}", word(&object.namespace)) }
}

/// `kubectl VERB kind name -n namespace`.
pub(super) fn on(verb: &str, object: &ObjectRef) -> String {
    let kind = object.kind.to_lowercase();
    format!("kubectl {verb} {} {}{}", word(&kind), word(&object.name), namespace(object))
}

/// `kubectl patch kind name -n namespace --type=json -p '...'`.
pub(super) fn patch(object: &ObjectRef, json_patch: &str) -> String {
    format!("{} --type=json -p {}", on("patch", object), word(json_patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        for (text, expected) in [
            ("ref-models", "ref-models"),
            ("node_for=models:NoSchedule", "node_for=models:NoSchedule"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's; rm", r"'it'\''s; rm'"),
            ("$(id)", "'$(id)'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
