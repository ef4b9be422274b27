//! Bytes of any kind given to the reader of spectra and of labels: no panic, and what comes out keeps its promises.

use rand::{Rng, RngExt};
use runner::task::inspect::inspect;
use runner::task::label;
use runner::task::mgf::{Entry, MOST_FAULTS, Reader};
use runner::task::notation;
use runner::task::preprocess::{Preprocessing, prepare};
use runner::task::random::{Purpose, stream};
use runner::task::tokens::{Modification, Vocabulary};

const MUTANTS: u64 = 6_000;

const SOUND: &str = "\u{feff}COM=a header\nCHARGE=2+ and 3+\n\nBEGIN IONS\r\nTITLE=one\nPEPMASS=464.7347 12345.6\nCHARGE=2+\n\
RTINSECONDS=985.4\nSEQ=PEPTIDEK\n147.1128\t10\n276.1554 20 1+\n391.1823 3e1\n504.2664 40\nEND IONS\n# a comment\nBEGIN IONS\n\
PEPMASS=485.7400\nSEQUENCE=[Acetyl]-PEPTIDEK\nCHARGE=2.0+\n98.0600 5\n227.1026 6\n227.1026 0\nEND IONS\n\nBEGIN IONS\nEND IONS\n";

const WORDS: [&str; 30] = [
    "BEGIN IONS\n",
    "END IONS\n",
    "PEPMASS=",
    "CHARGE=",
    "SEQ=",
    "SEQUENCE=",
    "=",
    "\n",
    "\r",
    "\t",
    " ",
    "\0",
    "\u{feff}",
    "nan",
    "inf",
    "-",
    "1e308",
    "1e-320",
    "999999999999999999999",
    ".",
    "+",
    "[UNIMOD:35]",
    "[",
    "]",
    "(+57.02)",
    "é",
    "-17.027",
    "_.",
    "._",
    ",",
];

/// Flips, inserts, takes out, repeats and cuts, a few times.
fn mutate(sound: &[u8], random: &mut impl Rng) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=bytes.len());
        let to = random.random_range(at..=bytes.len().min(at + 30));
        match random.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 => bytes.splice(at..at, WORDS[random.random_range(0..WORDS.len())].bytes()).for_each(drop),
            2 => bytes.drain(at..to).for_each(drop),
            3 => bytes.splice(at..at, bytes[at..to].to_vec()).for_each(drop),
            4 if random.random_range(0..5) == 0 => bytes.truncate(at),
            _ => bytes.splice(at..to, (at..to).map(|_| random.random::<u8>())).for_each(drop),
        }
    }
    bytes
}

fn is_sound(entry: &Entry) -> bool {
    let peak = |mz: f64, intensity: f64| mz > 0.0 && mz.is_finite() && intensity >= 0.0 && intensity.is_finite();
    entry.peaks.iter().all(|p| peak(p.mz, p.intensity))
        && entry.pepmass.is_none_or(|mz| mz > 0.0 && mz.is_finite())
        && entry.retention_seconds.is_none_or(f64::is_finite)
        && entry.faults.len() <= MOST_FAULTS + 2
        && entry.faults.iter().all(|fault| fault.line >= entry.line)
}

#[test]
fn mutants_of_a_file() {
    let vocabulary = Vocabulary::new(&[Modification::Acetyl, Modification::Carbamidomethyl]);
    let preprocessing = Preprocessing { fewest_peaks: 0, ..Preprocessing::default() };
    let (mut usable, mut refused, mut ended) = (0, 0, 0);
    for slot in 0..MUTANTS {
        let bytes = mutate(SOUND.as_bytes(), &mut stream(7, Purpose::Noise, 0, slot));
        let mut reader = Reader::new(bytes.as_slice());
        for (index, entry) in reader.by_ref().map_while(Result::ok).enumerate() {
            assert!(entry.index == index && is_sound(&entry), "mutant {slot}: {entry:?}");
            let Ok(spectrum) = prepare(&entry, &preprocessing, &vocabulary, 20, &(1..=20)) else {
                refused += 1;
                continue;
            };
            usable += 1;
            let highest = spectrum.peaks.iter().map(|peak| peak.intensity).fold(0.0, f64::max);
            assert!(highest == 1.0 && spectrum.peaks.iter().all(|peak| peak.intensity > 0.0), "mutant {slot}");
            assert!(spectrum.peaks.windows(2).all(|pair| pair[0].mz < pair[1].mz), "mutant {slot}");
            assert!((1..=20).contains(&spectrum.peptide.len()) && spectrum.neutral_mass() > 0.0, "mutant {slot}");
        }
        assert!(reader.next().is_none(), "mutant {slot}: after an error there are no more");
        match inspect(Reader::new(bytes.as_slice()), &preprocessing) {
            Ok(found) => assert_eq!(found.spectra, found.usable + found.unusable.total(), "mutant {slot}"),
            Err(_) => ended += 1,
        }
    }
    // The mutants try every way, not one of them over and over.
    assert!(usable > 1000 && refused > 1000 && ended > 500, "{usable} usable, {refused} refused, {ended} errors");
}

#[test]
fn a_file_cut_anywhere_gives_the_spectra_before_the_cut() {
    let all: Vec<Entry> = Reader::new(SOUND.as_bytes()).map(|entry| entry.unwrap()).collect();
    assert_eq!(all.len(), 3);
    for cut in 0..SOUND.len() {
        let entries: Vec<Entry> = Reader::new(&SOUND.as_bytes()[..cut]).map_while(Result::ok).collect();
        let whole = entries.iter().take_while(|entry| entry.faults.is_empty()).count();
        assert!(entries[..whole] == all[..whole] && entries.len() <= whole + 1, "cut at byte {cut}");
    }
}

#[test]
fn mutants_of_labels() {
    let vocabulary = Vocabulary::new(&Modification::ALL);
    let sound = [
        "[Acetyl]-AC[Carbamidomethyl]M[Oxidation]N[UNIMOD:7]K",
        "+42.011AC(+57.02)M(+15.99)N(+.98)K",
        "_.(Acetyl (Protein N-term))AM(Oxidation (M))K._",
        "R.NTDQASM[15.9949]PDK.V",
        "+43.006-17.027QIK/2",
    ];
    let mut right = 0;
    for slot in 0..MUTANTS {
        let bytes = mutate(sound[slot as usize % sound.len()].as_bytes(), &mut stream(8, Purpose::Noise, 0, slot));
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(written) = notation::read(&text) {
            assert!(!written.bare().is_empty());
            written.marks().for_each(|mark| assert!(mark.to_string().len() < 4 * text.len() + 20));
        }
        if let Ok(tokens) = label::parse(&text, &vocabulary) {
            right += 1;
            let again = vocabulary.text(&tokens);
            assert_eq!(label::parse(&again, &vocabulary).as_ref(), Ok(&tokens), "{text:?} became {again}");
        }
    }
    assert!(right > 100, "{right} of {MUTANTS} could be read");
}

#[test]
fn noise_is_no_file() {
    for slot in 0..500 {
        let mut random = stream(9, Purpose::Noise, 0, slot);
        let mut bytes = vec![0; random.random_range(0..2000)];
        random.fill_bytes(&mut bytes);
        let found = inspect(Reader::new(bytes.as_slice()), &Preprocessing::default());
        assert!(found.is_err() || found.is_ok_and(|found| found.spectra == 0));
        bytes.splice(0..0, *b"BEGIN IONS\n");
        let found = inspect(Reader::new(bytes.as_slice()), &Preprocessing::default()).unwrap();
        assert_eq!((found.spectra, found.usable), (1, 0));
    }
}
