//! Where a root's data and weights come from, by their content.

use std::collections::{BTreeMap, BTreeSet};

use super::library::{DataFile, Fault, TensorFile};
use super::resolve::{Faults, File};
use crate::history::{FileSource, Origin, Source, digest_text};
use crate::spec::{self, Model, Place};
use crate::task::model::Recursive;

const MGF_HELP: &str = "put an annotated MGF file there (SEQ= lines in BEGIN IONS blocks), or change the path";
const TENSORS_HELP: &str = "put a safetensors file there, or change the path";

impl File<'_> {
    pub fn source(&self, source: &spec::Source, at: &Place, faults: &mut Faults) -> Option<Source> {
        match source {
            spec::Source::Synthetic(synthetic) => {
                Some(Source::Synthetic { synthetic: synthetic.clone(), version: self.library.versions(self.name).synthetic })
            }
            spec::Source::Mgf(mgf) => {
                let digests = self.digests(&mgf.files, &mgf.digests, at, faults)?;
                Some(Source::Files(FileSource {
                    digests,
                    held_out: mgf.held_out,
                    noise: mgf.noise,
                    preprocessing: mgf.preprocessing.clone(),
                    version: self.library.versions(self.name).files,
                }))
            }
            spec::Source::Mixture(parts) => {
                let sum: f64 = parts.iter().map(|part| part.share).sum();
                let list = at.index(0);
                let resolved: Vec<_> = parts
                    .iter()
                    .enumerate()
                    .map(|(index, part)| {
                        Some((part.share / sum, self.source(&part.data, &list.index(index).field("data"), faults)?))
                    })
                    .collect();
                resolved.into_iter().collect::<Option<_>>().map(Source::Mixture)
            }
        }
    }

    pub fn digests(&self, files: &[String], written: &[String], at: &Place, faults: &mut Faults) -> Option<Vec<String>> {
        let mut digests = Vec::new();
        for (index, path) in files.iter().enumerate() {
            let place = at.field("files").index(index);
            match self.library.data.get(path) {
                Some(file @ DataFile::Digest(digest)) => match written.get(index) {
                    Some(expected) if expected != digest => {
                        let message =
                            format!("`{path}` has changed: its blake3 is {}.., not {}..", &digest[..8], &expected[..8]);
                        self.fault(
                            faults,
                            &place,
                            message,
                            "put the recorded file back, or remove `digests` to train on this one",
                        );
                    }
                    _ => match files[..index].iter().find(|before| self.library.data.get(*before) == Some(file)) {
                        Some(before) => {
                            // One file by two spellings, or a copy: its spectra would count twice.
                            let message = format!("`{path}` has the same content as `{before}`");
                            self.fault(faults, &place, message, "name each file once");
                        }
                        None => digests.push(digest.clone()),
                    },
                },
                Some(DataFile::Absent) if self.library.supposes_data => {
                    digests.push(written.get(index).cloned().unwrap_or_else(|| digest_text(path.as_bytes())));
                }
                Some(DataFile::Absent) => self.absent(faults, &place, path, MGF_HELP),
                Some(DataFile::Unreadable(why)) => {
                    self.fault(faults, &place, format!("`{path}` cannot be read: {why}"), MGF_HELP);
                }
                None => self.fault(faults, &place, format!("`{path}` has not been looked for"), ""),
            }
        }
        (digests.len() == files.len()).then_some(digests)
    }

    fn absent(&self, faults: &mut Faults, place: &Place, path: &str, help: &str) {
        let fault = self.origin.fault(place, format!("`{path}` cannot be read: there is no such file"), help);
        faults.push(Fault { absent_data: true, ..fault });
    }

    pub fn imported(&self, root: &spec::Imported, faults: &mut Faults) -> Option<Origin> {
        let at = Place::root().field("parent").field("file");
        match self.library.tensors.get(&root.file) {
            Some(TensorFile::Header { digest, shapes }) => {
                if let Some(expected) = root.digest.as_ref().filter(|expected| *expected != digest) {
                    let message = format!(
                        "`{}` has changed: its tensors are {}.., not {}..",
                        root.file,
                        &digest[..8],
                        &expected[..expected.len().min(8)]
                    );
                    self.fault(faults, &at, message, "put the recorded file back, or remove `digest`");
                    return None;
                }
                let Model::Recursive(model) = &root.model;
                let differences = misfits(model, shapes);
                if !differences.is_empty() {
                    let message = format!("the tensors of `{}` do not fit the model:\n{}", root.file, differences.join("\n"));
                    self.fault(faults, &at, message, "name a file of this model, or give the model the file's sizes");
                    return None;
                }
                Some(Origin::Imported { digest: digest.clone(), step: root.step })
            }
            Some(TensorFile::Absent) if self.library.supposes_data => {
                let digest = root.digest.clone().unwrap_or_else(|| digest_text(root.file.as_bytes()));
                Some(Origin::Imported { digest, step: root.step })
            }
            Some(TensorFile::Absent) => {
                self.absent(faults, &at, &root.file, TENSORS_HELP);
                None
            }
            Some(TensorFile::Unreadable(why)) => {
                self.fault(faults, &at, format!("`{}` cannot be read: {why}", root.file), TENSORS_HELP);
                None
            }
            None => None,
        }
    }
}

/// Parameters of the model and tensors of a file that do not match, one line each.
fn misfits(model: &Recursive, shapes: &BTreeMap<String, Vec<usize>>) -> Vec<String> {
    let wanted: BTreeMap<String, Vec<usize>> = model.parameters().into_iter().map(|p| (p.path, p.shape)).collect();
    let names: BTreeSet<&String> = wanted.keys().chain(shapes.keys()).collect();
    let shown = |shape: Option<&Vec<usize>>| shape.map_or("-".to_owned(), |shape| format!("{shape:?}"));
    let differing = names.into_iter().filter(|name| wanted.get(*name) != shapes.get(*name));
    let mut lines: Vec<String> = differing
        .map(|name| format!("  {name:<44} model {:<14} file {}", shown(wanted.get(name)), shown(shapes.get(name))))
        .collect();
    const MOST: usize = 12;
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("  and {more} more"));
    }
    lines
}
