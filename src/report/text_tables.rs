//! The tables of a comparison as text, narrow enough for 80 columns where names are short.

use super::compare::Comparison;
use super::conclusion::verdict;
use super::jumps::{Jump, TermJump, by_edge, typical};
use super::measure::{self, CROSS_ENTROPY, MASS_ERROR};
use super::numbers::grouped;
use super::progress::{BranchProgress, SetProgress};
use super::robust::median;
use super::scores::{BranchScores, SetScores};
use super::statistics::{Estimate, Judgement, Spread, mean};
use super::style::{Look, Style};
use super::sweep::{Curve, Sweep};
use super::table::{Cell, Table};

/// Rows of the longest tables; the rest is in the CSV.
const MOST_ROWS: usize = 40;
/// Accuracies of which the steps are shown.
const MOST_MILESTONES: usize = 4;

pub fn scores(set: &SetScores, style: Style) -> String {
    let mut table = Table::new(["branch", "tokens %", "peptides %", "20 ppm %", "median ppm", "nats"]);
    for branch in &set.branches {
        let cell =
            |metric: &str| Cell::from(branch.metrics.get(metric).map_or("-".to_owned(), |spread| spread_text(metric, spread)));
        table.row([
            Cell::from(&branch.branch),
            cell("token_accuracy"),
            cell("peptide_precision"),
            cell("within_20_ppm"),
            cell(MASS_ERROR),
            cell(CROSS_ENTROPY),
        ]);
    }
    table.shown(style)
}

fn spread_text(metric: &str, spread: &Spread) -> String {
    let mean = measure::number(metric, spread.mean);
    spread.deviation.map_or(mean.clone(), |deviation| format!("{mean} ± {}", measure::number(metric, deviation)))
}

/// Metrics of which differences are shown: two that everybody knows, and what the rule names on this set.
pub fn main_metrics(comparison: &Comparison, set: &SetScores) -> Vec<String> {
    let rule = comparison.conclusion.rule.as_ref().map(crate::spec::Decide::parts);
    let ruling = rule.filter(|(name, _)| *name == set.set).map(|(_, metric)| metric);
    let mut metrics: Vec<String> = Vec::new();
    for metric in ruling.into_iter().chain(["token_accuracy", "peptide_precision"]) {
        if !metrics.iter().any(|known| known == metric) {
            metrics.push(metric.to_owned());
        }
    }
    metrics
}

pub fn differences_title(comparison: &Comparison, set: &SetScores, metric: &str) -> String {
    let (words, unit, reference) = (measure::words(metric), measure::unit(metric), &comparison.reference);
    let band = set.null_bands.get(metric).map_or(String::new(), |band| {
        format!("; two sets of {reference}'s own seeds differ by up to {}, 95 of 100 times", measure::number(metric, *band))
    });
    format!("{words} against {reference}, {unit}, seed by seed{band}")
}

/// Differences with intervals that hold for all branches at once.
pub fn differences(set: &SetScores, metric: &str, style: Style) -> String {
    let mut table = Table::new(["branch", "difference", "95 % interval", "verdict"]);
    for branch in &set.branches {
        let Some(estimate) = branch.differences.get(metric) else { continue };
        table.row([
            Cell::from(&branch.branch),
            Cell::from(measure::signed(metric, estimate.mean)),
            Cell::from(interval_text(metric, estimate.simultaneous)),
            verdict_cell(estimate),
        ]);
    }
    table.shown(style)
}

fn interval_text(metric: &str, interval: Option<(f64, f64)>) -> String {
    let signed = |value: f64| measure::signed(metric, value);
    interval.map_or("-".to_owned(), |(low, high)| format!("{} to {}", signed(low), signed(high)))
}

fn verdict_cell(estimate: &Estimate) -> Cell {
    let look = match estimate.judgement {
        Some(Judgement::Better) => Look::Good,
        Some(Judgement::Worse) => Look::Bad,
        Some(Judgement::UnderPowered { .. }) => Look::Doubtful,
        Some(Judgement::NoDetectableDifference) | None => Look::Plain,
    };
    Cell::new(&verdict(estimate), look)
}

pub fn by_length(set: &SetScores, style: Style) -> String {
    let mut names: Vec<&String> = set.branches.iter().flat_map(|branch| branch.by_length.keys()).collect();
    names.sort_by_key(|name| name.split(['-', '+']).next().and_then(|start| start.parse::<u32>().ok()));
    names.dedup();
    if names.is_empty() {
        return String::new();
    }
    let heading = ["tokens % by length".to_owned()].into_iter().chain(names.iter().map(|name| (*name).clone()));
    let mut table = Table::new(heading);
    let cell = |branch: &BranchScores, name: &str| {
        branch.by_length.get(name).map_or("-".to_owned(), |value| measure::number("token_accuracy", *value))
    };
    for branch in &set.branches {
        table.row([branch.branch.clone()].into_iter().chain(names.iter().map(|name| cell(branch, name))));
    }
    table.shown(style)
}

/// The best evaluation, and the median step at which accuracies were first reached: the highest few that any branch reached.
pub fn progress(progress: &SetProgress, style: Style) -> String {
    let reached = |index: usize| progress.branches.iter().any(|branch| !branch.milestones[index].steps.is_empty());
    let count = progress.branches.first().map_or(0, |branch| branch.milestones.len());
    let all: Vec<usize> = (0..count).filter(|index| reached(*index)).collect();
    let shown = &all[all.len().saturating_sub(MOST_MILESTONES)..];
    let names = shown.iter().filter_map(|index| progress.branches.first().map(|branch| branch.milestones[*index].accuracy));
    let names = names.map(|accuracy| format!("{:.0} % at", accuracy * 100.0));
    let heading = ["first reached", "best %", "at step"].map(String::from).into_iter().chain(names);
    let mut table = Table::new(heading);
    progress.branches.iter().for_each(|branch| table.row(progress_row(branch, shown)));
    table.shown(style)
}

fn progress_row(branch: &BranchProgress, shown: &[usize]) -> Vec<String> {
    let step = |step: Option<f64>| step.map_or("-".to_owned(), |step| grouped(step.round() as u64));
    let mut best_steps: Vec<f64> = branch.best_steps.iter().map(|step| *step as f64).collect();
    let best = match branch.best.values.is_empty() {
        true => "-".to_owned(),
        false => spread_text("token_accuracy", &branch.best),
    };
    let milestones = shown.iter().map(|index| step(branch.milestones[*index].median));
    [branch.branch.clone(), best, step(median(&mut best_steps))].into_iter().chain(milestones).collect()
}

/// Who alone gets a peptide right, per cent of the spectra.
pub fn same_spectra(set: &SetScores, style: Style) -> String {
    let mut table = Table::new(["branch", "seed", "only it %", "only the other %", "difference", "95 % interval"]);
    let metric = "peptide_precision";
    let rows = set.branches.iter().flat_map(|branch| branch.same_spectra.iter().map(move |pair| (branch, pair)));
    for (branch, pair) in rows.take(MOST_ROWS) {
        let share = |count: u64| measure::number(metric, count as f64 / pair.spectra as f64);
        table.row([
            branch.branch.clone(),
            pair.seed.map_or("-".to_owned(), |seed| seed.to_string()),
            share(pair.only_branch),
            share(pair.only_reference),
            measure::signed(metric, pair.difference),
            interval_text(metric, Some(pair.interval)),
        ]);
    }
    table.shown(style)
}

pub fn sweep_title(sweep: &Sweep, curve: &Curve) -> String {
    let (loss, words, unit) = (sweep.loss, measure::words(&curve.metric), measure::unit(&curve.metric));
    let band = curve.null_band.map_or(String::new(), |band| {
        format!("; within ±{} is what the reference's own seeds give", measure::number(&curve.metric, band))
    });
    format!("when {loss} begins: {words} on {}, {unit} against the reference{band}", curve.set)
}

pub fn sweep(curve: &Curve, style: Style) -> String {
    let mut table = Table::new(["begins at", "branch", "difference", "95 % interval", "verdict"]);
    for point in &curve.points {
        let verdict = match (point.is_reference, point.judgement) {
            (true, _) => "reference".to_owned(),
            (false, Some(judgement)) => judgement.to_string(),
            (false, None) => "numbers only".to_owned(),
        };
        table.row([
            point.onset.step(),
            point.onset.names(),
            measure::signed(&curve.metric, point.mean),
            interval_text(&curve.metric, point.interval),
            verdict,
        ]);
    }
    table.shown(style)
}

pub fn jumps_title(jump: &Jump) -> String {
    format!(
        "jumps at the stage edges, mean over the seeds: the same {} spectra of {} before and after, raw weights",
        grouped(jump.spectra),
        jump.set
    )
}

/// One row for each branch, edge and term on a set, over its seeds.
pub fn jumps(comparison: &Comparison, set: &str, style: Style) -> String {
    let groups = by_edge(&comparison.jumps).into_iter().filter(|group| group[0].set == set);
    let rows: Vec<Vec<String>> = groups.flat_map(|group| jump_rows(&group)).collect();
    let mut table = Table::new(["branch", "step", "term", "weighted", "by weight", "raw", "lasts"]);
    rows.iter().take(MOST_ROWS).for_each(|row| table.row(row.iter()));
    let more = rows.len().saturating_sub(MOST_ROWS);
    table.shown(style) + &if more > 0 { format!("and {more} more rows in comparison.csv\n") } else { String::new() }
}

fn jump_rows(group: &[&Jump]) -> Vec<Vec<String>> {
    let row = |term: String, cells: [String; 4]| -> Vec<String> {
        let first = [group[0].branch.clone(), grouped(group[0].step), term];
        first.into_iter().chain(cells).collect()
    };
    let shown = |values: Vec<f64>| match mean(&values) {
        mean if mean.is_finite() => format!("{mean:+.4}"),
        _ => "-".to_owned(),
    };
    let total = shown(group.iter().map(|jump| jump.total).collect());
    let mut rows = vec![row("sum".into(), [total, "-".into(), "-".into(), "-".into()])];
    for loss in crate::task::loss::Loss::ALL {
        let terms: Vec<&TermJump> = group.iter().filter_map(|jump| jump.terms.get(&loss)).collect();
        if terms.is_empty() {
            continue;
        }
        let cells = [
            shown(terms.iter().map(|term| term.weighted).collect()),
            shown(terms.iter().map(|term| term.by_weight).collect()),
            shown(terms.iter().map(|term| term.raw).collect()),
            typical(&terms).map_or("-".into(), |lasts| lasts.to_string()),
        ];
        rows.push(row(loss.to_string(), cells));
    }
    rows
}

/// One row for each branch, over its seeds.
pub fn stability(comparison: &Comparison, style: Style) -> String {
    let mut table = Table::new(["branch", "logged steps", "of the gradient", "of the cross-entropy", "per 1,000"]);
    let mut branches: Vec<&String> = comparison.stability.iter().map(|found| &found.branch).collect();
    branches.dedup();
    for branch in branches {
        let own: Vec<_> = comparison.stability.iter().filter(|found| found.branch == *branch).collect();
        let sum = |count: fn(&super::stability::Stability) -> usize| own.iter().map(|found| count(found)).sum::<usize>() as u64;
        let rates: Vec<f64> = own.iter().map(|found| found.per_thousand).collect();
        table.row([
            branch.clone(),
            grouped(sum(|found| found.logged)),
            grouped(sum(|found| found.gradient_spikes)),
            grouped(sum(|found| found.loss_spikes)),
            format!("{:.1}", mean(&rates)),
        ]);
    }
    table.shown(style)
}
