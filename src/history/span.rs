//! Histories: a root and the settings of every step since.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::{Fields, Id};
use super::root::Root;
use super::settings::{At, Settings};
use super::spans::Spans;

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
    root: Rooted,
    spans: Spans,
    end: u64,
}

/// A root that histories share, with the fields of every history that begins there.
#[derive(Clone)]
struct Rooted(Arc<(Root, OnceLock<Fields>)>);

impl History {
    /// A history from spans by first step. Spans that begin at or past `end` are dropped, equal neighbours joined.
    pub fn new(root: Root, spans: impl IntoIterator<Item = Span>, end: u64) -> History {
        History { format: FORMAT, root: Rooted::new(root), spans: Spans::default(), end }.followed_by(spans)
    }

    fn followed_by(mut self, spans: impl IntoIterator<Item = Span>) -> History {
        for span in spans.into_iter().filter(|span| span.from < self.end) {
            match self.spans.last() {
                Some(last) if last.settings == span.settings => {}
                _ => self.spans.push(span),
            }
        }
        self
    }

    pub fn root(&self) -> &Root {
        &self.root.0.0
    }

    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Number of updates since step 0: the step of the checkpoint this history names.
    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn start(&self) -> u64 {
        self.root().first_step()
    }

    /// The settings that govern the update from `step` to `step + 1`.
    pub fn settings(&self, step: u64) -> &Settings {
        &self.spans.get(self.in_force(step)).expect("a history with steps has spans").settings
    }

    /// The number of the span that governs the update from `step` to `step + 1`.
    pub fn in_force(&self, step: u64) -> usize {
        self.spans.begun_before(step.saturating_add(1)).saturating_sub(1)
    }

    /// The settings in force from a step on, in order.
    pub fn settings_from(&self, step: u64) -> impl Iterator<Item = &Settings> {
        self.spans.iter_from(self.in_force(step)).map(|span| &span.settings)
    }

    /// [`History::settings`] with every schedule evaluated.
    pub fn at(&self, step: u64) -> At {
        self.settings(step).at(step)
    }

    /// The same history at an earlier step.
    #[must_use]
    pub fn cut(&self, end: u64) -> History {
        let end = end.min(self.end);
        History { format: FORMAT, root: self.root.clone(), spans: self.spans.cut(self.spans.begun_before(end)), end }
    }

    /// This history up to `from`, then the given spans up to `end`.
    #[must_use]
    pub fn extend(&self, from: u64, spans: impl IntoIterator<Item = Span>, end: u64) -> History {
        let before = self.cut(from.min(end));
        History { end, ..before }.followed_by(spans)
    }

    /// The name of the checkpoint at the history's end.
    pub fn id(&self) -> Id {
        self.ids([self.end])[0]
    }

    /// The names of the checkpoints at several steps.
    pub fn ids(&self, steps: impl IntoIterator<Item = u64>) -> Vec<Id> {
        self.named(steps).collect()
    }

    /// The same, each made when it is asked for.
    pub fn named(&self, steps: impl IntoIterator<Item = u64>) -> impl Iterator<Item = Id> {
        let root = self.root.fields();
        let mut last: Option<(usize, Fields)> = None;
        let name = move |step: u64| {
            let count = self.spans.begun_before(step);
            let known = last.take().filter(|(known, _)| *known == count);
            let (_, fields) = last.insert(known.unwrap_or_else(|| (count, self.spans.fields(root, count))));
            fields.clone().whole("step", step).id()
        };
        steps.into_iter().map(name)
    }

    /// The last step up to which two histories are the same; `None` where not even their roots are.
    pub fn common_step(&self, other: &History) -> Option<u64> {
        (self.root == other.root).then(|| self.agrees_until(other))
    }

    /// The same for two histories with one root.
    pub fn agrees_until(&self, other: &History) -> u64 {
        let end = self.end.min(other.end);
        let equal = self.spans.common(&other.spans);
        let next = |history: &History| history.spans.get(equal).map_or(history.end, |span| span.from);
        // Where both go on with another span, the earlier of the two starts is where they part: until then the shared last
        // span governs both. Where they start together, they part there.
        next(self).min(next(other)).min(end)
    }

    /// Whether the settings change at a step, the first one included.
    pub fn is_edge(&self, step: u64) -> bool {
        self.spans.get(self.in_force(step)).is_some_and(|span| span.from == step)
    }

    /// Steps at which the settings change, from the one whose settings are in force at `step` on.
    pub fn edges_from(&self, step: u64) -> impl Iterator<Item = u64> + '_ {
        self.spans.iter_from(self.in_force(step)).map(|span| span.from)
    }

    /// Steps at which the settings change, the first one included.
    pub fn edges(&self) -> impl Iterator<Item = u64> + '_ {
        self.spans.iter().map(|span| span.from)
    }

    /// Whether a history read from a file is one this program could have built.
    pub fn is_canonical(&self) -> bool {
        let pairs = || self.spans.iter().zip(self.spans.iter_from(1));
        let ordered = pairs().all(|(a, b)| a.from < b.from && a.settings != b.settings);
        let starts = self.spans.first().is_none_or(|span| span.from == self.start());
        self.format == FORMAT && ordered && starts && self.spans.last().is_none_or(|span| span.from < self.end)
    }
}

impl Rooted {
    fn new(root: Root) -> Rooted {
        Rooted(Arc::new((root, OnceLock::new())))
    }

    fn fields(&self) -> &Fields {
        self.0.1.get_or_init(|| {
            let mut fields = Fields::of("history");
            fields.whole("format", FORMAT).part("root", &self.0.0.fields());
            fields
        })
    }
}

impl fmt::Debug for Rooted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(f)
    }
}

impl PartialEq for Rooted {
    fn eq(&self, other: &Rooted) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.0 == other.0.0
    }
}

impl Serialize for Rooted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rooted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rooted, D::Error> {
        Root::deserialize(deserializer).map(Rooted::new)
    }
}
