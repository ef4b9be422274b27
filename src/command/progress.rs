//! What `run` shows while it works: a bar for each segment on a terminal, plain lines elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::context::grouped;
use super::note;
use crate::execute::{Event, Events};
use crate::plan::Segment;
use crate::record::Measured;

/// Time between two plain lines of a segment.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Progress {
    bars: Option<MultiProgress>,
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
    pub fn new() -> Progress {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Progress { bars, state: Mutex::new(HashMap::new()) }
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
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{prefix:<32} {bar:24} {pos}/{len} {msg}").expect("a fixed template");
            let bar = bars.add(ProgressBar::new(segment.to()).with_style(style).with_position(from));
            bar.set_prefix(segment.owner.to_string());
            bar
        });
        if bar.is_none() {
            note(&format!("{}: training {} to {}", segment.owner, grouped(from), grouped(segment.to())));
        }
        let now = Instant::now();
        let shown = Shown { bar, from, began: now, said: now, terms: String::new() };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).insert(index, shown);
    }

    fn step(&self, segment: &Segment, index: usize, step: u64, measured: Option<&Measured>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shown) = state.get_mut(&index) else { return };
        if let Some(measured) = measured {
            let names = BTreeMap::from_iter(measured.terms.iter().map(|(loss, value)| (loss.name(), value)));
            shown.terms = names.into_iter().map(|(name, value)| format!("{name} {value:.3}")).collect::<Vec<_>>().join("  ");
        }
        let done = step + 1 - shown.from;
        let rate = done as f64 / shown.began.elapsed().as_secs_f64().max(1e-9);
        let left = Duration::from_secs_f64((segment.to() - step - 1) as f64 / rate.max(1e-9));
        let message = || format!("{rate:.1} steps/s  {} left  {}", brief(left), shown.terms);
        match &shown.bar {
            Some(bar) => {
                bar.set_position(step + 1);
                if measured.is_some() {
                    bar.set_message(message());
                }
            }
            None if shown.said.elapsed() > LINE_EVERY => {
                let line = format!("{}: step {} of {}  {}", segment.owner, grouped(step + 1), grouped(segment.to()), message());
                shown.said = Instant::now();
                note(&line);
            }
            None => {}
        }
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
                self.say(&format!("{}: another process is training this; waiting for it", segment.owner));
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
