//! Goes through the folders of all runs, each folder once and several runs at a time.

use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::MANIFEST;
use super::inventory::has_tensors;
use super::looks::Looks;
use super::{Found, Store, StoreError, in_parallel};
use crate::history::{EVALUATOR, PROBE};
use crate::record::{Evaluation, Manifest, Probe, Probes, RunRecord};
use crate::spec::InRun;

/// Deepest folder below a run that may hold data: `<branch>/seed-<n>/<checkpoint>/` and a few to spare.
const DEEPEST: usize = 5;

/// The least deep folder of a leaf: `<run>/<branch>/`.
const LEAF: usize = 2;

const LINK: &str = "it is a link, and links are not followed here";

/// What is looked for beside checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Evaluations and probes. Nothing below a checkpoint is looked at: its manifest stands for it.
    Data,
    /// What a list says of a run: how large everything is, and its record. Evaluations are only counted.
    List,
}

/// What lies in one run's folder.
#[derive(Default)]
pub struct Part {
    pub checkpoints: Vec<Found>,
    pub evaluations: Vec<Evaluation>,
    pub probes: Vec<Probe>,
    pub damaged: Vec<(PathBuf, String)>,
    pub list: List,
}

/// What is only wanted for a list.
#[derive(Default)]
pub struct List {
    /// Size of all files.
    pub bytes: u64,
    /// How many files of evaluations there are.
    pub evaluations: usize,
    /// The record, if there is one.
    pub record: Option<Result<RunRecord, StoreError>>,
    /// Every folder and file that was looked at, below the run's folder, and how they looked.
    pub paths: Vec<PathBuf>,
    pub looks: Looks,
}

/// What `work` makes of every folder of a run and its name, in order. It is given what the folder is called and whether it
/// is a link.
pub fn runs<R: Send>(store: &Store, work: impl Fn(&DirEntry) -> R + Sync) -> Vec<(OsString, R)> {
    let is_run = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
    let runs: Vec<DirEntry> = sorted(store.root()).into_iter().filter(|entry| is_data(entry, 0) && is_run(entry)).collect();
    let done = in_parallel(&runs, work);
    runs.iter().map(DirEntry::file_name).zip(done).collect()
}

/// Everything in a run's folder.
pub fn run(store: &Store, wanted: Wanted, run: &DirEntry) -> Part {
    let mut part = Part::default();
    let path = run.path();
    match run.file_type() {
        Ok(kind) if kind.is_symlink() => part.damaged.push((path, LINK.into())),
        _ => Survey { store, wanted, run: &path }.folder(&path, 1, true, &mut part),
    }
    part
}

struct Survey<'a> {
    store: &'a Store,
    wanted: Wanted,
    /// The run's folder.
    run: &'a Path,
}

impl Survey<'_> {
    /// Looks at everything in a folder. Where `data` is false nothing in it is data, and only its size counts.
    fn folder(&self, folder: &Path, depth: usize, data: bool, part: &mut Part) {
        if self.wanted == Wanted::List {
            // Before it is read: what appears in it meanwhile makes it look otherwise next time.
            self.look(folder, fs::symlink_metadata(folder), part);
        }
        // Of a run, and not the run of an experiment that is called so.
        let is = |own: InRun| depth == 2 && folder.file_name().is_some_and(|name| name == own.name());
        let (in_evaluations, in_probes) = (is(InRun::Evaluations), is(InRun::Probes));
        for entry in sorted(folder) {
            let Ok(kind) = entry.file_type() else { continue };
            let data = data && is_data(&entry, depth) && depth <= DEEPEST;
            if depth == 1 && self.wanted == Wanted::List && entry.file_name() == InRun::Record.name() {
                part.list.record = Some(self.store.read_json_here(&entry.path()));
            }
            if kind.is_symlink() {
                // What it leads to may change, and the link look the same.
                part.list.looks.add(None);
                part.damaged.extend(data.then(|| (entry.path(), LINK.to_owned())));
            } else if kind.is_dir() {
                let is_checkpoint = data && depth >= 2 && is_checkpoint(&entry);
                if is_checkpoint {
                    self.checkpoint(&entry.path(), part);
                }
                if self.wanted == Wanted::List || data && !is_checkpoint {
                    self.folder(&entry.path(), depth + 1, data && !is_checkpoint, part);
                }
            } else if kind.is_file() {
                let is_record = data && entry.path().extension().is_some_and(|ending| ending == "json");
                match self.wanted {
                    Wanted::List => {
                        part.list.bytes += self.look(&entry.path(), entry.metadata(), part);
                        part.list.evaluations += usize::from(is_record && in_evaluations);
                    }
                    Wanted::Data if is_record && in_evaluations => self.evaluation(&entry.path(), part),
                    Wanted::Data if is_record && in_probes => self.probes(&entry.path(), part),
                    Wanted::Data => {}
                }
            }
        }
    }

    /// Notes how a folder or file looks, and gives its size in bytes.
    fn look(&self, path: &Path, metadata: io::Result<Metadata>, part: &mut Part) -> u64 {
        part.list.paths.extend(path.strip_prefix(self.run).ok().map(Path::to_path_buf));
        part.list.looks.add(metadata.as_ref().ok());
        metadata.map_or(0, |metadata| metadata.len())
    }

    fn checkpoint(&self, path: &Path, part: &mut Part) {
        let named = |manifest: &Manifest| format!("{}-{}", manifest.step, manifest.id.short());
        match self.store.read_sealed_here::<Manifest>(&path.join(MANIFEST)) {
            Ok(manifest) if path.file_name().is_some_and(|name| name.to_string_lossy() == named(&manifest)) => {
                part.checkpoints.push(Found { path: path.into(), manifest, has_tensors: has_tensors(path) });
            }
            Ok(_) => part.damaged.push((path.into(), "its manifest is another checkpoint's".into())),
            Err(error) => part.damaged.push((path.into(), error.to_string())),
        }
    }

    fn evaluation(&self, path: &Path, part: &mut Part) {
        match self.store.read_sealed_here::<Evaluation>(path) {
            // What another evaluator computed does not compare with what this one does.
            Ok(evaluation) if evaluation.evaluator != EVALUATOR => {}
            Ok(evaluation) => part.evaluations.push(evaluation),
            Err(error) => part.damaged.push((path.into(), error.to_string())),
        }
    }

    fn probes(&self, path: &Path, part: &mut Part) {
        match self.store.read_sealed_here::<Probes>(path) {
            Ok(probes) if probes.version != PROBE => {}
            Ok(probes) => part.probes.extend(probes.probes),
            Err(error) => part.damaged.push((path.into(), error.to_string())),
        }
    }
}

/// What is in a folder, by name.
fn sorted(folder: &Path) -> Vec<DirEntry> {
    let mut entries: Vec<DirEntry> = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).collect();
    entries.sort_by_cached_key(DirEntry::file_name);
    entries
}

/// Whether something may be data that lies in a folder at this depth below `runs/`. Hidden folders are unfinished, and evidence
/// in the folder of a leaf is never data; a run or a branch may have a name that begins as evidence does.
fn is_data(entry: &DirEntry, depth: usize) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    let is_folder = || entry.file_type().is_ok_and(|kind| kind.is_dir());
    let is_evidence = || ["lost-", "damaged-"].iter().any(|prefix| name.starts_with(prefix)) && is_folder();
    !(name.starts_with('.') || depth >= LEAF && is_evidence())
}

/// `<step>-<id8>` in the folder of a leaf, or of what leaves share.
fn is_checkpoint(entry: &DirEntry) -> bool {
    let is_name = |(step, id): (&str, &str)| {
        step.bytes().all(|b| b.is_ascii_digit()) && id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit())
    };
    entry.file_name().to_string_lossy().split_once('-').is_some_and(is_name)
}
