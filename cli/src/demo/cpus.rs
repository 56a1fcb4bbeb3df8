//! This machine's CPUs, parted into the two nodes of the demonstration.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Some CPUs, by rising number; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cpus(Vec<usize>);

impl Cpus {
    /// Those that this process may use.
    pub(super) fn allowed() -> std::io::Result<Self> {
        let set = sched_getaffinity(None)?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()))
    }

    /// The first half and the rest, or all twice where there is but one.
    pub(super) fn halves(&self) -> (Self, Self) {
        if self.0.len() < 2 {
            return (self.clone(), self.clone());
        }
        let (first, second) = self.0.split_at(self.0.len() / 2);
        (Self(first.to_vec()), Self(second.to_vec()))
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// As the kernel writes lists, "0,2-3" spelt out as "0,2,3".
    pub(super) fn list(&self) -> String {
        self.0.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }

    /// What `spawn` starts inherits these CPUs: a child has the affinity of the thread that made it.
    pub(super) fn inherited_by<T>(&self, spawn: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        let own = sched_getaffinity(None)?;
        let mut set = CpuSet::new();
        self.0.iter().for_each(|&cpu| set.set(cpu));
        sched_setaffinity(None, &set)?;
        let spawned = spawn();
        sched_setaffinity(None, &own)?;
        spawned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_belongs_to_one_node_and_one_cpu_alone_to_both() {
        let halves = |cpus: &[usize]| {
            let (a, b) = Cpus(cpus.to_vec()).halves();
            (a.list(), b.list())
        };
        assert_eq!(halves(&[0, 1]), ("0".into(), "1".into()));
        assert_eq!(halves(&[0, 1, 4, 5, 7]), ("0,1".into(), "4,5,7".into()));
        assert_eq!(halves(&[3]), ("3".into(), "3".into()));
    }
}
