//! This machine's CPUs, and how they are parted into two nodes.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Some CPUs, by rising number; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// Those that this process may use.
    pub fn allowed() -> std::io::Result<Self> {
        let set = sched_getaffinity(None)?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()))
    }

    /// The first half and the rest, or all twice where there is but one.
    pub fn halves(&self) -> (Self, Self) {
        if self.0.len() < 2 {
            return (self.clone(), self.clone());
        }
        let (first, second) = self.0.split_at(self.0.len() / 2);
        (Self(first.to_vec()), Self(second.to_vec()))
    }

    /// The first one and the rest; `None` where there is but one.
    pub fn first_and_rest(&self) -> Option<(Self, Self)> {
        let (first, rest) = self.0.split_first()?;
        (!rest.is_empty()).then(|| (Self(vec![*first]), Self(rest.to_vec())))
    }

    /// The first one.
    pub fn first(&self) -> usize {
        self.0[0]
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// As the kernel writes lists, "0,2-3" spelt out as "0,2,3".
    pub fn list(&self) -> String {
        self.0.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }

    /// The calling thread, and those that it starts from now on, run on these CPUs.
    pub fn confine_this_thread(&self) -> std::io::Result<()> {
        Ok(sched_setaffinity(None, &self.set())?)
    }

    fn set(&self) -> CpuSet {
        let mut set = CpuSet::new();
        self.0.iter().for_each(|&cpu| set.set(cpu));
        set
    }

    /// What `spawn` starts inherits these CPUs: a child has the affinity of the thread that made it.
    pub fn inherited_by<T>(&self, spawn: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        let own = sched_getaffinity(None)?;
        sched_setaffinity(None, &self.set())?;
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
