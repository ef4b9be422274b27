//! The vocabulary: four special tokens, twenty residues, and the modifications a model declares.

use serde::{Deserialize, Serialize};

use super::mass;

/// Index of a token in the vocabulary.
pub type Token = u8;

pub const PAD: Token = 0;
pub const START: Token = 1;
pub const END: Token = 2;
pub const UNKNOWN: Token = 3;
/// First token that has a mass.
pub const FIRST_RESIDUE: Token = 4;

/// A modification a model can be told to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Modification {
    /// Fixed on every C: +57.021464 Da (UNIMOD:4).
    Carbamidomethyl,
    /// Variable on M: +15.994915 Da (UNIMOD:35).
    Oxidation,
    /// Variable on N and Q: +0.984016 Da (UNIMOD:7).
    Deamidated,
    /// Variable at the N-terminus: +42.010565 Da (UNIMOD:1).
    Acetyl,
    /// Variable at the N-terminus: +43.005814 Da (UNIMOD:5).
    Carbamyl,
    /// Variable at the N-terminus: -17.026549 Da (UNIMOD:385).
    AmmoniaLoss,
}

/// Where a modification sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// On these residues, always: it changes the residue's mass and adds no token.
    Fixed(&'static [char]),
    /// On these residues, sometimes: one more token each.
    Variable(&'static [char]),
    /// In front of the first residue: one token of its own, after which no bond breaks.
    NTerminal,
}

impl Modification {
    pub const ALL: [Modification; 6] = [
        Modification::Carbamidomethyl,
        Modification::Oxidation,
        Modification::Deamidated,
        Modification::Acetyl,
        Modification::Carbamyl,
        Modification::AmmoniaLoss,
    ];

    /// The name in RON files.
    pub fn name(self) -> &'static str {
        match self {
            Modification::Carbamidomethyl => "Carbamidomethyl",
            Modification::Oxidation => "Oxidation",
            Modification::Deamidated => "Deamidated",
            Modification::Acetyl => "Acetyl",
            Modification::Carbamyl => "Carbamyl",
            Modification::AmmoniaLoss => "AmmoniaLoss",
        }
    }

    /// Mass difference, Da.
    pub fn delta(self) -> f64 {
        match self {
            Modification::Carbamidomethyl => 57.021464,
            Modification::Oxidation => 15.994915,
            Modification::Deamidated => 0.984016,
            Modification::Acetyl => 42.010565,
            Modification::Carbamyl => 43.005814,
            Modification::AmmoniaLoss => -17.026549,
        }
    }

    /// Accession in the Unimod table.
    pub fn unimod(self) -> u32 {
        match self {
            Modification::Carbamidomethyl => 4,
            Modification::Oxidation => 35,
            Modification::Deamidated => 7,
            Modification::Acetyl => 1,
            Modification::Carbamyl => 5,
            Modification::AmmoniaLoss => 385,
        }
    }

    pub fn site(self) -> Site {
        match self {
            Modification::Carbamidomethyl => Site::Fixed(&['C']),
            Modification::Oxidation => Site::Variable(&['M']),
            Modification::Deamidated => Site::Variable(&['N', 'Q']),
            Modification::Acetyl | Modification::Carbamyl | Modification::AmmoniaLoss => Site::NTerminal,
        }
    }
}

/// What one token stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As written in decoded peptides: `A`, `M[Oxidation]`, `[Acetyl]-`; specials in angle brackets.
    pub name: String,
    /// The residue's letter; `None` for specials and N-terminal modifications.
    pub residue: Option<char>,
    /// The variable modification this token carries.
    pub modification: Option<Modification>,
    /// Mass in Da; 0 for specials.
    pub mass: f64,
}

/// All tokens of a model in the order of their indices.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    entries: Vec<Entry>,
    modifications: Vec<Modification>,
}

impl Vocabulary {
    /// Builds the vocabulary: specials, the twenty residues (fixed modifications in their masses), then one token for each
    /// variable modification and site, in the order of [`Modification::ALL`] whatever the order given.
    pub fn new(modifications: &[Modification]) -> Vocabulary {
        let modifications: Vec<_> = Modification::ALL.into_iter().filter(|known| modifications.contains(known)).collect();
        let special = |name: &str| Entry { name: name.into(), residue: None, modification: None, mass: 0.0 };
        let mut entries = vec![special("<pad>"), special("<start>"), special("<end>"), special("<unknown>")];
        for (letter, mass) in mass::RESIDUES {
            let fixed: f64 = modifications
                .iter()
                .filter(|m| matches!(m.site(), Site::Fixed(on) if on.contains(&letter)))
                .map(|m| m.delta())
                .sum();
            entries.push(Entry { name: letter.to_string(), residue: Some(letter), modification: None, mass: mass + fixed });
        }
        for &modification in &modifications {
            match modification.site() {
                Site::Fixed(_) => {}
                Site::Variable(on) => entries.extend(on.iter().map(|&letter| Entry {
                    name: format!("{letter}[{}]", modification.name()),
                    residue: Some(letter),
                    modification: Some(modification),
                    mass: mass::residue(letter).expect("sites are residues") + modification.delta(),
                })),
                Site::NTerminal => entries.push(Entry {
                    name: format!("[{}]-", modification.name()),
                    residue: None,
                    modification: Some(modification),
                    mass: modification.delta(),
                }),
            }
        }
        Vocabulary { entries, modifications }
    }

    #[expect(clippy::len_without_is_empty, reason = "a vocabulary always holds the special tokens")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The declared modifications, in canonical order.
    pub fn modifications(&self) -> &[Modification] {
        &self.modifications
    }

    /// Mass of a token in Da; 0 for specials.
    pub fn mass(&self, token: Token) -> f64 {
        self.entries[usize::from(token)].mass
    }

    /// Mass of every token in Da, by index.
    pub fn masses(&self) -> Vec<f64> {
        self.entries.iter().map(|entry| entry.mass).collect()
    }

    /// The token of a residue with or without a variable modification.
    pub fn residue(&self, letter: char, modification: Option<Modification>) -> Option<Token> {
        let found = |entry: &Entry| entry.residue == Some(letter) && entry.modification == modification;
        self.entries.iter().position(found).map(|index| index as Token)
    }

    /// The token of an N-terminal modification.
    pub fn n_terminal(&self, modification: Modification) -> Option<Token> {
        let found = |entry: &Entry| entry.residue.is_none() && entry.modification == Some(modification);
        self.entries.iter().position(found).map(|index| index as Token)
    }

    /// Whether the token is an N-terminal modification: no bond breaks after it.
    pub fn is_n_terminal(&self, token: Token) -> bool {
        let entry = &self.entries[usize::from(token)];
        entry.residue.is_none() && entry.modification.is_some()
    }

    /// Sum of the tokens' masses plus water: the neutral mass of the peptide, Da.
    pub fn peptide_mass(&self, tokens: &[Token]) -> f64 {
        tokens.iter().map(|&token| self.mass(token)).sum::<f64>() + mass::WATER
    }

    /// The peptide in ProForma-like text: `[Acetyl]-PEM[Oxidation]K`.
    pub fn text(&self, tokens: &[Token]) -> String {
        tokens.iter().map(|&token| self.entries[usize::from(token)].name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_vocabulary_has_24_tokens() {
        let plain = Vocabulary::new(&[]);
        assert_eq!(plain.len(), 24);
        assert_eq!(plain.residue('G', None), Some(FIRST_RESIDUE));
        assert_eq!(plain.text(&[4, 5]), "GA");
    }

    #[test]
    fn modifications_add_tokens_in_one_order() {
        let a = Vocabulary::new(&Modification::ALL);
        let mut reversed = Modification::ALL;
        reversed.reverse();
        assert_eq!(a, Vocabulary::new(&reversed));
        assert_eq!(a.len(), 24 + 1 + 2 + 3);
        assert!((a.mass(a.residue('C', None).unwrap()) - 160.030649).abs() < 1e-9);
        assert!(a.is_n_terminal(a.n_terminal(Modification::Acetyl).unwrap()));
        assert!(!a.is_n_terminal(END));
    }
}
