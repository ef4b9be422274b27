//! Monoisotopic masses in dalton: the one source of every mass in the program, in f64.
//!
//! The figures are those of the Unimod and NIST tables, rounded to six places; a test derives them again from the
//! elements' atomic masses.

/// Mass of a water molecule, Da.
pub const WATER: f64 = 18.010565;
/// Mass of a proton, Da.
pub const PROTON: f64 = 1.007276;
/// Distance between the isotopes carbon-13 and carbon-12, Da: how far off a precursor is when its second isotope was picked.
pub const ISOTOPE: f64 = 1.003355;

/// The twenty residues by one-letter code with their masses, in the order of the vocabulary.
pub const RESIDUES: [(char, f64); 20] = [
    ('G', 57.021464),
    ('A', 71.037114),
    ('S', 87.032028),
    ('P', 97.052764),
    ('V', 99.068414),
    ('T', 101.047679),
    ('C', 103.009185),
    ('L', 113.084064),
    ('I', 113.084064),
    ('N', 114.042927),
    ('D', 115.026943),
    ('Q', 128.058578),
    ('K', 128.094963),
    ('E', 129.042593),
    ('M', 131.040485),
    ('H', 137.058912),
    ('F', 147.068414),
    ('R', 156.101111),
    ('Y', 163.063329),
    ('W', 186.079313),
];

/// Mass of one residue inside a peptide, Da; `None` for a letter that is not one of the twenty.
pub fn residue(letter: char) -> Option<f64> {
    RESIDUES.iter().find(|(known, _)| *known == letter).map(|(_, mass)| *mass)
}

/// Neutral mass of a precursor in Da from its m/z and charge: M = (m/z - proton) * z.
pub fn neutral(mz: f64, charge: u8) -> f64 {
    (mz - PROTON) * f64::from(charge)
}

/// m/z of a neutral mass (Da) at a charge: (M + z * proton) / z.
pub fn mz(neutral: f64, charge: u8) -> f64 {
    neutral / f64::from(charge) + PROTON
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Atomic masses (CIAAW 2021): H, C, N, O, S.
    const ATOMS: [f64; 5] = [1.007_825_032, 12.0, 14.003_074_004, 15.994_914_619, 31.972_071_174];

    fn formula(h: u32, c: u32, n: u32, o: u32, s: u32) -> f64 {
        [h, c, n, o, s].iter().zip(ATOMS).map(|(&count, mass)| f64::from(count) * mass).sum()
    }

    #[test]
    fn residues_agree_with_their_elements() {
        let formulas = [
            ('G', formula(3, 2, 1, 1, 0)),
            ('A', formula(5, 3, 1, 1, 0)),
            ('S', formula(5, 3, 1, 2, 0)),
            ('P', formula(7, 5, 1, 1, 0)),
            ('V', formula(9, 5, 1, 1, 0)),
            ('T', formula(7, 4, 1, 2, 0)),
            ('C', formula(5, 3, 1, 1, 1)),
            ('L', formula(11, 6, 1, 1, 0)),
            ('I', formula(11, 6, 1, 1, 0)),
            ('N', formula(6, 4, 2, 2, 0)),
            ('D', formula(5, 4, 1, 3, 0)),
            ('Q', formula(8, 5, 2, 2, 0)),
            ('K', formula(12, 6, 2, 1, 0)),
            ('E', formula(7, 5, 1, 3, 0)),
            ('M', formula(9, 5, 1, 1, 1)),
            ('H', formula(7, 6, 3, 1, 0)),
            ('F', formula(9, 9, 1, 1, 0)),
            ('R', formula(12, 6, 4, 1, 0)),
            ('Y', formula(9, 9, 1, 2, 0)),
            ('W', formula(10, 11, 2, 1, 0)),
        ];
        for (letter, mass) in formulas {
            let ours = residue(letter).unwrap();
            assert!((ours - mass).abs() < 2e-6, "{letter}: {ours} here, {mass} from the elements");
        }
        assert!((WATER - formula(2, 0, 0, 1, 0)).abs() < 1e-6);
        assert!((PROTON - (ATOMS[0] - 0.000_548_580)).abs() < 1e-6);
    }

    #[test]
    fn mz_and_neutral_mass_are_inverse() {
        for charge in 1..=4 {
            assert!((neutral(mz(1234.567, charge), charge) - 1234.567).abs() < 1e-9);
        }
    }
}
