//! Texts of files and problems in them, ready to be shown with line, column and caret.

use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::spec::{Findings, MAX_BYTES, Outline, Place, parse};

/// A file's text and where its values stand.
#[derive(Debug)]
pub struct TextFile {
    /// Path as shown to people, relative to the project where possible.
    pub shown: String,
    pub text: String,
    pub outline: Outline,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    pub file: String,
    /// Byte range of the file's text; empty where the whole file is meant.
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
    /// Nothing that is written is wrong: a data file is absent.
    pub absent_data: bool,
}

impl TextFile {
    /// Reads a file. `capped` refuses what is larger than [`MAX_BYTES`] unread.
    pub fn read(path: &Path, shown: &str, capped: bool) -> Result<TextFile, Diagnosis> {
        let whole = |message: String, help: &str| Diagnosis {
            file: shown.into(),
            span: 0..0,
            message,
            help: Some(help.to_owned()).filter(|help| !help.is_empty()),
            absent_data: false,
        };
        let metadata = fs::metadata(path).map_err(|error| whole(format!("cannot be read: {error}"), ""))?;
        if !metadata.is_file() {
            return Err(whole("is not a file".into(), "name a RON file"));
        }
        if capped && metadata.len() > MAX_BYTES {
            let message = format!("has {} bytes: more than the {MAX_BYTES} that a written file may have", metadata.len());
            return Err(whole(message, "files that people write are small; is this another kind of file?"));
        }
        let mut bytes = Vec::new();
        let limit = if capped { MAX_BYTES + 1 } else { u64::MAX };
        let file = fs::File::open(path).map_err(|error| whole(format!("cannot be read: {error}"), ""))?;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| whole(format!("cannot be read: {error}"), ""))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            whole(format!("is not UTF-8 text from byte {at} on"), "save the file as UTF-8")
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(TextFile { shown: shown.into(), text, outline: Outline::default() })
    }

    /// Reads the text's value: the first error of grammar or type, or every repeated key and every broken rule.
    pub fn value<T: DeserializeOwned>(&mut self, check: fn(&T, &Place, &mut Findings)) -> Result<T, Vec<Diagnosis>> {
        let value: T =
            parse(&self.text).map_err(|problem| vec![self.diagnosis(problem.span, problem.message, problem.help)])?;
        self.outline = Outline::read(&self.text);
        let repeated = self.outline.repeated.iter().map(|(place, span)| {
            let message = format!("`{}` is written twice", place.as_str().rsplit('.').next().unwrap_or_default());
            self.diagnosis(span.clone(), message, Some("write it once".into()))
        });
        let mut findings = Findings::default();
        check(&value, &Place::root(), &mut findings);
        let broken =
            findings.list.into_iter().map(|found| self.diagnosis(self.outline.span(&found.place), found.message, found.help));
        let problems: Vec<Diagnosis> = repeated.chain(broken).collect();
        if problems.is_empty() { Ok(value) } else { Err(problems) }
    }

    fn diagnosis(&self, span: Range<usize>, message: String, help: Option<String>) -> Diagnosis {
        Diagnosis { file: self.shown.clone(), span, message, help, absent_data: false }
    }
}
