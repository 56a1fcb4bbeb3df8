//! Which trials there are.
//!
//! Each cell of the matrix is run under an even seed, for tuning, and an odd one, for the report. Classes
//! of one kind differ in one thing only, so that a figure that is missed points at its cause.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    plan::{Own, Suspect, Trial, Victim},
    result::{Expected, Half},
    suspects::Kind,
    timeline::Rhythm,
    victims,
};
use berth_cli::stage::DEFAULT_WEIGHT;

mod alone;
mod beside;
mod programs;
mod several;

/// The first pass over the matrix.
pub const FIRST_PASS: u32 = 1;

/// Every trial of one pass, in the order in which they are run: class by class in turn, so that a run that is
/// cut short has some of each. Passes differ in their seeds, so that the trials of several pool.
pub fn trials(pass: u32) -> Vec<Trial> {
    let mut classes: BTreeMap<&str, VecDeque<Trial>> = BTreeMap::new();
    let all = beside::cells()
        .into_iter()
        .chain(programs::cells())
        .chain(several::cells())
        .chain(alone::cells())
        .flat_map(|cell| cell.seeds(pass));
    for trial in all {
        classes.entry(trial.class).or_default().push_back(trial);
    }
    let mut trials = Vec::new();
    while classes.values().any(|class| !class.is_empty()) {
        trials.extend(classes.values_mut().filter_map(VecDeque::pop_front));
    }
    trials
}

/// One trial of each main class, all of this tree's own programs: what a test can wait for.
const SHORT: [&str; 7] = [
    "cpu_one-refmodel1-20-scanner-1",
    "cpu_one-refmodel1-50-busy-1",
    "decoy_elsewhere-50-1",
    "own_cpu_limit-refmodel1-1",
    "own_flood-refmodel16-1",
    "quiet-refmodel1-50-1",
    "unowned-refmodel1-20-1",
];

/// The short form of [`trials`].
pub fn short() -> Vec<Trial> {
    trials(FIRST_PASS).into_iter().filter(|trial| SHORT.contains(&trial.id.as_str())).collect()
}

/// A trial without its seed.
#[derive(Debug, Clone)]
struct Cell {
    class: &'static str,
    name: String,
    victim: Victim,
    load: f64,
    at_once: u32,
    suspects: Vec<Suspect>,
    bystanders: u32,
    own: Option<Own>,
    stray: bool,
    subsets: bool,
    expected: Expected,
    seeds: u64,
}

impl Cell {
    /// Nobody beside the example model.
    fn of(class: &'static str, name: impl Into<String>) -> Self {
        Self {
            class,
            name: name.into(),
            victim: refmodel(1),
            load: 0.5,
            at_once: 1,
            suspects: Vec::new(),
            bystanders: 0,
            own: None,
            stray: false,
            subsets: false,
            expected: nobody(),
            seeds: 2,
        }
    }

    /// Beside these, of whom those are to be named who share the victim's CPU.
    fn beside(class: &'static str, name: impl Into<String>, suspects: Vec<Suspect>) -> Self {
        let culprits = (1..).zip(&suspects).filter(|(_, suspect)| !suspect.elsewhere);
        let culprits: Vec<String> = culprits.map(|(number, _)| format!("suspect-{number}")).collect();
        let expected = if culprits.is_empty() { nobody() } else { expected("neighbour", "cpu", culprits) };
        Self { suspects, expected, ..Self::of(class, name) }
    }

    fn seeds(self, pass: u32) -> impl Iterator<Item = Trial> {
        let first = self.seeds * u64::from(pass - FIRST_PASS);
        (first..first + self.seeds).map(move |seed| Trial {
            id: format!("{}-{}-{seed}", self.class, self.name),
            class: self.class,
            // Trials of different cells have different orders, and a cell has the same ones each time.
            seed: seed + 2 * self.name.bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000),
            half: if seed % 2 == 0 { Half::Tuning } else { Half::Report },
            victim: self.victim,
            load: self.load,
            at_once: self.at_once,
            suspects: self.suspects.clone(),
            bystanders: self.bystanders,
            own: self.own,
            stray: self.stray,
            subsets: self.subsets,
            expected: self.expected.clone(),
        })
    }
}

fn expected(verdict: &str, resource: &str, culprits: Vec<String>) -> Expected {
    Expected { verdict: verdict.to_owned(), resource: resource.to_owned(), culprits }
}

fn nobody() -> Expected {
    expected("nobody", "cpu", Vec::new())
}

fn refmodel(threads: u32) -> Victim {
    Victim { kind: victims::Kind::Refmodel { rows: 1 }, threads, weight: DEFAULT_WEIGHT }
}

/// A suspect of the default weight on the victim's CPU, on throughout its blocks.
fn suspect(kind: Kind) -> Suspect {
    Suspect { kind, rhythm: Rhythm::Steady, weight: DEFAULT_WEIGHT, elsewhere: false }
}

/// Nothing but CPU.
const HOG: Kind = Kind::Busy { threads: 1, duty: 1.0 };

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::blocks;

    /// A run within two and a half hours, and a short one within five minutes.
    const LONGEST_SECONDS: (u32, u32) = (9_000, 300);

    /// To set the scene of a trial and to strike it.
    const AROUND_SECONDS: u32 = 3;

    #[test]
    fn every_trial_has_an_id_of_its_own_and_half_of_them_are_for_the_report() {
        let trials = trials(FIRST_PASS);
        let ids: BTreeSet<_> = trials.iter().map(|trial| &trial.id).collect();
        assert_eq!(ids.len(), trials.len());
        let tuning = trials.iter().filter(|trial| trial.half == Half::Tuning).count();
        assert_eq!(tuning * 2, trials.len());
    }

    #[test]
    fn passes_have_seeds_of_their_own_and_as_many_for_the_report() {
        let ids = |pass| trials(pass).into_iter().map(|trial| trial.id).collect::<BTreeSet<_>>();
        assert!(ids(FIRST_PASS).is_disjoint(&ids(2)) && ids(2).is_disjoint(&ids(3)));
        let halves = |pass| trials(pass).into_iter().filter(|trial| trial.half == Half::Report).count();
        assert_eq!(halves(FIRST_PASS), halves(2));
    }

    #[test]
    fn a_whole_run_fits_its_time() {
        let length = |trial: &Trial| blocks::seconds(&trial.blocks()) + AROUND_SECONDS;
        let seconds = |trials: Vec<Trial>| -> u32 { trials.iter().map(length).sum() };
        let (whole, brief) = (seconds(trials(FIRST_PASS)), seconds(short()));
        assert!(whole <= LONGEST_SECONDS.0 && brief <= LONGEST_SECONDS.1, "{whole} s, {brief} s");
    }

    #[test]
    fn the_short_form_names_trials_that_need_nothing_but_this_tree() {
        let short = short();
        assert_eq!(short.len(), SHORT.len());
        assert!(short.iter().all(|trial| trial.tools().next().is_none() && trial.half == Half::Report));
    }

    #[test]
    fn there_are_enough_positives_and_negatives_to_say_something() {
        let trials = trials(FIRST_PASS);
        let of = |verdict: &str| trials.iter().filter(|trial| trial.expected.verdict == verdict).count();
        let neighbours = of("neighbour");
        assert!(neighbours >= 60, "{neighbours} neighbours");
        assert!(trials.len() - neighbours >= 60, "{} others", trials.len() - neighbours);
    }
}
