//! Spectra in the Mascot generic format (MGF), read one at a time in bounded memory.
//!
//! The reader reports what is written and judges nothing: whether a spectrum can be used is said in
//! [`preprocess`](super::preprocess). Nothing is dropped: every `BEGIN IONS` makes an [`Entry`], and lines it cannot
//! make sense of are [`Fault`]s of that entry. Only what makes the whole file doubtful ends the reading with an error.

use std::fmt;
use std::io::{self, BufRead};

use thiserror::Error;

use super::lines::{Lines, Step};
use super::spectrum::Peak;

/// Most peaks kept of one spectrum; one with more is faulty.
pub const MOST_PEAKS: usize = 1_000_000;
/// Most faults of single lines kept of one spectrum: enough to see what is wrong with it.
pub const MOST_FAULTS: usize = 100;
/// Largest m/z and intensity taken for a measurement: sums of a million stay finite.
const LARGEST_MZ: f64 = 1e6;
const LARGEST_INTENSITY: f64 = 1e30;

/// A precursor charge as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charge {
    Missing,
    /// Positive.
    Known(u8),
    /// Negative, zero, several charges, above 255 or not a number: the text.
    Unusable(String),
}

/// One spectrum as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Place in the file, from 0, counted over every `BEGIN IONS`.
    pub index: usize,
    /// Line of `BEGIN IONS`, from 1.
    pub line: usize,
    pub title: Option<String>,
    /// m/z of the precursor: finite, above 0.
    pub pepmass: Option<f64>,
    /// The spectrum's own charge, else the file's.
    pub charge: Charge,
    /// Retention time in seconds; the start of a range; `None` also where it is not a number.
    pub retention_seconds: Option<f64>,
    /// The peptide as written in `SEQ=` or `SEQUENCE=`, possibly empty.
    pub label: Option<String>,
    /// Peaks in the order of the file: m/z above 0, intensity 0 or more, both finite.
    pub peaks: Vec<Peak>,
    /// What could not be read, in the order of the file: at most [`MOST_FAULTS`] and one of each kind that concerns the
    /// whole spectrum.
    pub faults: Vec<Fault>,
}

/// Something wrong in a spectrum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    pub what: What,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Neither a header nor two finite numbers, m/z above 0 and intensity 0 or more.
    NotAPeak,
    /// `PEPMASS` is not a finite number above 0.
    BadPrecursor,
    /// This header stands here again with another value; the first one counts.
    Contradiction(&'static str),
    /// Over [`LONGEST_LINE`](super::lines::LONGEST_LINE) bytes.
    LineTooLong,
    /// Over [`MOST_PEAKS`]; the rest was not kept.
    TooManyPeaks,
    /// The file ended, or the next spectrum began, before `END IONS`.
    NotEnded,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::NotAPeak => f.write_str("not a peak: expected an m/z above 0 and an intensity of 0 or more"),
            What::BadPrecursor => f.write_str("`PEPMASS` is not an m/z above 0"),
            What::Contradiction(header) => write!(f, "`{header}` stands here again with another value"),
            What::LineTooLong => f.write_str("line of more than 64 KiB"),
            What::TooManyPeaks => f.write_str("more than 1,000,000 peaks"),
            What::NotEnded => f.write_str("no `END IONS`"),
        }
    }
}

/// Why a file cannot be read on.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("after line {line}: {source}")]
    Io { line: usize, source: io::Error },
    #[error("line {line}: `{text}` stands outside of any spectrum; only `KEY=value`, comments and `BEGIN IONS` may")]
    Outside { line: usize, text: String },
    #[error("line {line}: more than 64 KiB without a line end; this is not an MGF file")]
    LineTooLong { line: usize },
}

/// The spectra of an MGF file. After an error there are no more.
#[derive(Debug)]
pub struct Reader<R> {
    lines: Lines<R>,
    /// The file's charge, for spectra that say none.
    charge: Charge,
    /// Number of spectra begun.
    count: usize,
    /// Line of a `BEGIN IONS` that was met inside a spectrum.
    begun: Option<usize>,
    finished: bool,
}

impl<R: BufRead> Reader<R> {
    pub fn new(source: R) -> Reader<R> {
        Reader { lines: Lines::new(source), charge: Charge::Missing, count: 0, begun: None, finished: false }
    }

    fn advance(&mut self) -> Result<Step, ReadError> {
        self.lines.advance().map_err(|source| ReadError::Io { line: self.lines.number(), source })
    }

    fn read(&mut self) -> Result<Option<Entry>, ReadError> {
        let begun = match self.begun.take() {
            Some(line) => Some(line),
            None => self.seek()?,
        };
        begun.map(|line| self.spectrum(line)).transpose()
    }

    /// Reads on to the next `BEGIN IONS`; its line, or `None` at the end of the file.
    fn seek(&mut self) -> Result<Option<usize>, ReadError> {
        loop {
            let step = self.advance()?;
            let line = self.lines.number();
            match step {
                Step::End => return Ok(None),
                Step::TooLong => return Err(ReadError::LineTooLong { line }),
                Step::Line => {}
            }
            let text = self.lines.text();
            if text.eq_ignore_ascii_case("BEGIN IONS") {
                return Ok(Some(line));
            }
            if is_blank(&text) {
                continue;
            }
            match header(&text) {
                Some((key, value)) if key.eq_ignore_ascii_case("CHARGE") => self.charge = charge(value),
                Some(_) => {}
                None => return Err(ReadError::Outside { line, text: text.chars().take(40).collect() }),
            }
        }
    }

    /// Reads the spectrum whose `BEGIN IONS` stands on `line` up to its end.
    fn spectrum(&mut self, line: usize) -> Result<Entry, ReadError> {
        let mut entry = Entry::begin(self.count, line);
        self.count += 1;
        loop {
            let step = self.advance()?;
            let line = self.lines.number();
            match step {
                Step::End => {
                    entry.faults.push(Fault { line, what: What::NotEnded });
                    break;
                }
                Step::TooLong => {
                    entry.fault(line, What::LineTooLong);
                    continue;
                }
                Step::Line => {}
            }
            let text = self.lines.text();
            if text.eq_ignore_ascii_case("END IONS") {
                break;
            }
            if text.eq_ignore_ascii_case("BEGIN IONS") {
                entry.faults.push(Fault { line, what: What::NotEnded });
                self.begun = Some(line);
                break;
            }
            entry.take(line, &text);
        }
        if entry.charge == Charge::Missing {
            entry.charge = self.charge.clone();
        }
        Ok(entry)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let next = self.read().transpose();
        self.finished = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Entry {
    fn begin(index: usize, line: usize) -> Entry {
        Entry {
            index,
            line,
            title: None,
            pepmass: None,
            charge: Charge::Missing,
            retention_seconds: None,
            label: None,
            peaks: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, line: usize, what: What) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(Fault { line, what });
        }
    }

    /// Takes in one line of the spectrum.
    fn take(&mut self, line: usize, text: &str) {
        if is_blank(text) {
            return;
        }
        if let Some((key, value)) = header(text) {
            return self.take_header(line, &key.to_ascii_uppercase(), value);
        }
        match peak(text) {
            None => self.fault(line, What::NotAPeak),
            Some(peak) if self.peaks.len() < MOST_PEAKS => self.peaks.push(peak),
            Some(_) if self.faults.iter().any(|fault| fault.what == What::TooManyPeaks) => {}
            Some(_) => self.faults.push(Fault { line, what: What::TooManyPeaks }),
        }
    }

    fn take_header(&mut self, line: usize, key: &str, value: &str) {
        let contradiction = match key {
            "TITLE" => {
                self.title.get_or_insert_with(|| value.into());
                None
            }
            "PEPMASS" => match precursor(value) {
                None => {
                    self.fault(line, What::BadPrecursor);
                    None
                }
                Some(mz) => (*self.pepmass.get_or_insert(mz) != mz).then_some("PEPMASS"),
            },
            "CHARGE" => match (&self.charge, charge(value)) {
                (Charge::Missing, written) => {
                    self.charge = written;
                    None
                }
                (_, Charge::Missing) => None,
                (first, again) => (*first != again).then_some("CHARGE"),
            },
            "RTINSECONDS" => {
                self.retention_seconds = self.retention_seconds.or_else(|| seconds(value));
                None
            }
            "SEQ" | "SEQUENCE" => (self.label.get_or_insert_with(|| value.into()) != value).then_some("SEQ"),
            _ => None,
        };
        if let Some(header) = contradiction {
            self.fault(line, What::Contradiction(header));
        }
    }
}

/// Whether a line says nothing: empty or a comment.
fn is_blank(text: &str) -> bool {
    text.is_empty() || text.starts_with(['#', ';', '!', '/'])
}

/// Key and value of `KEY=value`; the key begins with a letter.
fn header(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let key = key.trim();
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '));
    (plain && key.starts_with(|c: char| c.is_ascii_alphabetic())).then_some((key, value.trim()))
}

/// m/z and intensity in the first two columns; further ones (a fragment's charge, annotations) are not read.
fn peak(text: &str) -> Option<Peak> {
    let mut columns = text.split_ascii_whitespace();
    let mz = columns.next()?.parse().ok()?;
    let intensity = columns.next()?.parse().ok()?;
    let measured = mz > 0.0 && mz <= LARGEST_MZ && (0.0..=LARGEST_INTENSITY).contains(&intensity);
    measured.then_some(Peak { mz, intensity })
}

/// m/z of a `PEPMASS`, which may go on with the intensity.
fn precursor(value: &str) -> Option<f64> {
    let mz = value.split_ascii_whitespace().next()?.parse().ok()?;
    (mz > 0.0 && mz <= LARGEST_MZ).then_some(mz)
}

/// `2+`, `2`, `+2`, `2.0+`; everything else that is not empty is unusable.
fn charge(value: &str) -> Charge {
    if value.is_empty() {
        return Charge::Missing;
    }
    let number = value.strip_suffix('+').or_else(|| value.strip_prefix('+')).unwrap_or(value);
    let whole =
        number.split_once('.').map_or(number, |(whole, rest)| if rest.bytes().all(|digit| digit == b'0') { whole } else { "" });
    let digits = whole.bytes().all(|digit| digit.is_ascii_digit());
    match whole.parse() {
        Ok(charge) if digits && charge > 0 => Charge::Known(charge),
        _ => Charge::Unusable(value.into()),
    }
}

/// A time in seconds, or the start of a range `985.4-990.1`.
fn seconds(value: &str) -> Option<f64> {
    let number = value.split(['-', ' ']).next()?;
    number.parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

#[cfg(test)]
#[path = "mgf_tests.rs"]
mod tests;
