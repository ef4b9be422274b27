//! `runner board`: files for TensorBoard, one for each leaf, with the curve of its whole lineage; kept up to date while
//! runs are trained.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::DateTime;
use serde::Serialize;

use super::context::{Context, grouped};
use super::signals::Stop;
use super::{Fault, note, print, print_json, refer, terminal};
use crate::history::{Id, digest_text};
use crate::lineage::Leaf;
use crate::record::{Evaluation, MetricsRow, Status, Timing};
use crate::report::{Beat, Logged, Table, Tape, tape};
use crate::spec::Name;
use crate::store::{Growing, Inventory, Kept, Lock, Store};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runs [default: all]
    runs: Vec<String>,
    /// Write into this folder, as `DIR/<run>/<branch>/[seed-<n>/]` [default: `runs/<run>/tensorboard/`]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Keep the files up to date until no run is incomplete any more, and wait for runs that are not there yet; without
    /// this, runs are followed that somebody is working on
    #[arg(long, conflicts_with = "once")]
    follow: bool,
    /// Write what there is now, and end
    #[arg(long)]
    once: bool,
    /// What was written as JSON, at the end
    #[arg(long)]
    json: bool,
}

/// Time between two looks. A look that takes long is followed by a longer pause.
const LOOK: Duration = Duration::from_secs(1);
/// The pause is this many times as long as the look.
const PAUSE: u32 = 10;
/// How soon a signal is noticed.
const NOTICE: Duration = Duration::from_millis(50);

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context { from_recorded: true, ..Context::open(directory)? };
    let into = args.into.as_deref().map(std::path::absolute).transpose();
    let into = into.map_err(|error| Fault::Arguments(format!("`--into`: {error}")))?;
    let names = named(&context, args)?;
    let watched = watched(&context, &names, into.as_deref())?;
    let mut desk = Desk { context: &context, into, watched, strict: !args.runs.is_empty(), once: args.once };
    let stop = Stop::listen()?;
    let mut is_said = false;
    loop {
        let began = Instant::now();
        // Asked before the look, so that the last look comes after the end.
        let goes_on = !args.once && desk.is_open(args.follow)?;
        desk.look()?;
        if !goes_on || stop.asked() {
            break;
        }
        if !std::mem::replace(&mut is_said, true) {
            note(&format!("following {}; Ctrl-C ends", list(&names)));
        }
        rest(began.elapsed(), &stop);
    }
    desk.said(args.json)
}

/// The runs that are meant; with `--follow` also those that are only planned.
fn named(context: &Context, args: &Args) -> Result<Vec<Name>, Fault> {
    let planned = |text: &str| {
        let name = Name::try_from(text).ok()?;
        let file = context.project.root.join("experiments").join(format!("{name}.ron"));
        (args.follow && file.is_file()).then_some(name)
    };
    match args.runs.is_empty() {
        true => Ok(context.store.runs()),
        false => args.runs.iter().map(|text| planned(text).map_or_else(|| refer::run(context, text), Ok)).collect(),
    }
}

/// The runs, each with a lock: two that add to one file would write everything twice.
fn watched(context: &Context, names: &[Name], into: Option<&Path>) -> Result<Vec<Watched>, Fault> {
    let place = into.map_or("runs".to_owned(), |into| digest_text(into.display().to_string().as_bytes())[..8].to_owned());
    let one = |name: &Name| match context.store.lock(&format!("board-{name}-{place}"))? {
        Some(lock) => Ok(Watched { name: name.clone(), text: vec![], boards: vec![], _lock: lock }),
        None => {
            let text = format!(
                "another `runner board` keeps the files of `{name}` up to date: stop it, or write `--into` another folder"
            );
            Err(Fault::Arguments(text))
        }
    };
    names.iter().map(one).collect()
}

fn list(names: &[Name]) -> String {
    match names {
        [only] => format!("`{only}`"),
        several => format!("{} runs", several.len()),
    }
}

fn rest(looked: Duration, stop: &Stop) {
    let until = Instant::now() + LOOK.max(looked * PAUSE);
    while Instant::now() < until && !stop.asked() {
        std::thread::sleep(NOTICE);
    }
}

/// Everything that is kept up to date.
struct Desk<'a> {
    context: &'a Context,
    into: Option<PathBuf>,
    watched: Vec<Watched>,
    /// The runs were named: a problem with one of them is an error.
    strict: bool,
    /// There is one look only.
    once: bool,
}

/// A run and the boards of its leaves.
struct Watched {
    name: Name,
    /// The saved file of which the leaves come.
    text: Vec<u8>,
    boards: Vec<Board>,
    _lock: Lock,
}

impl Desk<'_> {
    /// Whether there may be more to write later.
    fn is_open(&self, waits: bool) -> Result<bool, Fault> {
        for watched in &self.watched {
            if watched.is_open(&self.context.store, waits)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings every file up to what is recorded now.
    fn look(&mut self) -> Result<(), Fault> {
        for watched in &mut self.watched {
            if let Err(fault) = watched.renew(self.context, self.into.as_deref()) {
                match self.strict {
                    true => return Err(fault),
                    false => note(&format!("warning: `{}` is left out: {}", watched.name, fault.into_text())),
                }
            }
        }
        let store = &self.context.store;
        let open: Vec<bool> = self.watched.iter().map(|watched| watched.is_open(store, false)).collect::<Result<_, _>>()?;
        // In this order: see `Store::growing`.
        let growing = store.growing()?;
        let inventory = store.inventory();
        for (watched, is_open) in self.watched.iter_mut().zip(open) {
            let now = Now { inventory: &inventory, growing: &growing, is_settled: self.once || !is_open };
            watched.boards.iter_mut().for_each(|board| board.look(store, &now));
        }
        Ok(())
    }

    /// What is on file now.
    fn said(&self, json: bool) -> Result<(), Fault> {
        let boards: Vec<&Board> = self.watched.iter().flat_map(|watched| &watched.boards).collect();
        let rows: Vec<Row> = boards.iter().filter_map(|board| board.row(&self.context.store)).collect();
        match json {
            true => print_json(&rows)?,
            false => print(&render(&rows))?,
        }
        let problems: Vec<String> =
            boards.iter().filter_map(|board| Some(format!("`{}`: {}", board.leaf.key, board.problem.as_ref()?))).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Fault::World(problems.join("\n"))),
        }
    }
}

/// What is recorded at one moment.
struct Now<'a> {
    inventory: &'a Inventory,
    growing: &'a [Growing],
    /// Nobody works on the run.
    is_settled: bool,
}

impl Watched {
    /// Whether somebody works on the run. With `waits`, a run counts that is incomplete, or not there yet.
    fn is_open(&self, store: &Store, waits: bool) -> Result<bool, Fault> {
        let Some(record) = store.run_record(&self.name)? else { return Ok(waits) };
        // A run that was trained only as far as others needed it stays incomplete, and nobody works on it.
        let is_worked_on = record.attempts.iter().any(|attempt| attempt.ended.is_none());
        Ok(record.status == Status::Incomplete && (waits || is_worked_on))
    }

    /// Takes the leaves from the saved file, where it is there and has changed.
    fn renew(&mut self, context: &Context, into: Option<&Path>) -> Result<(), Fault> {
        let saved = context.store.saved_experiment(&self.name);
        let Ok(text) = std::fs::read(&saved) else { return Ok(()) };
        if text == self.text {
            return Ok(());
        }
        self.text = text;
        let ready = context.ready(&saved)?;
        let board = |leaf: &Leaf| Board {
            file: context.store.board_file(&leaf.key, into),
            leaf: leaf.clone(),
            seen: None,
            ends: BTreeMap::new(),
            written: None,
            problem: None,
        };
        self.boards = ready.resolved().leaves.iter().map(board).collect();
        Ok(())
    }
}

/// A leaf and its file.
struct Board {
    leaf: Leaf,
    file: PathBuf,
    /// What the file was made from.
    seen: Option<Seen>,
    /// Whether a segment in training with this end is on the leaf's history.
    ends: BTreeMap<String, bool>,
    written: Option<Written>,
    /// Why the file is not up to date.
    problem: Option<String>,
}

/// All that a file is made from: while this stays, nothing is read again.
#[derive(PartialEq)]
struct Seen {
    line: Vec<Id>,
    evaluations: Vec<String>,
    /// First and number of the rows of segments in training.
    growing: Vec<(u64, usize)>,
    is_settled: bool,
}

/// What a file holds.
struct Written {
    kept: Kept,
    rows: usize,
    evaluations: usize,
    last_step: u64,
}

impl Board {
    /// Brings the file up to what is recorded now. A problem may pass: it is kept, and said once.
    fn look(&mut self, store: &Store, now: &Now<'_>) {
        let problem = self.bring_up(store, now).err();
        if let Some(text) = problem.as_ref().filter(|text| self.problem.as_ref() != Some(*text)) {
            note(&format!("warning: `{}`: {text}", self.leaf.key));
        }
        if problem.is_some() {
            self.seen = None;
        }
        self.problem = problem;
    }

    fn bring_up(&mut self, store: &Store, now: &Now<'_>) -> Result<(), String> {
        let line = store.lineage(now.inventory, &self.leaf.history).map_err(|error| error.to_string())?;
        let reached = line.last().map_or(self.leaf.history.start(), |found| found.manifest.step);
        let growing: Vec<&Growing> =
            now.growing.iter().filter(|one| one.from <= reached && self.is_on_history(store, one)).collect();
        let evaluations = evaluations(now.inventory, &self.leaf);
        let seen = Seen {
            line: line.iter().map(|found| found.manifest.id).collect(),
            evaluations: evaluations.iter().map(|found| found.key()).collect(),
            growing: growing.iter().map(|one| (one.from, one.rows.len())).collect(),
            is_settled: now.is_settled,
        };
        if self.seen.as_ref() == Some(&seen) {
            return Ok(());
        }
        let mut pieces = Vec::new();
        for found in line {
            let rows = store.rows(found).map_err(|error| error.to_string())?;
            pieces.push(Logged { rows, beats: beats(&store.timing(found)) });
        }
        pieces.extend(growing.into_iter().map(|one| Logged { rows: past(&one.rows, reached), beats: beats(&one.timing) }));
        let tape = tape(&pieces, reached, &evaluations, now.is_settled);
        self.write(store, &tape).map_err(|error| error.to_string())?;
        self.seen = Some(seen);
        Ok(())
    }

    fn write(&mut self, store: &Store, tape: &Tape) -> Result<(), crate::store::StoreError> {
        let Some(last_step) = tape.last_step else {
            self.written = None;
            // What is not there any more must not stay on file either.
            return if self.file.exists() { store.keep_board(&self.file, &[]).map(drop) } else { Ok(()) };
        };
        let kept = store.keep_board(&self.file, &tape.bytes)?;
        self.written = Some(Written { kept, rows: tape.rows, evaluations: tape.evaluations, last_step });
        Ok(())
    }

    /// Whether a segment in training belongs to the leaf: its end is on the leaf's history.
    fn is_on_history(&mut self, store: &Store, growing: &Growing) -> bool {
        let own = store.leaf_folder(&self.leaf.key);
        let key = &self.leaf.key.experiment;
        let is_siblings = growing.folder.starts_with(store.run_folder(key)) && growing.folder != store.shared_folder(key);
        if growing.folder == own {
            return true;
        }
        if is_siblings || !agrees(&self.leaf, growing) {
            return false;
        }
        let history = &self.leaf.history;
        // Hashing every step takes a moment: once for each segment.
        *self
            .ends
            .entry(growing.end.clone())
            .or_insert_with(|| history.ids(growing.from + 1..=history.end()).iter().any(|id| id.short() == growing.end))
    }

    fn row(&self, store: &Store) -> Option<Row> {
        let written = self.written.as_ref()?;
        Some(Row {
            leaf: self.leaf.key.to_string(),
            file: store.shown(&self.file),
            rows: written.rows,
            evaluations: written.evaluations,
            last_step: written.last_step,
            what: match written.kept {
                Kept::Same => "was up to date",
                Kept::Continued => "continued",
                Kept::Rewritten => "written",
            },
        })
    }
}

/// Whether what a segment in training logged last is what the leaf's history has there; seeds are not logged.
fn agrees(leaf: &Leaf, growing: &Growing) -> bool {
    let Some(row) = growing.rows.last().filter(|row| row.step < leaf.history.end()) else { return false };
    let at = leaf.history.at(row.step);
    (&row.weights, row.rate.to_bits(), row.batch, row.length)
        == (&at.weights, at.rate.to_bits(), at.batch, at.difficulty.length)
}

/// The evaluations of checkpoints on a leaf's history.
fn evaluations<'a>(inventory: &'a Inventory, leaf: &Leaf) -> Vec<&'a Evaluation> {
    let steps: BTreeSet<u64> = inventory.evaluations.iter().map(|found| found.step).collect();
    let ids: BTreeSet<Id> =
        leaf.history.ids(steps.into_iter().filter(|&step| step <= leaf.history.end())).into_iter().collect();
    inventory.evaluations.iter().filter(|found| ids.contains(&found.id)).collect()
}

/// Rows from a step on.
fn past(rows: &[MetricsRow], step: u64) -> Vec<MetricsRow> {
    rows.iter().filter(|row| row.step >= step).cloned().collect()
}

/// The lines of a clock as numbers, in the order of their steps; what makes no sense is left out.
fn beats(timing: &[Timing]) -> Vec<Beat> {
    let beat = |line: &Timing| {
        let time = DateTime::parse_from_rfc3339(&line.time).ok()?.timestamp_millis() as f64 / 1e3;
        line.seconds_per_step.is_finite().then_some(Beat { step: line.step, time, pace: line.seconds_per_step })
    };
    let mut beats: Vec<Beat> = timing.iter().filter_map(beat).collect();
    beats.sort_by_key(|beat| beat.step);
    beats.dedup_by_key(|beat| beat.step);
    beats
}

#[derive(Debug, Serialize)]
struct Row {
    leaf: String,
    file: String,
    rows: usize,
    evaluations: usize,
    last_step: u64,
    /// What the last look did with the file.
    what: &'static str,
}

fn render(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing was trained yet\n".into();
    }
    let mut table = Table::new(["leaf", "rows", "evaluations", "last step", "file", ""]);
    for row in rows {
        let numbers = (grouped(row.rows as u64), grouped(row.evaluations as u64), grouped(row.last_step));
        table.row([row.leaf.clone(), numbers.0, numbers.1, numbers.2, row.file.clone(), row.what.to_owned()]);
    }
    table.shown(terminal::style())
}
