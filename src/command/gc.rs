//! `runner gc`: takes the tensors of checkpoints that nothing keeps, and what dead attempts left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::Context;
use super::diagnostics::counted;
use super::judged::{Judged, below_runs, stored};
use super::{Fault, note, print, print_json, refer};
use crate::history::Id;
use crate::plan::{Facts, Reason, verdicts};
use crate::report::{Table, size};
use crate::spec::{InRun, Name};
use crate::store::{Found, Inventory, Left, Leftover, Store};

/// Why tensors go.
const SURPLUS: &str = "only guarded against crashes, and later ones exist";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these runs [default: all]
    runs: Vec<String>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Also empty `runs/.trash`
    #[arg(long)]
    trash: bool,
    /// Also remove what failed attempts left as evidence, `lost-*` and `damaged-*`
    #[arg(long)]
    evidence: bool,
    /// The verdicts as JSON
    #[arg(long)]
    json: bool,
}

/// Something that takes space, and whether it goes.
#[derive(Debug, Serialize)]
struct Row<'a> {
    /// The checkpoint as a reference where there is one, else the path.
    what: String,
    path: String,
    bytes: u64,
    goes: bool,
    why: Vec<String>,
    #[serde(skip)]
    thing: Thing<'a>,
}

#[derive(Debug)]
enum Thing<'a> {
    Tensors(&'a Found),
    Leftover(Leftover),
    Trash,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    dry_run: bool,
    /// With `--dry-run`, what would be freed.
    bytes_freed: u64,
    rows: &'a [Row<'a>],
}

pub(crate) fn main(directory: Option<&Path>, args: &Args) -> Result<(), Fault> {
    let context = Context::open(directory)?;
    let runs: Vec<Name> = args.runs.iter().map(|text| refer::run(&context, text)).collect::<Result<_, _>>()?;
    let inventory = context.inventory();
    let folders: Vec<PathBuf> = match runs.is_empty() {
        true => vec![context.store.root().to_path_buf()],
        false => runs.iter().map(|run| context.store.run_folder(run)).collect(),
    };
    let mut rows = checkpoints(&context, &inventory, &folders)?;
    rows.extend(leftovers(&context.store, &folders, args.evidence));
    rows.extend(trash(&context.store, args.trash));
    if !args.dry_run {
        rows.iter().filter(|row| row.goes).try_for_each(|row| take(&context.store, &row.thing))?;
    }
    let bytes_freed: u64 = rows.iter().filter(|row| row.goes).map(|row| row.bytes).sum();
    match args.json {
        true => print_json(&Shown { dry_run: args.dry_run, bytes_freed, rows: &rows }),
        false => print(&render(&rows, bytes_freed, args.dry_run)),
    }
}

fn take(store: &Store, thing: &Thing<'_>) -> Result<(), Fault> {
    match thing {
        Thing::Tensors(found) => store.thin(found)?,
        Thing::Leftover(left) => store.remove_leftover(left)?,
        Thing::Trash => store.empty_trash()?,
    }
    Ok(())
}

/// The checkpoints with tensors in some folders; judged by everything that exists.
fn checkpoints<'a>(context: &Context, inventory: &'a Inventory, folders: &[PathBuf]) -> Result<Vec<Row<'a>>, Fault> {
    let judged = Judged::read(context);
    let facts = Facts {
        checkpoints: &stored(&context.store, inventory),
        experiments: &judged.experiments,
        other_forks: &judged.other_forks,
        unread: &judged.unread,
        evaluations: &inventory.evaluations,
        pins: &context.store.pins()?,
        in_training: &runs_in_training(&context.store)?,
    };
    let verdicts = verdicts(&facts);
    let mut found: Vec<&Found> = inventory.checkpoints.values().filter(|found| found.has_tensors).collect();
    found.retain(|found| folders.iter().any(|folder| found.path.starts_with(folder)));
    found.sort_by_key(|found| (found.path.parent().map(Path::to_path_buf), found.manifest.step));
    warn(&context.store, &judged, &found);
    Ok(found.into_iter().map(|found| checkpoint(&context.store, found, &verdicts)).collect())
}

fn runs_in_training(store: &Store) -> Result<BTreeSet<String>, Fault> {
    let folders = store.in_training()?;
    Ok(folders.iter().filter_map(|folder| Some(below_runs(store, folder).split('/').next()?.to_owned())).collect())
}

/// Says which files stand in the way of judging.
fn warn(store: &Store, judged: &Judged, found: &[&Found]) {
    for file in &judged.unread {
        note(&format!(
            "warning: `{file}` has problems and may fork from anything: nothing that has tensors goes; `runner check` says more"
        ));
    }
    let runs: BTreeSet<String> = found.iter().map(|found| run_of(store, found)).collect();
    let known: BTreeSet<&str> = judged.experiments.keys().map(Name::as_str).collect();
    for run in runs.iter().filter(|run| !known.contains(run.as_str())) {
        note(&format!(
            "warning: `{run}` is left alone: neither `experiments/{run}.ron` nor `runs/{run}/{run}.ron` can be read"
        ));
    }
}

fn run_of(store: &Store, found: &Found) -> String {
    below_runs(store, &found.path).split('/').next().unwrap_or_default().to_owned()
}

fn checkpoint<'a>(store: &Store, found: &'a Found, verdicts: &BTreeMap<Id, BTreeSet<Reason>>) -> Row<'a> {
    let reasons = &verdicts[&found.manifest.id];
    let goes = reasons.is_empty();
    Row {
        what: reference(store, found),
        path: store.shown(&found.path),
        bytes: store.bytes(&found.path.join("tensors")),
        goes,
        why: if goes { vec![SURPLUS.into()] } else { reasons.iter().map(ToString::to_string).collect() },
        thing: Thing::Tensors(found),
    }
}

/// `experiment/branch#seed@step`; the path of what several leaves share.
fn reference(store: &Store, found: &Found) -> String {
    let path = below_runs(store, &found.path);
    let step = found.manifest.step;
    let seed = |folder: &str| folder.strip_prefix("seed-").and_then(|seed| seed.parse::<u64>().ok());
    match path.split('/').collect::<Vec<_>>()[..] {
        [_, folder, _] if folder == InRun::Shared.name() => store.shown(&found.path),
        [run, branch, _] => format!("{run}/{branch}@{step}"),
        [run, branch, folder, _] => {
            seed(folder).map_or_else(|| store.shown(&found.path), |seed| format!("{run}/{branch}#{seed}@{step}"))
        }
        _ => store.shown(&found.path),
    }
}

fn leftovers(store: &Store, folders: &[PathBuf], with_evidence: bool) -> Vec<Row<'static>> {
    let row = |left: Leftover| {
        let (goes, why) = match left.kind {
            Left::Dead => (true, "left by an attempt that is dead"),
            Left::Unfinished => (false, "in the making by a process that may be alive"),
            Left::Evidence if with_evidence => (true, "evidence of an attempt that went wrong"),
            Left::Evidence => (false, "evidence of an attempt that went wrong; `--evidence` removes it"),
        };
        let path = store.shown(&left.path);
        Row { what: path.clone(), path, bytes: left.bytes, goes, why: vec![why.into()], thing: Thing::Leftover(left) }
    };
    folders.iter().flat_map(|folder| store.leftovers(folder)).map(row).collect()
}

fn trash(store: &Store, empty: bool) -> Option<Row<'static>> {
    let folder = store.trash_folder();
    let why = if empty { "emptied" } else { "`--trash` empties it" };
    let path = store.shown(&folder);
    folder.exists().then(|| Row {
        what: path.clone(),
        path,
        bytes: store.bytes(&folder),
        goes: empty,
        why: vec![why.into()],
        thing: Thing::Trash,
    })
}

fn render(rows: &[Row<'_>], freed: u64, dry_run: bool) -> String {
    let (go, stay): (Vec<&Row<'_>>, Vec<&Row<'_>>) = rows.iter().partition(|row| row.goes);
    let mut out = String::new();
    if !rows.is_empty() {
        out += &table(rows);
        out.push('\n');
    }
    let done = if dry_run { "would be freed" } else { "freed" };
    out + &format!("{} {done}: {}, {}\n", size(freed), tally(&go, "go", "goes"), tally(&stay, "stay", "stays"))
}

fn tally(rows: &[&Row<'_>], several: &str, one: &str) -> String {
    let tensors = rows.iter().filter(|row| matches!(row.thing, Thing::Tensors(_))).count();
    let verb = |count: usize| if count == 1 { one } else { several };
    let rest = rows.len() - tensors;
    let others = if rest > 0 { format!(" and {}", counted(rest, "leftover")) } else { String::new() };
    format!("{}{others} {}", counted(tensors, "checkpoint"), verb(rows.len()))
}

/// The reasons are long and of different lengths: they stand to the left in a column behind the table.
fn table(rows: &[Row<'_>]) -> String {
    let mut table = Table::new(["checkpoint", "size", "verdict"]);
    for row in rows {
        table.row([row.what.clone(), size(row.bytes), (if row.goes { "goes" } else { "stays" }).to_owned()]);
    }
    let why = ["why".to_owned()].into_iter().chain(rows.iter().map(|row| row.why.join(", ")));
    table.to_string().lines().zip(why).map(|(line, why)| format!("{line}  {why}\n")).collect()
}
