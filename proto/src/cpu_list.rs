//! Lists of CPUs as the kernel writes them: "0-3,8".
//!
//! Invariant: a parsed list is sorted, without repeats, and below
//! [`MAX_CPUS`].

use std::fmt;

use crate::limits::MAX_CPUS;

/// Why a list was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{list:?} is not a list of CPUs: write it like 0-3,8")]
pub struct CpuListError {
    list: String,
}

/// Some logical CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(Vec<u32>);

impl CpuList {
    /// Parses the kernel's form. Errors: a number that is none or too large, or a range that falls.
    pub fn parse(list: &str) -> Result<Self, CpuListError> {
        let refused = || CpuListError { list: list.chars().take(64).collect() };
        let mut cpus = Vec::new();
        for part in list.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&cpu| cpu < MAX_CPUS);
            let (first, last) = (number(first).ok_or_else(refused)?, number(last).ok_or_else(refused)?);
            if first > last {
                return Err(refused());
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        if cpus.is_empty() { Err(refused()) } else { Ok(Self(cpus)) }
    }

    /// Those that the kernel says are online. `None`: it says none.
    pub fn online(cpus: impl Iterator<Item = u32>) -> Option<Self> {
        let mut cpus: Vec<u32> = cpus.filter(|&cpu| cpu < MAX_CPUS).collect();
        cpus.sort_unstable();
        cpus.dedup();
        (!cpus.is_empty()).then_some(Self(cpus))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none; a parsed list never is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Whether `cpu` is one of them.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|before, after| before + 1 == *after);
        for (index, run) in runs.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match run {
                [only] => write!(f, "{comma}{only}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_the_kernel_writes_it() {
        for (given, written) in [("0", "0"), ("0-3,8\n", "0-3,8"), ("3,1,2,1", "1-3"), ("5-5, 7", "5,7")] {
            assert_eq!(CpuList::parse(given).unwrap().to_string(), written, "{given:?}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["", "a", "3-1", "1-", "-1", "0-99999", "0;1", " , "] {
            assert!(CpuList::parse(bad).is_err(), "{bad:?}");
        }
    }
}
