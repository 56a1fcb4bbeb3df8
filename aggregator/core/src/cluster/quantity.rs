//! Amounts as Kubernetes writes them: `250m`, `1.5`, `64Mi`, `1e3`.
//!
//! Rounded up, as the scheduler counts (`Quantity.MilliValue` and `Quantity.Value` in
//! k8s.io/apimachinery/pkg/api/resource). Invariant: what is no amount, or a negative one, is `None`.

use crate::sizing::{CpuMilli, MemoryBytes};

/// The suffixes, with what they stand for as a fraction.
const SUFFIXES: [(&str, u128, u128); 15] = [
    ("Ki", 1 << 10, 1),
    ("Mi", 1 << 20, 1),
    ("Gi", 1 << 30, 1),
    ("Ti", 1 << 40, 1),
    ("Pi", 1 << 50, 1),
    ("Ei", 1 << 60, 1),
    ("n", 1, 1_000_000_000),
    ("u", 1, 1_000_000),
    ("m", 1, 1_000),
    ("k", 1_000, 1),
    ("M", 1_000_000, 1),
    ("G", 1_000_000_000, 1),
    ("T", 1_000_000_000_000, 1),
    ("P", 1_000_000_000_000_000, 1),
    ("E", 1_000_000_000_000_000_000, 1),
];

/// Digits behind the point, and the largest exponent: more than these no amount has that fits 64 bits.
const PLACES: u32 = 18;

/// An amount of CPU.
pub fn cpu_milli(text: &str) -> Option<CpuMilli> {
    scaled(text, 1_000).map(CpuMilli)
}

/// An amount of memory.
pub fn memory_bytes(text: &str) -> Option<MemoryBytes> {
    scaled(text, 1).map(MemoryBytes)
}

/// The amount times `unit`, rounded up.
fn scaled(text: &str, unit: u128) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let digits: u128 = format!("{whole}{part}").parse().ok()?;
    let places = u32::try_from(part.len()).ok().filter(|places| *places <= PLACES)?;
    let (times, by) = factor(suffix)?;
    let by = by.checked_mul(10_u128.checked_pow(places)?)?;
    u64::try_from(digits.checked_mul(times)?.checked_mul(unit)?.div_ceil(by)).ok()
}

fn factor(suffix: &str) -> Option<(u128, u128)> {
    if suffix.is_empty() {
        return Some((1, 1));
    }
    if let Some((_, times, by)) = SUFFIXES.into_iter().find(|(name, ..)| *name == suffix) {
        return Some((times, by));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = Some(exponent.unsigned_abs()).filter(|power| *power <= PLACES)?;
    let power = 10_u128.checked_pow(power)?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them_and_rounded_up() {
        for (text, milli) in [
            ("1", 1_000),
            ("250m", 250),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1_000),
            ("1.0005", 1_001),
            ("100u", 1),
            ("1n", 1),
            ("2k", 2_000_000),
            ("1e1", 10_000),
            ("5E-1", 500),
            ("0", 0),
        ] {
            assert_eq!(cpu_milli(text), Some(CpuMilli(milli)), "{text}");
        }
        for (text, bytes) in [
            ("134217728", 134_217_728),
            ("64Mi", 64 << 20),
            ("1.5Gi", 3 << 29),
            ("128M", 128_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1500m", 2),
            ("8Ei", 8 << 60),
        ] {
            assert_eq!(memory_bytes(text), Some(MemoryBytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in [
            "",
            ".",
            "m",
            "-1",
            "+1",
            "1.2.3",
            "1 Gi",
            "1gi",
            "1e",
            "1e99",
            "16Ei",
            "ten",
            "é",
            "9".repeat(50).as_str(),
        ] {
            assert_eq!(memory_bytes(text), None, "{text}");
        }
    }
}
