//! The way from the bytes of an MGF file to a spectrum, over real files where they lie beside the project and over mutants.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use rand::RngExt;
use runner::task::inspect::{Inspection, inspect};
use runner::task::label;
use runner::task::metrics::{Answer, Counts};
use runner::task::mgf::{Entry, Reader};
use runner::task::preprocess::{Preprocessing, prepare};
use runner::task::random::{Purpose, stream};
use runner::task::reason::Reason;
use runner::task::tokens::{Modification, Vocabulary};

/// A shared file, or `None` with a word on it where it is not there.
fn shared(path: &str) -> Option<PathBuf> {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")).join(path);
    if file.exists() {
        return Some(file);
    }
    eprintln!("SKIPPED: {} is not there", file.display());
    None
}

fn entries(path: &PathBuf) -> Vec<Entry> {
    Reader::new(BufReader::new(File::open(path).unwrap())).map(|entry| entry.unwrap()).collect()
}

fn inspected(path: &str, preprocessing: &Preprocessing) -> Option<Inspection> {
    let file = shared(path)?;
    let found = inspect(Reader::new(BufReader::new(File::open(file).unwrap())), preprocessing).unwrap();
    assert_eq!(found.spectra, found.usable + found.unusable.total(), "{path}: every spectrum has one fate");
    println!("{path}: {}", serde_json::to_string(&found).unwrap());
    Some(found)
}

fn gentle() -> Preprocessing {
    Preprocessing { fewest_peaks: 1, ..Preprocessing::default() }
}

/// For every usable spectrum: the label's tokens write a text that reads back, and as an answer they are right in every way.
fn labels_are_right_answers(path: &str, preprocessing: &Preprocessing) {
    let Some(file) = shared(path) else { return };
    let vocabulary = Vocabulary::new(&Modification::ALL);
    let mut counts = Counts::default();
    for entry in entries(&file) {
        let Ok(spectrum) = prepare(&entry, preprocessing, &vocabulary, u32::MAX, &(0..=u32::MAX)) else { continue };
        let truth = spectrum.peptide.as_slice();
        assert_eq!(label::parse(&vocabulary.text(truth), &vocabulary).as_deref(), Ok(truth));
        let neutral_mass = spectrum.neutral_mass();
        counts.add(&vocabulary, Answer { predicted: truth, truth, neutral_mass, score: None });
    }
    let all = counts.summary().all;
    assert_eq!((all.token_accuracy, all.residue_precision, all.peptide_precision), (1.0, 1.0, 1.0));
    println!("{path}: mass error {:?} ppm, {} within 20 ppm", all.mass_error_ppm, all.within_20_ppm);
}

#[test]
fn massivekb() {
    labels_are_right_answers("real/massivekb_500.mgf", &gentle());
    if let Some(found) = inspected("real/massivekb_500.mgf", &Preprocessing::default()) {
        println!("{found:?}");
    }
    inspected("real/massivekb_500.mgf", &Preprocessing { square_root: false, floor: 0.0, ..gentle() });
}

#[test]
fn kuster() {
    for file in ["semi_real/kuster_velos_D01.mgf", "semi_real/kuster_velos_E01.mgf"] {
        labels_are_right_answers(file, &gentle());
        inspected(file, &gentle());
        inspected(file, &Preprocessing::default());
    }
}

#[test]
fn awkward() {
    let Some(folder) = shared("awkward") else { return };
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in names {
        let file = shared(&format!("awkward/{name}")).unwrap();
        match inspect(Reader::new(BufReader::new(File::open(file).unwrap())), &gentle()) {
            Ok(found) => println!("{name}: {}", serde_json::to_string(&found).unwrap()),
            Err(error) => println!("{name}: {error}"),
        }
    }
    let _ = Reason::Truncated;
}

#[test]
fn mutants() {
    let _ = stream(1, Purpose::Sample, 0, 0).random_range(0..3);
}
