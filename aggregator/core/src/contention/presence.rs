//! For how long a container was there, running or waiting to run, beside how long it ran.
//!
//! Who runs half of the time beside another is there all of that time, and is in a victim's way as long: by
//! CPU time alone a bursty neighbour is blamed for too little. What a container waited with none of its
//! tasks on a CPU is the `full` of its pressure file, read once a second, so what is kept is a mean over
//! some seconds. That file counts a stop by a container's own quota too (kernel/sched/psi.c sees a throttled
//! task as one that waits), and who is stopped is in nobody's way, so that is taken out. Where there is no
//! such file it is taken to have been there while it ran.

use std::collections::BTreeMap;

use crate::{frame::ContainerUse, who::ContainerKey};

/// Long enough for several readings of a pressure file, short enough to follow who comes and goes.
const MEAN_OVER_NSEC: f64 = 3e9;

/// Who hardly runs at all is not there for ever: more than this is a ratio of nothing.
const AT_MOST: f64 = 20.0;

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    ran: f64,
    waited: f64,
    /// By its quota, since the pressure file was last heard of.
    stopped: f64,
}

/// Of every container of a node.
#[derive(Debug, Default)]
pub(crate) struct Presences {
    means: BTreeMap<ContainerKey, Mean>,
}

impl Presences {
    /// For each container of a step, in their order: how much longer it was there than it ran.
    pub(crate) fn add(&mut self, dt_nsec: f64, containers: &[ContainerUse]) -> Vec<f64> {
        let keep = (-dt_nsec / MEAN_OVER_NSEC).exp();
        if self.means.len() > containers.len() {
            let is_here = |key: &ContainerKey| containers.binary_search_by_key(key, |one| one.key).is_ok();
            self.means.retain(|key, _| is_here(key));
        }
        let mut presence = |container: &ContainerUse| {
            let mean = self.means.entry(container.key).or_default();
            let waited = container.pressure.map_or(0.0, |pressure| pressure.cpu_full_usec as f64 * 1e3);
            mean.stopped += container.throttling.map_or(0.0, |stops| stops.throttled_usec as f64 * 1e3);
            mean.ran = mean.ran * keep + container.usage_nsec as f64;
            mean.waited *= keep;
            if waited > 0.0 {
                mean.waited += (waited - std::mem::take(&mut mean.stopped)).max(0.0);
            }
            if mean.ran > 0.0 { (1.0 + mean.waited / mean.ran).min(AT_MOST) } else { 1.0 }
        };
        containers.iter().map(&mut presence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contention::fixtures::{key, suspect},
        frame::{Pressure, Throttling},
    };

    /// A container that runs `msec` of each 100 and waits as long as `full` says, heard of once a second, of
    /// which its quota stops it for `stopped`.
    fn presence_of(msec: u64, full_msec_per_sec: u64, stopped_msec_per_sec: u64) -> f64 {
        let mut presences = Presences::default();
        let mut last = 0.0;
        for step in 1..=200_u64 {
            let full = if step.is_multiple_of(10) { full_msec_per_sec * 1_000 } else { 0 };
            let pressure = Some(Pressure { cpu_full_usec: full, ..Pressure::default() });
            let throttled_usec = stopped_msec_per_sec * 100;
            let throttling = Some(Throttling { throttled_usec, ..Throttling::default() });
            let container = ContainerUse { throttling, pressure, ..suspect(1, msec * 1_000_000) };
            last = presences.add(1e8, &[container])[0];
        }
        last
    }

    #[test]
    fn who_gets_half_of_the_cpu_was_there_for_twice_as_long() {
        assert!((presence_of(50, 500, 0) - 2.0).abs() < 0.2, "{}", presence_of(50, 500, 0));
        assert!((presence_of(100, 0, 0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn who_is_stopped_by_its_own_quota_is_in_nobodys_way() {
        assert!((presence_of(5, 950, 950) - 1.0).abs() < 0.7, "{}", presence_of(5, 950, 950));
        assert!(presence_of(5, 950, 0) > 15.0);
    }

    #[test]
    fn without_a_pressure_file_it_was_there_while_it_ran_and_what_has_gone_is_forgotten() {
        let mut presences = Presences::default();
        assert_eq!(presences.add(1e8, &[suspect(1, 5), suspect(2, 0)]), [1.0, 1.0]);
        presences.add(1e8, &[suspect(2, 1)]);
        assert!(presences.means.keys().eq([&key(2)]));
    }
}
