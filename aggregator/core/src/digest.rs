//! A hash that stays the same for ever: ids and seeds derive from it.
//!
//! FNV-1a over 64 bits (the constants are those of its authors, Fowler, Noll and Vo): short, without
//! state of the process, and good enough where nobody chooses the input to collide. Each field is
//! closed by a byte that UTF-8 never holds, so `ab` + `c` and `a` + `bc` differ.

/// The hash of the fields so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u64);

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
const END_OF_FIELD: u8 = 0xff;

impl Digest {
    pub(crate) fn new() -> Self {
        Self(OFFSET_BASIS)
    }

    #[must_use]
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes()).bytes(&[END_OF_FIELD])
    }

    #[must_use]
    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(crate) fn finish(self) -> u64 {
        self.0
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_of_fnv_1a_hold() {
        assert_eq!(Digest::new().finish(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Digest::new().bytes(b"a").finish(), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Digest::new().bytes(b"foobar").finish(), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn where_one_field_ends_matters() {
        assert_ne!(Digest::new().text("ab").text("c"), Digest::new().text("a").text("bc"));
    }
}
