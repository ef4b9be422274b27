//! Tests of the MGF reader: awkward files, written here.

use super::*;

fn read(text: impl AsRef<[u8]>) -> Vec<Entry> {
    Reader::new(text.as_ref()).map(|entry| entry.unwrap()).collect()
}

fn one(inside: &str) -> Entry {
    let mut entries = read(format!("BEGIN IONS\n{inside}\nEND IONS\n"));
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

fn peaks(entry: &Entry) -> Vec<(f64, f64)> {
    entry.peaks.iter().map(|peak| (peak.mz, peak.intensity)).collect()
}

fn faults(entry: &Entry) -> Vec<(usize, What)> {
    entry.faults.iter().map(|fault| (fault.line, fault.what)).collect()
}

#[test]
fn a_whole_entry() {
    let entry = &read(
        "COM=header\nCHARGE=2+ and 3+\n# comment\n\nBEGIN IONS\nTITLE=a=b, c\nPEPMASS=464.7429 12345.6\nCHARGE=2+\n\
         RTINSECONDS=985.4\nSCANS=3\nSEQ=PEPTIDEK\n147.1128 10\n276.1554 20 1+\nEND IONS\n\n",
    )[0];
    let expected = Entry {
        index: 0,
        line: 5,
        title: Some("a=b, c".into()),
        pepmass: Some(464.7429),
        charge: Charge::Known(2),
        retention_seconds: Some(985.4),
        label: Some("PEPTIDEK".into()),
        peaks: vec![Peak { mz: 147.1128, intensity: 10.0 }, Peak { mz: 276.1554, intensity: 20.0 }],
        faults: vec![],
    };
    assert_eq!(*entry, expected);
}

#[test]
fn line_ends_tabs_marks_and_case_do_not_matter() {
    let expected = read("BEGIN IONS\nPEPMASS=464.7 9\nCHARGE=2+\nSEQ=PEK\n147.1 10\nEND IONS");
    for text in [
        "BEGIN IONS\r\nPEPMASS=464.7\t9\r\nCHARGE=2\r\nSEQ=PEK\r\n147.1\t10\r\nEND IONS\r\n",
        "\u{feff}BEGIN IONS\nPEPMASS=464.7\nCHARGE=+2\nSEQUENCE=PEK\n  147.1   10  \nEND IONS",
        "begin ions\npepmass = 464.7\ncharge=2.0+\nseq= PEK \n; no peak\n147.1 10\nend ions",
    ] {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn charges() {
    let unusable = |text: &str| Charge::Unusable(text.into());
    for (text, expected) in [
        ("2+", Charge::Known(2)),
        ("2", Charge::Known(2)),
        ("+2", Charge::Known(2)),
        ("2.0+", Charge::Known(2)),
        ("2.", Charge::Known(2)),
        ("255+", Charge::Known(255)),
        ("", Charge::Missing),
        ("2-", unusable("2-")),
        ("-2", unusable("-2")),
        ("0", unusable("0")),
        ("0+", unusable("0+")),
        ("2+ and 3+", unusable("2+ and 3+")),
        ("2+,3+", unusable("2+,3+")),
        ("2.5+", unusable("2.5+")),
        ("256", unusable("256")),
        ("++2", unusable("++2")),
        ("+", unusable("+")),
        (".", unusable(".")),
        ("nan", unusable("nan")),
        ("99999999999999999999999", unusable("99999999999999999999999")),
    ] {
        assert_eq!(one(&format!("CHARGE={text}")).charge, expected, "{text:?}");
    }
}

#[test]
fn the_charge_of_the_file_is_a_default() {
    let entries = read("CHARGE=3+\nBEGIN IONS\nEND IONS\nBEGIN IONS\nCHARGE=2+\nEND IONS\nBEGIN IONS\nCHARGE=\nEND IONS\n");
    let charges: Vec<_> = entries.into_iter().map(|entry| entry.charge).collect();
    assert_eq!(charges, [Charge::Known(3), Charge::Known(2), Charge::Known(3)]);
    assert_eq!(read("CHARGE=2+ and 3+\nBEGIN IONS\nEND IONS")[0].charge, Charge::Unusable("2+ and 3+".into()));
}

#[test]
fn bad_lines_are_faults_with_their_numbers() {
    let entry =
        one("PEPMASS=nan\n147.1 nan\n276.1 -5\n391.1 0\nabc def\n-12.0 4\n0 4\n504.2 inf\n88.1\n1e400 1\n77,1 3\n99.5 1e-3");
    assert_eq!(peaks(&entry), [(391.1, 0.0), (99.5, 1e-3)]);
    assert_eq!(entry.pepmass, None);
    let mut expected = vec![(2, What::BadPrecursor)];
    expected.extend([3, 4, 6, 7, 8, 9, 10, 11, 12].map(|line| (line, What::NotAPeak)));
    assert_eq!(faults(&entry), expected);
}

#[test]
fn precursors() {
    for text in ["", "0", "-5", "inf", "abc", "1e9", "500,2"] {
        let entry = one(&format!("PEPMASS={text}"));
        assert_eq!((entry.pepmass, faults(&entry)), (None, vec![(2, What::BadPrecursor)]), "{text:?}");
    }
    assert_eq!(one("PEPMASS=1084.9\t1234 2+").pepmass, Some(1084.9));
    assert_eq!(one("TITLE=none").pepmass, None);
}

#[test]
fn a_repeated_header_is_a_fault_only_where_it_differs() {
    assert_eq!(one("SEQ=PEK\nSEQUENCE=PEK\nCHARGE=2\nCHARGE=2+\nPEPMASS=5\nPEPMASS=5.0 1").faults, []);
    let entry = one("SEQ=PEK\nSEQ=PEPK\nCHARGE=2\nCHARGE=3\nPEPMASS=5\nPEPMASS=6\nTITLE=a\nTITLE=b");
    let expected = [(3, What::Contradiction("SEQ")), (5, What::Contradiction("CHARGE")), (7, What::Contradiction("PEPMASS"))];
    assert_eq!(faults(&entry), expected);
    assert_eq!((entry.label.as_deref(), entry.charge, entry.pepmass), (Some("PEK"), Charge::Known(2), Some(5.0)));
}

#[test]
fn a_spectrum_without_its_end_is_an_entry_with_a_fault() {
    let entries = read("BEGIN IONS\n147.1 10\nBEGIN IONS\n88.1 1\nEND IONS\nBEGIN IONS\nSEQ=PEK\n99.1 1");
    let found: Vec<_> = entries.iter().map(|entry| (entry.index, entry.line, peaks(entry), faults(entry))).collect();
    let expected = [
        (0, 1, vec![(147.1, 10.0)], vec![(3, What::NotEnded)]),
        (1, 3, vec![(88.1, 1.0)], vec![]),
        (2, 6, vec![(99.1, 1.0)], vec![(8, What::NotEnded)]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_mgf_ends_with_an_error() {
    for (text, line) in [
        ("<?xml version=\"1.0\"?>\n", 1),
        ("PEPTIDE\n", 1),
        ("BEGIN IONS\nEND IONS\n147.1 10\n", 3),
        ("BEGIN IONS\nEND IONS\nEND IONS\nBEGIN IONS\nEND IONS\n", 3),
        ("B\0E\0G\0I\0N\0", 1),
    ] {
        let mut reader = Reader::new(text.as_bytes());
        let error = reader.find_map(Result::err).unwrap();
        assert!(matches!(error, ReadError::Outside { line: at, .. } if at == line), "{text:?}: {error}");
        assert!(reader.next().is_none());
    }
    for text in ["", "\n\n", "COM=only a header\nCHARGE=2+ and 3+\n", "\u{feff}"] {
        assert!(read(text).is_empty(), "{text:?}");
    }
}

#[test]
fn text_that_is_not_utf8_is_kept_as_far_as_it_goes() {
    let entries = read(b"BEGIN IONS\nTITLE=M\xfcller\nSEQ=PE\xffK\n\xff\xfe 5\nEND IONS\n");
    assert_eq!(entries[0].title.as_deref(), Some("M\u{fffd}ller"));
    assert_eq!(entries[0].label.as_deref(), Some("PE\u{fffd}K"));
    assert_eq!(faults(&entries[0]), [(4, What::NotAPeak)]);
}

#[test]
fn memory_is_bounded() {
    let many = format!("BEGIN IONS\n{}x\nEND IONS\n", "100.5 1\n".repeat(MOST_PEAKS + 10));
    let entry = &read(many)[0];
    assert_eq!(entry.peaks.len(), MOST_PEAKS);
    assert_eq!(faults(entry), [(MOST_PEAKS + 2, What::TooManyPeaks), (MOST_PEAKS + 12, What::NotAPeak)]);
    let bad = format!("BEGIN IONS\n{}", "x\n".repeat(5000));
    let entry = &read(bad)[0];
    assert_eq!(entry.faults.len(), MOST_FAULTS + 1);
    assert_eq!(entry.faults.last().unwrap().what, What::NotEnded);
    let long = format!("BEGIN IONS\nTITLE={}\n147.1 10\nEND IONS\n", "x".repeat(100_000));
    let entry = &read(long)[0];
    assert_eq!((entry.title.as_ref(), faults(entry)), (None, vec![(2, What::LineTooLong)]));
    let outside = "x".repeat(100_000);
    assert!(matches!(Reader::new(outside.as_bytes()).next(), Some(Err(ReadError::LineTooLong { line: 1 }))));
}

#[test]
fn a_failing_source_is_an_error() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let mut reader = Reader::new(io::BufReader::new(Broken));
    assert!(matches!(reader.next(), Some(Err(ReadError::Io { line: 0, .. }))));
    assert!(reader.next().is_none());
}
