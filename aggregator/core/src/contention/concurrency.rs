//! A model's own requests meet on its CPUs and wait for each other, also when it is alone: that is its
//! load, and nobody's doing.
//!
//! While the model leaves some of the CPU that it could have, it is taken for a queue whose server is shared
//! (M/G/1 processor sharing, Kleinrock 1967): with a part c of its CPUs left to it and a load of rho, its
//! own threads hold each other up for rho / (c - rho) of their run, and for rho / (1 - rho) if all were
//! left to it. So of what they do wait for each other, the part (c - rho) / (1 - rho) is ordinary, and the
//! rest comes from who took the CPU. A model that uses nearly all that it could have is oversubscribed: then
//! what its threads wait for each other counts as it is.
//!
//! A CPU limit takes no part of the CPUs: it stops all threads at once, and when it lets go they hold each
//! other up as they would have. So the time for which it stops them is left out of both, and all of it is
//! harm: models that three requests reach at once were told 2.4 times their slowdown before.

use crate::contention::decompose::{Foreign, Held, Split};

/// From this use of what it could have on, it is oversubscribed. A queue of requests that come at random
/// is ten times as slow as its server by then.
const FULL: f64 = 0.9;

/// With less of its work in the threads that were read, what they wait says nothing of the rest: threads that
/// live shorter than from one reading to the next are never seen, and a server of such has some that are.
const SEEN_AT_LEAST: f64 = 0.5;

/// Sums over the last half second or so: what is ordinary is a mean.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// CPU time of the cgroup while its threads were read.
    usage: f64,
    run: f64,
    wait: f64,
    throttled: f64,
    own: f64,
    capacity: f64,
}

impl Sums {
    /// With those of an earlier step.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            usage: self.usage + other.usage,
            run: self.run + other.run,
            wait: self.wait + other.wait,
            throttled: self.throttled + other.throttled,
            own: self.own + other.own,
            capacity: self.capacity + other.capacity,
        }
    }

    /// Of a step, as it was decomposed.
    pub(crate) fn of(split: &Split) -> Self {
        let usage = if split.seen { split.usage } else { 0.0 };
        let Split { run, wait, throttled, own, capacity, .. } = *split;
        Self { usage, run, wait, throttled, own, capacity }
    }

    /// Most of the work was done by the threads that were read.
    pub(crate) fn are_of_most_threads(self) -> bool {
        self.run >= SEEN_AT_LEAST * self.usage
    }

    /// The part of the own threads' wait for each other that is ordinary; `None`: it is oversubscribed, or
    /// nobody knows what it could have.
    fn ordinary_part(self) -> Option<f64> {
        let contended = self.wait - self.throttled;
        let sojourn = self.run + contended;
        if self.capacity <= 0.0 || sojourn <= 0.0 {
            return None;
        }
        let load = self.run / self.capacity;
        let left = 1.0 - (contended - self.own).max(0.0) / sojourn;
        (load < FULL * left).then(|| (left - load) / (1.0 - load))
    }

    /// Takes the ordinary part of the own wait for work, and lays the rest on who took the CPU meanwhile:
    /// what queued up behind one who has just left is not the doing of who came since.
    pub(crate) fn settle<'a>(self, split: &mut Split, recent: impl Iterator<Item = &'a Foreign> + Clone) {
        let Some(ordinary) = self.ordinary_part() else { return };
        let foreign = recent.clone().map(Foreign::nsec).sum::<f64>();
        // Where nobody was in the way, all of it is ordinary.
        let ordinary = if foreign > 0.0 { split.own * ordinary } else { split.own };
        let caused = split.own - ordinary;
        split.work += ordinary;
        split.wait -= ordinary;
        split.own = 0.0;
        if caused > 0.0 {
            recent.for_each(|part| charge(split, part, caused / foreign));
        }
    }
}

/// Lays on each of `foreign` so much for each nanosecond that it held.
fn charge(split: &mut Split, foreign: &Foreign, times: f64) {
    split.irq += foreign.irq * times;
    split.steal += foreign.steal * times;
    split.unowned += foreign.unowned * times;
    for held in &foreign.others {
        let nsec = held.nsec * times;
        // Both are by rising key.
        match split.others.binary_search_by_key(&held.key, |known| known.key) {
            Ok(at) => split.others[at].nsec += nsec,
            Err(at) => split.others.insert(at, Held { nsec, fair_nsec: 0.0, ..held.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::fixtures::{key, who};

    fn step(run: f64, own: f64, foreign: f64) -> Split {
        let wait = own + foreign;
        Split { seen: true, run, work: run, wait, own, unowned: foreign, capacity: 100.0, ..Split::default() }
    }

    fn settled(of: &Split) -> Split {
        let mut split = of.clone();
        Sums::of(of).settle(&mut split, [Foreign::of(of)].iter());
        assert!((split.work + split.wait - (of.run + of.wait)).abs() < 1e-9, "nothing is lost");
        let parts = split.own + split.unowned + split.throttled;
        assert!((parts - split.wait).abs() < 1e-9, "and the parts sum to the whole");
        split
    }

    #[test]
    fn requests_that_meet_in_an_idle_machine_are_its_load() {
        let split = settled(&step(30.0, 20.0, 0.0));
        assert!(split.wait.abs() < 1e-9 && (split.work - 50.0).abs() < 1e-9);
    }

    #[test]
    fn what_they_wait_more_because_of_others_is_laid_on_these() {
        // Half of the CPU at a load of 0.25: four times as long as alone in all, of that 1.33 is ordinary.
        let (run, sojourn) = (25.0, 100.0);
        let own = 0.25 / (0.5 - 0.25) * run;
        let split = settled(&step(run, own, sojourn - run - own));
        assert!((split.work / run - 1.0 / (1.0 - 0.25)).abs() < 1e-9, "{split:?}");
        assert!(split.own.abs() < 1e-9 && ((split.work + split.wait) / split.work - 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_they_wait_for_each_other_between_two_stops_is_as_ordinary_as_without_a_limit() {
        let under_limit = |open: f64, own: f64, foreign: f64| {
            let free = step(30.0, own, foreign);
            Split { throttled: 100.0, wait: free.wait + 100.0, capacity: open, ..free }
        };
        let split = settled(&under_limit(40.0, 60.0, 0.0));
        assert!((split.work - 90.0).abs() < 1e-9 && (split.wait - 100.0).abs() < 1e-9, "{split:?}");
        let of = under_limit(31.0, 60.0, 0.0);
        assert!((settled(&of).own - 60.0).abs() < 1e-9, "it uses all that it is let");
        let split = settled(&under_limit(100.0, 20.0, 10.0));
        assert!((split.throttled - 100.0).abs() < 1e-9, "what a neighbour causes is not laid on the limit");
        assert!(split.unowned > 10.0 && split.own.abs() < 1e-9, "{split:?}");
    }

    #[test]
    fn what_queued_up_behind_one_who_has_left_is_not_laid_on_a_bystander() {
        let held = |number: u32, nsec| {
            let name = format!("suspect-{number}");
            Held { key: key(number), who: who(&name, &name), nsec, fair_nsec: 0.0 }
        };
        let beside = |run: f64, own: f64, others: Vec<Held>| {
            let foreign: f64 = others.iter().map(|held| held.nsec).sum();
            Split { wait: own + foreign, unowned: 0.0, others, ..step(run, own, 0.0) }
        };
        // A holds the CPU in one step, a bystander a little of it in both.
        let first = beside(39.0, 25.0, vec![held(1, 60.0), held(2, 1.0)]);
        let second = beside(50.0, 30.0, vec![held(2, 1.0)]);
        let recent = [Foreign::of(&second), Foreign::of(&first)];
        let mut split = second.clone();
        Sums::of(&first).with(Sums::of(&second)).settle(&mut split, recent.iter());
        let told = |number| split.others.iter().find(|held| held.key == key(number)).unwrap().nsec;
        assert!(told(2) > 1.0 && told(2) < 0.1 * told(1), "{split:?}");
        assert!((split.work + split.wait - (second.run + second.wait)).abs() < 1e-9, "nothing is lost");
        assert!((told(1) + told(2) - split.wait).abs() < 1e-9, "and the parts sum to the whole");
    }

    #[test]
    fn who_uses_all_that_it_could_have_is_oversubscribed() {
        for of in [step(95.0, 190.0, 0.0), step(48.0, 96.0, 144.0)] {
            let split = settled(&of);
            assert!((split.own - of.own).abs() < 1e-9 && (split.work - of.run).abs() < 1e-9, "{of:?}");
        }
    }
}
