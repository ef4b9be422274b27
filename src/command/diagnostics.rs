//! Problems in files, shown with line, column, caret and help.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::load::{Diagnosis, Loaded};

/// Problems with the texts they are in.
#[derive(Debug)]
pub(crate) struct Diagnostics {
    problems: Vec<Diagnosis>,
    /// What stands in the way of running something, and not of what was asked.
    warnings: Vec<Diagnosis>,
    texts: BTreeMap<String, String>,
}

/// A problem for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    severity: Severity,
    file: String,
    /// From 1; none where the whole file is meant.
    line: Option<usize>,
    column: Option<usize>,
    message: String,
    help: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

/// The line, from 1, in which a byte of a text stands.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}

impl Diagnostics {
    /// The problems of everything that was read, in the order of files and places, each once.
    pub fn new(loaded: Loaded) -> Diagnostics {
        let mut problems = loaded.problems;
        problems.sort_by(|a, b| (&a.file, a.span.start, &a.message).cmp(&(&b.file, b.span.start, &b.message)));
        problems.dedup();
        let texts = loaded.texts.into_iter().map(|(file, text)| (file, text.text)).collect();
        Diagnostics { problems, warnings: vec![], texts }
    }

    /// The same where everything was asked for and nothing by name: data files that are absent are warnings, one for each
    /// experiment and file.
    pub fn of_everything(loaded: Loaded) -> Diagnostics {
        let mut diagnostics = Diagnostics::new(loaded);
        let (warnings, problems) = diagnostics.problems.into_iter().partition(|problem| problem.absent_data);
        (diagnostics.problems, diagnostics.warnings) = (problems, warnings);
        // One that is trained and evaluated on is named in two places.
        let mut seen = BTreeSet::new();
        diagnostics.warnings.retain(|warning| seen.insert((warning.file.clone(), warning.message.clone())));
        diagnostics
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many warnings there are beside the problems.
    pub fn warnings(&self) -> usize {
        self.warnings.len()
    }

    /// The problems and warnings with lines and columns, for programs.
    pub fn shown(&self) -> Vec<Shown> {
        self.all().map(|(severity, problem)| self.locate(severity, problem)).collect()
    }

    fn all(&self) -> impl Iterator<Item = (Severity, &Diagnosis)> {
        let problems = self.problems.iter().map(|problem| (Severity::Error, problem));
        problems.chain(self.warnings.iter().map(|warning| (Severity::Warning, warning)))
    }

    fn locate(&self, severity: Severity, problem: &Diagnosis) -> Shown {
        let text = self.texts.get(&problem.file).filter(|_| !problem.span.is_empty());
        let place = text.and_then(|text| text.get(..problem.span.start)).map(|before| {
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        Shown {
            severity,
            file: problem.file.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    }

    fn render(&self, severity: Severity, problem: &Diagnosis) -> String {
        let printable = |text: &str| text.chars().filter(|c| !c.is_control() || "\n\t".contains(*c)).collect::<String>();
        let (headline, details) = problem.message.split_once('\n').unwrap_or((&problem.message, ""));
        let text = self.texts.get(&problem.file).filter(|text| text.get(problem.span.clone()).is_some());
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = match text {
            Some(text) if !problem.span.is_empty() => {
                let snippet = Snippet::source(text.as_str()).path(problem.file.as_str());
                Group::with_title(level.primary_title(headline))
                    .element(snippet.annotation(AnnotationKind::Primary.span(first_line(text, problem))))
            }
            _ => return plain(severity, problem),
        };
        if !details.is_empty() {
            group = group.element(Level::NOTE.message(details));
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        printable(&Renderer::plain().render(&[group]))
    }
}

/// A value over many lines is marked on its first.
fn first_line(text: &str, problem: &Diagnosis) -> std::ops::Range<usize> {
    let start = problem.span.start;
    let end = text[start..problem.span.end].find('\n').map_or(problem.span.end, |length| start + length);
    start..end.max(start)
}

fn plain(severity: Severity, problem: &Diagnosis) -> String {
    let level = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let help = problem.help.as_ref().map_or(String::new(), |help| format!("\n  = help: {help}"));
    format!("{level}: `{}` {}{help}", problem.file.escape_default(), problem.message)
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (severity, problem) in self.all() {
            writeln!(f, "{}\n", self.render(severity, problem))?;
        }
        if self.is_empty() {
            return Ok(());
        }
        let files = self.problems.iter().map(|problem| &problem.file).collect::<BTreeSet<_>>().len();
        write!(f, "{} in {}", counted(self.problems.len(), "problem"), counted(files, "file"))
    }
}

/// `1 file`, `2 files`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
