//! Where spectra come from.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::curriculum::check_length;
use super::findings::{Findings, Place};
use crate::task::preprocess::Preprocessing;
use crate::task::synthetic::Synthetic;

/// A source of training spectra.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    /// Drawn by rule.
    Synthetic(Synthetic),
    /// Read from annotated files.
    Mgf(Mgf),
    /// Each sample from one of several sources, by share.
    Mixture(Vec<Part>),
}

/// Annotated spectra for training. A part of the peptides is held out for validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mgf {
    /// Paths, relative to the folder that holds `experiments/`.
    pub files: Vec<String>,
    /// blake3 of each file in hexadecimal, in the same order; written into saved files, empty otherwise.
    #[serde(default)]
    pub digests: Vec<String>,
    /// Share of the bare peptides (I = L) that training never sees, chosen by hash.
    #[serde(default = "tenth")]
    pub held_out: f64,
    /// Whether a stage's noise touches these spectra.
    #[serde(default)]
    pub noise: bool,
    /// How peaks are cleaned and which spectra can be used.
    #[serde(default)]
    pub preprocessing: Preprocessing,
}

fn tenth() -> f64 {
    0.1
}

/// Annotated spectra for validation: those whose peptide no training file's share may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MgfSet {
    /// Paths, relative to the folder that holds `experiments/`.
    pub files: Vec<String>,
    /// blake3 of each file in hexadecimal, in the same order; written into saved files, empty otherwise.
    #[serde(default)]
    pub digests: Vec<String>,
    /// Shortest and longest peptide, residues. Left out: all that the model can write.
    #[serde(default)]
    pub length: Option<RangeInclusive<u32>>,
    /// How peaks are cleaned and which spectra can be used.
    #[serde(default)]
    pub preprocessing: Preprocessing,
}

/// One source of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Share of the samples, relative to the sum of all shares.
    pub share: f64,
    /// The source; not again a mixture.
    pub data: Source,
}

impl Source {
    /// Reports every rule the source breaks on its own.
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        match self {
            Source::Synthetic(synthetic) => check_synthetic(synthetic, at, findings),
            Source::Mgf(mgf) => {
                check_files(&mgf.files, &mgf.digests, at, findings);
                findings.number(&at.field("held_out"), mgf.held_out, 0.0..=0.9, "`held_out`");
                check_preprocessing(&mgf.preprocessing, &at.field("preprocessing"), findings);
            }
            Source::Mixture(parts) => check_mixture(parts, at, findings),
        }
    }

    /// The sources that are not mixtures, with their shares (1 for a single source).
    pub fn parts(&self) -> Vec<(f64, &Source)> {
        match self {
            Source::Mixture(parts) => parts.iter().map(|part| (part.share, &part.data)).collect(),
            single => vec![(1.0, single)],
        }
    }
}

fn check_mixture(parts: &[Part], at: &Place, findings: &mut Findings) {
    let list = at.index(0);
    if parts.len() < 2 {
        findings.add(at, "a mixture of fewer than two sources", "name the one source itself, or add another");
    }
    for (index, part) in parts.iter().enumerate() {
        let at = list.index(index);
        if !(part.share > 0.0 && part.share.is_finite()) {
            findings.add(&at.field("share"), format!("the share is {}", part.share), "write a finite number above 0");
        }
        match &part.data {
            Source::Mixture(_) => {
                findings.add(&at.field("data"), "a mixture within a mixture", "list its sources in the outer one");
            }
            single => single.check(&at.field("data"), findings),
        }
    }
}

/// Reports lengths and charges no spectrum can have.
pub fn check_synthetic(synthetic: &Synthetic, at: &Place, findings: &mut Findings) {
    check_length(&synthetic.length, &at.field("length"), findings);
    if !(1..=2).contains(&synthetic.fragment_charges) {
        let message = format!("`fragment_charges` is {}", synthetic.fragment_charges);
        findings.add(&at.field("fragment_charges"), message, "write 1, or 2 for doubly charged fragments too");
    }
}

/// Reports missing, absolute-or-odd paths and digests that are none.
pub fn check_files(files: &[String], digests: &[String], at: &Place, findings: &mut Findings) {
    if files.is_empty() {
        findings.add(&at.field("files"), "no file is named", "name at least one annotated MGF file");
    }
    for (index, file) in files.iter().enumerate() {
        if file.is_empty() || file.chars().any(char::is_control) {
            findings.add(&at.field("files").index(index), "this is no path", "write the path of an MGF file");
        }
        if files[..index].contains(file) {
            findings.add(&at.field("files").index(index), format!("`{file}` is named twice"), "name each file once");
        }
    }
    let hex = |digest: &String| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digests.is_empty() && (digests.len() != files.len() || !digests.iter().all(hex)) {
        findings.add(
            &at.field("digests"),
            "these are not the digests of the files",
            "write one blake3 in hexadecimal for each file, or leave them out",
        );
    }
}

/// Reports settings of the preprocessing that are out of range.
pub fn check_preprocessing(preprocessing: &Preprocessing, at: &Place, findings: &mut Findings) {
    if let Err(message) = preprocessing.check() {
        findings.add(at, message, "the defaults stand in docs/grammar.md");
    }
}
