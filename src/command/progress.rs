//! What `run` shows while it works: a bar for each segment on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use terminal_size::{Width, terminal_size_of};
use unicode_width::UnicodeWidthStr;

use super::context::{Ready, grouped};
use super::note;
use crate::execute::{Event, Events, memory};
use crate::lineage::{Leaf, StageStart};
use crate::plan::{Owner, Segment};
use crate::record::Measured;
use crate::report::size;

/// Time between two plain lines of a segment.
pub(crate) const LINE_EVERY: Duration = Duration::from_secs(10);

/// Columns of a segment's name, at least, and of its bar.
const PREFIX: usize = 24;
const BAR: usize = 12;

/// What the stages of each leaf are called, to say where training is.
#[derive(Debug, Default)]
pub(crate) struct Stages(HashMap<String, Vec<StageStart>>);

impl Stages {
    pub fn of(ready: &Ready) -> Stages {
        let leaves = || ready.resolution.experiments.values().flat_map(|resolved| &resolved.leaves);
        let own = leaves().map(|leaf: &Leaf| (leaf.key.to_string(), leaf.stages.clone()));
        // What several leaves share lies before they part: the stages of any of them are in force there.
        let shared = leaves().map(|leaf| (Owner::Shared(leaf.key.experiment.clone()).to_string(), leaf.stages.clone()));
        Stages(shared.chain(own).collect())
    }

    /// `spectrum` and `next precursor at 1,200`; empty where there is none.
    pub fn at(&self, owner: &str, step: u64) -> [String; 2] {
        let stages = self.0.get(owner).map_or(&[][..], Vec::as_slice);
        let name = |stage: &StageStart| stage.name.clone().unwrap_or_else(|| format!("stage from {}", grouped(stage.from)));
        let now = stages.iter().rfind(|stage| stage.from <= step).map(name);
        let next = stages.iter().find(|stage| stage.from > step);
        let next = next.map(|stage| format!("next {} at {}", name(stage), grouped(stage.from)));
        [now, next].map(Option::unwrap_or_default)
    }
}

/// A segment in training, as one line says it.
pub(crate) struct Line<'a> {
    pub owner: &'a str,
    /// Updates behind it, and at its end.
    pub step: u64,
    pub to: u64,
    pub steps_per_second: f64,
    pub terms: &'a str,
    pub memory_bytes: u64,
}

impl Line<'_> {
    /// What stands behind the bar, the most important first; what does not fit the terminal is left out.
    pub fn message(&self, stages: &Stages) -> String {
        let columns = terminal_size_of(std::io::stderr()).map_or(usize::MAX, |(Width(columns), _)| columns.into());
        let before = self.owner.width().max(PREFIX) + BAR + self.to.to_string().len() + 5 + "    /".len();
        let mut message = String::new();
        for part in self.parts(stages).into_iter().filter(|part| !part.is_empty()) {
            let gap = if message.is_empty() { "" } else { "  " };
            if before + message.width() + gap.len() + part.width() > columns {
                break;
            }
            message.push_str(gap);
            message.push_str(&part);
        }
        message
    }

    /// Speed, stage, what comes next, terms, memory.
    fn parts(&self, stages: &Stages) -> [String; 5] {
        let left = (self.to.saturating_sub(self.step)) as f64 / self.steps_per_second.max(1e-9);
        let left = Duration::try_from_secs_f64(left).map_or_else(|_| "for ever".into(), brief);
        let memory = if self.memory_bytes > 0 { size(self.memory_bytes) } else { String::new() };
        let [now, next] = stages.at(self.owner, self.step);
        [format!("{:.1}/s, {left} left", self.steps_per_second), now, next, self.terms.to_owned(), memory]
    }

    /// The whole line where there is no terminal.
    pub fn plain(&self, stages: &Stages) -> String {
        let parts = self.parts(stages).into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ");
        format!("{}: step {} of {}  {parts}", self.owner, grouped(self.step), grouped(self.to))
    }
}

/// A bar of a segment, added below the others.
pub(crate) fn bar(bars: &MultiProgress, owner: &str, from: u64, to: u64) -> ProgressBar {
    let template = format!("{{prefix:<{PREFIX}}} {{bar:{BAR}}} {{pos:>5}}/{{len}} {{wide_msg}}");
    let style = ProgressStyle::with_template(&template).expect("a fixed template");
    let bar = bars.add(ProgressBar::new(to).with_style(style).with_position(from));
    bar.set_prefix(owner.to_owned());
    bar
}

/// `CrossEntropy 2.415  Spectrum 0.913`.
pub(crate) fn terms<'a>(terms: impl IntoIterator<Item = (&'a str, f64)>) -> String {
    terms.into_iter().map(|(name, value)| format!("{name} {value:.3}")).collect::<Vec<_>>().join("  ")
}

pub(crate) struct Progress {
    bars: Option<MultiProgress>,
    stages: Stages,
    state: Mutex<HashMap<usize, Shown>>,
}

/// A segment on display.
struct Shown {
    bar: Option<ProgressBar>,
    from: u64,
    began: Instant,
    said: Instant,
    terms: String,
}

impl Progress {
    pub fn new(stages: Stages) -> Progress {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Progress { bars, stages, state: Mutex::new(HashMap::new()) }
    }

    /// A line above the bars, or just a line.
    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => note(text),
        }
    }

    fn started(&self, segment: &Segment, index: usize, from: u64) {
        let owner = segment.owner.to_string();
        let bar = self.bars.as_ref().map(|bars| bar(bars, &owner, from, segment.to()));
        if bar.is_none() {
            note(&format!("{owner}: training {} to {}", grouped(from), grouped(segment.to())));
        }
        let now = Instant::now();
        let shown = Shown { bar, from, began: now, said: now, terms: String::new() };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).insert(index, shown);
    }

    fn step(&self, segment: &Segment, index: usize, step: u64, measured: Option<&Measured>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shown) = state.get_mut(&index) else { return };
        if let Some(measured) = measured {
            shown.terms = terms(measured.terms.iter().map(|(loss, value)| (loss.name(), *value)));
        }
        if let Some(bar) = &shown.bar {
            bar.set_position(step + 1);
        }
        let is_due = if shown.bar.is_some() { measured.is_some() } else { shown.said.elapsed() > LINE_EVERY };
        if !is_due {
            return;
        }
        let owner = segment.owner.to_string();
        let line = Line {
            owner: &owner,
            step: step + 1,
            to: segment.to(),
            steps_per_second: (step + 1 - shown.from) as f64 / shown.began.elapsed().as_secs_f64().max(1e-9),
            terms: &shown.terms,
            memory_bytes: memory(),
        };
        match &shown.bar {
            Some(bar) => bar.set_message(line.message(&self.stages)),
            None => note(&line.plain(&self.stages)),
        }
        shown.said = Instant::now();
    }

    fn ended(&self, index: usize) -> Option<(u64, Duration)> {
        let shown = self.state.lock().unwrap_or_else(PoisonError::into_inner).remove(&index)?;
        if let Some(bar) = shown.bar {
            bar.finish_and_clear();
        }
        Some((shown.from, shown.began.elapsed()))
    }
}

impl Events for Progress {
    fn on(&self, event: Event<'_>) {
        match event {
            Event::Started { segment, index, from } => self.started(segment, index, from),
            Event::Step { segment, index, step, measured } => self.step(segment, index, step, measured),
            Event::Finished { segment, index } => {
                let Some((from, took)) = self.ended(index) else { return };
                let rate = (segment.to() - from) as f64 / took.as_secs_f64().max(1e-9);
                let to = grouped(segment.to());
                self.say(&format!("{}: {} to {to} done in {}, {rate:.1} steps/s", segment.owner, grouped(from), brief(took)));
            }
            Event::Interrupted { segment, index, step } => {
                self.ended(index);
                self.say(&format!("{}: saved at step {}", segment.owner, grouped(step)));
            }
            Event::Failed { index, message, .. } => {
                self.ended(index);
                self.say(&format!("error: {message}"));
            }
            Event::Waiting { segment } => {
                self.say(&format!("{}: another process is training this", segment.owner));
            }
            Event::Warning(text) => self.say(&format!("warning: {text}")),
            Event::Saved { .. } | Event::Evaluated { .. } => {}
        }
    }
}

/// `4 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
