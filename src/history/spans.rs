//! A history's spans as a list whose beginning is shared: a fork takes over its parent's spans, and the digests already made
//! of them, without copying or hashing them again. A line of thousands of forks would else cost the square of its length.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::{Fields, Id};
use super::span::Span;

/// Spans in a block. Smaller ones share better, larger ones need fewer pointers.
const BLOCK: usize = 16;

/// Spans in order, as a list that only grows at its end.
#[derive(Clone, Default)]
pub struct Spans {
    /// Blocks of [`BLOCK`] spans each, shared with every list that begins alike. What comes before a block never changes. The
    /// list of blocks is shared too, with lists that have more of them.
    blocks: Arc<Vec<Arc<Block>>>,
    /// How many of the blocks are this list's.
    count: usize,
    /// The last few spans, fewer than [`BLOCK`].
    rest: Vec<Arc<Hashed>>,
}

struct Block {
    spans: Vec<Arc<Hashed>>,
    /// The fields of the history up to this block's end.
    after: OnceLock<Fields>,
}

/// A span, and the digest of its settings once it was asked for.
struct Hashed {
    span: Span,
    settings: OnceLock<Id>,
}

impl Spans {
    pub fn len(&self) -> usize {
        self.count * BLOCK + self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, index: usize) -> Option<&Span> {
        self.hashed(index).map(|hashed| &hashed.span)
    }

    /// What tells a span from others: its first step and the digest of its settings.
    pub fn name(&self, index: usize) -> Option<(u64, Id)> {
        self.hashed(index).map(|hashed| (hashed.span.from, *hashed.digest()))
    }

    pub fn first(&self) -> Option<&Span> {
        self.get(0)
    }

    pub fn last(&self) -> Option<&Span> {
        self.len().checked_sub(1).and_then(|index| self.get(index))
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Span> + ExactSizeIterator {
        self.iter_from(0)
    }

    /// The spans from a number on.
    pub fn iter_from(&self, index: usize) -> impl DoubleEndedIterator<Item = &Span> + ExactSizeIterator {
        (index.min(self.len())..self.len()).map(|index| self.get(index).expect("within the list"))
    }

    /// How many spans begin before a step.
    pub fn begun_before(&self, step: u64) -> usize {
        let begun = |hashed: &Arc<Hashed>| hashed.span.from < step;
        // Of the blocks whose first span has begun, all but the last have begun whole.
        let blocks = self.full().partition_point(|block| begun(&block.spans[0]));
        let last = blocks.saturating_sub(1);
        let within = self.full().get(last).map_or(0, |block| block.spans.partition_point(begun));
        match within == BLOCK || self.count == 0 {
            true => blocks * BLOCK + if blocks == self.count { self.rest.partition_point(begun) } else { 0 },
            false => last * BLOCK + within,
        }
    }

    /// The first spans, by their number.
    #[must_use]
    pub fn cut(&self, count: usize) -> Spans {
        let blocks = (count / BLOCK).min(self.count);
        let partial = self.full().get(blocks).map_or(&self.rest, |block| &block.spans);
        let rest = partial[..(count - blocks * BLOCK).min(partial.len())].to_vec();
        Spans { blocks: self.blocks.clone(), count: blocks, rest }
    }

    pub(super) fn push(&mut self, span: Span) {
        self.rest.push(Arc::new(Hashed { span, settings: OnceLock::new() }));
        if self.rest.len() == BLOCK {
            let block = Arc::new(Block { spans: std::mem::take(&mut self.rest), after: OnceLock::new() });
            match Arc::get_mut(&mut self.blocks) {
                Some(own) => {
                    own.truncate(self.count);
                    own.push(block);
                }
                None => self.blocks = Arc::new(self.full().iter().cloned().chain([block]).collect()),
            }
            self.count += 1;
        }
    }

    fn full(&self) -> &[Arc<Block>] {
        &self.blocks[..self.count]
    }

    /// How many spans at the beginning of two lists are equal.
    pub fn common(&self, other: &Spans) -> usize {
        // What is shared need not be looked at: before a shared block all is shared.
        let (mut shared, mut most) = (0, self.count.min(other.count));
        while shared < most {
            let middle = shared + (most - shared) / 2;
            match Arc::ptr_eq(&self.blocks[middle], &other.blocks[middle]) {
                true => shared = middle + 1,
                false => most = middle,
            }
        }
        let start = shared * BLOCK;
        let pairs = (start..self.len().min(other.len())).map_while(|index| self.hashed(index).zip(other.hashed(index)));
        start + pairs.take_while(|(a, b)| Arc::ptr_eq(a, b) || a.span == b.span).count()
    }

    /// The fields of a history whose first `count` spans these are; `root` are those before any span.
    pub(super) fn fields(&self, root: &Fields, count: usize) -> Fields {
        let whole = (count / BLOCK).min(self.count);
        let known = self.blocks[..whole].iter().rposition(|block| block.after.get().is_some());
        let mut fields = known.and_then(|block| self.blocks[block].after.get()).unwrap_or(root).clone();
        for block in &self.blocks[known.map_or(0, |block| block + 1)..whole] {
            block.spans.iter().for_each(|hashed| hashed.write(&mut fields));
            // Another thread may have been faster, with the same result.
            let _ = block.after.set(fields.clone());
        }
        (whole * BLOCK..count).filter_map(|index| self.hashed(index)).for_each(|hashed| hashed.write(&mut fields));
        fields
    }

    fn hashed(&self, index: usize) -> Option<&Arc<Hashed>> {
        match self.full().get(index / BLOCK) {
            Some(block) => block.spans.get(index % BLOCK),
            None => self.rest.get(index - self.count * BLOCK),
        }
    }
}

impl Hashed {
    fn digest(&self) -> &Id {
        self.settings.get_or_init(|| self.span.settings.fields().id())
    }

    fn write(&self, fields: &mut Fields) {
        fields.whole("from", self.span.from).part_of_id("settings", self.digest());
    }
}

impl PartialEq for Spans {
    fn eq(&self, other: &Spans) -> bool {
        self.len() == other.len() && self.common(other) == self.len()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl FromIterator<Span> for Spans {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Spans {
        let mut list = Spans::default();
        spans.into_iter().for_each(|span| list.push(span));
        list
    }
}

impl Serialize for Spans {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Spans {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Spans, D::Error> {
        Vec::<Span>::deserialize(deserializer).map(Spans::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, Settings};
    use crate::spec::{Optimizer, Precision, Supervision};
    use crate::task::difficulty::Difficulty;

    fn span(from: u64, seed: u64) -> Span {
        let settings = Settings {
            seed,
            losses: Default::default(),
            difficulty: Difficulty::clean((7, 10)),
            noise_version: 0,
            batch: 1,
            micro_batch: 1,
            optimizer: Optimizer::AdamW { weight_decay: 0.0, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 },
            optimizer_version: 1,
            rate: crate::history::Piece::Constant(1e-3),
            clip: None,
            label_smoothing: 0.0,
            ema: None,
            dropout: 0.0,
            supervision: Supervision::Linear,
            precision: Precision::F32,
        };
        Span { from, settings }
    }

    /// Spans at 0, 10, 20, ..
    fn list(count: u64) -> Spans {
        (0..count).map(|n| span(n * 10, n)).collect()
    }

    #[test]
    fn lists_of_every_length_are_found_and_cut_alike() {
        for count in 0..70 {
            let spans = list(count);
            assert_eq!(spans.iter().map(|span| span.from / 10).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
            for step in 0..count * 10 + 5 {
                assert_eq!(spans.begun_before(step) as u64, step.div_ceil(10).min(count), "{step} of {count}");
            }
            for part in 0..=count {
                let cut = spans.cut(part as usize);
                assert_eq!(cut, list(part));
                assert_eq!(cut.common(&spans), part as usize);
                assert_eq!(spans.common(&cut), part as usize);
            }
        }
    }

    #[test]
    fn a_shared_beginning_gives_the_names_of_a_fresh_one() {
        let root = || -> crate::history::Root { serde_json::from_str(ROOT).unwrap() };
        let whole = History::new(root(), list(100).iter().cloned(), 1_000);
        let names: Vec<_> = (0..=100).map(|n| whole.cut(n * 10).id()).collect();
        for n in [0_u64, 1, 15, 16, 17, 31, 32, 33, 64, 99, 100] {
            let fresh = History::new(root(), list(n).iter().cloned(), n * 10);
            assert_eq!(fresh.id(), names[n as usize], "{n}");
            // A fork that goes its own way, from a beginning whose blocks are hashed already.
            let fork = whole.extend(n * 10, [span(n * 10, 7_777)], 2_000);
            let own = History::new(root(), list(n).iter().cloned().chain([span(n * 10, 7_777)]), 2_000);
            assert_eq!((fork.id(), &fork), (own.id(), &own));
            assert_eq!(fork.common_step(&whole), Some(n * 10));
        }
        assert_eq!(whole.ids([990, 10, 10, 500]), [names[99], names[1], names[1], names[50]], "in any order");
    }

    const ROOT: &str = r#"{
        "origin": "Initial", "seed": 1, "model_version": 1,
        "model": {"Recursive": {"hidden": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "supervision_steps": 1,
            "latent_steps": 1, "peaks": 20, "length": 20}},
        "data": {"Synthetic": {"synthetic": {"length": {"start": 7, "end": 10}}, "version": 1}}
    }"#;
}
