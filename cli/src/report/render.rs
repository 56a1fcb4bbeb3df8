//! A report as two tables, and a revision as a line.

use berth::wire::Resource;

use super::Report;
use crate::text;
use crate::view::word::Word;
use crate::view::{Episode, ModelSummary, Who};

/// Digits of an episode's id: `explain` takes the beginning of one, and these tell thousands apart.
const ID_SHOWN: usize = 8;

/// Columns of the models where there is no room for more.
const NARROW_COLUMNS: usize = 7;

/// Both tables, with an empty line between them.
pub(super) fn report(report: &Report, wide: bool, colour: bool) -> String {
    let mut page = String::new();
    if report.models.is_empty() {
        page.push_str("no models\n");
    } else {
        models(&mut page, report, wide, colour);
    }
    if !report.episodes.is_empty() {
        page.push('\n');
        episodes(&mut page, &report.episodes, colour);
    }
    page
}

fn models(page: &mut String, report: &Report, wide: bool, colour: bool) {
    let header = [
        "MODEL",
        "NODE",
        "VERDICT",
        "SEVERITY",
        "SLOWDOWN",
        "WAITS FOR",
        "SINCE",
        "OWNER",
        "CPU",
        "TIER",
        "COVERAGE",
    ];
    let columns = if wide { header.len() } else { NARROW_COLUMNS };
    let mut table = text::table(&header[..columns], &[]);
    for model in &report.models {
        let owner = model.who.as_ref().map(Who::owner).filter(|owner| !owner.is_empty());
        let row = [
            model.name(),
            model.node.clone(),
            model.verdict.word(),
            model.severity.map_or_else(|| text::NONE.to_owned(), Word::word),
            text::slowdown(model.slowdown),
            blame(model, &report.episodes),
            since(model, &report.episodes),
            owner.unwrap_or_else(|| text::NONE.to_owned()),
            format!("{:.2}", model.cpus),
            model.tier.word(),
            text::percent(model.coverage),
        ];
        table.add_row(row.into_iter().take(columns));
    }
    text::add_table(
        page,
        &table,
        report.models.iter().map(|model| model.severity.and_then(text::Hue::of).filter(|_| colour)),
    );
}

fn since(model: &ModelSummary, episodes: &[Episode]) -> String {
    let onset = open(model, episodes).and_then(|episode| episode.onset);
    onset.map_or_else(|| text::NONE.to_owned(), |onset| onset.to_string())
}

/// Without an episode it is the wait for CPU time that is shown.
fn blame(model: &ModelSummary, episodes: &[Episode]) -> String {
    let resource = open(model, episodes).map_or(Resource::Cpu, |episode| episode.resource);
    text::blame(&model.shares, resource, model.verdict)
}

fn open<'a>(model: &ModelSummary, episodes: &'a [Episode]) -> Option<&'a Episode> {
    episodes.iter().find(|episode| !model.episode_id.is_empty() && episode.id == model.episode_id)
}

/// The table of episodes.
pub(crate) fn episodes(page: &mut String, episodes: &[Episode], colour: bool) {
    let header =
        ["EPISODE", "MODEL", "NODE", "VERDICT", "SEVERITY", "SLOWDOWN", "WAITED FOR", "ONSET", "LASTED"];
    let mut table = text::table(&header, &[]);
    for episode in episodes {
        table.add_row([
            episode.id.chars().take(ID_SHOWN).collect(),
            episode.victim_name(),
            episode.node.clone(),
            verdict(episode),
            episode.severity.word(),
            text::slowdown(episode.slowdown),
            text::blame(&episode.shares, episode.resource, episode.verdict),
            episode.onset.map_or_else(|| text::NONE.to_owned(), |onset| onset.to_string()),
            lasted(episode).unwrap_or_else(|| "open".to_owned()),
        ]);
    }
    text::add_table(page, &table, episodes.iter().map(|episode| episode_hue(episode, colour)));
}

/// CPU time is what is nearly always fought over, so that only another resource is named.
fn verdict(episode: &Episode) -> String {
    match episode.resource {
        Resource::Cpu | Resource::Unspecified => episode.verdict.word(),
        resource => format!("{} ({})", episode.verdict.word(), resource.word()),
    }
}

/// One revision, as `report -w` prints it.
pub(crate) fn revision(episode: &Episode, colour: bool) -> String {
    let state = lasted(episode).map_or_else(|| "open".to_owned(), |lasted| format!("cleared after {lasted}"));
    let line = format!(
        "{}  {}  {}  {} {} {} {}  {}  {state}  {}",
        episode.onset.map_or_else(|| text::NONE.to_owned(), |onset| onset.to_string()),
        episode.victim_name(),
        episode.node,
        episode.resource.word(),
        episode.verdict.word(),
        episode.severity.word(),
        text::slowdown(episode.slowdown),
        text::blame(&episode.shares, episode.resource, episode.verdict),
        episode.id,
    );
    let mut painted = text::painted(line, episode_hue(episode, colour));
    painted.push('\n');
    painted
}

/// What is over needs no attention.
fn episode_hue(episode: &Episode, colour: bool) -> Option<text::Hue> {
    text::Hue::of(episode.severity).filter(|_| colour && episode.cleared.is_none())
}

fn lasted(episode: &Episode) -> Option<String> {
    Some(text::duration(episode.cleared?.since(episode.onset?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    fn sample_report() -> Report {
        let mut over = Episode::from(sample::episode());
        over.id = "0badc0de0badc0de".to_owned();
        over.cleared = Some(sample::at(125_000).into());
        Report {
            models: vec![ModelSummary::from(sample::model()), ModelSummary::from(sample::quiet_model())],
            episodes: vec![Episode::from(sample::episode()), over],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_report_is_two_tables_of_one_line_a_row() {
        insta::assert_snapshot!(report(&sample_report(), false, false));
    }

    #[test]
    fn a_wide_report_says_whose_the_models_are_and_what_was_seen_of_them() {
        insta::assert_snapshot!(report(&sample_report(), true, false));
    }

    #[test]
    fn only_what_is_open_and_held_is_coloured() {
        let page = report(&sample_report(), false, true);
        let coloured: Vec<bool> = page.lines().map(|line| line.starts_with("\u{1b}[33m")).collect();
        assert_eq!(coloured, [false, true, false, false, false, true, false], "{page}");
    }

    #[test]
    fn no_models_are_said() {
        let empty = Report { models: Vec::new(), episodes: Vec::new(), notes: Vec::new() };
        assert_eq!(report(&empty, false, false), "no models\n");
    }

    #[test]
    fn a_revision_is_one_line() {
        insta::assert_snapshot!(revision(&Episode::from(sample::episode()), false));
    }
}
