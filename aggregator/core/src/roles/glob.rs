//! Patterns of cgroup paths: `*` within a path component, `**` across them.
//!
//! Each star stands for as few characters as it can, none included, and what it stands for can be
//! used in names as `${1}`, `${2}`. Invariant: matching takes time in proportion to stars times
//! path squared at worst, for a path of any shape. Deliberately absent: `?`, `[a-z]`, escapes; no
//! cgroup needs them.

use std::{collections::BTreeSet, ops::Range};

/// Stars in one pattern: more than anybody can count in a name.
pub(super) const STARS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// It may stand for slashes too.
    crosses: bool,
    /// What follows the star.
    literal: String,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    prefix: String,
    parts: Vec<Part>,
}

impl Glob {
    /// Every text is a pattern.
    pub(super) fn new(pattern: &str) -> Self {
        let mut pieces = pattern.split('*').peekable();
        let prefix = pieces.next().unwrap_or_default().to_owned();
        let mut parts = Vec::new();
        while let Some(piece) = pieces.next() {
            // Two stars leave an empty piece between them; at the end of the pattern one star does.
            let crosses = piece.is_empty() && pieces.peek().is_some();
            let literal = if crosses { pieces.next().unwrap_or_default() } else { piece };
            parts.push(Part { crosses, literal: literal.to_owned() });
        }
        Self { prefix, parts }
    }

    /// How many stars it has; `**` counts once.
    pub(super) fn stars(&self) -> usize {
        self.parts.len()
    }

    /// What each star stands for in `text`; `None` where it does not match.
    pub(super) fn captures<'a>(&self, text: &'a str) -> Option<Vec<&'a str>> {
        let rest = text.strip_prefix(self.prefix.as_str())?;
        let mut captures = Vec::with_capacity(self.parts.len());
        let matched = matches(&self.parts, rest, 0, &mut captures, &mut BTreeSet::new());
        matched.then(|| captures.into_iter().filter_map(|range| rest.get(range)).collect())
    }
}

/// Matches `parts` against `text` from `from` on. `failed` holds what is known not to match, so that
/// nothing is tried twice.
fn matches(
    parts: &[Part],
    text: &str,
    from: usize,
    captures: &mut Vec<Range<usize>>,
    failed: &mut BTreeSet<(usize, usize)>,
) -> bool {
    let Some((part, rest)) = parts.split_first() else { return from == text.len() };
    if failed.contains(&(parts.len(), from)) {
        return false;
    }
    let tail = text.get(from..).unwrap_or_default();
    let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
    for end in ends {
        let star = tail.get(..end).unwrap_or_default();
        if !part.crosses && star.contains('/') {
            break;
        }
        if tail.get(end..).is_some_and(|after| after.starts_with(part.literal.as_str())) {
            captures.push(from..from + end);
            if matches(rest, text, from + end + part.literal.len(), captures, failed) {
                return true;
            }
            captures.pop();
        }
    }
    failed.insert((parts.len(), from));
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
        Glob::new(pattern).captures(text)
    }

    #[test]
    fn a_star_stays_within_its_component_and_two_cross() {
        for (pattern, path, expected) in [
            ("/a/b", "/a/b", Some(vec![])),
            ("/a/b", "/a/bc", None),
            ("/a/*", "/a/b", Some(vec!["b"])),
            ("/a/*", "/a/b/c", None),
            ("/a/**", "/a/b/c", Some(vec!["b/c"])),
            ("/*/x-*.scope", "/a/x-7.scope", Some(vec!["a", "7"])),
            ("/**/pod*/*", "/k/burst/pod12/c", Some(vec!["k/burst", "12", "c"])),
            ("/**/pod*/*", "/k/burst/pod12/c/d", None),
            ("/a*", "/a", Some(vec![""])),
            ("**", "/any/thing", Some(vec!["/any/thing"])),
            ("/a*b*c", "/axbxbxc", Some(vec!["x", "xbx"])),
            ("/**/x/*", "/1/x/2/x/3", Some(vec!["1/x/2", "3"])),
            ("/é*", "/éà", Some(vec!["à"])),
        ] {
            assert_eq!(captures(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn stars_are_counted_as_they_are_numbered() {
        assert_eq!(Glob::new("/a").stars(), 0);
        assert_eq!(Glob::new("/**/x-*").stars(), 2);
        assert_eq!(Glob::new("/a/*").stars(), 1);
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let path = format!("/{}", "a".repeat(1_000));
        assert_eq!(captures(&format!("/{}b", "**a".repeat(STARS)), &path), None);
    }
}
