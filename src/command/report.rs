//! `runner report`: the page of a run with everything that is known of it, the comparison as JSON and CSV, and figures for
//! papers. `run` writes the page anew while it trains.

use std::path::{Path, PathBuf};

use chrono::Utc;

use super::compare::{Gathered, gather};
use super::context::{Context, Ready, grouped};
use super::lineage_page::lineage;
use super::{Fault, note, print};
use crate::record::{MetricsRow, RunRecord, Status};
use crate::report::page::{
    self, Column, Detail, Diff, Field, Figure, Finding, Grid, Heading, LengthRow, Lengths, Lineage, Outcome, OutcomeRow, Page,
    Points, Ranged, Response, ResponsePoint, Scale, Setting, Shape, State,
};
use crate::report::{
    BranchScores, Comparison, Estimate, Judgement, Lasting, SetScores, Spread, judged_metrics, measure, t_quantile,
};
use crate::spec::Decide;
use crate::task::loss::Loss;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file, or its name
    experiment: PathBuf,
    /// Also write the figures as SVG files into this folder
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let ready = context.ready(&args.experiment)?;
    if context.store.run_record(&ready.name)?.is_none() {
        return Err(Fault::Arguments(format!("`{}` has not been run: there is nothing to report", ready.name)));
    }
    let page = write(&context, &ready)?;
    if let Some(folder) = &args.figures {
        let failed = |error: std::io::Error| Fault::World(format!("`{}`: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let figures = page::figures(&page);
        figures.iter().try_for_each(|(name, svg)| std::fs::write(folder.join(format!("{name}.svg")), svg)).map_err(failed)?;
        note(&format!("{} figures in `{}`", figures.len(), folder.display()));
    }
    let shown = context.store.shown(&context.store.run_folder(&ready.name).join(PAGE));
    print(&format!("{shown}\n"))
}

const PAGE: &str = "report.html";

/// Writes the page, and the comparison as JSON and CSV, into the run's folder.
pub(crate) fn write(context: &Context, ready: &Ready) -> Result<Page, Fault> {
    let inventory = context.store.inventory();
    let gathered = gather(context, ready, &inventory)?;
    let record = context.store.run_record(&ready.name)?;
    let lineage = lineage(context, ready, &inventory);
    let page = page(ready, &gathered, lineage, record.as_ref());
    let comparison = &gathered.comparison;
    let json = serde_json::to_vec_pretty(comparison).map_err(|error| Fault::World(error.to_string()))?;
    let store = &context.store;
    store.save_in_run(&ready.name, PAGE, page::render(&page).as_bytes())?;
    store.save_in_run(&ready.name, "comparison.json", &json)?;
    store.save_in_run(&ready.name, "comparison.csv", crate::report::csv(comparison).as_bytes())?;
    Ok(page)
}

fn page(ready: &Ready, gathered: &Gathered<'_>, lineage: Lineage, record: Option<&RunRecord>) -> Page {
    let comparison = &gathered.comparison;
    let branch = |name: &str| lineage.branches.iter().position(|branch| branch.name == name).unwrap_or(0);
    Page {
        title: ready.name.to_string(),
        question: ready.resolved().question.clone(),
        state: state(&lineage, record),
        conclusion: vec![comparison.conclusion.line.clone()],
        rule: rule(comparison),
        remarks: comparison.remarks.clone(),
        diffs: diffs(comparison),
        figures: figures(gathered, &lineage),
        outcomes: outcomes(comparison, &lineage),
        responses: responses(comparison, &branch),
        lengths: comparison.sets.iter().filter_map(|set| lengths(gathered, set, &branch)).collect(),
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

fn state(lineage: &Lineage, record: Option<&RunRecord>) -> State {
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
    let updated = Some(Utc::now().format("%Y-%m-%d %H:%M UTC").to_string());
    State { complete: status != Some(Status::Incomplete), text, updated }
}

fn rule(comparison: &Comparison) -> Vec<String> {
    let rule = comparison.conclusion.rule.as_ref().map(|rule| format!("`{rule}`"));
    rule.into_iter().chain(comparison.conclusion.rule_change.clone()).collect()
}

fn diffs(comparison: &Comparison) -> Vec<Diff> {
    let diff = |head: &crate::report::Head| Diff {
        title: format!("{} against {}", head.branch, comparison.reference),
        lines: head.difference.to_string().lines().map(|line| line.trim().to_owned()).collect(),
    };
    comparison.heads.iter().map(diff).collect()
}

/// A curve of every leaf: values by step, from its rows.
type Curve<'a> = Box<dyn Fn(&MetricsRow) -> Option<f64> + 'a>;

fn figures(gathered: &Gathered<'_>, lineage: &Lineage) -> Vec<Figure> {
    let mut kinds: Vec<(Heading, Curve<'_>)> = Vec::new();
    let heading = |key: String, group: &str, unit: &str, shape: Shape| Heading {
        title: key.clone(),
        key,
        group: group.into(),
        unit: unit.into(),
        scale: Scale::Number,
        log: false,
        shape,
        shown: true,
    };
    for loss in Loss::ALL {
        let unit = if loss == Loss::CrossEntropy { "nats a token" } else { "" };
        let term = heading(format!("term {loss}"), "Training loss", unit, Shape::Line);
        kinds.push((term, Box::new(move |row| row.terms.get(&loss).copied())));
    }
    kinds.push((heading("weighted total".into(), "Training loss", "", Shape::Line), Box::new(|row| Some(row.total))));
    let norm = Heading { log: true, shown: false, ..heading("gradient norm".into(), "Training loss", "", Shape::Line) };
    kinds.push((norm, Box::new(|row| Some(row.gradient_norm))));
    for loss in Loss::ALL {
        let weight = Heading { shown: false, ..heading(format!("weight {loss}"), "Schedules", "", Shape::Steps) };
        kinds.push((weight, Box::new(move |row| Some(row.weights.get(&loss).copied().unwrap_or(0.0)))));
    }
    let rate = Heading { shown: false, ..heading("learning rate".into(), "Schedules", "", Shape::Steps) };
    kinds.push((rate, Box::new(|row| Some(row.rate))));
    let detail = Detail::of(lineage, kinds.len());
    let factor = |seeds: usize| t_quantile(0.975, seeds.saturating_sub(1) as f64);
    let mut figures = evaluated(gathered, lineage, detail, &factor);
    for (heading, value) in kinds {
        let curve = |leaf: &crate::report::LeafRecords<'_>| {
            let mut points = Points::default();
            leaf.rows.iter().for_each(|row| points.push(row.step, value(row)));
            points
        };
        let curves: Vec<Points> = gathered.leaves.iter().map(curve).collect();
        figures.push(Figure::new(heading, lineage, &curves, detail, &factor));
    }
    figures
}

/// The curves of every metric on every set.
fn evaluated(gathered: &Gathered<'_>, lineage: &Lineage, detail: Detail, factor: &dyn Fn(usize) -> f64) -> Vec<Figure> {
    let mut figures = Vec::new();
    let decides = gathered.comparison.conclusion.rule.as_ref().map(Decide::parts);
    for set in &gathered.sets {
        for metric in judged_metrics() {
            let curve = |leaf: &crate::report::LeafRecords<'_>| {
                let mut points: Vec<(u64, f64)> = leaf
                    .evaluations
                    .iter()
                    .filter(|found| found.set_digest == set.digest)
                    .filter_map(|found| Some((found.step, measure::value(metric, found)?)))
                    .collect();
                points.sort_by_key(|(step, _)| *step);
                points.dedup_by_key(|(step, _)| *step);
                let mut curve = Points::default();
                points.into_iter().for_each(|(step, value)| curve.push(step, Some(value)));
                curve
            };
            let curves: Vec<Points> = gathered.leaves.iter().map(curve).collect();
            let heading = Heading {
                key: format!("{}/{metric}", set.name),
                group: "Validation".into(),
                title: format!("{}, {}", measure::words(metric), set.name),
                unit: unit(metric).into(),
                scale: scale(metric),
                log: false,
                shape: Shape::Points,
                shown: ["token_accuracy", "cross_entropy"].contains(&metric) || decides == Some((&set.name, metric)),
            };
            figures.push(Figure::new(heading, lineage, &curves, detail, factor));
        }
    }
    figures
}

fn scale(metric: &str) -> Scale {
    if measure::unit(metric) == "%" || measure::higher_is_better(metric) { Scale::Share } else { Scale::Number }
}

fn unit(metric: &str) -> &'static str {
    if scale(metric) == Scale::Share { "" } else { "nats a token" }
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
    let response = |curve: &crate::report::Curve| Response {
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
                Some(ResponsePoint { branch: branch(&point.branch), to: point.to?, difference })
            })
            .collect(),
        note: String::new(),
    };
    sweep.curves.iter().map(response).collect()
}

fn lengths(gathered: &Gathered<'_>, set: &SetScores, branch: &dyn Fn(&str) -> usize) -> Option<Lengths> {
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
        buckets: names.iter().map(|name| ((*name).clone(), spectra(gathered, &set.set, name))).collect(),
        rows: set.branches.iter().map(row).collect(),
    })
}

/// How many spectra of a set have peptides of these lengths.
fn spectra(gathered: &Gathered<'_>, set: &str, bucket: &str) -> u64 {
    let digest = gathered.sets.iter().find(|known| known.name == set).map(|known| &known.digest);
    let mut evaluations = gathered.leaves.iter().flat_map(|leaf| &leaf.evaluations);
    let found = evaluations.find(|found| Some(&found.set_digest) == digest);
    let mut buckets = found.into_iter().flat_map(|found| &found.scores.summary.by_length);
    buckets.find(|known| known.residues == bucket).map_or(0, |known| known.figures.spectra)
}

fn columns(names: &[(&str, bool)]) -> Vec<Column> {
    names.iter().map(|(name, is_text)| Column { name: (*name).into(), is_text: *is_text }).collect()
}

fn number(value: f64) -> Field {
    Field::Number(value, format!("{value:+.4}"))
}

fn jumps(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Grid {
    let mut rows = Vec::new();
    for jump in &comparison.jumps {
        for (loss, term) in &jump.terms {
            let lasts = match term.lasts {
                None => Field::Empty,
                Some(Lasting::Steps(steps)) => Field::Step(steps),
                Some(Lasting::NotWithinTheRun) => Field::Text("not within the run".into()),
            };
            rows.push(vec![
                Field::Branch(branch(&jump.branch)),
                jump.seed.map_or(Field::Empty, Field::Step),
                Field::Step(jump.step),
                Field::Text(loss.to_string()),
                number(term.weighted),
                number(term.by_weight),
                term.raw.map_or(Field::Empty, number),
                lasts,
            ]);
        }
    }
    Grid {
        title: "Jumps at stage edges".into(),
        short: "Jumps".into(),
        note: "mean of the logged steps after an edge minus before it, on training batches".into(),
        columns: columns(&[
            ("branch", true),
            ("seed", false),
            ("step", false),
            ("term", true),
            ("weight × value", false),
            ("by the weight alone", false),
            ("raw value", false),
            ("lasts, steps", false),
        ]),
        rows,
    }
}

fn stability(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Grid {
    let row = |found: &crate::report::Stability| {
        vec![
            Field::Branch(branch(&found.branch)),
            found.seed.map_or(Field::Empty, Field::Step),
            Field::Step(found.logged as u64),
            Field::Step(found.gradient_spikes as u64),
            Field::Step(found.loss_spikes as u64),
            Field::Number(found.per_thousand, format!("{:.1}", found.per_thousand)),
        ]
    };
    Grid {
        title: "Instability".into(),
        short: "Instability".into(),
        note: "logged steps whose gradient norm or cross-entropy lies far above its surroundings".into(),
        columns: columns(&[
            ("branch", true),
            ("seed", false),
            ("logged steps", false),
            ("gradient spikes", false),
            ("loss spikes", false),
            ("in 1,000 steps", false),
        ]),
        rows: comparison.stability.iter().map(row).collect(),
    }
}

fn milestones(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Grid {
    let mut rows = Vec::new();
    for set in &comparison.progress {
        for found in &set.branches {
            for milestone in found.milestones.iter().filter(|milestone| !milestone.steps.is_empty()) {
                rows.push(vec![
                    Field::Text(set.set.clone()),
                    Field::Branch(branch(&found.branch)),
                    Field::Number(milestone.accuracy, format!("{:.0} %", milestone.accuracy * 100.0)),
                    milestone.median.map_or(Field::Text("not by half the seeds".into()), |step| Field::Step(step as u64)),
                    Field::Step(milestone.steps.len() as u64),
                ]);
            }
        }
    }
    Grid {
        title: "Steps to reach an accuracy".into(),
        short: "Milestones".into(),
        note: "first evaluated step at or above a token accuracy, median over the seeds".into(),
        columns: columns(&[
            ("set", true),
            ("branch", true),
            ("token accuracy", false),
            ("step", false),
            ("seeds that came there", false),
        ]),
        rows,
    }
}

fn settings(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Vec<Setting> {
    let course = |setting: &str, head: &crate::report::Head| {
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
