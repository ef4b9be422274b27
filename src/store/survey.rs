//! Goes through the folders of all runs, each folder once and several runs at a time.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::checkpoint::MANIFEST;
use super::inventory::has_tensors;
use super::{Found, Store, in_parallel};
use crate::history::{EVALUATOR, PROBE};
use crate::record::{Evaluation, Manifest, Probe, Probes};
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
    /// How large everything is.
    Sizes,
}

/// What lies in one run's folder.
#[derive(Default)]
pub struct Part {
    pub checkpoints: Vec<Found>,
    pub evaluations: Vec<Evaluation>,
    pub probes: Vec<Probe>,
    pub damaged: Vec<(PathBuf, String)>,
    pub size: Size,
}

/// How large a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: u64,
    pub evaluations: usize,
}

/// Every folder of a run by its name, in order.
pub fn runs(store: &Store, wanted: Wanted) -> Vec<(OsString, Part)> {
    let runs: Vec<DirEntry> = sorted(store.root()).into_iter().filter(|entry| is_data(entry, false)).collect();
    let parts = in_parallel(&runs, |run| {
        let mut part = Part::default();
        let survey = Survey { store, wanted };
        match run.file_type() {
            Ok(kind) if kind.is_symlink() => part.damaged.push((run.path(), LINK.into())),
            Ok(kind) if kind.is_dir() => survey.folder(&run.path(), 1, true, &mut part),
            _ => {}
        }
        part
    });
    runs.iter().map(DirEntry::file_name).zip(parts).collect()
}

struct Survey<'a> {
    store: &'a Store,
    wanted: Wanted,
}

impl Survey<'_> {
    /// Looks at everything in a folder. Where `data` is false nothing in it is data, and only its size counts.
    fn folder(&self, folder: &Path, depth: usize, data: bool, part: &mut Part) {
        // Of a run, and not the run of an experiment that is called so.
        let is = |own: InRun| depth == 2 && folder.file_name().is_some_and(|name| name == own.name());
        let (in_evaluations, in_probes) = (is(InRun::Evaluations), is(InRun::Probes));
        for entry in sorted(folder) {
            let Ok(kind) = entry.file_type() else { continue };
            let data = data && is_data(&entry, depth >= LEAF) && depth <= DEEPEST;
            if kind.is_symlink() {
                part.damaged.extend(data.then(|| (entry.path(), LINK.to_owned())));
            } else if kind.is_dir() {
                let is_checkpoint = data && depth >= 2 && is_checkpoint(&entry);
                if is_checkpoint {
                    self.checkpoint(&entry.path(), part);
                }
                if self.wanted == Wanted::Sizes || data && !is_checkpoint {
                    self.folder(&entry.path(), depth + 1, data && !is_checkpoint, part);
                }
            } else if kind.is_file() {
                if self.wanted == Wanted::Sizes {
                    part.size.bytes += entry.metadata().map_or(0, |metadata| metadata.len());
                }
                let is_record = data && entry.path().extension().is_some_and(|ending| ending == "json");
                if is_record && in_evaluations {
                    self.evaluation(&entry.path(), part);
                } else if is_record && in_probes && self.wanted == Wanted::Data {
                    self.probes(&entry.path(), part);
                }
            }
        }
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
        part.size.evaluations += 1;
        if self.wanted == Wanted::Sizes {
            return;
        }
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

/// Hidden folders are unfinished, and in the folder of a leaf `lost-` and `damaged-` ones are never data; a run or a branch may
/// be called so. Links are not followed.
fn is_data(entry: &DirEntry, in_leaf: bool) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    let is_folder = || entry.file_type().is_ok_and(|kind| kind.is_dir());
    let is_evidence = || in_leaf && ["lost-", "damaged-"].iter().any(|prefix| name.starts_with(prefix)) && is_folder();
    !(name.starts_with('.') || is_evidence())
}

/// `<step>-<id8>` in the folder of a leaf, or of what leaves share.
fn is_checkpoint(entry: &DirEntry) -> bool {
    let is_name = |(step, id): (&str, &str)| {
        step.bytes().all(|b| b.is_ascii_digit()) && id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit())
    };
    entry.file_name().to_string_lossy().split_once('-').is_some_and(is_name)
}
