//! Every change of the disk, behind a seam, so that tests can make the n-th one fail.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

/// Changes to the disk. Reading needs no seam.
pub trait Disk: Send + Sync {
    /// Makes a folder and those above it.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Writes a new file and waits until it has reached the disk.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Adds to the end of a file, without waiting for the disk.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Renames, and waits until the new name has reached the disk. Fails where a non-empty folder has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a folder and all in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Locks a file, which is made if it is not there; freed when it is closed, also by a crash.
    fn lock(&self, path: &Path) -> io::Result<Locked> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        Ok(match file.try_lock() {
            Ok(()) => Locked::Held(file),
            Err(TryLockError::WouldBlock) => Locked::Elsewhere,
            Err(TryLockError::Error(_)) => Locked::Unknown,
        })
    }
}

/// What came of trying to lock a file.
#[derive(Debug)]
pub enum Locked {
    /// It is locked as long as this file is open.
    Held(File),
    /// Somebody else has the lock.
    Elsewhere,
    /// This file system has no locks.
    Unknown,
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(path)?;
        // A new folder is safe once the folder around it has reached the disk.
        missing.into_iter().filter_map(Path::parent).try_for_each(sync_folder)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // A link planted under this name is not followed: the name must be new.
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).open(path)?.write_all(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        sync_folder(from)?;
        fs::rename(from, to)?;
        to.parent().map_or(Ok(()), sync_folder)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

/// A rename and a new file are safe only once their folder has reached the disk. A file syncs itself.
fn sync_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() { File::open(path)?.sync_all() } else { Ok(()) }
}

/// A disk on a file system without locks: for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocklessDisk;

impl Disk for LocklessDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_folder(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.append(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_folder(path)
    }

    fn lock(&self, _: &Path) -> io::Result<Locked> {
        Ok(Locked::Unknown)
    }
}

/// A disk whose n-th change fails, and every one after it: for tests. A failing write leaves half of its bytes behind.
#[derive(Debug)]
pub struct FailingDisk {
    left: AtomicI64,
}

impl FailingDisk {
    /// Lets `changes` through and fails from then on.
    pub fn after(changes: i64) -> FailingDisk {
        FailingDisk { left: AtomicI64::new(changes) }
    }

    /// Whether a change has failed.
    pub fn has_failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    fn allowed(&self) -> io::Result<()> {
        match self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on the test's disk")),
        }
    }
}

impl Disk for FailingDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.allowed().and_then(|()| RealDisk.create_folder(path))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.allowed().or_else(|error| {
            RealDisk.write(path, &bytes[..bytes.len() / 2])?;
            Err(error)
        })?;
        RealDisk.write(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.allowed().or_else(|error| {
            RealDisk.append(path, &bytes[..bytes.len() / 2])?;
            Err(error)
        })?;
        RealDisk.append(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.allowed().and_then(|()| RealDisk.rename(from, to))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.allowed().and_then(|()| RealDisk.remove_folder(path))
    }
}
