//! Data files: digests of their content, and readers over them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::lineage::{DataFile, TensorFile};
use crate::record::{Tensor, Tensors, Values};

/// Digest of a data file's content. A file that is not at its path is looked for under `data/` by its recorded digest.
pub fn data_file(root: &Path, path: &str, recorded: Option<&str>) -> DataFile {
    match located(root, path, recorded).and_then(|found| digest(&found)) {
        Ok(digest) => DataFile::Digest(digest),
        Err(error) => DataFile::Missing(error.to_string()),
    }
}

/// Opens a file of spectra, found at its path or by its digest.
pub fn open_spectra(root: &Path, path: &str, recorded: Option<&str>) -> io::Result<BufReader<File>> {
    located(root, path, recorded).and_then(File::open).map(|file| BufReader::with_capacity(1 << 16, file))
}

fn located(root: &Path, path: &str, recorded: Option<&str>) -> io::Result<PathBuf> {
    let written = root.join(path);
    let elsewhere = || recorded.and_then(|recorded| moved(root, recorded));
    match regular(&written) {
        // Another file may have taken the place of the recorded one.
        Ok(()) if recorded.is_some_and(|recorded| digest(&written).is_ok_and(|own| own != recorded)) => {
            Ok(elsewhere().unwrap_or(written))
        }
        Ok(()) => Ok(written),
        Err(error) => elsewhere().ok_or(error),
    }
}

/// Pipes and devices would block, folders have no content.
fn regular(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// A file under `data/` with this content.
fn moved(root: &Path, recorded: &str) -> Option<PathBuf> {
    let files = walkdir::WalkDir::new(root.join("data")).sort_by_file_name().into_iter().filter_map(Result::ok);
    files
        .map(walkdir::DirEntry::into_path)
        .filter(|path| regular(path).is_ok())
        .find(|path| digest(path).is_ok_and(|own| own == recorded))
}

fn digest(path: &PathBuf) -> io::Result<String> {
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

/// Names, shapes and digest of the tensors in a safetensors file.
pub fn tensor_file(root: &Path, path: &str) -> TensorFile {
    match import_tensors(root, path) {
        Ok((digest, tensors)) => {
            TensorFile::Header { digest, shapes: tensors.into_iter().map(|(name, t)| (name, t.shape)).collect() }
        }
        Err(why) => TensorFile::Missing(why),
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
