//! Digests of data files, remembered as long as the files look the same: a question about gigabytes of spectra is answered
//! without reading them. Training never relies on it.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::record::{DataCache, FORMAT, Look, Seen, SeenTensors};

/// A file changed so shortly before it was read could change again and look the same: clocks of file systems are as coarse as
/// two seconds. Such a file is read again next time, as git does.
const RACY: Duration = Duration::from_secs(2);
/// Most entries of each kind. A project has few data files; a cache that nobody prunes would grow for ever.
const MOST: usize = 4_096;

/// Digests of files that are made once in a process and, where that is allowed, were made before.
#[derive(Debug, Default)]
pub struct Digests {
    cache: DataCache,
    /// Digests made by this process, or that it was allowed to believe, by where the files lie.
    sure: BTreeMap<PathBuf, String>,
    believes: bool,
    has_changed: bool,
    /// Files that were read.
    pub read: usize,
}

impl Digests {
    /// Reads every file, and only remembers for later what they are.
    pub fn fresh(cache: DataCache) -> Digests {
        Digests { cache, ..Digests::default() }
    }

    /// Believes what is known of files that look the same. `program` is this one: what another computed is forgotten.
    pub fn believing(cache: DataCache, program: &str) -> Digests {
        let mut digests = Digests { cache, believes: true, ..Digests::default() };
        if digests.cache.program != program {
            digests.cache.program = program.into();
            digests.cache.sets.clear();
            digests.cache.sources.clear();
        }
        digests
    }

    /// What is known now, if that is more than what was known before.
    pub fn news(&self) -> Option<DataCache> {
        self.has_changed.then(|| DataCache { format: FORMAT, ..self.cache.clone() })
    }

    /// Digest of a regular file's bytes.
    pub fn file(&mut self, path: &Path) -> io::Result<String> {
        let place = place(path);
        if let Some(digest) = self.sure.get(&place) {
            return Ok(digest.clone());
        }
        let key = key(&place);
        let digest = match self.cache.files.get(&key).filter(|seen| self.believes && looks(path) == Some(seen.look)) {
            Some(seen) => seen.what.clone(),
            None => {
                self.read += 1;
                let (digest, look) = noting(path, digest)?;
                self.has_changed |= note(&mut self.cache.files, &key, digest.clone(), look);
                digest
            }
        };
        self.sure.insert(place, digest.clone());
        Ok(digest)
    }

    /// Forgets what was known of a file that turned out to be another, however its path is spelt.
    pub fn forget(&mut self, path: &Path) {
        let place = place(path);
        self.has_changed |= self.cache.files.remove(&key(&place)).is_some();
        self.sure.remove(&place);
    }

    /// Tensors of a safetensors file, read by `read` where they are not known.
    pub fn tensors(
        &mut self,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<SeenTensors, String>,
    ) -> Result<SeenTensors, String> {
        let key = key(&place(path));
        if let Some(seen) = self.cache.tensors.get(&key).filter(|seen| self.believes && looks(path) == Some(seen.look)) {
            return Ok(seen.what.clone());
        }
        self.read += 1;
        let mut refused = None;
        let noted = noting(path, |path| {
            read(path).map_err(|message| {
                refused = Some(message);
                io::Error::other("refused")
            })
        });
        match noted {
            Ok((tensors, look)) => {
                self.has_changed |= note(&mut self.cache.tensors, &key, tensors.clone(), look);
                Ok(tensors)
            }
            Err(error) => Err(refused.unwrap_or_else(|| error.to_string())),
        }
    }

    /// The digest of a validation set of which all that makes it is known.
    pub fn set(&self, key: &str) -> Option<String> {
        self.cache.sets.get(key).cloned()
    }

    pub fn note_set(&mut self, key: &str, digest: &str) {
        self.has_changed |= insert(&mut self.cache.sets, key, digest.to_owned());
    }

    /// What people are told of a training source of which all that makes it is known.
    pub fn source(&self, key: &str) -> Option<Vec<String>> {
        self.cache.sources.get(key).cloned()
    }

    pub fn note_source(&mut self, key: &str, told: &[String]) {
        self.has_changed |= insert(&mut self.cache.sources, key, told.to_vec());
    }
}

/// Where a file lies, links followed: two spellings of a path are one place.
fn place(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

fn key(place: &Path) -> String {
    place.display().to_string()
}

/// What was made of a file's content, and how the file looked; no look where it may have changed meanwhile, or may still
/// change without looking otherwise.
fn noting<T>(path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<(T, Option<Look>)> {
    let began = nanoseconds(SystemTime::now());
    let before = looks(path);
    let made = make(path)?;
    let calm = |look: &Look| look.modified.max(look.changed) + RACY.as_nanos() as u64 <= began;
    Ok((made, before.filter(|look| calm(look) && looks(path) == before)))
}

/// Notes what was made of a file, or forgets the file where it has no look to rely on. Says whether anything is new.
fn note<T: PartialEq>(known: &mut BTreeMap<String, Seen<T>>, key: &str, what: T, look: Option<Look>) -> bool {
    match look {
        Some(look) => insert(known, key, Seen { look, what }),
        None => known.remove(key).is_some(),
    }
}

fn insert<T: PartialEq>(known: &mut BTreeMap<String, T>, key: &str, value: T) -> bool {
    if known.get(key) == Some(&value) {
        return false;
    }
    if known.len() >= MOST {
        known.clear();
    }
    known.insert(key.into(), value);
    true
}

fn looks(path: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = nanoseconds(metadata.modified().ok()?);
    let (changed, inode, device) = identity(&metadata);
    Some(Look { size: metadata.len(), modified, changed, inode, device })
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let changed =
        u64::try_from(metadata.ctime()).unwrap_or(0) * 1_000_000_000 + u64::try_from(metadata.ctime_nsec()).unwrap_or(0);
    (changed, metadata.ino(), metadata.dev())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64, u64) {
    (0, 0, 0)
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2))
}

/// blake3 of a file's bytes.
fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets a file's times as far back as nobody's clock is coarse.
    fn age(path: &Path) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn a_file_that_has_just_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let mut digests = Digests::believing(DataCache::default(), "p");
        let one = digests.file(&path).unwrap();
        assert_eq!(one, blake3::hash(b"one").to_hex().to_string());
        // The file may change again within the clock's tick: nothing is remembered of it beyond this process.
        assert!(digests.news().is_none());
        std::fs::write(&path, "two").unwrap();
        assert_ne!(Digests::believing(DataCache::default(), "p").file(&path).unwrap(), one);
    }

    #[test]
    fn what_looks_the_same_is_believed_and_what_does_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let look = looks(&path).unwrap();
        let known = |look: Look| {
            let mut cache = DataCache::default();
            cache.files.insert(key(&place(&path)), Seen { look, what: "known".into() });
            cache
        };
        assert_eq!(Digests::believing(known(look), "p").file(&path).unwrap(), "known");
        let others = [
            Look { size: look.size + 1, ..look },
            Look { modified: look.modified + 1, ..look },
            Look { changed: look.changed + 1, ..look },
            Look { inode: look.inode + 1, ..look },
            Look { device: look.device + 1, ..look },
        ];
        for other in others {
            assert_ne!(Digests::believing(known(other), "p").file(&path).unwrap(), "known", "{other:?}");
        }
        let mut fresh = Digests::fresh(known(look));
        assert_ne!(fresh.file(&path).unwrap(), "known", "training reads the file whatever is known");
        assert_eq!(fresh.read, 1);
        fresh.file(&path).unwrap();
        assert_eq!(fresh.read, 1, "once in a process");
        assert!(fresh.news().unwrap().files.is_empty(), "and what was known wrongly is forgotten");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_set_back_to_its_old_time_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "one").unwrap();
        age(&path);
        let mut cache = DataCache::default();
        cache.files.insert(key(&place(&path)), Seen { look: looks(&path).unwrap(), what: "known".into() });
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(Digests::believing(cache, "p").file(&path).unwrap(), blake3::hash(b"two").to_hex().to_string());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_forgotten_however_its_path_is_spelt() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let path = inner.join("a");
        std::os::unix::fs::symlink("inner", folder.path().join("link")).unwrap();
        std::fs::write(&path, "one").unwrap();
        let spellings = [path.clone(), inner.join("./a"), inner.join("../inner/a"), folder.path().join("link/a")];
        for forgotten in &spellings {
            let mut cache = DataCache::default();
            cache.files.insert(key(&place(&path)), Seen { look: looks(&path).unwrap(), what: "known".into() });
            let mut digests = Digests::believing(cache, "p");
            assert!(spellings.iter().all(|spelling| digests.file(spelling).unwrap() == "known"));
            digests.forget(forgotten);
            let one = blake3::hash(b"one").to_hex().to_string();
            assert!(spellings.iter().all(|spelling| digests.file(spelling).unwrap() == one), "{forgotten:?}");
            assert_eq!(digests.read, 1, "one file, whatever it is called");
        }
    }

    #[test]
    fn another_program_draws_its_own_sets() {
        let mut digests = Digests::believing(DataCache::default(), "p");
        digests.note_set("key", "digest");
        let known = digests.news().unwrap();
        assert_eq!(Digests::believing(known.clone(), "p").set("key"), Some("digest".into()));
        assert_eq!(Digests::believing(known, "q").set("key"), None);
    }
}
