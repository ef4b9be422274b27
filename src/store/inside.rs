//! Keeps a store within its folder: no link below `runs/` is followed, whoever planted it, and nothing but regular files is
//! read.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, Locked};

/// Bytes in which a line of a log has room.
const LINE: u64 = 4_096;

/// A disk that only changes what lies below a folder. The folder itself may be a link: where runs lie is for people to say.
pub struct Inside {
    root: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Inside {
    pub fn new(root: PathBuf, disk: Arc<dyn Disk>) -> Inside {
        Inside { root, disk }
    }

    /// Fails where a part of the path below the folder is a link.
    fn check(&self, path: &Path) -> io::Result<()> {
        refuse_links(&self.root, path)
    }
}

/// Fails where a part of a path below a folder is a link.
fn refuse_links(root: &Path, path: &Path) -> io::Result<()> {
    let mut at = root.to_path_buf();
    for part in path.strip_prefix(root).map(Path::components).into_iter().flatten() {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(metadata) if metadata.is_symlink() => {
                let message = format!("`{}` is a link, and links are not followed here: remove it", at.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// The bytes of a regular file below a folder.
pub fn read(root: &Path, path: &Path) -> io::Result<Vec<u8>> {
    refuse_links(root, path)?;
    read_here(path)
}

/// The bytes of a regular file whose folder is known to lie inside.
pub fn read_here(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    // Of the file that was opened: another may have been renamed onto the path since, and be longer.
    let length = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last line of a regular file below a folder that has reached its end, read from the end of the file: how long the file is
/// does not matter. Nothing where there is none.
pub fn read_last_line(root: &Path, path: &Path) -> io::Result<Option<Vec<u8>>> {
    refuse_links(root, path)?;
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    let mut room = LINE;
    loop {
        let start = length.saturating_sub(room);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(length - start).read_to_end(&mut bytes)?;
        // A last line that is still being written is not one.
        let end = bytes.iter().rposition(|&byte| byte == b'\n');
        let begin = end.and_then(|end| bytes[..end].iter().rposition(|&byte| byte == b'\n')).map(|before| before + 1);
        match (begin, end) {
            (Some(begin), Some(end)) => return Ok(Some(bytes[begin..end].to_vec())),
            (None, end) if start == 0 => return Ok(end.map(|end| bytes[..end].to_vec())),
            _ => room *= 8,
        }
    }
}

/// Opens a regular file. Pipes and devices would block or never end.
fn open(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
    }
}

impl Disk for Inside {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.check(path).and_then(|()| self.disk.create_folder(path))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.check(path).and_then(|()| self.disk.write(path, bytes))
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.check(path).and_then(|()| self.disk.append(path, bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.disk.rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.check(path).and_then(|()| self.disk.remove_folder(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Locked> {
        self.check(path).and_then(|()| self.disk.lock(path))
    }
}
