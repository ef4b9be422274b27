//! From a run's records to its page.

use super::lineage::Lineage;
use super::made_figures::{figures, scale, unit};
use super::made_grids::{jumps, milestones, stability};
use super::{
    Diff, Finding, LengthRow, Lengths, Outcome, OutcomeRow, Page, Ranged, Response, ResponsePoint, Scale, Setting, State,
};
use crate::record::{RunRecord, Status};
use crate::report::{
    BranchScores, Comparison, Curve, Estimate, Head, Judgement, LeafRecords, SetFacts, SetScores, Spread, grouped,
    judged_metrics, measure, t_quantile,
};

/// What a run's records tell.
pub struct Told<'a> {
    pub question: Option<&'a str>,
    pub comparison: &'a Comparison,
    /// In the order of the lineage's leaves.
    pub leaves: &'a [LeafRecords<'a>],
    pub sets: &'a [SetFacts],
    pub record: Option<&'a RunRecord>,
    /// When the page is made.
    pub updated: String,
}

/// The page of a run.
pub fn page(told: &Told<'_>, lineage: Lineage) -> Page {
    let (comparison, record) = (told.comparison, told.record);
    let branch = |name: &str| lineage.branches.iter().position(|branch| branch.name == name).unwrap_or(0);
    Page {
        title: comparison.experiment.clone(),
        question: told.question.map(str::to_owned),
        state: state(&lineage, record, told.updated.clone()),
        conclusion: vec![comparison.conclusion.line.clone()],
        rule: rule(comparison),
        remarks: comparison.remarks.clone(),
        diffs: diffs(comparison),
        figures: figures(told, &lineage),
        outcomes: outcomes(comparison, &lineage),
        responses: responses(comparison, &branch),
        lengths: comparison.sets.iter().filter_map(|set| lengths(told, set, &branch)).collect(),
        grids: [jumps(comparison, &branch), stability(comparison, &branch), milestones(comparison, &branch)]
            .into_iter()
            .filter(|grid| !grid.rows.is_empty())
            .collect(),
        settings: settings(comparison, &branch),
        provenance: provenance(record),
        footer: format!("written by runner {}", env!("CARGO_PKG_VERSION")),
        lineage,
    }
}

fn state(lineage: &Lineage, record: Option<&RunRecord>, updated: String) -> State {
    let done = lineage.leaves.iter().filter(|leaf| leaf.reached >= leaf.end).count();
    let leaves = format!("{done} of {} leaves are at their last step", lineage.leaves.len());
    let status = record.map(|record| record.status);
    let text = match status {
        Some(Status::Complete) => "complete".into(),
        Some(Status::Incomplete) => format!("training: {leaves}"),
        Some(Status::Interrupted) => format!("stopped by a signal: {leaves}"),
        Some(Status::Failed) => format!("failed: {leaves}"),
        None => "not run yet".into(),
    };
    State { complete: status != Some(Status::Incomplete), text, updated: Some(updated) }
}

fn rule(comparison: &Comparison) -> Vec<String> {
    let rule = comparison.conclusion.rule.as_ref().map(|rule| format!("`{rule}`"));
    rule.into_iter().chain(comparison.conclusion.rule_change.clone()).collect()
}

fn diffs(comparison: &Comparison) -> Vec<Diff> {
    let diff = |head: &Head| Diff {
        title: format!("{} against {}", head.branch, comparison.reference),
        lines: head.difference.to_string().lines().map(|line| line.trim().to_owned()).collect(),
    };
    comparison.heads.iter().map(diff).collect()
}

/// A mean over seeds with its own t interval.
fn ranged(spread: &Spread) -> Ranged {
    let seeds = spread.values.len();
    let width = spread.deviation.map(|sd| t_quantile(0.975, (seeds - 1) as f64) * sd / (seeds as f64).sqrt());
    Ranged { value: spread.mean, interval: width.map(|width| (spread.mean - width, spread.mean + width)) }
}

fn outcomes(comparison: &Comparison, lineage: &Lineage) -> Vec<Outcome> {
    let decides = comparison.conclusion.rule.as_ref();
    let at = comparison.step.map_or("no common step".into(), |step| format!("at step {}", grouped(step)));
    let mut outcomes: Vec<Outcome> = Vec::new();
    for set in &comparison.sets {
        for metric in judged_metrics() {
            let is_rule = decides.is_some_and(|rule| rule.parts() == (set.set.as_str(), metric));
            let rows = set.branches.iter().filter_map(|scores| {
                let branch = lineage.branches.iter().position(|branch| branch.name == scores.branch)?;
                outcome_row(comparison, scores, metric, branch)
            });
            let outcome = Outcome {
                metric: measure::words(metric),
                set: set.set.clone(),
                scale: scale(metric),
                unit: unit(metric).into(),
                higher_is_better: measure::higher_is_better(metric),
                at: at.clone(),
                note: set_note(set, metric),
                at_least: decides.filter(|_| is_rule).map(|rule| rule.at_least),
                shown: is_rule || ["token_accuracy", "cross_entropy"].contains(&metric),
                rows: rows.collect(),
            };
            outcomes.push(outcome);
        }
    }
    outcomes.sort_by_key(|outcome| outcome.at_least.is_none());
    outcomes
}

fn set_note(set: &SetScores, metric: &str) -> String {
    let mut note = format!("{} spectra, {:?} weights", set.spectra, set.weights).to_lowercase();
    if metric == "token_accuracy" {
        note += &format!("; {:.1} % by always answering the commonest residue", set.commonest_residue * 100.0);
    }
    if let (true, Some(frequency)) = (metric == "cross_entropy", set.frequency_cross_entropy) {
        note += &format!("; {frequency:.3} by the frequencies of residues and lengths in training");
    }
    note
}

fn outcome_row(comparison: &Comparison, scores: &BranchScores, metric: &str, branch: usize) -> Option<OutcomeRow> {
    let spread = scores.metrics.get(metric)?;
    let estimate = scores.differences.get(metric);
    let is_reference = scores.branch == comparison.reference;
    let judgement = estimate.and_then(|estimate| estimate.judgement);
    Some(OutcomeRow {
        branch,
        seeds: spread.values.len(),
        value: ranged(spread),
        difference: estimate.map(difference),
        finding: if is_reference { Finding::Reference } else { finding(judgement) },
        verdict: judgement.map(|judgement| judgement.to_string()).unwrap_or_default(),
    })
}

fn difference(estimate: &Estimate) -> Ranged {
    Ranged { value: estimate.mean, interval: estimate.simultaneous }
}

fn finding(judgement: Option<Judgement>) -> Finding {
    match judgement {
        Some(Judgement::Better) => Finding::Better,
        Some(Judgement::Worse) => Finding::Worse,
        Some(Judgement::NoDetectableDifference) => Finding::NoDifference,
        Some(Judgement::UnderPowered { .. }) => Finding::UnderPowered,
        None => Finding::NotJudged,
    }
}

fn responses(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Vec<Response> {
    let Some(sweep) = &comparison.sweep else { return vec![] };
    let response = |curve: &Curve| Response {
        title: format!("When {} begins", sweep.loss),
        metric: format!("{}, {}", measure::words(&curve.metric), curve.set),
        scale: scale(&curve.metric),
        unit: unit(&curve.metric).into(),
        baseline: comparison.reference.clone(),
        null_band: curve.null_band.map(|band| (-band, band)),
        points: curve
            .points
            .iter()
            .filter_map(|point| {
                let difference = Ranged { value: point.mean, interval: point.interval };
                let branches = point.onset.branches.iter().map(|begun| branch(&begun.branch)).collect();
                Some(ResponsePoint { branches, to: point.onset.to?, written: point.onset.written(), difference })
            })
            .collect(),
        note: sweep.clamped().unwrap_or_default(),
    };
    sweep.curves.iter().map(response).collect()
}

fn lengths(told: &Told<'_>, set: &SetScores, branch: &dyn Fn(&str) -> usize) -> Option<Lengths> {
    let mut names: Vec<&String> = set.branches.iter().flat_map(|scores| scores.by_length.keys()).collect();
    names.sort_by_key(|name| name.split(['-', '+']).next().and_then(|start| start.parse::<u32>().ok()));
    names.dedup();
    let row = |scores: &BranchScores| LengthRow {
        branch: branch(&scores.branch),
        values: names
            .iter()
            .map(|name| scores.by_length.get(*name).map(|value| Ranged { value: *value, interval: None }))
            .collect(),
    };
    (!names.is_empty()).then(|| Lengths {
        title: format!("token accuracy, {}", set.set),
        scale: Scale::Share,
        buckets: names.iter().map(|name| ((*name).clone(), spectra(told, &set.set, name))).collect(),
        rows: set.branches.iter().map(row).collect(),
    })
}

/// How many spectra of a set have peptides of these lengths.
fn spectra(told: &Told<'_>, set: &str, bucket: &str) -> u64 {
    let digest = told.sets.iter().find(|known| known.name == set).map(|known| &known.digest);
    let mut evaluations = told.leaves.iter().flat_map(|leaf| &leaf.evaluations);
    let found = evaluations.find(|found| Some(&found.set_digest) == digest);
    let mut buckets = found.into_iter().flat_map(|found| &found.scores.summary.by_length);
    buckets.find(|known| known.residues == bucket).map_or(0, |known| known.figures.spectra)
}

fn settings(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Vec<Setting> {
    let course = |setting: &str, head: &Head| {
        let stretches = head.difference.stretches.iter();
        let found = stretches.flat_map(|stretch| stretch.changes.iter().map(move |change| (stretch.from, change)));
        let own = found.filter(|(_, change)| change.setting == setting);
        own.map(|(from, change)| format!("{} from {}", change.to, grouped(from))).collect::<Vec<_>>().join("; ")
    };
    let setting = |name: &String| {
        let mut values = vec![("as the reference".to_owned(), vec![branch(&comparison.reference)])];
        for head in &comparison.heads {
            let course = course(name, head);
            let course = if course.is_empty() { values[0].0.clone() } else { course };
            match values.iter_mut().find(|(known, _)| *known == course) {
                Some((_, branches)) => branches.push(branch(&head.branch)),
                None => values.push((course, vec![branch(&head.branch)])),
            }
        }
        Setting { name: name.clone(), values }
    };
    comparison.settings_that_differ.iter().map(setting).collect()
}

fn provenance(record: Option<&RunRecord>) -> Vec<(String, String)> {
    let Some(attempt) = record.and_then(|record| record.attempts.last()) else { return vec![] };
    let told = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut list = vec![
        told("started", &attempt.started),
        told("ended", attempt.ended.as_deref().unwrap_or("not ended")),
        told("command", &attempt.command.join(" ")),
        told("attempts", &record.map_or(0, |record| record.attempts.len()).to_string()),
    ];
    list.extend(attempt.provenance.clone());
    list.extend(attempt.numerics.named());
    list
}
