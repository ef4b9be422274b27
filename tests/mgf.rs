//! The way from the bytes of an MGF file to a spectrum, over real files where they lie beside the project.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use runner::task::inspect::{Inspection, inspect};
use runner::task::label;
use runner::task::metrics::{Answer, Counts, Figures};
use runner::task::mgf::{ReadError, Reader};
use runner::task::preprocess::{Preprocessing, prepare};
use runner::task::reason::Reason;
use runner::task::tokens::{Modification, Vocabulary};

/// A shared file; where it is not there, `None` and a word on it.
fn shared(path: &str) -> Option<Reader<BufReader<File>>> {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")).join(path);
    if !file.exists() {
        eprintln!("SKIPPED: {} is not there", file.display());
        return None;
    }
    Some(Reader::new(BufReader::new(File::open(file).unwrap())))
}

fn inspected(path: &str, preprocessing: &Preprocessing) -> Option<Inspection> {
    let found = inspect(shared(path)?, preprocessing).unwrap();
    assert_eq!(found.spectra, found.usable + found.unusable.total(), "{path}: every spectrum has one fate");
    println!("{path}: {}", serde_json::to_string(&found).unwrap());
    Some(found)
}

/// Every spectrum with a peak is usable.
fn gentle() -> Preprocessing {
    Preprocessing { fewest_peaks: 1, ..Preprocessing::default() }
}

fn unusable(found: &Inspection) -> Vec<(Reason, u64)> {
    found.unusable.reasons.iter().map(|(reason, counted)| (*reason, counted.spectra)).collect()
}

/// Gives the usable spectra's own labels as answers; each label's tokens write a text that reads back.
fn answered_by_labels(path: &str) -> Option<Figures> {
    let vocabulary = Vocabulary::new(&Modification::ALL);
    let mut counts = Counts::default();
    for entry in shared(path)? {
        let prepared = prepare(&entry.unwrap(), &gentle(), &vocabulary, u32::MAX, &(0..=u32::MAX));
        let Ok(spectrum) = prepared else { continue };
        let truth = spectrum.peptide.as_slice();
        assert_eq!(label::parse(&vocabulary.text(truth), &vocabulary).as_deref(), Ok(truth));
        let neutral_mass = spectrum.neutral_mass();
        counts.add(&vocabulary, Answer { predicted: truth, truth, neutral_mass, score: None });
    }
    Some(counts.summary().all)
}

/// The self-test of a data source: the truth is the right answer, and weighs what was measured.
#[test]
fn true_labels_are_right_answers() {
    for (path, spectra) in
        [("real/massivekb_500.mgf", 500), ("semi_real/kuster_velos_D01.mgf", 6032), ("semi_real/kuster_velos_E01.mgf", 6455)]
    {
        let Some(all) = answered_by_labels(path) else { continue };
        assert_eq!(all.spectra, spectra, "{path}");
        let right = [all.token_accuracy, all.residue_precision, all.residue_recall, all.peptide_precision, all.length_accuracy];
        assert_eq!(right, [1.0; 5], "{path}");
        assert!(all.within_20_ppm > 0.99 && all.mass_error_ppm.unwrap().abs() < 2.0, "{path}: {all:?}");
    }
}

#[test]
fn massivekb_is_usable_to_the_last_label() {
    let path = "real/massivekb_500.mgf";
    let Some(found) = inspected(path, &Preprocessing::default()) else { return };
    assert_eq!((found.spectra, found.labelled, found.usable), (500, 500, 482));
    assert_eq!(unusable(&found), [(Reason::TooFewPeaks, 18)]);
    assert_eq!((found.bare_peptides, found.modified_peptides), (500, 482));
    let modifications: Vec<_> = found.modifications.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let expected =
        [("Acetyl", 13), ("AmmoniaLoss", 12), ("Carbamidomethyl", 96), ("Carbamyl", 20), ("Deamidated", 47), ("Oxidation", 30)];
    assert_eq!(modifications, expected);
    assert!((0.25..0.35).contains(&found.explained) && found.explained_finely < found.explained, "{}", found.explained);
    let raw = inspected(path, &Preprocessing { square_root: false, ..gentle() }).unwrap();
    assert_eq!(raw.usable, 500);
    assert!(raw.explained > found.explained);
}

#[test]
fn kuster_has_a_few_labels_that_are_not_what_was_measured() {
    // Labels with a C that carries nothing, 57.02 Da lighter than ours: free cysteines.
    for (path, spectra, free_cysteines, few_peaks, bare) in
        [("semi_real/kuster_velos_D01.mgf", 6034, 2, 1705, 1188), ("semi_real/kuster_velos_E01.mgf", 6466, 11, 1511, 1471)]
    {
        let Some(found) = inspected(path, &gentle()) else { return };
        assert_eq!((found.spectra, found.bare_peptides), (spectra, bare));
        assert_eq!(unusable(&found), [(Reason::PrecursorMismatch, free_cysteines)]);
        assert!(found.explained > 0.7, "measured peaks of the matched ions only: {}", found.explained);
        let strict = inspected(path, &Preprocessing::default()).unwrap();
        assert_eq!(unusable(&strict), [(Reason::PrecursorMismatch, free_cysteines), (Reason::TooFewPeaks, few_peaks)]);
    }
}

#[test]
fn each_awkward_file_has_its_reasons() {
    use Reason::*;
    type Reasons = &'static [(Reason, u64)];
    let files: [(&str, u64, Reasons); 18] = [
        ("bad_peaks", 0, &[(BadPeaks, 1)]),
        ("crlf_tabs_pepmass_intensity", 1, &[]),
        ("empty", 0, &[]),
        ("header_only", 0, &[]),
        ("label_notations", 0, &[(SeveralPeptides, 1), (PrecursorMismatch, 5)]),
        ("label_precursor_mismatch", 0, &[(PrecursorMismatch, 1)]),
        ("missing_charge", 0, &[(NoCharge, 1)]),
        ("missing_pepmass", 0, &[(NoPrecursor, 1)]),
        ("odd_charges", 1, &[(UnusableCharge, 3)]),
        ("truncated_no_end_ions", 0, &[(Truncated, 1)]),
        ("unknown_residues_mods", 0, &[(EmptyLabel, 1), (UnknownResidue, 1), (UnknownModification, 1)]),
        ("unsorted_duplicate_mz", 1, &[]),
        ("utf8_bom_charge_without_sign", 1, &[]),
        ("TMT10-Trial-8", 0, &[(NoCharge, 1), (NoLabel, 6)]),
        ("pyteomics_test", 0, &[(UnusableCharge, 1), (NoLabel, 1)]),
        ("B002003_HCT116_3_sample", 0, &[(NoPrecursor, 4), (NoLabel, 96)]),
        ("consensus_test", 24, &[(NoLabel, 23)]),
        ("spectra_400.0_4.0", 0, &[(NoLabel, 210)]),
    ];
    for (name, usable, reasons) in files {
        let Some(found) = inspected(&format!("awkward/{name}.mgf"), &gentle()) else { continue };
        assert_eq!((found.usable, unusable(&found).as_slice()), (usable, reasons), "{name}");
    }
    let unchecked = Preprocessing { precursor_tolerance_ppm: 0.0, ..gentle() };
    if let Some(found) = inspected("awkward/zero_peaks.mgf", &unchecked) {
        assert_eq!(unusable(&found), [(TooFewPeaks, 1)]);
    }
    if let Some(found) = inspected("awkward/label_notations.mgf", &unchecked) {
        assert_eq!((found.usable, unusable(&found)), (5, vec![(SeveralPeptides, 1)]));
    }
}

#[test]
fn another_format_is_an_error_not_an_empty_file() {
    for name in ["awkward/TMT10-Trial-8.mzML", "awkward/three_test_scans.mzML"] {
        let Some(reader) = shared(name) else { continue };
        assert!(matches!(inspect(reader, &gentle()), Err(ReadError::Outside { line: 1, .. })), "{name}");
    }
}
