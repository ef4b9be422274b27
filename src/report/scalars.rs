//! A leaf's curve for TensorBoard: metrics and evaluations in the order of their steps, as the bytes of an event file.
//!
//! What is written of a step depends only on what was recorded up to it. So while training goes on, the bytes of before are
//! the beginning of the bytes of now, and a file is kept up to date by adding to it.

use std::collections::{BTreeMap, BTreeSet};

use super::events::{Event, What, write_event};
use crate::record::{Evaluation, MetricsRow};
use crate::task::metrics::NAMES;

/// What was logged between two checkpoints, or since the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logged {
    pub rows: Vec<MetricsRow>,
    /// In the order of their steps.
    pub beats: Vec<Beat>,
}

/// A step whose time is known: that many updates had been made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat {
    pub step: u64,
    /// Seconds since 1970.
    pub time: f64,
    /// Seconds an update took before it.
    pub pace: f64,
}

/// The bytes of an event file, and what they hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tape {
    pub bytes: Vec<u8>,
    pub rows: usize,
    pub evaluations: usize,
    /// The last step of which something is written.
    pub last_step: Option<u64>,
}

/// Puts a lineage on tape. `reached` is the step of its last checkpoint; `is_settled` says that nobody works on it now. While
/// somebody does, an evaluation waits until training has gone past it or all its sets are there.
pub fn tape(pieces: &[Logged], reached: u64, evaluations: &[&Evaluation], is_settled: bool) -> Tape {
    let logged = pieces.iter().flat_map(|piece| piece.rows.last()).map(|row| row.step).max().unwrap_or(0);
    let passed = logged.max(reached.saturating_sub(1));
    let known = if is_settled { logged.max(reached) } else { passed };
    let mut waiting = ready(scores(evaluations), known, logged.max(reached)).into_iter().peekable();
    let mut clock = Clock::new(pieces);
    let mut tape = Tape::default();
    let mut next = 0;
    for piece in pieces {
        clock.enter(piece);
        for row in &piece.rows {
            // Two processes may train the same steps: the second says nothing new.
            if row.step < next {
                continue;
            }
            while let Some(scored) = waiting.next_if(|scored| scored.step <= row.step) {
                tape.evaluation(clock.now(), scored);
            }
            next = row.step + 1;
            tape.rows += 1;
            tape.write(clock.after(row.step), row.step, row_values(row));
        }
    }
    for scored in waiting {
        tape.evaluation(clock.now(), scored);
    }
    tape
}

/// The evaluations up to a step, and those behind it that have every set of the one before them.
fn ready(scores: Vec<Scored<'_>>, known: u64, last: u64) -> Vec<Scored<'_>> {
    let mut ready: Vec<Scored<'_>> = Vec::new();
    for scored in scores.into_iter().filter(|scored| scored.step <= last) {
        let is_whole = ready.last().is_some_and(|before| before.sets.is_subset(&scored.sets));
        if scored.step > known && !is_whole {
            break;
        }
        ready.push(scored);
    }
    ready
}

impl Tape {
    fn evaluation(&mut self, time: f64, scored: Scored<'_>) {
        self.evaluations += 1;
        self.write(time, scored.step, scored.values);
    }

    fn write(&mut self, wall_time: f64, step: u64, values: Vec<(String, f32)>) {
        if self.bytes.is_empty() {
            write_event(&mut self.bytes, &Event { wall_time, step: 0, what: What::Version });
        }
        write_event(&mut self.bytes, &Event { wall_time, step, what: What::Scalars(values) });
        self.last_step = Some(step);
    }
}

/// The values of a row by their tags.
fn row_values(row: &MetricsRow) -> Vec<(String, f32)> {
    let terms = row.terms.iter().map(|(loss, value)| (format!("loss/{loss}"), *value));
    let weights = row.weights.iter().map(|(loss, weight)| (format!("weight/{loss}"), *weight));
    let others = [
        ("loss/total", row.total),
        ("rate", row.rate),
        ("gradient_norm", row.gradient_norm),
        ("length/longest", f64::from(row.length.1)),
    ];
    let others = others.into_iter().map(|(tag, value)| (tag.to_owned(), value));
    terms.chain(weights).chain(others).map(|(tag, value)| (tag, value as f32)).collect()
}

/// The scores of an evaluated step.
#[derive(Debug)]
struct Scored<'a> {
    step: u64,
    /// Names and digests of the sets.
    sets: BTreeSet<(&'a str, &'a str)>,
    values: Vec<(String, f32)>,
}

/// The scores of each evaluated step by their tags. One name may have stood for two sets: then both carry their digest.
fn scores<'a>(evaluations: &[&'a Evaluation]) -> Vec<Scored<'a>> {
    let mut digests: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut kept: BTreeMap<(u64, &'a str, &'a str), &'a Evaluation> = BTreeMap::new();
    for &found in evaluations {
        let (set, digest) = (found.set.as_str(), found.set_digest.as_str());
        digests.entry(set).or_default().insert(digest);
        kept.entry((found.step, set, digest)).or_insert(found);
    }
    let mut scores: Vec<Scored<'a>> = Vec::new();
    for ((step, set, digest), found) in kept {
        let name = match digests[set].len() {
            1 => set.to_owned(),
            _ => format!("{set}-{}", digest.get(..8).unwrap_or(digest)),
        };
        if scores.last().is_none_or(|last| last.step != step) {
            scores.push(Scored { step, sets: BTreeSet::new(), values: vec![] });
        }
        if let Some(scored) = scores.last_mut() {
            scored.sets.insert((set, digest));
            scored.values.extend(figures(found).map(|(figure, value)| (format!("eval/{name}/{figure}"), value as f32)));
        }
    }
    scores
}

fn figures(found: &Evaluation) -> impl Iterator<Item = (&'static str, f64)> {
    let all = &found.scores.summary.all;
    let named = NAMES.into_iter().filter_map(move |name| Some((name, all.named(name)?)));
    let entropy = ("cross_entropy", found.scores.cross_entropy);
    named.chain([entropy]).chain(all.mass_error_ppm.map(|error| ("mass_error_ppm", error)))
}

/// The time of each step, from the beats of the segments. Never goes back.
///
/// Within a segment the time between two beats passes evenly, and before the first and behind the last at their pace. A
/// segment without beats goes on at the pace of the one before it. Where no beat is known at all, a step takes a second.
struct Clock<'a> {
    beats: &'a [Beat],
    /// The first beat of the lineage, for segments before it.
    first: Option<Beat>,
    /// Updates made and the time, when it was last asked.
    last: Option<(u64, f64)>,
    /// Pace of the last segment that had beats.
    pace: Option<f64>,
}

impl<'a> Clock<'a> {
    fn new(pieces: &'a [Logged]) -> Clock<'a> {
        let first = pieces.iter().find_map(|piece| piece.beats.first()).copied();
        Clock { beats: &[], first, last: None, pace: None }
    }

    fn enter(&mut self, piece: &'a Logged) {
        self.pace = self.beats.last().map(|beat| beat.pace).or(self.pace);
        self.beats = &piece.beats;
    }

    fn now(&self) -> f64 {
        self.last.map_or(0.0, |(_, time)| time)
    }

    /// The time at which the update from a step to the next was done.
    fn after(&mut self, step: u64) -> f64 {
        let done = step + 1;
        let time = if self.beats.is_empty() { self.without_beats(done) } else { between(self.beats, done) };
        let time = self.last.map_or(time, |(_, before)| before.max(time));
        self.last = Some((done, time));
        time
    }

    fn without_beats(&self, done: u64) -> f64 {
        match (self.pace, self.last, self.first) {
            (Some(pace), Some((before, time)), _) => time + (done - before) as f64 * pace,
            (_, _, Some(first)) => first.time - (first.step as f64 - done as f64) * first.pace,
            _ => (done - 1) as f64,
        }
    }
}

fn between(beats: &[Beat], done: u64) -> f64 {
    let place = beats.partition_point(|beat| beat.step < done);
    match (place.checked_sub(1).and_then(|before| beats.get(before)), beats.get(place)) {
        (Some(a), Some(b)) => a.time + (b.time - a.time) * ((done - a.step) as f64 / (b.step - a.step) as f64),
        (None, Some(b)) => b.time - (b.step - done) as f64 * b.pace,
        (Some(a), None) => a.time + (done - a.step) as f64 * a.pace,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::loss::Loss;

    fn row(step: u64) -> MetricsRow {
        MetricsRow {
            step,
            weights: BTreeMap::from([(Loss::CrossEntropy, 1.0)]),
            terms: BTreeMap::from([(Loss::CrossEntropy, 0.5)]),
            total: 0.5,
            gradient_norm: 1.0,
            rate: 1e-3,
            batch: 4,
            length: (7, 10),
        }
    }

    fn logged(steps: std::ops::Range<u64>, beats: &[(u64, f64)]) -> Logged {
        let beats = beats.iter().map(|&(step, time)| Beat { step, time, pace: 2.0 }).collect();
        Logged { rows: steps.map(row).collect(), beats }
    }

    fn times(pieces: &[Logged]) -> Vec<f64> {
        let mut clock = Clock::new(pieces);
        let mut times = Vec::new();
        for piece in pieces {
            clock.enter(piece);
            times.extend(piece.rows.iter().map(|row| clock.after(row.step)));
        }
        times
    }

    #[test]
    fn time_passes_evenly_between_beats() {
        assert_eq!(times(&[logged(0..4, &[])]), [0.0, 1.0, 2.0, 3.0], "no clock at all");
        let one = logged(0..6, &[(2, 100.0), (4, 108.0)]);
        assert_eq!(times(std::slice::from_ref(&one)), [98.0, 100.0, 104.0, 108.0, 110.0, 112.0]);
        // Without beats of its own a segment goes on at the pace of the one before, or comes before the first beat there is.
        assert_eq!(times(&[one.clone(), logged(6..8, &[])])[6..], [114.0, 116.0]);
        assert_eq!(times(&[logged(0..2, &[]), logged(2..4, &[(4, 50.0)])]), [44.0, 46.0, 48.0, 50.0]);
        // A clock that was set back does not take the curve with it.
        assert_eq!(times(&[one, logged(6..7, &[(7, 3.0)])])[6..], [112.0]);
    }

    #[test]
    fn what_was_written_stays_as_more_comes_in() {
        let whole = [logged(0..4, &[(4, 100.0)]), logged(4..9, &[(6, 104.0), (9, 113.0)])];
        let before = [whole[0].clone(), logged(4..6, &[(6, 104.0)])];
        let (now, then) = (tape(&whole, 9, &[], true), tape(&before, 4, &[], false));
        assert!(now.bytes.starts_with(&then.bytes) && now.bytes.len() > then.bytes.len());
        assert_eq!((then.rows, then.last_step, now.rows, now.last_step), (6, Some(5), 9, Some(8)));
        // The same steps once more, as a second process may train them.
        let twice = [whole[0].clone(), whole[1].clone(), logged(5..9, &[])];
        assert_eq!(tape(&twice, 9, &[], true), now);
        assert_eq!(tape(&[], 0, &[], true), Tape::default());
    }

    fn evaluation(step: u64, set: &str) -> Evaluation {
        let summary = crate::task::metrics::Counts::default().summary();
        Evaluation {
            format: crate::record::FORMAT,
            id: crate::history::Id::try_from("0".repeat(64)).unwrap(),
            step,
            weights: crate::record::Weights::Raw,
            tensors: String::new(),
            set: set.into(),
            set_digest: format!("digest of {set}"),
            evaluator: 1,
            scores: crate::record::Scores { cross_entropy: 1.0, summary, outcomes: crate::record::Outcomes::default() },
        }
    }

    #[test]
    fn half_an_evaluation_waits_while_somebody_works_on_it() {
        let pieces = [logged(0..4, &[]), logged(4..8, &[])];
        let all = [(4, "easy"), (4, "hard"), (8, "easy"), (8, "hard")].map(|(step, set)| evaluation(step, set));
        let written = |count: usize, is_settled: bool| {
            let evaluations: Vec<&Evaluation> = all[..count].iter().collect();
            tape(&pieces, 8, &evaluations, is_settled)
        };
        let steps = |count: usize, is_settled: bool| written(count, is_settled).evaluations;
        assert_eq!([1, 2, 3, 4].map(|count| steps(count, false)), [1, 1, 1, 2]);
        assert_eq!([1, 2, 3, 4].map(|count| steps(count, true)), [1, 1, 2, 2]);
        assert!(written(4, false).bytes.starts_with(&written(3, false).bytes));
        // An evaluation past all that was logged and saved waits in any case.
        assert_eq!(tape(&pieces[..1], 4, &[&all[0], &all[2]], true).evaluations, 1);
    }
}
