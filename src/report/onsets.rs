//! Which branches differ from each other in nothing but the step at which one loss begins, and where it begins in each.
//!
//! Branches are told apart by their histories. What was written is needed where a loss begins before the fork: it is on from
//! the fork's first step then, and of its own series of weights only the later part is trained.

use std::collections::BTreeSet;

use serde::Serialize;

use super::leaves::LeafRecords;
use super::numbers::grouped;
use super::prose::listed;
use crate::history::{History, Piece, Settings};
use crate::task::loss::Loss;

/// Where a loss begins: a place on the response curve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Onset {
    /// First of the branches' own steps at which the loss is on; none where it is not within the run.
    pub to: Option<u64>,
    /// One, or several that are the same training.
    pub branches: Vec<Begun>,
}

/// A branch whose loss begins there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Begun {
    pub branch: String,
    /// Step at which its curriculum begins the loss, where that is before the fork and the parent was trained without it: the
    /// fork clamps it.
    pub written: Option<u64>,
}

/// The weights of a loss from the step at which it begins on, by steps since then.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    begin: u64,
    /// Steps that the run goes on after the beginning.
    length: u64,
    pieces: Vec<(u64, Option<Shifted>)>,
}

/// A piece whose own steps count from the beginning of its series.
#[derive(Clone, Debug, PartialEq)]
enum Shifted {
    Constant(f64),
    Moving { from: f64, to: f64, start: i128, steps: u64 },
}

/// One training as far as a loss is concerned, with all branches that are it.
struct Training<'a> {
    history: &'a History,
    onset: Onset,
    /// As each branch has it written; none where the loss is not on within the run.
    series: Vec<Option<Series>>,
}

/// The largest group of trainings that differ in the beginning of this loss alone, by where it begins; those where it never
/// does come last.
pub(super) fn onsets(firsts: &[&LeafRecords<'_>], loss: Loss) -> Vec<Onset> {
    let mut written: Vec<(&LeafRecords<'_>, Option<Series>)> =
        firsts.iter().map(|leaf| (*leaf, Series::of(leaf, loss))).collect();
    written.sort_by_key(|(_, series)| series.as_ref().map(|series| series.begin));
    let mut trainings: Vec<Training<'_>> = Vec::new();
    for (leaf, series) in written {
        let begin = series.as_ref().map(|series| series.begin);
        let begun =
            Begun { branch: leaf.key.branch.to_string(), written: begin.filter(|begin| is_clamped(leaf, loss, *begin)) };
        match trainings.iter_mut().find(|training| training.history == leaf.history) {
            Some(training) => {
                training.onset.branches.push(begun);
                training.series.push(series);
            }
            None => {
                let onset = Onset { to: on_from(leaf, loss), branches: vec![begun] };
                trainings.push(Training { history: leaf.history, onset, series: vec![series] });
            }
        }
    }
    trainings.sort_by_key(|training| training.onset.to.unwrap_or(u64::MAX));
    largest_group(&trainings, loss).into_iter().map(|index| trainings[index].onset.clone()).collect()
}

/// Every two of a group fit. A training that has found a group begins none of its own: a sweep is found with its first.
fn largest_group(trainings: &[Training<'_>], loss: Loss) -> Vec<usize> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for base in (0..trainings.len()).filter(|base| trainings[*base].onset.to.is_some()) {
        if groups.iter().any(|group| group.contains(&base)) {
            continue;
        }
        let mut group = vec![base];
        for other in (0..trainings.len()).filter(|other| *other != base) {
            if group.iter().all(|known| trainings[*known].fits(&trainings[other], loss)) {
                group.push(other);
            }
        }
        groups.push(group);
    }
    let branches = |group: &Vec<usize>| group.iter().map(|index| trainings[*index].series.len()).sum::<usize>();
    let mut largest = groups.into_iter().max_by_key(branches).unwrap_or_default();
    largest.sort_unstable();
    largest
}

/// First of a branch's own steps at which a loss is on.
fn on_from(leaf: &LeafRecords<'_>, loss: Loss) -> Option<u64> {
    let own_edges = leaf.history.edges().filter(|edge| *edge > leaf.own_from);
    [leaf.own_from].into_iter().chain(own_edges).find(|step| leaf.history.settings(*step).losses.contains_key(&loss))
}

/// Whether a loss that was to begin before the branch's own first step was still off just before that.
fn is_clamped(leaf: &LeafRecords<'_>, loss: Loss, begin: u64) -> bool {
    let (history, own) = (leaf.history, leaf.own_from);
    begin < own && (own == history.start() || !history.settings(own - 1).losses.contains_key(&loss))
}

impl Onset {
    pub fn holds(&self, branch: &str) -> bool {
        self.branches.iter().any(|begun| begun.branch == branch)
    }

    /// `early, sooner`; of more than six, how many.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.branches.iter().map(|begun| begun.branch.as_str()).collect();
        listed(&names, "branches")
    }

    /// `600`, `600, clamped`, `never`.
    pub fn step(&self) -> String {
        let step = self.to.map_or("never".to_owned(), grouped);
        if self.written().is_some() { step + ", clamped" } else { step }
    }

    /// Where the clamped of its branches were to begin: `written 200`, `written 0 to 400`.
    pub fn written(&self) -> Option<String> {
        let written = || self.branches.iter().filter_map(|begun| begun.written);
        let (first, last) = (written().min()?, written().max()?);
        let to = if last > first { format!(" to {}", grouped(last)) } else { String::new() };
        Some(format!("written {}{to}", grouped(first)))
    }
}

impl Training<'_> {
    fn fits(&self, other: &Training<'_>, loss: Loss) -> bool {
        let is_moved = |a: &Option<Series>, b: &Option<Series>| match (a, b) {
            (Some(a), Some(b)) => a.is_moved(b),
            _ => true,
        };
        let any_moved = self.series.iter().any(|a| other.series.iter().any(|b| is_moved(a, b)));
        any_moved && differ_in_loss_alone(self.history, other.history, loss)
    }
}

/// Whether two histories are the same but for one loss.
fn differ_in_loss_alone(a: &History, b: &History, loss: Loss) -> bool {
    let without = |settings: &Settings| {
        let mut settings = settings.clone();
        settings.losses.remove(&loss);
        settings
    };
    let end = a.end().min(b.end());
    let edges: BTreeSet<u64> = a.edges().chain(b.edges()).filter(|edge| *edge < end).collect();
    a.root() == b.root() && edges.into_iter().all(|edge| without(a.settings(edge)) == without(b.settings(edge)))
}

impl Series {
    /// As the branch's curriculum has it, from before the fork on; nothing where the loss is not on within the run.
    fn of(leaf: &LeafRecords<'_>, loss: Loss) -> Option<Series> {
        on_from(leaf, loss)?;
        let mut weights = leaf.written_weights.get(&loss)?.clone();
        weights.dedup_by_key(|(_, piece)| *piece);
        let first = weights.iter().position(|(_, piece)| piece.is_some())?;
        let begin = weights[first].0;
        let shifted = |(from, piece): &(u64, Option<Piece>)| (from - begin, piece.map(|piece| Shifted::new(piece, begin)));
        let pieces = weights[first..].iter().map(shifted).collect();
        Some(Series { begin, length: leaf.history.end().saturating_sub(begin), pieces })
    }

    /// Whether the other is this one begun at another step, as far as both go.
    fn is_moved(&self, other: &Series) -> bool {
        let common = self.length.min(other.length);
        let within = |series: &Series| -> Vec<(u64, Option<Shifted>)> {
            series.pieces.iter().filter(|(from, _)| *from < common).cloned().collect()
        };
        within(self) == within(other)
    }
}

impl Shifted {
    fn new(piece: Piece, begin: u64) -> Shifted {
        let since = |step: u64| i128::from(step) - i128::from(begin);
        match piece {
            Piece::Constant(value) => Shifted::Constant(value),
            Piece::Linear { from, to, start, steps } => Shifted::Moving { from, to, start: since(start), steps },
            Piece::Cosine { peak, floor, start, end } => {
                Shifted::Moving { from: peak, to: floor, start: since(start), steps: end - start }
            }
        }
    }
}
