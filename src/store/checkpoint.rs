//! Checkpoints: commit, read, verify, thin.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::safetensors::{decode, encode};
use super::seal::{self, sealed};
use super::{Found, Store, StoreError, inside};
use crate::history::{History, Id};
use crate::record::{FORMAT, FileDigest, Ledger, Manifest, Numerics, ParentDigest, Promise, State, Tensors, TensorsManifest};

pub(super) const MANIFEST: &str = "MANIFEST.json";
const HISTORY: &str = "history.json";
pub(super) const METRICS: &str = "metrics.jsonl";
const LEDGER: &str = "ledger.bin";
pub(super) const TIMING: &str = "timing.jsonl";
const TENSORS: &str = "tensors";

/// A trained segment, ready to be saved with the state it led to.
pub struct Segment<'a> {
    /// The history up to the checkpoint.
    pub history: &'a History,
    pub parent: Option<ParentDigest>,
    pub numerics: &'a Numerics,
    pub metrics: &'a [u8],
    /// The bytes of its ledger, where one is kept.
    pub ledger: Option<&'a [u8]>,
    pub timing: &'a [u8],
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Saved,
    /// The same checkpoint was there already, with the same tensors.
    Existed,
    /// The checkpoint was there without its tensors and has them again.
    Restored,
}

/// A checkpoint that is on disk.
#[derive(Clone, Debug)]
pub struct Committed {
    pub how: Commit,
    pub found: Found,
}

impl Store {
    /// Saves a checkpoint into `folder` as `<step>-<id8>/`, whole or not at all.
    pub fn commit(&self, folder: &Path, segment: &Segment<'_>, state: &State) -> Result<Committed, StoreError> {
        let (id, step) = (segment.history.id(), segment.history.end());
        let name = format!("{step}-{}", id.short());
        let target = folder.join(&name);
        let temporary = folder
            .join(format!(".tmp-{name}-{}-{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], ""));
        if temporary.exists() {
            self.disk.remove_folder(&temporary).map_err(|error| self.io(&temporary, error))?;
        }
        let tensors = self.write_tensors(&temporary.join(TENSORS), id, state)?;
        let history = json(segment.history);
        let ledger = segment.ledger.map(|bytes| (LEDGER, bytes));
        let files: Vec<(&str, &[u8])> =
            [(HISTORY, history.as_slice()), (METRICS, segment.metrics)].into_iter().chain(ledger).collect();
        for (name, bytes) in files.iter().chain(&[(TIMING, segment.timing)]) {
            self.write(&temporary.join(name), bytes)?;
        }
        let manifest = Manifest {
            format: FORMAT,
            id,
            step,
            parent: segment.parent.clone(),
            numerics: segment.numerics.clone(),
            tensors,
            files: files.iter().map(|(name, bytes)| FileDigest::of(name, bytes)).collect(),
        };
        self.write(&temporary.join(MANIFEST), &sealed(&manifest))?;
        let how = match self.disk.rename(&temporary, &target) {
            Ok(()) => Commit::Saved,
            Err(_) if target.exists() => self.second_finish(&temporary, &target, &manifest)?,
            Err(error) => return Err(self.io(&target, error)),
        };
        let manifest = if how == Commit::Saved { manifest } else { self.read_manifest(&target)? };
        Ok(Committed { how, found: Found { path: target, manifest, has_tensors: true } })
    }

    /// Another attempt was first: its checkpoint stays, and must agree.
    fn second_finish(&self, temporary: &Path, target: &Path, new: &Manifest) -> Result<Commit, StoreError> {
        let kept = match self.whole(target) {
            Ok(kept) => kept,
            Err(error) if error.is_damage() => {
                self.put_aside(target)?;
                self.disk.rename(temporary, target).map_err(|error| self.io(target, error))?;
                return Ok(Commit::Saved);
            }
            Err(error) => return Err(error),
        };
        let has_tensors = target.join(TENSORS).exists();
        if kept.tensors != new.tensors {
            let promise = kept.numerics.promise(&new.numerics);
            let path = self.shown(target);
            let (kept, new) = (kept.tensors[..8].into(), new.tensors[..8].into());
            // Where a contradiction is an alarm, the evidence stays; elsewhere the new tensors are nobody's.
            return Err(match promise {
                Promise::Bits => StoreError::Contradiction { path, kept, new },
                _ => {
                    self.remove(temporary)?;
                    match has_tensors {
                        true => StoreError::Overtaken { path, kept, new },
                        false => StoreError::Unrestored { path, kept, new },
                    }
                }
            });
        }
        if !has_tensors {
            let from = temporary.join(TENSORS);
            self.disk.rename(&from, &target.join(TENSORS)).map_err(|error| self.io(target, error))?;
            self.remove(temporary)?;
            return Ok(Commit::Restored);
        }
        self.remove(temporary)?;
        Ok(Commit::Existed)
    }

    /// The manifest of a checkpoint in which everything agrees.
    fn whole(&self, path: &Path) -> Result<Manifest, StoreError> {
        let manifest = self.read_manifest(path)?;
        let found = Found { path: path.into(), manifest, has_tensors: path.join(TENSORS).exists() };
        self.verify(&found)?;
        Ok(found.manifest)
    }

    fn write_tensors(&self, folder: &Path, id: Id, state: &State) -> Result<String, StoreError> {
        self.disk.create_folder(folder).map_err(|error| self.io(folder, error))?;
        let mut files = Vec::new();
        for (name, tensors) in parts(state) {
            let bytes = encode(tensors).map_err(|what| self.damaged(&folder.join(name), what))?;
            self.write(&folder.join(name), &bytes)?;
            files.push(FileDigest::of(name, &bytes));
        }
        let tensors = FileDigest::combined(&files);
        let manifest = TensorsManifest { format: FORMAT, id, tensors: tensors.clone(), files };
        self.write(&folder.join(MANIFEST), &sealed(&manifest))?;
        Ok(tensors)
    }

    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        self.disk.write(path, bytes).map_err(|error| self.io(path, error))
    }

    fn remove(&self, folder: &Path) -> Result<(), StoreError> {
        self.disk.remove_folder(folder).map_err(|error| self.io(folder, error))
    }

    /// Reads a checkpoint's manifest; says so if it was written by a newer version.
    pub fn read_manifest(&self, folder: &Path) -> Result<Manifest, StoreError> {
        self.read_sealed(&folder.join(MANIFEST))
    }

    /// A record whose seal agrees.
    pub(super) fn read_sealed<T: DeserializeOwned>(&self, path: &Path) -> Result<T, StoreError> {
        self.unsealed(path, self.read(path)?)
    }

    /// The same, in a folder that was reached without following links.
    pub(super) fn read_sealed_here<T: DeserializeOwned>(&self, path: &Path) -> Result<T, StoreError> {
        self.unsealed(path, inside::read_here(path).map_err(|error| self.io(path, error))?)
    }

    fn unsealed<T: DeserializeOwned>(&self, path: &Path, bytes: Vec<u8>) -> Result<T, StoreError> {
        self.check_format(path, &bytes)?;
        seal::check(&bytes).map_err(|what| self.damaged(path, what))?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(path, error.to_string()))
    }

    pub(super) fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Result<T, StoreError> {
        self.parsed(path, self.read(path)?)
    }

    /// The same, in a folder that was reached without following links.
    pub(super) fn read_json_here<T: DeserializeOwned>(&self, path: &Path) -> Result<T, StoreError> {
        self.parsed(path, inside::read_here(path).map_err(|error| self.io(path, error))?)
    }

    fn parsed<T: DeserializeOwned>(&self, path: &Path, bytes: Vec<u8>) -> Result<T, StoreError> {
        self.check_format(path, &bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(path, error.to_string()))
    }

    /// Whether a JSON file is of a format that this version reads.
    fn check_format(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        #[derive(serde::Deserialize)]
        struct Head {
            format: Option<u64>,
        }
        // Every record of this version begins so, and need not be read twice to know its format.
        if bytes.starts_with(format!("{{\n  \"format\": {FORMAT},\n").as_bytes()) {
            return Ok(());
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| self.damaged(path, error.to_string()))?;
        match head.format {
            None => Err(self.damaged(path, "it has no format number")),
            Some(format) if format > u64::from(FORMAT) => {
                Err(StoreError::Newer { path: self.shown(path), found: format as u32, known: FORMAT })
            }
            Some(_) => Ok(()),
        }
    }

    /// The history beside a checkpoint, proved by the manifest and by its hash.
    pub fn history(&self, found: &Found) -> Result<History, StoreError> {
        let path = found.path.join(HISTORY);
        let bytes = self.verified(&found.path, &found.manifest.files, HISTORY)?;
        let history: History = serde_json::from_slice(&bytes).map_err(|error| self.damaged(&path, error.to_string()))?;
        if !history.is_canonical() || history.id() != found.manifest.id {
            return Err(self.damaged(&path, "the history does not give the checkpoint's name"));
        }
        Ok(history)
    }

    /// The bytes of a segment's metrics, proved by the manifest.
    pub fn metrics(&self, found: &Found) -> Result<Vec<u8>, StoreError> {
        self.verified(&found.path, &found.manifest.files, METRICS)
    }

    /// The bits of a segment's updates, proved by the manifest; nothing where none were kept.
    pub fn ledger(&self, found: &Found) -> Result<Option<Ledger>, StoreError> {
        if found.manifest.files.iter().all(|file| file.name != LEDGER) {
            return Ok(None);
        }
        let bytes = self.verified(&found.path, &found.manifest.files, LEDGER)?;
        Ledger::decode(&bytes).map(Some).map_err(|what| self.damaged(&found.path.join(LEDGER), what))
    }

    /// The whole state, proved by both manifests.
    pub fn state(&self, found: &Found) -> Result<State, StoreError> {
        let folder = found.path.join(TENSORS);
        let manifest: TensorsManifest = self.read_sealed(&folder.join(MANIFEST))?;
        let claimed = FileDigest::combined(&manifest.files);
        if manifest.id != found.manifest.id || manifest.tensors != found.manifest.tensors || claimed != manifest.tensors {
            return Err(self.damaged(&folder, "its tensors are not the checkpoint's"));
        }
        let read = |name: &str| -> Result<Tensors, StoreError> {
            let bytes = self.verified(&folder, &manifest.files, name)?;
            decode(&bytes).map_err(|what| self.damaged(&folder.join(name), what))
        };
        Ok(State { model: read(MODEL)?, ema: read(EMA)?, optimizer: read(OPTIMIZER)? })
    }

    /// Digest of the file that holds the given weights of a checkpoint; for the keys of evaluations.
    pub fn weights_digest(&self, found: &Found, averaged: bool) -> Result<String, StoreError> {
        let manifest: TensorsManifest = self.read_sealed(&found.path.join(TENSORS).join(MANIFEST))?;
        let name = if averaged { EMA } else { MODEL };
        let file = manifest.files.iter().find(|file| file.name == name);
        file.map(|file| file.blake3.clone()).ok_or_else(|| self.damaged(&found.path, format!("it lists no {name}")))
    }

    /// Reads a whole checkpoint and checks everything in it.
    pub fn verify(&self, found: &Found) -> Result<(), StoreError> {
        self.history(found)?;
        self.metrics(found)?;
        self.ledger(found)?;
        if found.has_tensors {
            self.state(found)?;
        }
        Ok(())
    }

    fn verified(&self, folder: &Path, files: &[FileDigest], name: &str) -> Result<Vec<u8>, StoreError> {
        let path = folder.join(name);
        let claimed =
            files.iter().find(|file| file.name == name).ok_or_else(|| self.damaged(&path, "the manifest does not list it"))?;
        let bytes = self.read(&path)?;
        let actual = FileDigest::of(name, &bytes);
        if actual != *claimed {
            let what = format!(
                "{} bytes with blake3 {}.., the manifest says {} with {}..",
                actual.size,
                &actual.blake3[..8],
                claimed.size,
                claimed.blake3.get(..8).unwrap_or_default()
            );
            return Err(self.damaged(&path, what));
        }
        Ok(bytes)
    }

    /// Takes the tensors of a checkpoint away, by one rename; its history and metrics stay.
    pub fn thin(&self, found: &Found) -> Result<(), StoreError> {
        let tensors = found.path.join(TENSORS);
        let away = found.path.join(format!(".thinned-{}", std::process::id()));
        match self.disk.rename(&tensors, &away) {
            Ok(()) => self.remove(&away),
            // Another process was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !tensors.exists() => Ok(()),
            Err(error) => Err(self.io(&tensors, error)),
        }
    }

    /// Puts a damaged checkpoint aside, so that it can be trained again; it is never read as data.
    pub fn put_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let free = (0..).map(|n| path.with_file_name(format!("damaged-{name}-{n}"))).find(|to| !to.exists());
        let to = free.expect("some number is free");
        self.disk.rename(path, &to).map_err(|error| self.io(path, error))?;
        Ok(to)
    }
}

const MODEL: &str = "model.safetensors";
const EMA: &str = "ema.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";

/// The digest that a state's tensors have in a manifest.
pub fn state_digest(state: &State) -> Result<String, String> {
    let file = |(name, tensors): (&str, &Tensors)| Ok(FileDigest::of(name, &encode(tensors)?));
    let files: Vec<FileDigest> = parts(state).into_iter().map(file).collect::<Result<_, String>>()?;
    Ok(FileDigest::combined(&files))
}

fn parts(state: &State) -> [(&'static str, &Tensors); 3] {
    [(EMA, &state.ema), (MODEL, &state.model), (OPTIMIZER, &state.optimizer)]
}

/// JSON that people can read, with a newline at its end.
pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our records can be written as JSON");
    bytes.push(b'\n');
    bytes
}
