//! From RON text to a value, with errors that say where, what, and what to write.

use std::ops::Range;

use ron::error::{Position, SpannedError};
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::name::closest;

/// Files that people write are refused unread above this size, bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// What is wrong with a text, and where: a byte range of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// The dialect of RON that every file of ours has.
pub fn options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME | Extensions::UNWRAP_VARIANT_NEWTYPES)
}

/// Reads a value, or says what is wrong at the first place that is not grammar or of the wrong type.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    options().from_str(text).map_err(|error| problem(text, &error))
}

/// Writes a value as RON with every field spelled out.
pub fn render_ron<T: Serialize>(value: &T) -> String {
    let pretty =
        PrettyConfig::new().indentor("    ").extensions(Extensions::IMPLICIT_SOME | Extensions::UNWRAP_VARIANT_NEWTYPES);
    let mut text = options().to_string_pretty(value, pretty).expect("every written type can be written as RON");
    text.push('\n');
    text
}

fn problem(text: &str, error: &SpannedError) -> Problem {
    let (start, end) = (offset(text, error.span.start), offset(text, error.span.end));
    let (message, help) = explain(&error.code);
    Problem { span: widen(text, start, end), message, help }
}

fn offset(text: &str, position: Position) -> usize {
    let before: usize = text.split_inclusive('\n').take(position.line.saturating_sub(1)).map(str::len).sum();
    let line = text[before..].split('\n').next().unwrap_or_default();
    let column = position.col.saturating_sub(1);
    before + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

/// An error's position can be the point behind the word at fault; then the word itself is marked.
fn widen(text: &str, start: usize, end: usize) -> Range<usize> {
    if end > start {
        return start..end;
    }
    let word = |c: char| c.is_alphanumeric() || "_.-+".contains(c);
    let left = text[..start].trim_end_matches(word).len();
    let right = start + text[start..].find(|c| !word(c)).unwrap_or(text.len() - start);
    left..right.max((left + 1).min(text.len()))
}

fn explain(error: &ron::Error) -> (String, Option<String>) {
    use ron::Error;
    let outer = |outer: &Option<String>| outer.as_ref().map_or(String::new(), |outer| format!(" of `{outer}`"));
    match error {
        Error::NoSuchStructField { found, outer: Some(of), .. }
            if of == "Experiment" && ["model", "data", "training", "seed"].contains(&found.as_str()) =>
        {
            let help = "a root writes it inside `Scratch(..)` or `Imported(..)`; a fork has its parent's";
            (format!("`{found}` is no field of `Experiment`"), Some(help.into()))
        }
        Error::NoSuchStructField { expected, found, outer: of } => {
            (format!("`{found}` is no field{}", outer(of)), Some(suggest(found, expected, "the fields are")))
        }
        Error::NoSuchEnumVariant { expected, found, outer: of } => {
            (format!("`{found}` is none of the choices{}", outer(of)), Some(suggest(found, expected, "the choices are")))
        }
        Error::MissingStructField { field, outer: of } => {
            (format!("the field `{field}`{} is missing", outer(of)), Some(format!("write `{field}: ..`")))
        }
        Error::DuplicateStructField { field, outer: of } => {
            (format!("the field `{field}`{} is written twice", outer(of)), Some("write it once".into()))
        }
        Error::ExceededRecursionLimit => {
            ("the file is nested too deeply".into(), Some("no file needs more than a few levels".into()))
        }
        Error::InvalidValueForType { expected, found } => (format!("expected {expected}, found {found}"), None),
        Error::ExpectedIdentifier => (
            "expected a choice by its name".into(),
            Some("write the name and what belongs to it, `File(\"early\")` or `Checkpoint(\"a@600\")`".into()),
        ),
        Error::ExpectedString => ("expected a text in quotes".into(), Some("write `\"..\"`".into())),
        Error::ExpectedInteger => ("expected a whole number".into(), Some("write digits, `600` or `15_000`".into())),
        Error::ExpectedFloat => ("expected a number".into(), Some("write `0.1` or `1e-3`".into())),
        Error::Message(message) => (message.clone(), None),
        Error::ExpectedStructLikeEnd => ("expected `)` or a comma".into(), None),
        Error::ExpectedMapEnd => ("expected `}` or a comma".into(), None),
        Error::ExpectedArrayEnd => ("expected `]` or a comma".into(), None),
        Error::Eof => ("the file ends too early".into(), Some("close every bracket and quote".into())),
        other => {
            let text = other.to_string();
            let mut letters = text.chars();
            let first = letters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
            (first + letters.as_str(), None)
        }
    }
}

fn suggest(found: &str, expected: &[&str], introduction: &str) -> String {
    match closest(found, expected.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if expected.is_empty() => "nothing may be written here".into(),
        None => format!("{introduction} `{}`", expected.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Curriculum, Experiment};

    fn curriculum(text: &str) -> (String, String) {
        let problem = parse::<Curriculum>(text).unwrap_err();
        (text[problem.span].to_owned(), format!("{} / {}", problem.message, problem.help.unwrap_or_default()))
    }

    #[test]
    fn misspelt_words_are_marked_and_corrected() {
        let (marked, message) = curriculum("(stages: [(from: 0, loss: {CrossEntropy: 1.0, Precurser: 0.1})])");
        assert_eq!(marked, "Precurser", "{message}");
        assert!(message.contains("did you mean `Precursor`?"), "{message}");
        let (marked, message) = curriculum("(stages: [(form: 0, loss: {CrossEntropy: 1.0})])");
        assert_eq!(marked, "form", "{message}");
        assert!(message.contains("did you mean `from`?"), "{message}");
    }

    #[test]
    fn written_experiments_are_read_again() {
        let text = r#"(
            question: "q",
            parent: Scratch(
                seed: 1,
                model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 2,
                    latent_steps: 1, peaks: 20, length: 12, modifications: [Oxidation]),
                data: Mixture([(share: 0.5, data: Synthetic(length: 7..=10)), (share: 0.5, data: Mgf(files: ["a.mgf"]))]),
                training: (batch: 4, lr: Cosine(peak: 1e-3, horizon: 100), clip: None, ema: 0.99),
            ),
            branches: [
                (name: "a", curriculum: File("early")),
                (name: "b", curriculum: Moved(of: "early", loss: Precursor, to: 5)),
                (name: "c", curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1}, data: (length: 7..=8))])),
            ],
            clock: (1, 25),
            max_step: 100,
            validation: [(name: "easy", data: Synthetic(source: (length: 7..=8), noise: (noise_peaks: 2)))],
        )"#;
        let experiment: Experiment = parse(text).unwrap();
        let written = render_ron(&experiment);
        assert_eq!(parse::<Experiment>(&written).expect(&written), experiment);
        let fork: Experiment =
            parse(r#"(parent: Checkpoint("a/b@5"), curriculum: Inherit, change: (clip: None), max_step: 9)"#).unwrap();
        assert_eq!(fork.change.as_ref().unwrap().clip, Some(None));
        let written = render_ron(&fork);
        assert_eq!(parse::<Experiment>(&written).expect(&written), fork);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = format!("(stages: {}", "[".repeat(5_000));
        assert!(parse::<Curriculum>(&deep).is_err());
    }
}
