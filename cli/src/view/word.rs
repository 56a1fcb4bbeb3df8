//! The contract's enums as the words that people and scripts read: `VERDICT_SELF_THROTTLED` is
//! `self_throttled`. A value that this program does not know yet is `unknown`.

use berth::wire;
use serde::{Serialize, Serializer};

/// An enum of the contract.
pub trait Word: Copy {
    /// What all its names begin with.
    const PREFIX: &'static str;

    /// The name in the contract.
    fn name(self) -> &'static str;

    /// The value of that name, if there is one.
    fn of_name(name: &str) -> Option<Self>;

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

            fn of_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
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

/// The contract's value of a value of the core, whose enums serialise to the same words.
pub(super) fn of_core<W: Word + Default>(value: impl Serialize) -> W {
    let word = serde_json::to_value(value).ok();
    let name =
        word.as_ref().and_then(|word| Some(W::PREFIX.to_owned() + &word.as_str()?.to_ascii_uppercase()));
    name.and_then(|name| W::of_name(&name)).unwrap_or_default()
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
    fn what_the_core_calls_a_thing_the_contract_calls_it_too() {
        use berth_core::contention::{Confidence, Resource, Severity, Tier, Verdict};
        assert_eq!(of_core::<wire::Verdict>(Verdict::MemoryOwnLimit), wire::Verdict::MemoryOwnLimit);
        assert_eq!(of_core::<wire::Resource>(Resource::GpuTime), wire::Resource::GpuTime);
        assert_eq!(of_core::<wire::Severity>(Severity::Contended), wire::Severity::Contended);
        assert_eq!(of_core::<wire::Confidence>(Confidence::Likely), wire::Confidence::Likely);
        assert_eq!(of_core::<wire::Tier>(Tier::Pressure), wire::Tier::Pressure);
        assert_eq!(of_core::<wire::Role>(berth_core::who::Role::LoadGenerator), wire::Role::LoadGenerator);
        assert_eq!(of_core::<wire::Role>("stranger"), wire::Role::Unspecified);
    }

    #[test]
    fn words_are_the_contracts_names_without_their_prefix() {
        assert_eq!(wire::Verdict::SelfThrottled.word(), "self_throttled");
        assert_eq!(wire::ProofLevel::AnyOrder.word(), "any_order");
        assert_eq!(wire::Role::LoadGenerator.word(), "load_generator");
        assert_eq!(wire::Tier::Unspecified.word(), "unknown");
    }
}
