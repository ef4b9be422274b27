//! A figure: one quantity over the whole lineage, as strands between the points where histories part.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Scale;
use super::downsample::thin;
use super::lineage::{Lineage, Node, Passage};
use super::mean::{Full, Mean, bin_width};

/// What a figure shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heading {
    /// Names the figure among all: `term CrossEntropy`, `hard/peptide_precision`.
    pub key: String,
    /// Figures that stand together, `Validation`, `Training loss`, `Schedules`.
    pub group: String,
    /// `peptide precision, hard`.
    pub title: String,
    /// `nats a token`; may be empty.
    pub unit: String,
    pub scale: Scale,
    /// Whether the axis is logarithmic at first.
    pub log: bool,
    pub shape: Shape,
    /// Shown at first; the others can be switched on.
    pub shown: bool,
}

/// How a curve is measured, and so how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// By updates, noisy: the row of a step governs the update from it to the next. Drawn as means over seeds and bins.
    Line,
    /// By updates, exact: weights, rates. Drawn as they are.
    Steps,
    /// By checkpoints: what holds a number of updates is evaluated. Drawn with a dot for each evaluation.
    Points,
}

/// A leaf's curve over its whole lineage, as it was logged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    steps: Vec<u64>,
    values: Vec<Option<f64>>,
}

/// How much of long curves is kept, so that the page stays small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// About so many points of a leaf's curve.
    pub points: usize,
    /// About so many bins for means.
    pub bins: u64,
}

/// One quantity over the whole lineage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub heading: Heading,
    /// Steps in a bin of the means.
    pub bin: u64,
    /// Points of the longest curve, where not all of them are kept.
    pub thinned: Option<u64>,
    pub strands: Vec<Strand>,
}

/// A stretch of the lineage that a set of branches passes together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strand {
    pub branches: Vec<usize>,
    pub from: u64,
    pub to: u64,
    /// The strand above.
    pub parent: Option<usize>,
    /// One for each history that is its own: one for each seed, or one where all share it.
    pub series: Vec<Series>,
    /// Over the series; not of schedules, nor of a single series of points.
    pub mean: Option<Mean>,
}

/// A stretch of curve as it was logged, thinned so that extremes and gaps stay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    pub leaves: Vec<usize>,
    pub steps: Vec<u64>,
    /// NaN where there is none.
    pub values: Vec<f64>,
    /// Where runs of values that are not finite begin, the first few.
    pub holes: Vec<u64>,
    /// Points before thinning.
    pub logged: u64,
}

/// Points of all curves together; about ten bytes each in the page.
const MOST_POINTS: usize = 150_000;
/// Numbers of all means together.
const MOST_IN_MEANS: usize = 100_000;
/// Crosses for values that are not finite, in one series.
const MOST_HOLES: usize = 20;
/// A strand keeps so many points however short it is.
const FEWEST_POINTS: usize = 64;

impl Points {
    /// Adds what was logged at a step; steps rise. None where the quantity was not measured, as a loss that is off: the
    /// curve has a gap there. A measured value that is not finite is a gap with a mark.
    pub fn push(&mut self, step: u64, value: Option<f64>) {
        self.steps.push(step);
        self.values.push(value);
    }

    fn between(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        let place = |limit: u64| self.steps.partition_point(|step| *step < limit);
        place(from)..place(to).max(place(from))
    }
}

impl FromIterator<(u64, Option<f64>)> for Points {
    fn from_iter<I: IntoIterator<Item = (u64, Option<f64>)>>(pairs: I) -> Points {
        let (steps, values) = pairs.into_iter().unzip();
        Points { steps, values }
    }
}

impl Detail {
    /// For a page with so many figures.
    pub fn of(lineage: &Lineage, figures: usize) -> Detail {
        let curves = (lineage.leaves.len() * figures).max(1);
        let means = (lineage.branches.len() * figures * 5).max(1);
        Detail { points: (MOST_POINTS / curves).clamp(150, 2_000), bins: (MOST_IN_MEANS / means).clamp(60, 180) as u64 }
    }
}

impl Figure {
    /// Cuts the leaves' curves (in the order of `lineage.leaves`; a leaf without one has none) at the points where
    /// histories part, so that what is shared is there once. `factor` gives, for a number of seeds, the factor on the
    /// standard error of their mean that makes the interval: a quantile of Student's t.
    pub fn new(
        heading: Heading,
        lineage: &Lineage,
        curves: &[Points],
        detail: Detail,
        factor: &dyn Fn(usize) -> f64,
    ) -> Figure {
        let (from, to) = lineage.span();
        let bin = match heading.shape {
            Shape::Points => 1,
            Shape::Line | Shape::Steps => bin_width(to - from, detail.bins),
        };
        let making = Making { lineage, curves, shape: heading.shape, points: detail.points, bin, factor };
        let strands: Vec<Strand> = lineage.passages().into_iter().map(|passage| making.strand(passage)).collect();
        let thinned = (0..lineage.leaves.len()).filter_map(|leaf| thinned(leaf, &strands)).max();
        Figure { heading, bin, thinned, strands }
    }

    /// Whether no strand goes on from this one.
    pub(super) fn ends(&self, strand: usize) -> bool {
        self.strands.iter().all(|other| other.parent != Some(strand))
    }
}

/// Points of a leaf's curve, if not all of them were kept.
fn thinned(leaf: usize, strands: &[Strand]) -> Option<u64> {
    let own = || strands.iter().flat_map(|strand| &strand.series).filter(move |series| series.leaves.contains(&leaf));
    let logged: u64 = own().map(|series| series.logged).sum();
    let kept: usize = own().map(|series| series.steps.len()).sum();
    (logged > kept as u64).then_some(logged)
}

/// What a figure's strands are made of.
struct Making<'a> {
    lineage: &'a Lineage,
    curves: &'a [Points],
    shape: Shape,
    points: usize,
    bin: u64,
    factor: &'a dyn Fn(usize) -> f64,
}

impl Making<'_> {
    fn strand(&self, passage: Passage) -> Strand {
        let nodes = passage.nodes.iter().map(|node| &self.lineage.nodes[*node]);
        let mut full: Vec<Full> = nodes.filter_map(|node| self.cut(node)).collect();
        if self.shape == Shape::Steps {
            full.iter_mut().for_each(Full::keep_corners);
            full = merged(full);
        }
        let mean = self.mean(&full, &passage.branches);
        let series = full.into_iter().map(|full| self.series(full, passage.to - passage.from)).collect();
        let Passage { branches, from, to, parent, .. } = passage;
        Strand { branches, from, to, parent, series, mean }
    }

    /// A node's part of the curve of the first leaf that has one; all its leaves share it.
    fn cut(&self, node: &Node) -> Option<Full> {
        // A row at N speaks of the update from N on; an evaluation at N of the updates up to N, which the node above made.
        let (from, to) = match (self.shape, node.parent) {
            (Shape::Points, None) => (node.from, node.to + 1),
            (Shape::Points, Some(_)) => (node.from + 1, node.to + 1),
            _ => (node.from, node.to),
        };
        let own = node.leaves.iter().filter_map(|leaf| self.curves.get(*leaf));
        let (points, range) = own.map(|points| (points, points.between(from, to))).find(|(_, range)| !range.is_empty())?;
        let mut full = Full { leaves: node.leaves.clone(), steps: points.steps[range.clone()].to_vec(), ..Full::default() };
        let mut before = true;
        for (step, value) in full.steps.iter().zip(&points.values[range]) {
            let is_hole = value.is_some_and(|value| !value.is_finite());
            if is_hole && before && full.holes.len() < MOST_HOLES {
                full.holes.push(*step);
            }
            before = !is_hole;
            full.values.push(value.filter(|value| value.is_finite()).unwrap_or(f64::NAN));
        }
        Some(full)
    }

    fn mean(&self, full: &[Full], branches: &[usize]) -> Option<Mean> {
        match self.shape {
            Shape::Steps => return None,
            Shape::Points if full.len() < 2 => return None,
            Shape::Line if full.is_empty() => return None,
            Shape::Points | Shape::Line => {}
        }
        let stages = branches.iter().filter_map(|branch| self.lineage.branches.get(*branch)).flat_map(|branch| &branch.stages);
        let cuts: BTreeSet<u64> = stages.map(|stage| stage.from).collect();
        let cuts: Vec<u64> = cuts.into_iter().collect();
        Some(Mean::over(full, self.bin, &cuts, self.factor))
    }

    fn series(&self, full: Full, steps: u64) -> Series {
        let (from, to) = self.lineage.span();
        let share = (self.points as f64 * steps as f64 / (to - from) as f64) as usize;
        let kept = thin(&full.values, share.max(FEWEST_POINTS));
        Series {
            leaves: full.leaves,
            steps: kept.iter().map(|place| full.steps[*place]).collect(),
            values: kept.iter().map(|place| full.values[*place]).collect(),
            holes: full.holes,
            logged: full.steps.len() as u64,
        }
    }
}

impl Full {
    /// Leaves out the inner points of level stretches: what is drawn stays the same.
    fn keep_corners(&mut self) {
        let same = |a: f64, b: f64| a.total_cmp(&b).is_eq();
        let values = &self.values;
        let is_corner = |place: usize| {
            place == 0
                || place + 1 == values.len()
                || !same(values[place], values[place - 1])
                || !same(values[place], values[place + 1])
        };
        let corners: Vec<usize> = (0..values.len()).filter(|place| is_corner(*place)).collect();
        self.steps = corners.iter().map(|place| self.steps[*place]).collect();
        self.values = corners.iter().map(|place| self.values[*place]).collect();
    }
}

/// One curve for all leaves where all of them have the same.
fn merged(full: Vec<Full>) -> Vec<Full> {
    let same = |pair: &[Full]| {
        let mut values = pair[0].values.iter().zip(&pair[1].values);
        pair[0].steps == pair[1].steps && values.all(|(a, b)| a.total_cmp(b).is_eq())
    };
    if !full.windows(2).all(same) {
        return full;
    }
    let leaves: Vec<usize> = full.iter().flat_map(|full| full.leaves.iter().copied()).collect();
    full.into_iter().take(1).map(|first| Full { leaves: leaves.clone(), ..first }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn figure(shape: Shape, curves: &[Points]) -> Figure {
        let lineage = testing::lineage(2, &[1, 2, 3]);
        Figure::new(testing::heading(shape), &lineage, curves, Detail { points: 2_000, bins: 160 }, &|_| 2.0)
    }

    #[test]
    fn what_is_shared_is_there_once() {
        let curve = |leaf: u64| {
            (0..1_600_u64).step_by(10).map(|step| (step, Some(if step < 600 { 0.0 } else { leaf as f64 }))).collect()
        };
        let figure = figure(Shape::Line, &(0..6).map(curve).collect::<Vec<Points>>());
        let counts: Vec<usize> = figure.strands.iter().map(|strand| strand.series.len()).collect();
        assert_eq!((counts.as_slice(), figure.bin, figure.thinned), ([1, 3, 3].as_slice(), 10, None));
        assert_eq!(figure.strands[0].series[0].leaves, [0, 1, 2, 3, 4, 5]);
        assert_eq!(figure.strands[0].series[0].steps.last(), Some(&590));
        let mean = figure.strands[2].mean.as_ref().unwrap();
        assert_eq!((mean.seeds, mean.steps[0], mean.mean[0]), (3, 600, 4.0));
        assert!(figure.ends(1) && !figure.ends(0));
    }

    #[test]
    fn an_evaluation_belongs_to_the_updates_before_it() {
        let curve = |leaf: u64| (0..=1_600_u64).step_by(200).map(|step| (step, Some(leaf as f64))).collect();
        let figure = figure(Shape::Points, &(0..6).map(curve).collect::<Vec<Points>>());
        assert_eq!(figure.strands[0].series[0].steps, [0, 200, 400, 600]);
        assert_eq!(figure.strands[1].series[0].steps, [800, 1_000, 1_200, 1_400, 1_600]);
        assert!(figure.strands[0].mean.is_none() && figure.strands[1].mean.is_some());
    }

    #[test]
    fn schedules_keep_their_corners_and_equal_ones_are_one() {
        let curve = |_: u64| (0..1_600_u64).map(|step| (step, Some(if step < 800 { 0.0 } else { 0.5 }))).collect();
        let figure = figure(Shape::Steps, &(0..6).map(curve).collect::<Vec<Points>>());
        assert_eq!(figure.strands[1].series.len(), 1);
        assert_eq!(figure.strands[1].series[0].leaves, [0, 1, 2]);
        assert_eq!(figure.strands[1].series[0].steps, [600, 799, 800, 1_599]);
        assert_eq!(figure.thinned, None);
    }

    #[test]
    fn gaps_are_marked_where_something_was_measured() {
        let value = |step: u64| match step {
            0..100 => None,
            300..310 | 500 => Some(f64::NAN),
            _ => Some(1.0),
        };
        let curves = [(0..1_600_u64).map(|step| (step, value(step))).collect::<Points>()];
        let figure = figure(Shape::Line, &curves);
        assert_eq!(figure.strands[0].series[0].holes, [300, 500]);
        assert!(figure.strands[0].series[0].values[0].is_nan());
        assert!(figure.strands[2].series.is_empty() && figure.strands[2].mean.is_none());
    }

    #[test]
    fn long_curves_are_thinned_and_spikes_stay() {
        let curve: Points =
            (0..1_600_u64).map(|step| (step, Some(if step == 1_234 { 99.0 } else { (step % 7) as f64 }))).collect();
        let lineage = testing::lineage(1, &[1]);
        let detail = Detail { points: 100, bins: 10 };
        let figure = Figure::new(testing::heading(Shape::Line), &lineage, &[curve], detail, &|_| 2.0);
        assert_eq!(figure.thinned, Some(1_600));
        assert!(figure.strands[1].series[0].values.contains(&99.0));
        assert!(figure.strands[1].mean.as_ref().unwrap().max.contains(&99.0));
    }

    #[test]
    fn large_pages_keep_fewer_points() {
        let detail = |branches, figures| Detail::of(&testing::lineage(branches, &[1, 2, 3]), figures);
        assert_eq!(detail(1, 8), Detail { points: 2_000, bins: 180 });
        assert_eq!(detail(10, 8), Detail { points: 625, bins: 180 });
        assert_eq!(detail(30, 8), Detail { points: 208, bins: 83 });
    }
}
