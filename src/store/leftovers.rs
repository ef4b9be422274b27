//! What lies under `runs/` beside the data: what dead processes left half done, and evidence of attempts that went wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

use super::{Store, StoreError};

/// Nothing that is still being written has been untouched for so long.
const LONG: Duration = Duration::from_secs(3_600);
/// The same where its process is not known here. It may live on another machine that shares the disk, and then it writes.
const SOME: Duration = Duration::from_secs(300);
/// Folders of benches, before the number of their process.
const BENCH: &str = ".bench-";
/// What stands before the names of things in the making.
const UNFINISHED: [&str; 3] = [".tmp-", ".thinned-", BENCH];
/// Deepest folder below `runs/` in which the store leaves anything: `<run>/<branch>/seed-<n>/<checkpoint>/`.
const DEEPEST: usize = 4;

/// What kind of leftover it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Half done by a process that is dead.
    Dead,
    /// Half done by a process that may still be at it.
    Unfinished,
    /// A `lost-` or `damaged-` folder: never read as data, kept so that people can find out what happened.
    Evidence,
}

/// Something that is no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub path: PathBuf,
    pub bytes: u64,
    pub kind: Left,
}

impl Store {
    /// What lies in `folder`, and below it, beside the data. What is being trained now, locks and the trash are not listed.
    pub fn leftovers(&self, folder: &Path) -> Vec<Leftover> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(folder) = open.pop() {
            let depth = self.depth(&folder);
            for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let path = entry.path();
                // A run or a branch may have a name that begins so too; evidence lies in the folder of a leaf.
                if let Some(kind) = half_done(&name, &path).or((is_folder && depth >= 2).then(|| evidence(&name)).flatten()) {
                    found.push(Leftover { bytes: self.bytes(&path), path, kind });
                } else if is_folder && depth < DEEPEST && !is_apart(&name) {
                    open.push(path);
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// A folder of this process for a bench: what is saved in it is no data.
    pub fn bench_folder(&self) -> PathBuf {
        self.root.join(format!("{BENCH}{}", std::process::id()))
    }

    /// Removes the folders of benches that were killed.
    pub fn remove_dead_benches(&self) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok) {
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if name.starts_with(BENCH) && half_done(&name, &path) == Some(Left::Dead) {
                self.disk.remove_folder(&path).map_err(|error| self.io(&path, error))?;
            }
        }
        Ok(())
    }

    /// Removes a leftover.
    pub fn remove_leftover(&self, left: &Leftover) -> Result<(), StoreError> {
        match left.path.is_dir() {
            true => self.disk.remove_folder(&left.path).map_err(|error| self.io(&left.path, error)),
            false => self.discard(&left.path),
        }
    }

    /// Removes a file. It first goes into a folder of its own, by one rename, whose name says that it is no data.
    pub(super) fn discard(&self, path: &Path) -> Result<(), StoreError> {
        let name = format!(".tmp-discarded-{}-{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], "");
        let folder = path.with_file_name(name);
        self.disk.create_folder(&folder).map_err(|error| self.io(&folder, error))?;
        let to = folder.join(path.file_name().unwrap_or_default());
        self.disk.rename(path, &to).map_err(|error| self.io(path, error))?;
        self.disk.remove_folder(&folder).map_err(|error| self.io(&folder, error))
    }

    /// Size of a file, or of all files in a folder.
    pub fn bytes(&self, path: &Path) -> u64 {
        let files = WalkDir::new(path).into_iter().filter_map(Result::ok).filter_map(|entry| entry.metadata().ok());
        files.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
    }

    /// Folders between `runs/` and a path.
    fn depth(&self, path: &Path) -> usize {
        path.strip_prefix(&self.root).map_or(0, |inner| inner.components().count())
    }
}

/// Folders that are looked at elsewhere.
fn is_apart(name: &str) -> bool {
    name == ".trash" || name == ".locks" || name.starts_with(".live-")
}

fn evidence(name: &str) -> Option<Left> {
    let is_numbered = |rest: &str| rest.split('-').next().is_some_and(|step| step.parse::<u64>().is_ok());
    let rest = name.strip_prefix("lost-").or_else(|| name.strip_prefix("damaged-"))?;
    is_numbered(rest).then_some(Left::Evidence)
}

/// Whether a name is that of something in the making, and whether its process is dead.
fn half_done(name: &str, path: &Path) -> Option<Left> {
    let is_hidden = UNFINISHED.iter().any(|prefix| name.starts_with(prefix));
    let dead = || untouched(path).is_some_and(|age| age > if process(name).is_some_and(is_gone) { SOME } else { LONG });
    is_hidden.then(|| if dead() { Left::Dead } else { Left::Unfinished })
}

/// The number of the process in `.tmp-<what>-<process>-<thread>`, `.thinned-<process>` or `.bench-<process>`.
fn process(name: &str) -> Option<u32> {
    match name.strip_prefix(".thinned-").or_else(|| name.strip_prefix(BENCH)) {
        Some(process) => process.parse().ok(),
        None => name.strip_prefix(".tmp-")?.rsplit('-').nth(1)?.parse().ok(),
    }
}

/// Whether no process has this number. Only known where the system lists its processes.
fn is_gone(process: u32) -> bool {
    let list = Path::new("/proc");
    list.join("self").exists() && !list.join(process.to_string()).exists()
}

/// How long nothing in it has changed.
fn untouched(path: &Path) -> Option<Duration> {
    let changed = |entry: walkdir::DirEntry| entry.metadata().ok()?.modified().ok();
    let newest: Option<SystemTime> = WalkDir::new(path).into_iter().filter_map(Result::ok).filter_map(changed).max();
    newest.and_then(|time| time.elapsed().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_stands_in_the_name() {
        assert_eq!(process(".tmp-10-abcdef12-4242-ThreadId1"), Some(4242));
        assert_eq!(process(".tmp-precursor-when.ron-7-ThreadId12"), Some(7));
        assert_eq!(process(".thinned-31"), Some(31));
        assert_eq!(process(".bench-31"), Some(31));
        for unknown in [".tmp-", ".tmp-x", ".tmp-x-y", ".thinned-", ".bench-", "tmp-1-2-3"] {
            assert_eq!(process(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn evidence_is_told_from_runs_with_odd_names() {
        for name in ["lost-10-0", "damaged-20-abcdef12-0"] {
            assert_eq!(evidence(name), Some(Left::Evidence), "{name}");
        }
        for name in ["lost-cause", "damaged", "10-abcdef12", "lost-"] {
            assert_eq!(evidence(name), None, "{name}");
        }
    }
}
