//! Required node affinity: terms of which one must match.

use std::collections::BTreeMap;

/// The longest value of a label.
const LABEL_VALUE_BYTES: usize = 63;

/// The one field that terms can ask for.
const NAME_FIELD: &str = "metadata.name";

/// A pod's `affinity`, as far as nodes must have something. What is missing decides where a patch
/// must add it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affinity {
    /// There is no `affinity`.
    #[default]
    Absent,
    /// There is one, but no `nodeAffinity` in it.
    OfPods,
    /// There is a `nodeAffinity`, which requires nothing.
    Preferred,
    /// One of these terms must match.
    Required(Vec<Term>),
}

impl Affinity {
    pub(super) fn select(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Absent | Self::OfPods | Self::Preferred => true,
            Self::Required(terms) => terms.iter().any(|term| term.selects(name, labels)),
        }
    }
}

/// All of its expressions and fields must match; one that has neither matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// Over the node's labels.
    pub expressions: Vec<Requirement>,
    /// Over the node's name.
    pub fields: Vec<Requirement>,
}

impl Term {
    /// It matches nothing, whatever the node.
    pub fn is_empty(&self) -> bool {
        self.expressions.is_empty() && self.fields.is_empty()
    }

    fn selects(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let by_label = |one: &Requirement| one.accepts(labels.get(&one.key).map(String::as_str));
        let by_name = |one: &Requirement| one.accepts_name(name);
        !self.is_empty() && self.expressions.iter().all(by_label) && self.fields.iter().all(by_name)
    }
}

/// What a label, or a field, must be. One that makes no sense accepts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// In, `NotIn`, Exists, `DoesNotExist`, Gt or Lt.
    pub operator: String,
    /// What it is compared with.
    pub values: Vec<String>,
}

impl Requirement {
    fn accepts(&self, label: Option<&str>) -> bool {
        let named = || label.is_some_and(|label| self.values.iter().any(|value| value == label));
        let some = !self.values.is_empty() && self.values.iter().all(|value| is_label_value(value));
        match self.operator.as_str() {
            "In" => some && named(),
            "NotIn" => some && !named(),
            "Exists" => self.values.is_empty() && label.is_some(),
            "DoesNotExist" => self.values.is_empty() && label.is_none(),
            "Gt" => self.numbers(label).is_some_and(|(has, wants)| has > wants),
            "Lt" => self.numbers(label).is_some_and(|(has, wants)| has < wants),
            _ => false,
        }
    }

    /// The label's number, and the only value's, which must be a label's value too and so has no sign.
    fn numbers(&self, label: Option<&str>) -> Option<(i64, i64)> {
        let [wants] = self.values.as_slice() else { return None };
        let wants = wants.parse().ok().filter(|_| is_label_value(wants))?;
        Some((label?.parse().ok()?, wants))
    }

    fn accepts_name(&self, name: &str) -> bool {
        let ([value], NAME_FIELD) = (self.values.as_slice(), self.key.as_str()) else { return false };
        match self.operator.as_str() {
            "In" => value == name,
            "NotIn" => value != name,
            _ => false,
        }
    }

    /// The only value that it accepts.
    pub fn only(&self) -> Option<&str> {
        match self.values.as_slice() {
            [value] if self.operator == "In" => Some(value),
            _ => None,
        }
    }
}

fn is_label_value(value: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= LABEL_VALUE_BYTES
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && ends(bytes.first())
        && ends(bytes.last())
}
