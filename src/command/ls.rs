//! `runner ls`: the runs and how far they are.

use std::path::Path;

use serde::Serialize;

use super::context::{Context, grouped};
use super::{Fault, print, print_json};
use crate::record::Status;
use crate::report::Table;
use crate::spec::Name;
use crate::store::Inventory;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The list as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    run: String,
    status: Option<Status>,
    checkpoints: usize,
    with_tensors: usize,
    deepest_step: u64,
    evaluations: usize,
    bytes: u64,
    last_ended: Option<String>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let inventory = context.inventory();
    let rows: Vec<Row> = context.store.runs().iter().map(|name| row(&context, &inventory, name)).collect::<Result<_, _>>()?;
    if args.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return print("no runs yet; `runner run experiments/<name>.ron` makes one\n");
    }
    let mut table = Table::new(["run", "status", "checkpoints", "deepest step", "evaluations", "size", "last ended"]);
    for row in rows {
        let status = row.status.map_or("no record".into(), |status| format!("{status:?}").to_lowercase());
        table.row([
            row.run,
            status,
            format!("{} ({} with tensors)", row.checkpoints, row.with_tensors),
            grouped(row.deepest_step),
            row.evaluations.to_string(),
            format!("{:.1} MB", row.bytes as f64 / 1e6),
            row.last_ended.unwrap_or_default(),
        ]);
    }
    print(&table.to_string())
}

fn row(context: &Context, inventory: &Inventory, name: &Name) -> Result<Row, Fault> {
    let folder = context.store.run_folder(name);
    let own: Vec<_> = inventory.checkpoints.values().filter(|found| found.path.starts_with(&folder)).collect();
    let files = walkdir::WalkDir::new(&folder).into_iter().filter_map(Result::ok).filter_map(|entry| entry.metadata().ok());
    let evaluations = std::fs::read_dir(folder.join("evaluations")).map_or(0, Iterator::count);
    let record = context.store.run_record(name)?;
    Ok(Row {
        run: name.to_string(),
        status: record.as_ref().map(|record| record.status),
        checkpoints: own.len(),
        with_tensors: own.iter().filter(|found| found.has_tensors).count(),
        deepest_step: own.iter().map(|found| found.manifest.step).max().unwrap_or(0),
        evaluations,
        bytes: files.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()).sum(),
        last_ended: record.and_then(|record| record.attempts.last().and_then(|attempt| attempt.ended.clone())),
    })
}
