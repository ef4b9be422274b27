//! `runner show`: one run, one leaf with its curve, or a curriculum; and drawings of what they set over the steps.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::compare::joined_rows;
use super::context::{Context, grouped};
use super::draw::{self, Drawing};
use super::follow::follow;
use super::signals::Stop;
use super::{Fault, print, print_json, terminal};
use crate::history::Id;
use crate::lineage::Leaf;
use crate::record::{Evaluation, MetricsRow, RunRecord};
use crate::report::{Look, Style, Table};
use crate::store::{Found, Inventory, Store, StoreError};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An experiment, a leaf of it, `experiment/branch#seed`, or a curriculum, by its name or file
    what: String,
    /// Draw weights and difficulty over the steps
    #[arg(long)]
    plot: bool,
    /// The drawing as an SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Columns of the drawing [default: the terminal's, or 80]
    #[arg(long, value_name = "N", requires = "plot")]
    width: Option<usize>,
    /// Last step drawn of a curriculum [default: its last stage is as long as the one before]
    #[arg(long, value_name = "STEP")]
    to: Option<u64>,
    /// Show what is being trained, also by another process, until the run is over
    #[arg(long, conflicts_with_all = ["plot", "svg", "json"])]
    follow: bool,
    /// Everything as JSON
    #[arg(long, conflicts_with_all = ["plot", "svg"])]
    json: bool,
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
    /// Rows joined along the lineage; only where one leaf is shown. For people only those that are shown.
    rows: Vec<MetricsRow>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    if args.plot || args.svg.is_some() {
        let svg = args.svg.as_deref();
        return draw::draw(&context, &Drawing { what: &args.what, plot: args.plot, svg, width: args.width, to: args.to });
    }
    if let Some(known) = draw::curriculum(&context, &args.what)? {
        return if args.json { print_json(&known.curriculum) } else { print(&draw::stages(&known)) };
    }
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
    let rows = match (single, args.json) {
        (false, _) => Rows::None,
        (true, true) => Rows::All,
        (true, false) => Rows::Some,
    };
    let shown = Shown {
        experiment: ready.name.to_string(),
        record: context.store.run_record(&ready.name)?,
        leaves: leaves.into_iter().map(|leaf| shown(&context, &inventory, leaf, rows)).collect::<Result<_, _>>()?,
    };
    if args.json { print_json(&shown) } else { print(&render(&shown, single, terminal::style())) }
}

/// Which rows of metrics are wanted.
#[derive(Clone, Copy)]
enum Rows {
    None,
    Some,
    All,
}

/// Most rows of a curve that people are shown.
const MOST_ROWS: usize = 20;

fn shown(context: &Context, inventory: &Inventory, leaf: &Leaf, rows: Rows) -> Result<ShownLeaf, Fault> {
    let line = context.store.lineage(inventory, &leaf.history)?;
    let steps = inventory.evaluations.iter().map(|found| found.step).filter(|&step| step <= leaf.history.end());
    let ids: BTreeSet<Id> = leaf.history.ids(steps.collect::<BTreeSet<u64>>()).into_iter().collect();
    let mut evaluations: Vec<Evaluation> =
        inventory.evaluations.iter().filter(|found| ids.contains(&found.id)).cloned().collect();
    evaluations.sort_by(|a, b| (a.step, &a.set).cmp(&(b.step, &b.set)));
    let rows = match rows {
        Rows::None => vec![],
        Rows::Some => evenly(&context.store, &line)?,
        Rows::All => joined_rows(&context.store, &line)?,
    };
    Ok(ShownLeaf {
        leaf: leaf.key.to_string(),
        fork: leaf.fork.as_ref().map(|fork| fork.step),
        reached: line.last().map_or(leaf.history.start(), |found| found.manifest.step),
        end: leaf.history.end(),
        checkpoints: line.iter().map(|found| context.store.shown(&found.path)).collect(),
        evaluations,
        rows,
    })
}

/// At most [`MOST_ROWS`] rows along a lineage, evenly. A run may have logged a million, and parsing them takes seconds.
fn evenly(store: &Store, line: &[&Found]) -> Result<Vec<MetricsRow>, StoreError> {
    let counts: Vec<usize> = line.iter().map(|found| store.row_count(found)).collect::<Result<_, _>>()?;
    let every = counts.iter().sum::<usize>().div_ceil(MOST_ROWS).max(1);
    let (mut rows, mut before) = (Vec::new(), 0_usize);
    for (found, count) in line.iter().zip(counts) {
        let first = before.next_multiple_of(every) - before;
        if first < count {
            rows.extend(store.rows_every(found, first, every)?);
        }
        before += count;
    }
    Ok(rows)
}

fn render(shown: &Shown, single: bool, style: Style) -> String {
    let mut out = style.paint(Look::Heading, &shown.experiment);
    match &shown.record {
        None => out += ": not run yet\n",
        Some(record) => {
            out += &format!(": {}\n", super::ls::status(record.status).painted(style));
            for attempt in &record.attempts {
                let ended = attempt.ended.as_deref().unwrap_or("not ended, or killed");
                let status = super::ls::status(attempt.status).painted(style);
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
    out += &format!("\n{}", table.shown(style));
    if let (true, Some(leaf)) = (single, shown.leaves.first()) {
        out += &curve(leaf, style);
    }
    out
}

/// The rows of the curve, and every evaluation.
fn curve(leaf: &ShownLeaf, style: Style) -> String {
    let mut table = Table::new(["step", "total", "terms", "weights", "rate", "gradient"]);
    for row in &leaf.rows {
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
    let mut out = format!("\n{}", table.shown(style));
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
        out += &format!("\n{}", scores.shown(style));
    }
    out
}
