//! The contract's enums as the words that people and scripts read: `VERDICT_SELF_THROTTLED` is
//! `self_throttled`. A value that this program does not know yet is `unknown`.

use berth::wire;
use serde::Serializer;

/// An enum of the contract.
pub trait Word: Copy {
    /// What all its names begin with.
    const PREFIX: &'static str;

    /// The name in the contract.
    fn name(self) -> &'static str;

    /// The name without its prefix, in lower case.
    fn word(self) -> String {
        match self.name().strip_prefix(Self::PREFIX) {
            Some("UNSPECIFIED") | None => "unknown".to_owned(),
            Some(rest) => rest.to_ascii_lowercase(),
        }
    }
}

macro_rules! words {
    ($($enum:ident $prefix:literal),* $(,)?) => {$(
        impl Word for wire::$enum {
            const PREFIX: &'static str = $prefix;

            fn name(self) -> &'static str {
                self.as_str_name()
            }
        }
    )*};
}

words! {
    CgroupVersion "CGROUP_VERSION_",
    Role "ROLE_",
    Resource "RESOURCE_",
    Verdict "VERDICT_",
    Severity "SEVERITY_",
    Confidence "CONFIDENCE_",
    Tier "TIER_",
    Cause "CAUSE_",
    ProofLevel "PROOF_LEVEL_",
}

/// For `#[serde(serialize_with)]`.
pub fn serialize<W: Word, S: Serializer>(word: &W, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&word.word())
}

/// The same; `None` is null.
pub fn serialize_option<W: Word, S: Serializer>(word: &Option<W>, serializer: S) -> Result<S::Ok, S::Error> {
    match word {
        None => serializer.serialize_none(),
        Some(word) => serialize(word, serializer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_contracts_names_without_their_prefix() {
        assert_eq!(wire::Verdict::SelfThrottled.word(), "self_throttled");
        assert_eq!(wire::ProofLevel::AnyOrder.word(), "any_order");
        assert_eq!(wire::Role::LoadGenerator.word(), "load_generator");
        assert_eq!(wire::Tier::Unspecified.word(), "unknown");
    }
}
