//! `runner ls`: the runs and how far they are.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::context::{Context, grouped, program};
use super::{Fault, print, print_json, terminal};
use crate::record::{Standing, Status};
use crate::report::{Cell, Look, Table, size};
use crate::store::Listed;

/// What stands for the status of a run whose record is damaged, or of a newer version.
const UNREADABLE: &str = "unreadable";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The list as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    run: String,
    /// `complete` and the like, `unreadable`, or nothing where there is no record.
    status: Option<String>,
    checkpoints: usize,
    with_tensors: usize,
    deepest_step: u64,
    evaluations: usize,
    bytes: u64,
    last_ended: Option<String>,
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let listing = context.store.listing(&program());
    context.warn(&listing.damaged);
    if args.json {
        return print_json(&listing.runs.iter().map(row).collect::<Vec<_>>());
    }
    if listing.runs.is_empty() {
        return print("no runs yet; `runner run experiments/<name>.ron` makes one\n");
    }
    print(&render(&listing.runs).shown(terminal::style()))
}

fn row(listed: &Listed) -> Row {
    Row {
        run: listed.name.to_string(),
        status: match listed.run.standing {
            Standing::NoRecord => None,
            Standing::Unreadable => Some(UNREADABLE.into()),
            Standing::Recorded(status) => Some(lowercase(status)),
        },
        checkpoints: listed.checkpoints,
        with_tensors: listed.with_tensors,
        deepest_step: listed.deepest_step,
        evaluations: listed.run.evaluations,
        bytes: listed.run.bytes,
        last_ended: listed.run.ended.clone(),
    }
}

fn render(runs: &[Listed]) -> Table {
    let mut table = Table::new(["run", "status", "deepest step", "tensors", "of", "evaluations", "size", "ended"]);
    let now = Utc::now();
    for listed in runs {
        let run = &listed.run;
        let ended = run.ended.as_deref().map(|time| ago(time, now)).unwrap_or_default();
        table.row([
            Cell::from(listed.name.as_str()),
            match run.standing {
                Standing::NoRecord => Cell::new("no record", Look::Faint),
                Standing::Unreadable => Cell::new(UNREADABLE, Look::Bad),
                Standing::Recorded(recorded) => status(recorded),
            },
            grouped(listed.deepest_step).into(),
            grouped(listed.with_tensors as u64).into(),
            grouped(listed.checkpoints as u64).into(),
            grouped(run.evaluations as u64).into(),
            size(run.bytes).into(),
            Cell::new(&ended, Look::Faint),
        ]);
    }
    table
}

/// How a run stands, in the colour of how well.
pub(super) fn status(status: Status) -> Cell {
    let look = match status {
        Status::Complete => Look::Good,
        Status::Incomplete | Status::Interrupted => Look::Doubtful,
        Status::Failed => Look::Bad,
    };
    Cell::new(&lowercase(status), look)
}

fn lowercase(status: Status) -> String {
    format!("{status:?}").to_lowercase()
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
