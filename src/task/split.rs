//! Which peptides are held out for validation: a function of the peptide alone, so that no peptide is ever on both sides.

use super::tokens::{Token, Vocabulary};

/// Marks our hashes, so that they are no other's; part of every split ever made.
const DOMAIN: &[u8] = b"runner split by bare peptide, 1\0";

/// The letters of a peptide with I written as L, without modifications: what the split goes by.
pub fn bare(vocabulary: &Vocabulary, peptide: &[Token]) -> String {
    let letter = |token: &Token| vocabulary.entries().get(usize::from(*token))?.residue;
    peptide.iter().filter_map(letter).map(join).collect()
}

/// Whether a bare peptide is held out when this share (0 to 1) of all peptides is; I and L are one. A larger share holds out
/// all that a smaller one does; another salt makes an independent split.
pub fn held_out(bare: &str, share: f64, salt: u64) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN).update(&salt.to_le_bytes());
    hasher.update(bare.chars().map(join).collect::<String>().as_bytes());
    let hash = hasher.finalize();
    let first = hash.as_bytes().iter().take(8).fold(0_u64, |word, &byte| word << 8 | u64::from(byte));
    // The upper 53 bits fit an f64 exactly: a number of [0, 1).
    let place = (first >> 11) as f64 / (1_u64 << 53) as f64;
    place < share
}

fn join(letter: char) -> char {
    if letter == 'I' { 'L' } else { letter }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::label::parse;
    use crate::task::tokens::Modification;

    #[test]
    fn shares_are_kept_and_nested() {
        let peptides: Vec<String> = (0..20_000).map(|number| format!("PEP{number}K")).collect();
        let held = |share, salt| peptides.iter().filter(|p| held_out(p, share, salt)).count();
        assert_eq!((held(0.0, 1), held(1.0, 1), held(f64::NAN, 1)), (0, 20_000, 0));
        assert!((held(0.1, 1) as f64 / 20_000.0 - 0.1).abs() < 0.01);
        assert!(peptides.iter().all(|p| !held_out(p, 0.1, 1) || held_out(p, 0.2, 1)));
        let both = peptides.iter().filter(|p| held_out(p, 0.1, 1) && held_out(p, 0.1, 2)).count();
        assert!((both as f64 / 20_000.0 - 0.01).abs() < 0.004, "{both}");
    }

    #[test]
    fn the_split_goes_by_letters_with_i_and_l_joined() {
        let vocabulary = Vocabulary::new(&Modification::ALL);
        let tokens = parse("[Acetyl]-IM[Oxidation]LCK", &vocabulary).unwrap();
        assert_eq!(bare(&vocabulary, &tokens), "LMLCK");
        assert_eq!(bare(&vocabulary, &[255, 2]), "");
        assert!((0..200).all(|salt| held_out("PEIK", 0.5, salt) == held_out("PELK", 0.5, salt)));
    }

    #[test]
    fn the_split_never_changes() {
        let held: String = ["PEPTIDEK", "SAMPLER", "LLGALR", "GGR", "AAAK", "VVTK", "QQQR", "WWK"]
            .map(|p| if held_out(p, 0.5, 0) { '1' } else { '0' })
            .iter()
            .collect();
        assert_eq!(held, "01011011", "spectra would change sides: what was validation before is trained on now");
    }
}
