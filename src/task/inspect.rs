//! What a file of spectra holds: counts only; rendering is done elsewhere.

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::label::{Peptide, known};
use super::mgf::{Charge, Entry, ReadError, Reader};
use super::notation::{Mark, Written, read};
use super::preprocess::{Preprocessing, prepare};
use super::reason::Tally;
use super::spectrum::{Spectrum, explained};
use super::tokens::{Modification, Vocabulary};

/// Most modifications told apart that we do not know; the others are counted under [`OTHERS`].
const MOST_UNKNOWN: usize = 200;
/// Stands for the unknown modifications that are not told apart.
pub const OTHERS: &str = "(others)";
/// How near a peak must be to an ion to be explained, Da (standard deviation): as in the spectrum loss, and as finely as
/// high-resolution spectra allow.
pub const SIGMAS: (f64, f64) = (0.2, 0.02);

/// Statistics of a file, with all modifications declared and peptides of any length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    pub spectra: u64,
    pub usable: u64,
    /// The others, each with one reason.
    pub unusable: Tally,
    /// Spectra with a label, usable or not.
    pub labelled: u64,
    /// Spectra by precursor charge, where it is known.
    pub charges: BTreeMap<u8, u64>,
    /// Labels that can be read, by number of residues.
    pub lengths: BTreeMap<u32, u64>,
    /// How often each modification stands in labels that can be read, also in those of unusable spectra: by our name, or as
    /// written where we have none.
    pub modifications: BTreeMap<String, u64>,
    /// Different peptides among the labels that can be read, without modifications, I = L.
    pub bare_peptides: u64,
    /// Different peptides with their modifications among the usable spectra, I = L.
    pub modified_peptides: u64,
    /// Mean share of the prepared intensity that b and y ions of charges 1 and 2 explain at [`SIGMAS`], 0.2 Da; 0 where no
    /// spectrum is usable.
    pub explained: f64,
    /// The same at 0.02 Da.
    pub explained_finely: f64,
}

/// Reads all spectra. Memory grows with the number of different peptides alone. Fails where the file cannot be read on.
pub fn inspect<R: BufRead>(reader: Reader<R>, preprocessing: &Preprocessing) -> Result<Inspection, ReadError> {
    let mut inspector = Inspector {
        vocabulary: Vocabulary::new(&Modification::ALL),
        found: Inspection::default(),
        bare: HashSet::new(),
        modified: HashSet::new(),
    };
    for entry in reader {
        inspector.take(&entry?, preprocessing);
    }
    Ok(inspector.finish())
}

struct Inspector {
    vocabulary: Vocabulary,
    found: Inspection,
    bare: HashSet<[u8; 32]>,
    modified: HashSet<[u8; 32]>,
}

impl Inspector {
    fn take(&mut self, entry: &Entry, preprocessing: &Preprocessing) {
        self.found.spectra += 1;
        if let Charge::Known(charge) = entry.charge {
            *self.found.charges.entry(charge).or_default() += 1;
        }
        if let Some(label) = &entry.label {
            self.found.labelled += 1;
            if let Ok(written) = read(label) {
                self.take_label(&written);
            }
        }
        match prepare(entry, preprocessing, &self.vocabulary, u32::MAX, &(0..=u32::MAX)) {
            Ok(spectrum) => self.take_spectrum(&spectrum),
            Err(reason) => self.found.unusable.add(reason, entry),
        }
    }

    fn take_label(&mut self, written: &Written) {
        *self.found.lengths.entry(written.residues.len() as u32).or_default() += 1;
        self.bare.insert(*blake3::hash(written.bare().as_bytes()).as_bytes());
        match Peptide::try_from(written) {
            Ok(peptide) => {
                let inside = peptide.residues.iter().filter_map(|(_, modification)| *modification);
                for modification in peptide.n_terminal.iter().copied().chain(inside) {
                    self.count_modification(modification.name());
                }
            }
            Err(_) => written.marks().for_each(|mark| self.count_mark(mark)),
        }
    }

    /// Counts a modification of a label that is not known as a whole.
    fn count_mark(&mut self, mark: &Mark) {
        match known(mark).first() {
            Some(modification) => self.count_modification(modification.name()),
            None => self.count_modification(&mark.to_string()),
        }
    }

    fn count_modification(&mut self, name: &str) {
        let counts = &mut self.found.modifications;
        let room = counts.len() < MOST_UNKNOWN || counts.contains_key(name);
        *counts.entry(if room { name } else { OTHERS }.into()).or_default() += 1;
    }

    fn take_spectrum(&mut self, spectrum: &Spectrum) {
        self.found.usable += 1;
        let joined = self.vocabulary.text(&spectrum.peptide).replace('I', "L");
        self.modified.insert(*blake3::hash(joined.as_bytes()).as_bytes());
        self.found.explained += explained(&self.vocabulary, spectrum, SIGMAS.0);
        self.found.explained_finely += explained(&self.vocabulary, spectrum, SIGMAS.1);
    }

    fn finish(mut self) -> Inspection {
        self.found.bare_peptides = self.bare.len() as u64;
        self.found.modified_peptides = self.modified.len() as u64;
        let usable = self.found.usable.max(1) as f64;
        self.found.explained /= usable;
        self.found.explained_finely /= usable;
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::reason::Reason;

    fn spectrum(label: &str, peaks: &str) -> String {
        format!("BEGIN IONS\nPEPMASS=464.7347\nCHARGE=2+\nSEQ={label}\n{peaks}\nEND IONS\n")
    }

    fn inspected(text: &str) -> Inspection {
        let preprocessing = Preprocessing { fewest_peaks: 1, square_root: false, ..Preprocessing::default() };
        inspect(Reader::new(text.as_bytes()), &preprocessing).unwrap()
    }

    #[test]
    fn everything_is_counted() {
        let found = inspected(
            &[
                spectrum("PEPTIDEK", "147.1128 10\n333.333 10"),
                spectrum("PEPTLDEK", "147.1128 30\n333.333 10"),
                spectrum("PES[UNIMOD:21]M[UNIMOD:35]K", "147.1 10"),
                spectrum("[Acetyl]-PEPTLDEC(+57.02)K", "147.1 10"),
                "BEGIN IONS\nCHARGE=3-\nEND IONS\n".to_string(),
            ]
            .concat(),
        );
        assert_eq!((found.spectra, found.usable, found.labelled, found.unusable.total()), (5, 2, 4, 3));
        assert_eq!(found.charges, BTreeMap::from([(2, 4)]));
        assert_eq!(found.lengths, BTreeMap::from([(5, 1), (8, 2), (9, 1)]));
        assert_eq!((found.bare_peptides, found.modified_peptides), (3, 1));
        let modifications: Vec<_> = found.modifications.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(modifications, [("Acetyl", 1), ("Carbamidomethyl", 1), ("Oxidation", 1), ("UNIMOD:21", 1)]);
        for reason in [Reason::UnknownModification, Reason::PrecursorMismatch, Reason::NoPrecursor] {
            assert_eq!(found.unusable.of(reason), 1, "{reason}");
        }
        assert_eq!(found.unusable.reasons[&Reason::NoPrecursor].first_index, 4);
        assert!((found.explained - (0.5 + 0.75) / 2.0).abs() < 1e-3, "{}", found.explained);
    }

    #[test]
    fn nothing_is_no_division_by_zero_and_errors_come_through() {
        assert_eq!(inspected(""), Inspection::default());
        assert!(inspect(Reader::new(&b"<mzML>"[..]), &Preprocessing::default()).is_err());
    }

    #[test]
    fn invented_modifications_do_not_fill_the_memory() {
        let text: String = (0..500).map(|n| spectrum(&format!("PEP[x{n}]K"), "100 1")).collect();
        let found = inspected(&text);
        assert_eq!(found.modifications.len(), MOST_UNKNOWN + 1);
        assert_eq!(found.modifications[OTHERS], 500 - MOST_UNKNOWN as u64);
    }
}
