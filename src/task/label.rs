//! From a written label to the tokens of a model.

use thiserror::Error;

use super::mass;
use super::notation::{Mark, Written, read};
use super::tokens::{Modification, Site, Token, Vocabulary};

/// Why a label is no peptide of a model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    #[error("no residues")]
    Empty,
    #[error("more than one peptide")]
    SeveralPeptides,
    #[error("`{0}` has no meaning here")]
    Unreadable(char),
    #[error("unknown residue `{0}`")]
    UnknownResidue(char),
    #[error("unknown modification `{0}`")]
    UnknownModification(String),
    #[error("`{modification}` cannot sit {place}")]
    Impossible { modification: &'static str, place: String },
    #[error("`{0}` is not among the model's modifications")]
    Undeclared(&'static str),
}

/// Mass deltas within this of a modification's mean it, Da; coarser ones to half their last decimal.
const DELTA_TOLERANCE: f64 = 0.02;

/// A peptide whose residues and modifications are all known, whatever a model declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peptide {
    /// In the order of [`Modification::ALL`], each at most once.
    pub n_terminal: Vec<Modification>,
    pub residues: Vec<(char, Option<Modification>)>,
}

/// The tokens of a label in any of the notations of [`notation`](super::notation).
///
/// A C is the same token with and without `Carbamidomethyl` where the model declares it (fixed); where it does not, an
/// annotated C is an error. A bracketed number is a mass difference, never a mass.
pub fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Vec<Token>, LabelError> {
    Peptide::try_from(&read(text)?)?.tokens(vocabulary)
}

impl TryFrom<&Written> for Peptide {
    type Error = LabelError;

    /// Finds every residue and modification. One of the N-terminus written on the first residue (`Q[UNIMOD:28]PEK`) moves
    /// in front of it.
    fn try_from(written: &Written) -> Result<Peptide, LabelError> {
        let mut peptide = Peptide { n_terminal: Vec::new(), residues: Vec::with_capacity(written.residues.len()) };
        for mark in &written.n_terminal {
            peptide.put_in_front(find(mark, Place::NTerminus)?, Place::NTerminus)?;
        }
        for (at, (letter, marks)) in written.residues.iter().enumerate() {
            mass::residue(*letter).ok_or(LabelError::UnknownResidue(*letter))?;
            let place = Place::Residue { letter: *letter, first: at == 0 };
            let mut carried = None;
            for mark in marks {
                let modification = find(mark, place)?;
                if modification.site() == Site::NTerminal {
                    peptide.put_in_front(modification, place)?;
                } else if carried.replace(modification).is_some() {
                    return Err(place.refuse(modification));
                }
            }
            peptide.residues.push((*letter, carried));
        }
        written.c_terminal.iter().try_for_each(|mark| find(mark, Place::CTerminus).map(|_| ()))?;
        Ok(peptide)
    }
}

impl Peptide {
    fn put_in_front(&mut self, modification: Modification, place: Place) -> Result<(), LabelError> {
        match self.n_terminal.binary_search(&modification) {
            Ok(_) => Err(place.refuse(modification)),
            Err(at) => {
                self.n_terminal.insert(at, modification);
                Ok(())
            }
        }
    }

    /// The tokens; fails where a modification is not declared.
    pub fn tokens(&self, vocabulary: &Vocabulary) -> Result<Vec<Token>, LabelError> {
        let declared = |modification: &Modification| {
            let known = vocabulary.modifications().contains(modification);
            if known { Ok(()) } else { Err(LabelError::Undeclared(modification.name())) }
        };
        let mut tokens = Vec::with_capacity(self.n_terminal.len() + self.residues.len());
        for modification in &self.n_terminal {
            declared(modification)?;
            tokens.extend(vocabulary.n_terminal(*modification));
        }
        for (letter, modification) in &self.residues {
            modification.iter().try_for_each(declared)?;
            let variable = modification.filter(|carried| matches!(carried.site(), Site::Variable(_)));
            tokens.push(vocabulary.residue(*letter, variable).ok_or(LabelError::UnknownResidue(*letter))?);
        }
        Ok(tokens)
    }
}

/// Where a modification is written.
#[derive(Clone, Copy, Debug)]
enum Place {
    NTerminus,
    Residue { letter: char, first: bool },
    CTerminus,
}

impl Place {
    fn allows(self, modification: Modification) -> bool {
        match (modification.site(), self) {
            (Site::Fixed(on) | Site::Variable(on), Place::Residue { letter, .. }) => on.contains(&letter),
            (Site::NTerminal, Place::Residue { first, .. }) => first,
            (Site::NTerminal, Place::NTerminus) => true,
            (Site::Fixed(_) | Site::Variable(_), Place::NTerminus) | (_, Place::CTerminus) => false,
        }
    }

    fn refuse(self, modification: Modification) -> LabelError {
        let place = match self {
            Place::NTerminus => "at the N-terminus".to_string(),
            Place::Residue { letter, .. } => format!("on this {letter}"),
            Place::CTerminus => "at the C-terminus".to_string(),
        };
        LabelError::Impossible { modification: modification.name(), place }
    }
}

/// The modification a mark stands for at its place.
fn find(mark: &Mark, place: Place) -> Result<Modification, LabelError> {
    let candidates = known(mark);
    let first = *candidates.first().ok_or_else(|| LabelError::UnknownModification(mark.to_string()))?;
    candidates.into_iter().find(|modification| place.allows(*modification)).ok_or_else(|| place.refuse(first))
}

/// The modifications a mark may stand for wherever it is written, the likeliest first; none where we know none.
pub fn known(mark: &Mark) -> Vec<Modification> {
    match mark {
        Mark::Name(name) => named(name).into_iter().collect(),
        // Gln->pyro-Glu: the same loss of ammonia under another number.
        Mark::Unimod(28) => vec![Modification::AmmoniaLoss],
        Mark::Unimod(id) => Modification::ALL.into_iter().filter(|known| known.unimod() == *id).collect(),
        Mark::Delta { mass, decimals } => weighing(*mass, *decimals),
    }
}

/// The modification of a name, in the spellings of ProForma and MaxQuant. Plain `pyro-Glu` is left out: it may be the loss
/// of ammonia or of water, and the precursor could not tell them apart.
fn named(name: &str) -> Option<Modification> {
    match name.to_ascii_lowercase().as_str() {
        "carbamidomethyl" | "carbamidomethylation" | "cam" => Some(Modification::Carbamidomethyl),
        "oxidation" | "oxidized" | "ox" => Some(Modification::Oxidation),
        "deamidated" | "deamidation" | "de" => Some(Modification::Deamidated),
        "acetyl" | "acetylation" | "ac" => Some(Modification::Acetyl),
        "carbamyl" | "carbamylation" => Some(Modification::Carbamyl),
        "ammonialoss" | "ammonia-loss" | "ammonia loss" | "gln->pyro-glu" => Some(Modification::AmmoniaLoss),
        _ => None,
    }
}

/// The modifications a mass difference (Da) may mean, the nearest first.
fn weighing(mass: f64, decimals: usize) -> Vec<Modification> {
    let half_a_digit = 0.5 * 0.1_f64.powi(i32::try_from(decimals).unwrap_or(9).min(9));
    let distance = |modification: &Modification| (modification.delta() - mass).abs();
    let mut near: Vec<_> = Modification::ALL.into_iter().collect();
    near.retain(|modification| distance(modification) <= DELTA_TOLERANCE.max(half_a_digit));
    near.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(modifications: &[Modification]) -> impl Fn(&str) -> Result<String, LabelError> {
        let vocabulary = Vocabulary::new(modifications);
        move |text| parse(text, &vocabulary).map(|tokens| vocabulary.text(&tokens))
    }

    #[test]
    fn every_notation_gives_the_same_tokens() {
        let parse = with(&Modification::ALL);
        for (text, expected) in [
            ("HQGVM+15.995VGM+15.995GQK", "HQGVM[Oxidation]VGM[Oxidation]GQK"),
            ("+42.011AC(+57.02)M(+15.99)N(+.98)K", "[Acetyl]-ACM[Oxidation]N[Deamidated]K"),
            ("[Acetyl]-AC[Carbamidomethyl]M[Oxidation]K", "[Acetyl]-ACM[Oxidation]K"),
            ("_.AC[UNIMOD:4]K._", "ACK"),
            ("R.NTDQASM[15.9949]PDK.V", "NTDQASM[Oxidation]PDK"),
            ("_(ac)AM(ox)N(de)K_", "[Acetyl]-AM[Oxidation]N[Deamidated]K"),
            ("AC+57.021K", "ACK"),
            ("AC(+57)M(+16)K", "ACM[Oxidation]K"),
            ("ACK", "ACK"),
            ("M(Oxidation)Q[Deamidation]K", "M[Oxidation]Q[Deamidated]K"),
            ("[UNIMOD:5]-PEK/3", "[Carbamyl]-PEK"),
            ("[UNIMOD:28]-QPEK", "[AmmoniaLoss]-QPEK"),
            ("Q[UNIMOD:28]PEK", "[AmmoniaLoss]-QPEK"),
            ("Q[Gln->pyro-Glu]PEK", "[AmmoniaLoss]-QPEK"),
            ("Q(-17.03)PEK", "[AmmoniaLoss]-QPEK"),
            ("C[UNIMOD:4][UNIMOD:385]PEK", "[AmmoniaLoss]-CPEK"),
            ("M[Oxidation][Acetyl]K", "[Acetyl]-M[Oxidation]K"),
            ("-17.027+43.006QK", "[Carbamyl]-[AmmoniaLoss]-QK"),
            ("N(+43.01)K", "[Carbamyl]-NK"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let parse = with(&Modification::ALL);
        for (text, expected) in [
            ("", "no residues"),
            ("PEPTUXBZJOK", "unknown residue `U`"),
            ("PEK,PEK", "more than one peptide"),
            ("PEPS[UNIMOD:21]TIDEK", "unknown modification `UNIMOD:21`"),
            ("PEPS[Phospho]TIDEK", "unknown modification `Phospho`"),
            ("PEPS+79.966TIDEK", "unknown modification `+79.966`"),
            ("M[147]K", "unknown modification `+147`"),
            ("E[pyro-Glu]K", "unknown modification `pyro-Glu`"),
            ("P[Oxidation]K", "`Oxidation` cannot sit on this P"),
            ("P+15.995K", "`Oxidation` cannot sit on this P"),
            ("PEQ[UNIMOD:28]K", "`AmmoniaLoss` cannot sit on this Q"),
            ("PEK+42.011", "`Acetyl` cannot sit on this K"),
            ("[Oxidation]-MK", "`Oxidation` cannot sit at the N-terminus"),
            ("PEM-[Oxidation]", "`Oxidation` cannot sit at the C-terminus"),
            ("PEK-[Amidated]", "unknown modification `Amidated`"),
            ("M[Oxidation][Oxidation]K", "`Oxidation` cannot sit on this M"),
            ("[Acetyl]-P[Acetyl]K", "`Acetyl` cannot sit on this P"),
            ("PE.PK", "`.` has no meaning here"),
        ] {
            assert_eq!(parse(text).map_err(|error| error.to_string()), Err(expected.to_string()), "{text}");
        }
    }

    #[test]
    fn only_what_the_model_declares_is_read() {
        let plain = with(&[]);
        assert_eq!(plain("ACK").as_deref(), Ok("ACK"));
        assert_eq!(plain("AC[UNIMOD:4]K"), Err(LabelError::Undeclared("Carbamidomethyl")));
        assert_eq!(plain("M+15.995K"), Err(LabelError::Undeclared("Oxidation")));
        let fixed = with(&[Modification::Carbamidomethyl]);
        assert_eq!(fixed("AC[UNIMOD:4]K"), fixed("ACK"));
        assert_eq!(fixed("[Acetyl]-ACK"), Err(LabelError::Undeclared("Acetyl")));
    }

    #[test]
    fn the_text_of_tokens_reads_back() {
        let vocabulary = Vocabulary::new(&Modification::ALL);
        let text = "[Acetyl]-[AmmoniaLoss]-QCM[Oxidation]N[Deamidated]K";
        assert_eq!(vocabulary.text(&parse(text, &vocabulary).unwrap()), text);
    }
}
