//! Tests of the preprocessing: every reason has its case.

use super::*;
use crate::task::mgf::{MOST_PEAKS, Reader};
use crate::task::spectrum::explained;
use crate::task::tokens::Modification;

/// Neutral mass of PEPTIDEK gives m/z 464.7347 at charge 2.
const HEAD: &str = "PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPTIDEK";

fn entry(inside: &str) -> Entry {
    Reader::new(format!("BEGIN IONS\n{inside}\nEND IONS\n").as_bytes()).next().unwrap().unwrap()
}

/// Everything kept that can be.
fn gentle() -> Preprocessing {
    Preprocessing { fewest_peaks: 1, square_root: false, floor: 0.0, precursor_window: 0.0, ..Preprocessing::default() }
}

fn prepared(inside: &str, preprocessing: &Preprocessing) -> Result<Spectrum, Reason> {
    prepare(&entry(inside), preprocessing, &Vocabulary::new(&[Modification::Oxidation]), 20, &(7..=12))
}

fn kept(peaks: &str, preprocessing: &Preprocessing) -> Vec<(f64, f64)> {
    let spectrum = prepared(&format!("{HEAD}\n{peaks}"), preprocessing).unwrap();
    spectrum.peaks.iter().map(|peak| (peak.mz, peak.intensity)).collect()
}

#[test]
fn every_reason_has_its_case() {
    let peak = "147.1 10";
    for (inside, expected) in [
        (format!("{HEAD}\n{peak}\nabc def"), Reason::BadPeaks),
        (format!("{HEAD}\n{peak}\n88.1 -1"), Reason::BadPeaks),
        (format!("{HEAD}\n{peak}\n{}", "x".repeat(100_000)), Reason::BadPeaks),
        (format!("{HEAD}\n{peak}\nBEGIN IONS"), Reason::Truncated),
        (format!("{HEAD}\nabc\n{}", "88.1 1\n".repeat(MOST_PEAKS + 1)), Reason::TooManyPeaks),
        (format!("{HEAD}\nSEQ=PEPTIDE\n{peak}"), Reason::Contradiction),
        (format!("CHARGE=2+\nSEQ=PEPTIDEK\n{peak}"), Reason::NoPrecursor),
        (format!("PEPMASS=0\nCHARGE=2+\nSEQ=PEPTIDEK\n{peak}"), Reason::NoPrecursor),
        (format!("PEPMASS=464.7347\nSEQ=PEPTIDEK\n{peak}"), Reason::NoCharge),
        (format!("PEPMASS=464.7347\nCHARGE=2-\nSEQ=PEPTIDEK\n{peak}"), Reason::UnusableCharge),
        (format!("PEPMASS=464.7347\nCHARGE=11+\nSEQ=PEPTIDEK\n{peak}"), Reason::ChargeTooHigh),
        (format!("PEPMASS=464.7347\nCHARGE=2+\n{peak}"), Reason::NoLabel),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=\n{peak}"), Reason::EmptyLabel),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPTIDEK,PEPTIDEK\n{peak}"), Reason::SeveralPeptides),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPT?IDEK\n{peak}"), Reason::UnreadableLabel),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPTIDEX\n{peak}"), Reason::UnknownResidue),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPT+79.966IDEK\n{peak}"), Reason::UnknownModification),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPT[Oxidation]IDEK\n{peak}"), Reason::ImpossibleModification),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=[Acetyl]-PEPTIDEK\n{peak}"), Reason::UndeclaredModification),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEK\n{peak}"), Reason::TooShort),
        (format!("PEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPTIDEPEPTIDEK\n{peak}"), Reason::TooLong),
        (format!("PEPMASS=700.0000\nCHARGE=2+\nSEQ=PEPTIDEK\n{peak}"), Reason::PrecursorMismatch),
        (HEAD.to_string(), Reason::TooFewPeaks),
        (format!("{HEAD}\n147.1 0\n20.1 5\n3000.2 5"), Reason::TooFewPeaks),
    ] {
        let said = &inside[..inside.len().min(120)];
        assert_eq!(prepared(&inside, &gentle()), Err(expected), "{said}");
    }
}

#[test]
fn the_longest_peptide_is_counted_in_tokens_and_the_range_in_residues() {
    let vocabulary = Vocabulary::new(&[Modification::Acetyl]);
    let entry = entry("PEPMASS=485.7400\nCHARGE=2+\nSEQ=[Acetyl]-PEPTIDEK\n147.1 10");
    let prepared = |longest, residues| prepare(&entry, &gentle(), &vocabulary, longest, &residues).map(|s| s.peptide.len());
    assert_eq!(prepared(9, 8..=8), Ok(9));
    assert_eq!(prepared(8, 8..=8), Err(Reason::TooLong));
    assert_eq!(prepared(9, 9..=9), Err(Reason::TooShort));
    assert_eq!(prepared(9, 7..=7), Err(Reason::TooLong));
}

#[test]
fn the_precursor_may_be_some_ppm_and_one_isotope_off() {
    let exact = 464.734_736;
    let strict = Preprocessing { isotopes: 0, ..gentle() };
    let off = Preprocessing { precursor_tolerance_ppm: 0.0, ..gentle() };
    for (mz, tolerant, without_isotopes) in [
        (exact, true, true),
        (exact * (1.0 + 45e-6), true, true),
        (exact * (1.0 + 55e-6), false, false),
        (exact + mass::ISOTOPE / 2.0, true, false),
        (exact - mass::ISOTOPE / 2.0, false, false),
        (exact + mass::ISOTOPE, false, false),
    ] {
        let inside = format!("PEPMASS={mz:.6}\nCHARGE=2+\nSEQ=PEPTIDEK\n147.1 10");
        assert_eq!(prepared(&inside, &gentle()).is_ok(), tolerant, "{mz}");
        assert_eq!(prepared(&inside, &strict).is_ok(), without_isotopes, "{mz}");
        let spectrum = prepared(&inside, &off).unwrap();
        assert!((spectrum.precursor_mz - mz).abs() < 1e-6, "the precursor stays as measured");
    }
}

#[test]
fn each_step_does_what_it_says() {
    let gentle = gentle();
    assert_eq!(kept("504.2 3\n147.1 10\n147.1 7\n276.1 20\n300.1 0", &gentle), [(147.1, 0.85), (276.1, 1.0), (504.2, 0.15)]);
    assert_eq!(kept("49.9 9\n50 1\n2500 1\n2500.1 9", &gentle), [(50.0, 1.0), (2500.0, 1.0)]);
    let window = Preprocessing { precursor_window: 2.0, ..gentle.clone() };
    assert_eq!(kept("462.7 1\n462.8 9\n466.7 9\n466.8 2", &window), [(462.7, 0.5), (466.8, 1.0)]);
    let root = Preprocessing { square_root: true, ..gentle.clone() };
    assert_eq!(kept("100 4\n200 1\n300 16", &root), [(100.0, 0.5), (200.0, 0.25), (300.0, 1.0)]);
    let floor = Preprocessing { floor: 0.01, ..gentle.clone() };
    assert_eq!(kept("100 1\n200 0.99\n300 100", &floor), [(100.0, 0.01), (300.0, 1.0)]);
    let few = Preprocessing { most_peaks: 2, ..gentle.clone() };
    assert_eq!(kept("300 5\n100 5\n200 9\n150 5", &few), [(100.0, 5.0 / 9.0), (200.0, 1.0)]);
    let huge = kept("100 1e30\n100 1e30\n200 1e-300", &root);
    assert!(huge.iter().all(|(_, intensity)| *intensity > 0.0 && *intensity <= 1.0), "{huge:?}");
    assert_eq!(prepared(&format!("{HEAD}\n100 1"), &Preprocessing { fewest_peaks: 2, ..gentle }), Err(Reason::TooFewPeaks));
}

#[test]
fn a_perfect_spectrum_is_explained_after_preprocessing() {
    let inside = format!("{HEAD}\n147.1128 10\n276.1554 20\n391.1823 30\n504.2664 40\n98.0600 5\n227.1026 6");
    let vocabulary = Vocabulary::new(&[Modification::Oxidation]);
    let preprocessing = Preprocessing { fewest_peaks: 6, ..Preprocessing::default() };
    let spectrum = prepared(&inside, &preprocessing).unwrap();
    assert!(explained(&vocabulary, &spectrum, 0.02) > 0.99);
    assert_eq!(vocabulary.text(&spectrum.peptide), "PEPTIDEK");
}

#[test]
fn a_label_is_not_needed_to_predict() {
    let unlabelled = entry("PEPMASS=464.7347\nCHARGE=2+\n147.1 10");
    let spectrum = prepare_unlabelled(&unlabelled, &gentle()).unwrap();
    assert_eq!((spectrum.peptide.len(), spectrum.peaks.len()), (0, 1));
    assert_eq!(prepare_unlabelled(&entry("CHARGE=2+\n147.1 10"), &gentle()), Err(Reason::NoPrecursor));
}

#[test]
fn settings_left_out_have_their_defaults_and_wrong_ones_are_named() {
    let written: Preprocessing = ron::from_str("(fewest_peaks: 5, mz: (100.0, 2000.0))").unwrap();
    let expected = Preprocessing { fewest_peaks: 5, mz: (100.0, 2000.0), ..Preprocessing::default() };
    assert_eq!(written, expected);
    assert_eq!(written.check(), Ok(()));
    assert!(ron::from_str::<Preprocessing>("(fewest_peak: 5)").is_err());
    let sound = Preprocessing::default();
    for wrong in [
        Preprocessing { mz: (5.0, 1.0), ..sound.clone() },
        Preprocessing { mz: (f64::NAN, 1.0), ..sound.clone() },
        Preprocessing { precursor_window: -1.0, ..sound.clone() },
        Preprocessing { floor: 1.0, ..sound.clone() },
        Preprocessing { floor: f64::NAN, ..sound.clone() },
        Preprocessing { most_peaks: 10, ..sound.clone() },
        Preprocessing { most_peaks: 0, fewest_peaks: 0, ..sound.clone() },
        Preprocessing { max_charge: 0, ..sound.clone() },
        Preprocessing { precursor_tolerance_ppm: f64::INFINITY, ..sound },
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
        let _ = prepared(&format!("{HEAD}\n147.1 10"), &wrong);
    }
}
