//! `runner ls`: the runs and how far they are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::context::{Context, grouped};
use super::{Fault, print, print_json, terminal};
use crate::record::Status;
use crate::report::{Cell, Look, Table, size};
use crate::spec::Name;
use crate::store::{Found, Size, in_parallel};

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
    let (inventory, sizes) = context.store.sizes();
    let inventory = context.said(inventory);
    let mut own: BTreeMap<&OsStr, Vec<&Found>> = BTreeMap::new();
    for found in inventory.checkpoints.values() {
        if let Some(run) = found.path.strip_prefix(context.store.root()).ok().and_then(|inner| inner.iter().next()) {
            own.entry(run).or_default().push(found);
        }
    }
    let rows = in_parallel(&context.store.runs(), |name| {
        let run = OsStr::new(name.as_str());
        row(&context, name, own.get(run).map_or(&[], Vec::as_slice), sizes.get(run).copied().unwrap_or_default())
    });
    let rows: Vec<Row> = rows.into_iter().collect::<Result<_, _>>()?;
    if args.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return print("no runs yet; `runner run experiments/<name>.ron` makes one\n");
    }
    print(&render(&rows).shown(terminal::style()))
}

fn render(rows: &[Row]) -> Table {
    let mut table = Table::new(["run", "status", "deepest step", "tensors", "of", "evaluations", "size", "ended"]);
    for row in rows {
        let ended = row.last_ended.as_deref().map(|time| ago(time, Utc::now())).unwrap_or_default();
        table.row([
            Cell::from(&row.run),
            status(row.status),
            grouped(row.deepest_step).into(),
            grouped(row.with_tensors as u64).into(),
            grouped(row.checkpoints as u64).into(),
            grouped(row.evaluations as u64).into(),
            size(row.bytes).into(),
            Cell::new(&ended, Look::Faint),
        ]);
    }
    table
}

/// How a run stands, in the colour of how well.
pub(super) fn status(status: Option<Status>) -> Cell {
    let Some(status) = status else { return Cell::new("no record", Look::Faint) };
    let look = match status {
        Status::Complete => Look::Good,
        Status::Incomplete | Status::Interrupted => Look::Doubtful,
        Status::Failed => Look::Bad,
    };
    Cell::new(&format!("{status:?}").to_lowercase(), look)
}

/// How long ago a recorded time was: `40 s ago`, `3 h ago`.
pub(super) fn ago(time: &str, now: DateTime<Utc>) -> String {
    let Ok(time) = DateTime::parse_from_rfc3339(time) else { return time.to_owned() };
    let seconds = now.signed_duration_since(time).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

fn row(context: &Context, name: &Name, own: &[&Found], size: Size) -> Result<Row, Fault> {
    let record = context.store.run_record(name)?;
    Ok(Row {
        run: name.to_string(),
        status: record.as_ref().map(|record| record.status),
        checkpoints: own.len(),
        with_tensors: own.iter().filter(|found| found.has_tensors).count(),
        deepest_step: own.iter().map(|found| found.manifest.step).max().unwrap_or(0),
        evaluations: size.evaluations,
        bytes: size.bytes,
        last_ended: record.and_then(|record| record.attempts.last().and_then(|attempt| attempt.ended.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_for_people() {
        let now = "2026-11-25T10:57:03Z".parse::<DateTime<Utc>>().unwrap();
        let times =
            ["2026-11-25T10:56:23.500Z", "2026-11-25T10:50:00Z", "2026-11-24T23:00:00Z", "2026-11-01T00:00:00Z", "then"];
        let shown = ["39 s ago", "7 min ago", "11 h ago", "24 d ago", "then"];
        assert_eq!(times.map(|time| ago(time, now)), shown);
        assert_eq!(ago("2027-01-01T00:00:00Z", now), "0 s ago", "the clock of another machine");
    }
}
