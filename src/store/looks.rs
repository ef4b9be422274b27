//! How folders and files look, without reading them. What looks as it did is what it was, for questions that only look.

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use twox_hash::XxHash3_64;

/// What changed so shortly before it was looked at could change again and look the same: clocks of file systems are as coarse
/// as two seconds.
const RACY: Duration = Duration::from_secs(2);

/// The looks of folders and files, one after the other.
#[derive(Default)]
pub struct Looks {
    bytes: Vec<u8>,
    /// The latest change of any of them, in nanoseconds since 1970.
    latest: i128,
    /// Whether the system does not tell when something changed.
    unknown: bool,
}

impl Looks {
    /// Adds what the system tells of one; nothing where it tells nothing.
    pub fn add(&mut self, metadata: Option<&Metadata>) {
        let Some(words) = metadata.and_then(words) else {
            self.unknown = true;
            return;
        };
        let [.., seconds, nanoseconds] = words;
        self.latest = self.latest.max(i128::from(seconds as i64) * 1_000_000_000 + i128::from(nanoseconds));
        self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// One number for all of them, in their order.
    pub fn digest(&self) -> u64 {
        XxHash3_64::oneshot(&self.bytes)
    }

    /// Whether nothing has changed since shortly before `began`: else something may still change and look the same.
    pub fn are_calm(&self, began: SystemTime) -> bool {
        let began = began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        !self.unknown && self.latest + RACY.as_nanos() as i128 <= began as i128
    }
}

/// All that changes when a file's content does, or what is in a folder. The system alone sets the time of the last change,
/// which comes last.
#[cfg(unix)]
fn words(metadata: &Metadata) -> Option<[u64; 6]> {
    use std::os::unix::fs::MetadataExt;
    let kind = u64::from(metadata.mode());
    let (seconds, nanoseconds) = (metadata.ctime() as u64, metadata.ctime_nsec() as u64);
    Some([kind, metadata.len(), metadata.ino(), metadata.dev(), seconds, nanoseconds])
}

#[cfg(not(unix))]
fn words(_: &Metadata) -> Option<[u64; 6]> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn looks(path: &Path) -> Looks {
        let mut looks = Looks::default();
        looks.add(fs::symlink_metadata(path).ok().as_ref());
        looks
    }

    #[test]
    fn what_has_just_changed_is_not_calm() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let seen = looks(folder.path());
        assert!(!seen.are_calm(now));
        assert!(seen.are_calm(now + Duration::from_secs(60)) && !seen.are_calm(UNIX_EPOCH));
    }

    #[cfg(unix)]
    #[test]
    fn every_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let (file, whole) = (looks(&path).digest(), looks(folder.path()).digest());
        assert_eq!(looks(&path).digest(), file);
        let wait = || std::thread::sleep(Duration::from_millis(20));
        wait();
        fs::write(&path, "two").unwrap();
        let modified = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_ne!(looks(&path).digest(), file, "another content of the same length, whatever time it is given");
        assert_eq!(looks(folder.path()).digest(), whole, "which its folder does not show");
        wait();
        fs::write(folder.path().join("b"), "").unwrap();
        assert_ne!(looks(folder.path()).digest(), whole);
    }
}
