//! The page: docs/accuracy.md and its picture.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    confusion,
    figure::{Bar, Figure, Judged, figures, mean},
    labelled::{Labelled, Measured, Soaked, Truth},
    methods::Method,
    plot::{Series, histograms},
    quantile::quantile,
    quiet::{Hours, Soaks},
    table::{number, table},
    timing::replay_speed,
};
use crate::{
    matrix,
    plan::Trial,
    result::{self, DEFAULT_SAMPLE_HZ, Half},
    soak,
};

/// Nobody has run more.
const PASSES_AT_MOST: u32 = 50;

/// What the words mean.
const PREAMBLE: &str = include_str!("preamble.md");

/// More of them, and the labels say too little.
const GREY_AT_MOST: f64 = 0.20;

/// Replay must be so much faster than the recording.
const REPLAY_SPEED: f64 = 1_000.0;

/// What is printed of a run: Markdown, and the histogram as SVG.
#[derive(Debug)]
pub struct Page {
    /// What the words mean, and the tables.
    pub markdown: String,
    /// Latencies.
    pub svg: String,
}

/// What a method says of everything.
struct Judgement<'a> {
    trials: Vec<Judged<'a>>,
    soaks: Vec<(&'a Soaked, Soaks)>,
}

impl Judgement<'_> {
    /// Of every soak that nothing disturbed.
    fn soaks(&self) -> Soaks {
        let sound = self.soaks.iter().filter(|(soaked, _)| !soaked.soak.is_disturbed());
        sound.fold(Soaks::default(), |sum, (_, found)| sum.plus(*found))
    }

    fn figures(&self) -> Vec<Figure> {
        figures(&self.trials, self.soaks())
    }
}

fn judge_trials<'a>(trials: impl Iterator<Item = &'a Labelled>, method: Method) -> Vec<Judged<'a>> {
    trials.map(|trial| Judged { trial, findings: method.judge(&trial.inputs) }).collect()
}

fn judge(measured: &Measured, method: Method) -> Judgement<'_> {
    let trials = judge_trials(measured.trials.iter(), method);
    let found = |soaked: &Soaked| {
        let hours = Hours { all: soaked.victim_hours(), at_work: soaked.swing_hours() };
        Soaks::default().with(&method.judge(&soaked.inputs), hours)
    };
    Judgement { trials, soaks: measured.soaks.iter().map(|soaked| (soaked, found(soaked))).collect() }
}

/// What has a section of its own.
#[derive(Debug, Default)]
pub struct Asides {
    /// The half of the seeds that the tables are not of.
    pub other_half: Option<Measured>,
    /// The short form on unified cgroups.
    pub unified: Option<Measured>,
}

/// The figures of the trials of one half, and every method beside Berth.
pub fn page(measured: &Measured, asides: &Asides, half: Option<Half>) -> Page {
    let trials = &measured.trials;
    let judged: BTreeMap<&'static str, Judgement<'_>> =
        Method::ALL.iter().map(|method| (method.name(), judge(measured, *method))).collect();
    let berth = &judged[Method::Berth.name()];
    let half_named = match half {
        None => "all seeds",
        Some(Half::Tuning) => "the tuning half of the seeds",
        Some(Half::Report) => "the half of the seeds that is for the report",
    };
    let markdown = [
        PREAMBLE.to_owned(),
        "![Latencies](accuracy.svg)\n\n".to_owned(),
        format!("Trials: {} ({half_named}); {}.\n\n", passes(trials, half), labels(trials)),
        headline(&berth.figures(), replay_speed(trials.iter().map(|trial| &trial.inputs[..]))),
        unlabelled(&berth.trials),
        nobody(&berth.trials),
        truths(trials),
        on_equal_terms(&berth.trials),
        within_told(&berth.trials),
        soaks(berth),
        "\n## By class\n\n".to_owned(),
        classes(&berth.trials),
        "\n## Beside others, and with a part left out\n\n".to_owned(),
        beside(&judged),
        rates(measured),
        asides
            .other_half
            .as_ref()
            .filter(|other| !other.trials.is_empty())
            .map(the_other_half)
            .unwrap_or_default(),
        format!("\n## Machine\n\n{}", machines(trials)),
        asides
            .unified
            .as_ref()
            .filter(|short| !short.trials.is_empty())
            .map(on_unified_cgroups)
            .unwrap_or_default(),
    ]
    .concat();
    Page { markdown, svg: latencies(&berth.trials) }
}

/// How many trials there are of the first pass, and of further ones.
fn passes(trials: &[Labelled], half: Option<Half>) -> String {
    let is_of_half = |trial: &Trial| half.is_none_or(|half| half == trial.half);
    let of = |passes: std::ops::RangeInclusive<u32>| -> BTreeSet<String> {
        passes.flat_map(matrix::trials).filter(is_of_half).map(|trial| trial.id).collect()
    };
    let (first, further) = (of(matrix::FIRST_PASS..=matrix::FIRST_PASS), of(2..=PASSES_AT_MOST));
    let among = |ids: &BTreeSet<String>| trials.iter().filter(|one| ids.contains(&one.outcome.id)).count();
    let (in_first, in_further) = (among(&first), among(&further));
    let unknown = trials.len() - in_first - in_further;
    let and =
        |count: usize, what: &str| if count > 0 { format!(" and {count} {what}") } else { String::new() };
    let further = and(in_further, "of further passes");
    format!("{in_first} of {}{further}{}", first.len(), and(unknown, "that are in the matrix no more"))
}

fn labels(trials: &[Labelled]) -> String {
    let sound: Vec<&Labelled> = trials.iter().filter(|trial| !trial.outcome.disturbed).collect();
    let count = |truth: Truth| sound.iter().filter(|trial| trial.truth() == truth).count();
    let grey = count(Truth::Grey) as f64 / sound.len().max(1) as f64;
    format!(
        "{} positive, {} negative, {} grey ({:.0} %, of at most {:.0} %), {} disturbed by other work of the machine",
        count(Truth::Positive),
        count(Truth::Negative),
        count(Truth::Grey),
        grey * 100.0,
        GREY_AT_MOST * 100.0,
        trials.len() - sound.len(),
    )
}

fn headline(figures: &[Figure], speed: Option<f64>) -> String {
    let row = |figure: &Figure| {
        let bar = match figure.bar {
            Bar::AtLeast(bar) => format!("≥ {bar}"),
            Bar::AtMost(bar) => format!("≤ {bar}"),
        };
        let interval =
            figure.interval.map_or_else(String::new, |(lo, hi)| format!("[{}, {}]", number(lo), number(hi)));
        vec![
            figure.name.to_owned(),
            bar,
            figure.point.map_or_else(|| "-".to_owned(), number),
            interval,
            shown_n(figure.n),
            figure.verdict().to_owned(),
        ]
    };
    let mut rows: Vec<Vec<String>> = figures.iter().map(row).collect();
    if let Some(speed) = speed {
        let verdict = if speed >= REPLAY_SPEED { "reached" } else { "missed" };
        rows.push(vec![
            "replay speed, x real time a core".to_owned(),
            format!("≥ {REPLAY_SPEED}"),
            format!("{speed:.0}"),
            String::new(),
            String::new(),
            verdict.to_owned(),
        ]);
    }
    table(&["figure", "must reach", "measured", "95 %", "n", ""], &rows)
}

/// Hours have a decimal, rounded down: what is shown claims no more than there is.
fn shown_n(n: f64) -> String {
    if n.fract() > 0.0 { format!("{:.1}", (n * 10.0).floor() / 10.0) } else { n.to_string() }
}

/// What no label speaks of.
fn unlabelled(judged: &[Judged<'_>]) -> String {
    let sound = judged.iter().filter(|judged| !judged.trial.outcome.disturbed);
    let of = |judged: &Judged<'_>| judged.findings.iter().filter(|one| judged.is_unlabelled(one)).count();
    let count: usize = sound.map(of).sum();
    format!(
        "\nLeft out of precision, because only bystanders ran then and no label speaks of it: {count} findings.\n"
    )
}

/// What was found where nobody should be.
fn nobody(judged: &[Judged<'_>]) -> String {
    let of = |truth: Truth| {
        let these = judged.iter().filter(|judged| {
            let outcome = &judged.trial.outcome;
            !outcome.disturbed && outcome.expected.verdict == "nobody" && judged.trial.truth() == truth
        });
        these.fold((0, 0), |(trials, found), judged| (trials + 1, found + judged.findings.len()))
    };
    let ((negative, in_negative), (grey, in_grey)) = (of(Truth::Negative), of(Truth::Grey));
    format!(
        "\nWhere nobody is to be found: {in_negative} findings in the {negative} trials that are negative, \
         {in_grey} in the {grey} that are grey.\n"
    )
}

/// How much of a share error may be the label's own.
fn truths(trials: &[Labelled]) -> String {
    let sound = trials.iter().filter(|trial| !trial.outcome.disturbed && trial.truth() == Truth::Positive);
    let apart: Vec<f64> = sound.filter_map(Labelled::truths_apart).collect();
    mean(&apart).map_or_else(String::new, |mean| {
        let (mean, n) = (number(mean), apart.len());
        format!(
            "\nThe two truths, Shapley and sched_switch, are {mean} from each other (mean abs., n = {n}).\n"
        )
    })
}

/// How often the label's slowdown lies within the interval that is told.
fn within_told(judged: &[Judged<'_>]) -> String {
    let sound = judged.iter().filter(|judged| !judged.trial.outcome.disturbed);
    let within: Vec<bool> = sound.filter_map(Judged::is_within_told).collect();
    let count = within.iter().filter(|is_within| **is_within).count();
    format!("\nS lies within the told interval in {count} of {} trials.\n", within.len())
}

/// The slowdown's error with what was told before the first switch taken from it.
fn on_equal_terms(judged: &[Judged<'_>]) -> String {
    let sound = judged.iter().filter(|judged| !judged.trial.outcome.disturbed);
    let error = |judged: &Judged<'_>| Some((judged.slowdown_ratio()? / judged.before()).ln().abs());
    let errors: Vec<f64> = sound.filter_map(error).collect();
    quantile(&errors, 0.5).map_or_else(String::new, |median| {
        let (median, n) = (number(median), errors.len());
        format!("\nThe slowdown divided by what was told before the first switch: {median} (median abs. ln error, n = {n}).\n")
    })
}

/// How grave the false verdicts were, and what soaks were like.
fn soaks(judgement: &Judgement<'_>) -> String {
    let found = judgement.soaks().and(&judgement.trials);
    let grave = format!(
        "\nFalse verdicts: {} in {:.1} h; {} of them held (contended or worse).\n",
        found.verdicts, found.hours.all, found.held
    );
    let each = judgement.soaks.iter().map(|(soaked, found)| {
        let soak = &soaked.soak;
        let disturbed = if soak.is_disturbed() {
            let (unowned, failed) = (soak.unowned_cpus, soak.failed_requests);
            format!("; disturbed ({unowned:.3} CPUs of other work, {failed} failed requests), so left out")
        } else {
            String::new()
        };
        format!(
            "- Soak of seed {}: {} models, {:.1} h of models, {:.2} h of them with a swing to {:.0} % of a CPU, else \
             about {:.2} %: {} findings, {} held{disturbed}.\n",
            soak.seed,
            soak.victims,
            found.hours.all,
            found.hours.at_work,
            soak::SWING_CPUS * 100.0,
            soak::QUIET_CPUS * 100.0,
            found.verdicts,
            found.held,
        )
    });
    std::iter::once(grave + "\n").chain(each).collect()
}

fn classes(judged: &[Judged<'_>]) -> String {
    let rows = confusion::rows(judged);
    let row = |(class, row): (&String, &confusion::Row)| {
        let said: Vec<String> = row.said.iter().map(|(said, count)| format!("{said} {count}")).collect();
        let median =
            |of: &[f64]| quantile(of, 0.5).map_or_else(|| "-".to_owned(), |median| format!("{median:.2}"));
        vec![
            class.clone(),
            row.expected.clone(),
            format!("{} / {} / {}", row.positive, row.negative, row.grey),
            row.disturbed.to_string(),
            median(&row.slowdowns),
            median(&row.response_slowdowns),
            median(&row.ratios),
            said.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let heads = [
        "class",
        "expected",
        "positive / negative / grey",
        "disturbed",
        "median S",
        "of response",
        "told / S *",
        "said",
    ];
    table(&heads, &rows)
}

fn beside(judged: &BTreeMap<&'static str, Judgement<'_>>) -> String {
    let named = Method::ALL.iter().map(|method| (method.name(), judged[method.name()].figures()));
    let (heads, mut all): (Vec<&str>, Vec<Vec<Figure>>) = named.unzip();
    // What a watcher saw is of the product alone.
    for figures in &mut all {
        figures.retain(|figure| !figure.name.contains("watcher"));
    }
    compared(&heads, &all)
}

/// A figure a row, beside each other; those that nothing bears on are left out, and those that stand on so
/// few that they claim nothing are in parentheses.
fn compared(heads: &[&str], all: &[Vec<Figure>]) -> String {
    let head: Vec<&str> = std::iter::once("figure").chain(heads.iter().copied()).collect();
    let rows: Vec<Vec<String>> = (0..all[0].len())
        .filter(|index| all.iter().any(|figures| figures[*index].point.is_some()))
        .map(|index| {
            let cell = |figure: &Figure| match figure.point.map(number) {
                None => "-".to_owned(),
                Some(point) if figure.is_vacuous() => format!("({point})"),
                Some(point) => point,
            };
            let cells = all.iter().map(|figures| cell(&figures[index]));
            std::iter::once(all[0][index].name.to_owned()).chain(cells).collect()
        })
        .collect();
    table(&head, &rows)
}

/// The same trials with an agent that samples at other rates, and the default one.
fn rates(measured: &Measured) -> String {
    if measured.at_other_rates.is_empty() {
        return String::new();
    }
    let rates: BTreeSet<u32> = measured.at_other_rates.iter().map(|trial| trial.outcome.sample_hz).collect();
    let is_at_another = |trial: &Labelled| {
        let at = |hz: &u32| result::id_at(&trial.outcome.id, *hz);
        rates.iter().any(|hz| measured.at_other_rates.iter().any(|other| other.outcome.id == at(hz)))
    };
    let default = judge_trials(measured.trials.iter().filter(|trial| is_at_another(trial)), Method::Berth);
    let mut columns = vec![(DEFAULT_SAMPLE_HZ, default)];
    columns.extend(rates.iter().map(|hz| {
        let of_it = measured.at_other_rates.iter().filter(|trial| trial.outcome.sample_hz == *hz);
        (*hz, judge_trials(of_it, Method::Berth))
    }));
    columns.sort_by_key(|(hz, _)| *hz);
    let all: Vec<Vec<Figure>> = columns.iter().map(|(_, judged)| figures(judged, Soaks::default())).collect();
    let heads: Vec<String> =
        columns.iter().map(|(hz, judged)| format!("{hz} Hz ({} trials)", judged.len())).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    format!("\n## At other rates of sampling\n\n{}", compared(&heads, &all))
}

fn latencies(judged: &[Judged<'_>]) -> String {
    let sound = || judged.iter().filter(|judged| !judged.trial.outcome.disturbed);
    let alarms: Vec<f64> = sound().filter_map(Judged::alarm_sec).collect();
    let watched: Vec<f64> = sound().filter_map(Judged::watched_sec).collect();
    histograms(&[
        Series { title: "onset to alarm", colour: "#4477aa", values: &alarms },
        Series { title: "onset to first verdict at a watcher", colour: "#ee6677", values: &watched },
    ])
}

fn machines(trials: &[Labelled]) -> String {
    let machines: std::collections::BTreeSet<String> =
        trials.iter().map(|trial| format!("- {}\n", trial.outcome.machine)).collect();
    machines.into_iter().collect()
}

/// The seeds that the tables are not of.
fn the_other_half(measured: &Measured) -> String {
    let berth = judge(measured, Method::Berth);
    [
        "\n## The other half\n\n".to_owned(),
        format!("Trials: {}; {}.\n\n", measured.trials.len(), labels(&measured.trials)),
        headline(&berth.figures(), None),
        unlabelled(&berth.trials),
        nobody(&berth.trials),
        on_equal_terms(&berth.trials),
        within_told(&berth.trials),
        soaks(&berth),
        "\nBy class:\n\n".to_owned(),
        classes(&berth.trials),
    ]
    .concat()
}

/// The trials of a machine whose cgroups are of one version.
fn on_unified_cgroups(measured: &Measured) -> String {
    let (trials, berth) = (&measured.trials, judge(measured, Method::Berth));
    let mut figures = berth.figures();
    let emulated = trials.iter().any(|trial| trial.outcome.machine.is_emulated());
    let how = if emulated {
        "It was emulated, so that all, Berth too, took many times as long: its latencies are left out.\n\n"
    } else {
        ""
    };
    figures.retain(|figure| !(emulated && figure.name.starts_with("onset")));
    [
        "\n## On unified cgroups only\n\n".to_owned(),
        "The short form of the trials, in a virtual machine without version 1 of cgroups (`make accuracy-unified`).\n\n"
            .to_owned(),
        how.to_owned(),
        machines(trials),
        format!("\nTrials: {} of {}; {}.\n\n", trials.len(), matrix::short().len(), labels(trials)),
        headline(&figures, None),
        "\nBy class:\n\n".to_owned(),
        classes(&berth.trials),
    ]
    .concat()
}
