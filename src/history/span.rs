//! Histories: a root and the settings of every step since.

use serde::{Deserialize, Serialize};

use super::hash::{Fields, Id};
use super::root::Root;
use super::settings::{At, Settings};

/// Version of the form in which histories are written and hashed.
const FORMAT: u32 = 1;

/// Settings from an absolute step until the next span begins, or the history ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub from: u64,
    pub settings: Settings,
}

/// The settings of every step from the root's first to `end`. Only built canonical: spans in order, each with a step of
/// its own, neighbours different.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    format: u32,
    root: Root,
    spans: Vec<Span>,
    end: u64,
}

impl History {
    /// A history from spans by first step. Spans that begin at or past `end` are dropped, equal neighbours joined.
    pub fn new(root: Root, spans: impl IntoIterator<Item = Span>, end: u64) -> History {
        let mut kept: Vec<Span> = Vec::new();
        for span in spans.into_iter().filter(|span| span.from < end) {
            match kept.last() {
                Some(last) if last.settings == span.settings => {}
                _ => kept.push(span),
            }
        }
        History { format: FORMAT, root, spans: kept, end }
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Number of updates since step 0: the step of the checkpoint this history names.
    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn start(&self) -> u64 {
        self.root.first_step()
    }

    /// The settings that govern the update from `step` to `step + 1`.
    pub fn settings(&self, step: u64) -> &Settings {
        let index = self.spans.partition_point(|span| span.from <= step);
        &self.spans[index.saturating_sub(1)].settings
    }

    /// The settings in force from a step on, in order.
    pub fn settings_from(&self, step: u64) -> impl Iterator<Item = &Settings> {
        let first = self.spans.partition_point(|span| span.from <= step).saturating_sub(1);
        self.spans.iter().skip(first).map(|span| &span.settings)
    }

    /// [`History::settings`] with every schedule evaluated.
    pub fn at(&self, step: u64) -> At {
        self.settings(step).at(step)
    }

    /// The same history at an earlier step.
    #[must_use]
    pub fn cut(&self, end: u64) -> History {
        History::new(self.root.clone(), self.spans.iter().cloned(), end.min(self.end))
    }

    /// This history up to `from`, then the given spans up to `end`.
    #[must_use]
    pub fn extend(&self, from: u64, spans: impl IntoIterator<Item = Span>, end: u64) -> History {
        History::new(self.root.clone(), self.cut(from).spans.into_iter().chain(spans), end)
    }

    /// The name of the checkpoint at the history's end.
    pub fn id(&self) -> Id {
        self.ids([self.end])[0]
    }

    /// The names of the checkpoints at several steps in rising order, hashed in one pass.
    pub fn ids(&self, steps: impl IntoIterator<Item = u64>) -> Vec<Id> {
        let mut fields = Fields::of("history");
        fields.whole("format", self.format).part("root", &self.root.fields());
        let mut spans = self.spans.iter().peekable();
        let name = |step: u64| {
            while let Some(span) = spans.next_if(|span| span.from < step) {
                fields.whole("from", span.from).part("settings", &span.settings.fields());
            }
            fields.clone().whole("step", step).id()
        };
        steps.into_iter().map(name).collect()
    }

    /// The last step up to which two histories are the same; `None` where not even their roots are.
    pub fn common_step(&self, other: &History) -> Option<u64> {
        if self.root != other.root {
            return None;
        }
        let end = self.end.min(other.end);
        let pairs = self.spans.iter().zip(&other.spans);
        let equal = pairs.take_while(|(a, b)| a == b).count();
        let next = |history: &History| history.spans.get(equal).map_or(history.end, |span| span.from);
        // Where both go on with another span, the earlier of the two starts is where they part: until then the shared last
        // span governs both. Where they start together, they part there.
        Some(next(self).min(next(other)).min(end))
    }

    /// Steps at which the settings change, the first one included.
    pub fn edges(&self) -> impl Iterator<Item = u64> + '_ {
        self.spans.iter().map(|span| span.from)
    }

    /// Whether a history read from a file is one this program could have built.
    pub fn is_canonical(&self) -> bool {
        let ordered = self.spans.windows(2).all(|pair| pair[0].from < pair[1].from && pair[0].settings != pair[1].settings);
        let starts = self.spans.first().is_none_or(|span| span.from == self.start());
        self.format == FORMAT && ordered && starts && self.spans.iter().all(|span| span.from < self.end)
    }
}
