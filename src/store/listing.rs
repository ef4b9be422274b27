//! The list of all runs. Going through thousands of folders takes a second, and nearly all of them look as they did: what is
//! said of such a run is remembered.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Store;
use super::inventory::{orphaned, whole_lines};
use super::looks::Looks;
use super::survey::{self, Part, Wanted};
use crate::history::Id;
use crate::record::{ListedCheckpoint, ListedRun, SeenRun, Standing};
use crate::spec::{InRun, Name};

/// So few runs are gone through sooner than a file is written.
const FEW: usize = 64;
/// What is remembered is written anew when more than one run in so many is new.
const SHARE: usize = 16;

/// All runs, in order.
#[derive(Debug, Default)]
pub struct Listing {
    pub runs: Vec<Listed>,
    /// What could not be read, for people to see.
    pub damaged: Vec<(PathBuf, String)>,
    /// How many runs were gone through, as nothing was known of them.
    pub read: usize,
}

/// A run, and how many checkpoints count as its own: those that no run before it holds as well, and whose ancestors are there.
#[derive(Debug)]
pub struct Listed {
    pub name: Name,
    pub run: ListedRun,
    pub checkpoints: usize,
    pub with_tensors: usize,
    pub deepest_step: u64,
}

/// What was found out about a run.
struct Surveyed {
    run: ListedRun,
    damaged: Vec<(PathBuf, String)>,
    line: Line,
}

/// What is to be remembered of a run.
enum Line {
    Known,
    New(String),
    /// It may change and look the same, or something in it is damaged.
    None,
}

impl Store {
    /// Lists the runs, and remembers what does not change. `program` is this one: what another noted is not believed.
    pub fn listing(&self, program: &str) -> Listing {
        let text = self.remembered(program).unwrap_or_default();
        let known: BTreeMap<&str, &str> = text.lines().skip(1).filter_map(|line| line.split_once('\t')).collect();
        let surveyed = survey::runs(self, |run| {
            let known = run.file_name().to_str().and_then(|name| known.get(name)?.into());
            known.and_then(|line| recognized(&run.path(), line)).unwrap_or_else(|| self.gone_through(run))
        });
        let fresh = surveyed.iter().filter(|(_, run)| matches!(run.line, Line::New(_))).count();
        if surveyed.len() > FEW && fresh * SHARE > surveyed.len() {
            let lines = surveyed.iter().filter_map(|(name, run)| {
                let name = name.to_str()?;
                Some((
                    name,
                    match &run.line {
                        Line::Known => known.get(name)?,
                        Line::New(line) => line.as_str(),
                        Line::None => return None,
                    },
                ))
            });
            let lines: String = lines.flat_map(|(name, line)| [name, "\t", line, "\n"]).collect();
            // It only saves time: that it cannot be written stops nothing.
            let _ = self.remember(program, &lines);
        }
        listing(self, surveyed)
    }

    fn gone_through(&self, entry: &DirEntry) -> Surveyed {
        let began = SystemTime::now();
        let part = survey::run(self, Wanted::List, entry);
        let is_calm = part.damaged.is_empty() && part.list.looks.are_calm(began);
        let (looks, paths) = (part.list.looks.digest(), is_calm.then(|| lines(&part.list.paths)).flatten());
        let (run, damaged) = listed(part, &entry.path());
        let seen = paths.filter(|_| damaged.is_empty()).map(|paths| SeenRun { paths, looks, listed: run.clone() });
        let line = seen.and_then(|seen| serde_json::to_string(&seen).ok()).map_or(Line::None, Line::New);
        Surveyed { run, damaged, line }
    }
}

/// What is remembered of a run, if everything in it still looks the same.
fn recognized(folder: &Path, line: &str) -> Option<Surveyed> {
    let seen: SeenRun = serde_json::from_str(line).ok()?;
    let mut path = folder.to_str()?.to_owned();
    path.push('/');
    let start = path.len();
    let mut looks = Looks::default();
    for inner in seen.paths.lines() {
        path.truncate(start);
        path.push_str(inner);
        looks.add(Some(&fs::symlink_metadata(&path).ok()?));
    }
    let run = seen.listed;
    (looks.digest() == seen.looks).then_some(Surveyed { run, damaged: vec![], line: Line::Known })
}

/// Paths as lines; nothing where one cannot be written so.
fn lines(paths: &[PathBuf]) -> Option<String> {
    let mut text = String::new();
    for path in paths {
        text.push_str(path.to_str().filter(|path| !path.contains(['\n', '\r']))?);
        text.push('\n');
    }
    Some(text)
}

/// What a list says of what lies in a run's folder, and what of that could not be read.
fn listed(part: Part, folder: &Path) -> (ListedRun, Vec<(PathBuf, String)>) {
    let mut damaged = part.damaged;
    let (standing, ended) = match part.list.record {
        None => (Standing::NoRecord, None),
        Some(Ok(record)) => {
            let ended = record.attempts.into_iter().next_back().and_then(|attempt| attempt.ended);
            (Standing::Recorded(record.status), ended)
        }
        Some(Err(error)) => {
            let path = folder.join(InRun::Record.name());
            if damaged.iter().all(|(known, _)| *known != path) {
                damaged.push((path, error.to_string()));
            }
            (Standing::Unreadable, None)
        }
    };
    let checkpoints = part.checkpoints.into_iter().map(|found| ListedCheckpoint {
        path: found.path.strip_prefix(folder).unwrap_or(&found.path).into(),
        id: found.manifest.id,
        step: found.manifest.step,
        parent: found.manifest.parent.map(|parent| (parent.id, parent.step)),
        has_tensors: found.has_tensors,
    });
    let checkpoints = checkpoints.collect();
    (ListedRun { checkpoints, evaluations: part.list.evaluations, bytes: part.list.bytes, standing, ended }, damaged)
}

/// Joins what was found out about the runs, as an inventory does: of equal checkpoints the first one counts that has its
/// tensors, and one whose ancestors are not all there does not.
fn listing(store: &Store, surveyed: Vec<(OsString, Surveyed)>) -> Listing {
    let mut counted: BTreeMap<Id, (usize, &ListedCheckpoint)> = BTreeMap::new();
    for (index, (_, run)) in surveyed.iter().enumerate() {
        for checkpoint in &run.run.checkpoints {
            let known = counted.entry(checkpoint.id).or_insert((index, checkpoint));
            if checkpoint.has_tensors && !known.1.has_tensors {
                *known = (index, checkpoint);
            }
        }
    }
    let line = |id| counted.get(&id).map(|(_, checkpoint)| (checkpoint.step, checkpoint.parent));
    let whole = whole_lines(counted.keys().copied(), line);
    let mut own: Vec<Vec<&ListedCheckpoint>> = vec![vec![]; surveyed.len()];
    let mut orphans = Vec::new();
    for (id, (index, checkpoint)) in &counted {
        match whole[id] {
            true => own[*index].push(checkpoint),
            false => {
                let folder = store.root().join(&surveyed[*index].0);
                orphans.push((folder.join(&checkpoint.path), orphaned(checkpoint.parent)));
            }
        }
    }
    let counts: Vec<(usize, usize, u64)> = own
        .iter()
        .map(|own| {
            let deepest = own.iter().map(|checkpoint| checkpoint.step).max().unwrap_or(0);
            (own.len(), own.iter().filter(|checkpoint| checkpoint.has_tensors).count(), deepest)
        })
        .collect();
    let mut listing = Listing::default();
    for ((name, surveyed), (checkpoints, with_tensors, deepest_step)) in surveyed.into_iter().zip(counts) {
        listing.read += usize::from(!matches!(surveyed.line, Line::Known));
        listing.damaged.extend(surveyed.damaged);
        let name = name.into_string().ok().and_then(|name| Name::try_from(name).ok());
        let run = surveyed.run;
        listing.runs.extend(name.map(|name| Listed { name, run, checkpoints, with_tensors, deepest_step }));
    }
    listing.damaged.extend(orphans);
    listing
}
