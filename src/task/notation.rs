//! How peptides are written in files: ProForma, mass deltas, DeepNovo, MaxQuant, with or without flanking residues.
//! Only the text is read here; what a modification is, and whether a model knows it, is said in [`label`](super::label).

use std::fmt;

use super::label::LabelError;

/// A modification as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// `Oxidation`, without the site some programs add (`Oxidation (M)`).
    Name(String),
    /// `UNIMOD:35`.
    Unimod(u32),
    /// `+15.995`: a mass difference in Da, and the number of decimals it was written with.
    Delta { mass: f64, decimals: usize },
}

/// A peptide as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Modifications in front of the first residue.
    pub n_terminal: Vec<Mark>,
    /// Capital letters, each with the modifications written behind it; at least one.
    pub residues: Vec<(char, Vec<Mark>)>,
    /// Modifications behind the last residue.
    pub c_terminal: Vec<Mark>,
}

impl Written {
    /// The letters alone, with I written as L: what tells peptides apart.
    pub fn bare(&self) -> String {
        self.residues.iter().map(|(letter, _)| if *letter == 'I' { 'L' } else { *letter }).collect()
    }

    /// Every modification in the order of the text.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        let inside = self.residues.iter().flat_map(|(_, marks)| marks);
        self.n_terminal.iter().chain(inside).chain(&self.c_terminal)
    }

    fn attach(&mut self, mark: Mark) {
        match self.residues.last_mut() {
            Some((_, marks)) => marks.push(mark),
            None => self.n_terminal.push(mark),
        }
    }
}

/// Reads a label in any of the notations. Fails where the text is empty, holds several peptides, has a small letter for a
/// residue or a character that has no meaning.
pub fn read(text: &str) -> Result<Written, LabelError> {
    let mut rest = without_flanks(without_charge(text.trim()));
    let mut written = Written::default();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            'A'..='Z' => {
                written.residues.push((first, Vec::new()));
                after
            }
            '[' | '(' => {
                let (inside, after) = bracketed(rest)?;
                written.attach(Mark::parse(inside));
                after
            }
            '+' | '-' if let Some((mark, after)) = leading_delta(rest) => {
                written.attach(mark);
                after
            }
            '-' if written.residues.is_empty() && !written.n_terminal.is_empty() => after,
            '-' if !written.residues.is_empty() && after.starts_with(['[', '(']) => {
                let (inside, after) = bracketed(after)?;
                written.c_terminal.push(Mark::parse(inside));
                after
            }
            ',' | ';' | '+' | '/' => return Err(LabelError::SeveralPeptides),
            letter if letter.is_alphabetic() => return Err(LabelError::UnknownResidue(letter)),
            other => return Err(LabelError::Unreadable(other)),
        };
    }
    if written.residues.is_empty() { Err(LabelError::Empty) } else { Ok(written) }
}

/// Drops the charge of `PEPTIDE/2`.
fn without_charge(text: &str) -> &str {
    match text.rsplit_once('/') {
        Some((peptide, charge)) if !charge.is_empty() && charge.bytes().all(|byte| byte.is_ascii_digit()) => peptide,
        _ => text,
    }
}

/// Drops the neighbours of `R.PEPTIDE.V`, `-.PEPTIDE.K`, `_.PEPTIDE._` and the lines of `_PEPTIDE_`.
fn without_flanks(text: &str) -> &str {
    let flank = |c: char| c.is_ascii_uppercase() || matches!(c, '_' | '-' | '*');
    let left = |text| -> Option<&str> { str::strip_prefix(text, flank)?.strip_prefix('.') };
    let right = |text| -> Option<&str> { str::strip_suffix(text, flank)?.strip_suffix('.') };
    let lines = |text| -> Option<&str> { str::strip_prefix(text, '_')?.strip_suffix('_') };
    left(text).and_then(right).or_else(|| lines(text)).unwrap_or(text)
}

/// Splits `[inside]after` or `(inside)after` at the bracket that closes the first one; brackets nest.
fn bracketed(text: &str) -> Result<(&str, &str), LabelError> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Ok((&text[1..at], &text[at + 1..]));
        }
    }
    Err(LabelError::Unreadable(text.chars().next().unwrap_or('[')))
}

/// Splits `+57.021PEPTIDE` behind the number; `None` where no number follows the sign.
fn leading_delta(text: &str) -> Option<(Mark, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = 1 + digits(&text[1..]);
    let end = match text[whole..].strip_prefix('.') {
        Some(decimals) => whole + 1 + digits(decimals),
        None => whole,
    };
    Some((delta(&text[..end])?, &text[end..]))
}

/// A decimal number, with or without a sign.
fn delta(text: &str) -> Option<Mark> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit());
    let mass: f64 = if plain { text.parse().ok()? } else { return None };
    mass.is_finite().then_some(Mark::Delta { mass, decimals: decimals.len() })
}

impl Mark {
    /// Reads what stands between brackets. Never fails: what is neither a number nor an accession is a name.
    pub fn parse(text: &str) -> Mark {
        let text = text.trim();
        let bare = ["unimod:", "u:"]
            .iter()
            .find_map(|prefix| text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix)))
            .map_or(text, |prefix| &text[prefix.len()..]);
        if bare.len() < text.len()
            && bare.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(id) = bare.parse()
        {
            return Mark::Unimod(id);
        }
        delta(bare).unwrap_or_else(|| Mark::Name(bare.split(" (").next().unwrap_or(bare).into()))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Name(name) => f.write_str(name),
            Mark::Unimod(id) => write!(f, "UNIMOD:{id}"),
            Mark::Delta { mass, decimals } => write!(f, "{mass:+.*}", (*decimals).min(9)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text in one notation of our own: marks behind residues in braces.
    fn plain(text: &str) -> String {
        let written = read(text).unwrap();
        let marks = |marks: &[Mark]| marks.iter().map(|mark| format!("{{{mark}}}")).collect::<String>();
        let inside: String = written.residues.iter().map(|(letter, on)| format!("{letter}{}", marks(on))).collect();
        format!("{}:{inside}:{}", marks(&written.n_terminal), marks(&written.c_terminal))
    }

    #[test]
    fn notations() {
        for (text, expected) in [
            (" PEPTIDE ", ":PEPTIDE:"),
            ("C[Carbamidomethyl]M[UNIMOD:35]K", ":C{Carbamidomethyl}M{UNIMOD:35}K:"),
            ("[Acetyl]-PEK", "{Acetyl}:PEK:"),
            ("[UNIMOD:1]-[u:5]-PEK", "{UNIMOD:1}{UNIMOD:5}:PEK:"),
            ("[U:Acetyl]PEK", "{Acetyl}:PEK:"),
            ("PEK-[Amidated]", ":PEK:{Amidated}"),
            ("+42.011AC+57.021M-17.0K+1", "{+42.011}:AC{+57.021}M{-17.0}K{+1}:"),
            ("+43.006-17.027QK", "{+43.006}{-17.027}:QK:"),
            ("AC(+57.02)M(+15.99)N(+.98)K", ":AC{+57.02}M{+15.99}N{+0.98}K:"),
            ("N+.98K", ":N{+0.98}K:"),
            ("(+42.01)AK", "{+42.01}:AK:"),
            ("M[15.9949]K", ":M{+15.9949}K:"),
            ("M[147]K", ":M{+147}K:"),
            ("_.AC[UNIMOD:4]K._", ":AC{UNIMOD:4}K:"),
            ("_AM(ox)K_", ":AM{ox}K:"),
            ("_(Acetyl (Protein N-term))AM(Oxidation (M))K_", "{Acetyl}:AM{Oxidation}K:"),
            ("R.NTDQASM[15.9949]PDK.V", ":NTDQASM{+15.9949}PDK:"),
            ("-.PEM+15.995.K", ":PEM{+15.995}:"),
            ("PEPTIDE/2", ":PEPTIDE:"),
            ("S[UNIMOD:x]K", ":S{x}K:"),
            ("S[]K", ":S{}K:"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_peptide() {
        for (text, expected) in [
            ("", LabelError::Empty),
            ("  ", LabelError::Empty),
            ("_._", LabelError::Unreadable('.')),
            ("_.._", LabelError::Empty),
            ("[Acetyl]-", LabelError::Empty),
            ("IGIQIR,GLLGALR", LabelError::SeveralPeptides),
            ("IGIQIR;GLLGALR", LabelError::SeveralPeptides),
            ("IGIQIR+GLLGALR", LabelError::SeveralPeptides),
            ("IGIQIR//GLLGALR", LabelError::SeveralPeptides),
            ("IGIQIR GLLGALR", LabelError::Unreadable(' ')),
            ("PEpTIDE", LabelError::UnknownResidue('p')),
            ("n[42]PEK", LabelError::UnknownResidue('n')),
            ("PE\u{fffd}K", LabelError::Unreadable('\u{fffd}')),
            ("PE[OxidationK", LabelError::Unreadable('[')),
            ("PE]K", LabelError::Unreadable(']')),
            ("PEK-", LabelError::Unreadable('-')),
            ("-PEK", LabelError::Unreadable('-')),
            ("{Hex}PEK", LabelError::Unreadable('{')),
            ("R.PEPTIDE", LabelError::Unreadable('.')),
        ] {
            assert_eq!(read(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn bare_joins_i_and_l() {
        assert_eq!(read("[Acetyl]-IM[Oxidation]LK").unwrap().bare(), "LMLK");
    }
}
