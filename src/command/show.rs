//! `runner show`: one run, or one leaf with its curve.

use std::path::Path;

use serde::Serialize;

use super::compare::joined_rows;
use super::context::{Context, grouped};
use super::follow::follow;
use super::signals::Stop;
use super::{Fault, print, print_json};
use crate::record::{Evaluation, MetricsRow, RunRecord};
use crate::report::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An experiment, or a leaf of it: `experiment/branch#seed`
    what: String,
    /// Everything as JSON
    #[arg(long)]
    json: bool,
    /// Show what is being trained, also by another process, until the run is over
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Serialize)]
struct Shown {
    experiment: String,
    record: Option<RunRecord>,
    leaves: Vec<ShownLeaf>,
}

#[derive(Debug, Serialize)]
struct ShownLeaf {
    leaf: String,
    fork: Option<u64>,
    reached: u64,
    end: u64,
    checkpoints: Vec<String>,
    evaluations: Vec<Evaluation>,
    /// Rows joined along the lineage; only where one leaf is shown.
    rows: Vec<MetricsRow>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let (ready, branch) = super::refer::experiment(&context, &args.what)?;
    if args.follow {
        let stop = Stop::listen()?;
        return follow(&context, &ready, &|| stop.asked());
    }
    let inventory = context.inventory();
    let single = !branch.is_empty() || ready.resolved().leaves.len() == 1;
    let leaves = match single {
        true => vec![super::refer::leaf(&ready, branch, &args.what)?],
        false => ready.resolved().leaves.iter().collect(),
    };
    let mut shown =
        Shown { experiment: ready.name.to_string(), record: context.store.run_record(&ready.name)?, leaves: vec![] };
    for leaf in leaves {
        let line = context.store.lineage(&inventory, &leaf.history)?;
        let steps: Vec<u64> =
            inventory.evaluations.iter().map(|found| found.step).filter(|&step| step <= leaf.history.end()).collect();
        let mut sorted = steps.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let ids = leaf.history.ids(sorted);
        let mut evaluations: Vec<Evaluation> =
            inventory.evaluations.iter().filter(|found| ids.contains(&found.id)).cloned().collect();
        evaluations.sort_by(|a, b| (a.step, &a.set).cmp(&(b.step, &b.set)));
        shown.leaves.push(ShownLeaf {
            leaf: leaf.key.to_string(),
            fork: leaf.fork.as_ref().map(|fork| fork.step),
            reached: line.last().map_or(leaf.history.start(), |found| found.manifest.step),
            end: leaf.history.end(),
            checkpoints: line.iter().map(|found| context.store.shown(&found.path)).collect(),
            evaluations,
            rows: if single { joined_rows(&context.store, &line)? } else { vec![] },
        });
    }
    if args.json { print_json(&shown) } else { print(&render(&shown, single)) }
}

fn render(shown: &Shown, single: bool) -> String {
    let mut out = shown.experiment.clone();
    match &shown.record {
        None => out += ": not run yet\n",
        Some(record) => {
            out += &format!(": {}\n", format!("{:?}", record.status).to_lowercase());
            for attempt in &record.attempts {
                let ended = attempt.ended.as_deref().unwrap_or("not ended, or killed");
                let status = format!("{:?}", attempt.status).to_lowercase();
                out += &format!(
                    "  {} to {ended}: {status}, {} steps, {}\n",
                    attempt.started,
                    grouped(attempt.steps_trained),
                    attempt.numerics.backend
                );
                attempt.failures.iter().for_each(|failure| out += &format!("    {failure}\n"));
            }
        }
    }
    let mut table = Table::new(["leaf", "fork", "reached", "of", "checkpoints", "evaluations"]);
    for leaf in &shown.leaves {
        let fork = leaf.fork.map_or("-".into(), grouped);
        let counts = (leaf.checkpoints.len().to_string(), leaf.evaluations.len().to_string());
        table.row([leaf.leaf.clone(), fork, grouped(leaf.reached), grouped(leaf.end), counts.0, counts.1]);
    }
    out += &format!("\n{table}");
    if let (true, Some(leaf)) = (single, shown.leaves.first()) {
        out += &curve(leaf);
    }
    out
}

/// About twenty rows of the curve, and every evaluation.
fn curve(leaf: &ShownLeaf) -> String {
    let mut table = Table::new(["step", "total", "terms", "weights", "rate", "gradient"]);
    let every = leaf.rows.len().div_ceil(20).max(1);
    for row in leaf.rows.iter().step_by(every) {
        let terms = row.terms.iter().map(|(loss, value)| format!("{loss} {value:.4}")).collect::<Vec<_>>().join(", ");
        let weights = row.weights.values().map(|weight| format!("{weight:.3}")).collect::<Vec<_>>().join(", ");
        table.row([
            grouped(row.step),
            format!("{:.4}", row.total),
            terms,
            weights,
            format!("{:.2e}", row.rate),
            format!("{:.3}", row.gradient_norm),
        ]);
    }
    let mut out = format!("\n{table}");
    let mut scores = Table::new(["step", "set", "token accuracy", "peptides", "cross-entropy"]);
    for found in &leaf.evaluations {
        let all = &found.scores.summary.all;
        let percent = |value: f64| format!("{:.1} %", value * 100.0);
        scores.row([
            grouped(found.step),
            found.set.clone(),
            percent(all.token_accuracy),
            percent(all.peptide_precision),
            format!("{:.3}", found.scores.cross_entropy),
        ]);
    }
    if !scores.is_empty() {
        out += &format!("\n{scores}");
    }
    out
}
