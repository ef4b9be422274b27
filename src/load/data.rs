//! Data files: where they lie, what their content is, and readers over them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::digests::Digests;
use crate::lineage::{DataFile, TensorFile};
use crate::record::{SeenTensors, Tensor, Tensors, Values};

/// Digest of a data file's content. A file that is not at its path is looked for under `data/` by its recorded digest.
pub fn data_file(root: &Path, path: &str, recorded: Option<&str>, digests: &mut Digests) -> DataFile {
    match located(root, path, recorded, digests).and_then(|found| digests.file(&found)) {
        Ok(digest) => DataFile::Digest(digest),
        Err(error) if error.kind() == io::ErrorKind::NotFound => DataFile::Absent,
        Err(error) => DataFile::Unreadable(error.to_string()),
    }
}

/// Opens a file of spectra, found at its path or by its digest.
pub fn open_spectra(root: &Path, path: &str, recorded: Option<&str>, digests: &mut Digests) -> io::Result<Spectra> {
    let found = located(root, path, recorded, digests)?;
    let file = File::open(&found)?;
    Ok(BufReader::with_capacity(1 << 16, Hashing { found, file, hasher: blake3::Hasher::new() }))
}

/// A file of spectra that is hashed while it is read.
pub type Spectra = BufReader<Hashing>;

/// A file that remembers the digest of what was read of it.
#[derive(Debug)]
pub struct Hashing {
    found: PathBuf,
    file: File,
    hasher: blake3::Hasher,
}

impl Hashing {
    /// Where the file lies; not where it was looked for, if it was moved.
    pub fn path(&self) -> &Path {
        &self.found
    }

    /// blake3 of all that was read so far.
    pub fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// Where a file lies.
fn located(root: &Path, path: &str, recorded: Option<&str>, digests: &mut Digests) -> io::Result<PathBuf> {
    let written = root.join(path);
    let Some(recorded) = recorded else { return regular(&written).map(|()| written) };
    match regular(&written) {
        // Another file may have taken the place of the recorded one.
        Ok(()) if digests.file(&written).is_ok_and(|own| own != recorded) => {
            Ok(moved(root, recorded, digests).unwrap_or(written))
        }
        Ok(()) => Ok(written),
        Err(error) => moved(root, recorded, digests).ok_or(error),
    }
}

fn is_absent(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Pipes and devices would block, folders have no content.
fn regular(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// A file under `data/` with this content.
fn moved(root: &Path, recorded: &str, digests: &mut Digests) -> Option<PathBuf> {
    let files = walkdir::WalkDir::new(root.join("data")).sort_by_file_name().into_iter().filter_map(Result::ok);
    let mut files = files.map(walkdir::DirEntry::into_path).filter(|path| regular(path).is_ok());
    files.find(|path| digests.file(path).is_ok_and(|own| own == recorded))
}

/// Names, shapes and digest of the tensors in a safetensors file.
pub fn tensor_file(root: &Path, path: &str, digests: &mut Digests) -> TensorFile {
    let read = |_: &Path| {
        let (digest, tensors) = import_tensors(root, path)?;
        Ok(SeenTensors { digest, shapes: tensors.into_iter().map(|(name, tensor)| (name, tensor.shape)).collect() })
    };
    match digests.tensors(&root.join(path), read) {
        Ok(SeenTensors { digest, shapes }) => TensorFile::Header { digest, shapes },
        Err(_) if is_absent(&root.join(path)) => TensorFile::Absent,
        Err(why) => TensorFile::Unreadable(why),
    }
}

/// Digest and tensors of a safetensors file, all f32.
pub fn import_tensors(root: &Path, path: &str) -> Result<(String, Tensors), String> {
    let full = root.join(path);
    regular(&full).map_err(|error| error.to_string())?;
    let bytes = std::fs::read(&full).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format!("it is not a safetensors file: {error}"))?;
    let mut hasher = blake3::Hasher::new();
    let mut tensors: Tensors = BTreeMap::new();
    let views: BTreeMap<_, _> = file.iter().collect();
    for (name, view) in views {
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is {:?}: only F32 can be imported", view.dtype()));
        }
        let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        hasher.update(name.as_bytes());
        view.shape().iter().for_each(|&size| {
            hasher.update(&(size as u64).to_le_bytes());
        });
        hasher.update(view.data());
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values: Values::F32(values) });
    }
    Ok((hasher.finalize().to_hex().to_string(), tensors))
}
