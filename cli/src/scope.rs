//! Which namespaces of pods a command is about.
//!
//! Berth's own namespace is another matter, and never this one's.

/// One namespace, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Asked for with `-A`, or there is no cluster whose context would say.
    All,
    /// Asked for with `-n`.
    Named(String),
    /// Not asked for: the context's own, as kubectl does.
    Context(String),
}

impl Scope {
    /// As the contract's filters have it: empty for all.
    pub fn filter(&self) -> String {
        match self {
            Self::All => String::new(),
            Self::Named(namespace) | Self::Context(namespace) => namespace.clone(),
        }
    }

    /// What somebody who is shown nothing may not know.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::All | Self::Named(_) => None,
            Self::Context(namespace) => {
                Some(format!("nothing in namespace {namespace}, which is the context's own: -A asks for all"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_namespace_that_nobody_typed_needs_explaining() {
        let scopes = [Scope::All, Scope::Named("a".to_owned()), Scope::Context("a".to_owned())];
        assert_eq!(scopes.each_ref().map(Scope::filter), ["", "a", "a"]);
        assert_eq!(scopes.each_ref().map(|scope| scope.hint().is_some()), [false, false, true]);
    }
}
