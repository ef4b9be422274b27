//! What a curriculum, or a leaf, sets over the steps: ready to be drawn by `plot` in a terminal and by `plot_svg` as a picture.

use super::numbers::{brief, grouped};
use crate::history::{History, Piece};
use crate::spec::{Curriculum, Stage, StageData};
use crate::task::difficulty::Difficulty;
use crate::task::loss::Loss;

/// Quantities over steps, with the names of what begins where.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub title: String,
    /// The first step, and the one at which the last line ends.
    pub steps: (u64, u64),
    /// In the order of their steps.
    pub marks: Vec<Mark>,
    /// Quantities that change; where none does, those that are not zero.
    pub panels: Vec<Panel>,
    /// Quantities that do not change, `CrossEntropy 1`.
    pub constant: Vec<String>,
}

/// A step at which something with a name begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub step: u64,
    pub name: String,
    /// A leaf leaves its parent here.
    pub is_fork: bool,
}

/// One quantity over the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    pub name: String,
    pub unit: &'static str,
    /// In order; where there is none, the quantity has no value.
    pub lines: Vec<Line>,
}

/// A straight line from a step up to, but not including, another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub from: u64,
    pub to: u64,
    /// Values at its two ends.
    pub values: (f64, f64),
}

/// Steps that are drawn of a curriculum with a single stage.
const SHORTEST: u64 = 1_000;
/// Straight lines by which a curve is drawn.
const CORNERS: u64 = 64;

/// One quantity, before it is known whether it changes: its pieces by first step.
struct Track {
    name: String,
    unit: &'static str,
    pieces: Vec<(u64, Option<Piece>)>,
}

impl Chart {
    /// A curriculum as written. `end` is the last step drawn; left out, the last stage is as long as the one before it.
    pub fn of_curriculum(title: &str, curriculum: &Curriculum, end: Option<u64>) -> Chart {
        let stages = &curriculum.stages;
        let start = stages.first().map_or(0, |stage| stage.from);
        let end = end.unwrap_or_else(|| usual_end(stages)).max(start + 1);
        let weights = Loss::ALL.into_iter().map(|loss| weight_track(loss, stages));
        let values: Vec<_> = stages.iter().map(|stage| (stage.from, written_difficulty(&stage.data))).collect();
        let tracks = weights.chain(difficulty_tracks(&values)).collect();
        let mark =
            |stage: &Stage| Mark { step: stage.from, name: stage_name(stage.name.as_deref(), stage.from), is_fork: false };
        Chart::new(title, (start, end), stages.iter().map(mark).collect(), tracks)
    }

    /// Everything that a leaf's history sets, from its root to its end.
    pub fn of_history(title: &str, history: &History, marks: Vec<Mark>) -> Chart {
        let spans = history.spans();
        let weight = |loss: Loss| Track {
            name: loss.to_string(),
            unit: "weight",
            pieces: spans.iter().map(|span| (span.from, Some(weight_of(&span.settings, loss)))).collect(),
        };
        let rate = Track {
            name: "learning rate".into(),
            unit: "",
            pieces: spans.iter().map(|span| (span.from, Some(span.settings.rate))).collect(),
        };
        let batch = spans.iter().map(|span| (span.from, Some(Piece::Constant(f64::from(span.settings.batch)))));
        let batch = Track { name: "batch".into(), unit: "samples", pieces: batch.collect() };
        let values: Vec<_> = spans.iter().map(|span| (span.from, difficulty(&span.settings.difficulty))).collect();
        let tracks = Loss::ALL.into_iter().map(weight).chain([rate, batch]).chain(difficulty_tracks(&values)).collect();
        Chart::new(title, (history.start(), history.end().max(history.start() + 1)), marks, tracks)
    }

    fn new(title: &str, steps: (u64, u64), mut marks: Vec<Mark>, tracks: Vec<Track>) -> Chart {
        marks.retain(|mark| (steps.0..steps.1).contains(&mark.step));
        let shown: Vec<Track> = tracks.into_iter().filter(Track::is_used).collect();
        let (constant, changing): (Vec<Track>, Vec<Track>) = shown.into_iter().partition(|track| track.constant().is_some());
        let said = |track: &Track| format!("{} {}", track.name, brief(track.constant().unwrap_or_default()));
        let (constant, drawn) = match changing.is_empty() {
            true => (vec![], constant),
            false => (constant.iter().map(said).collect(), changing),
        };
        let panels = drawn.into_iter().map(|track| track.panel(steps)).collect();
        Chart { title: title.into(), steps, marks, panels, constant }
    }
}

/// The name of a stage, or where it begins.
pub fn stage_name(name: Option<&str>, from: u64) -> String {
    name.map_or_else(|| format!("from {}", grouped(from)), str::to_owned)
}

fn usual_end(stages: &[Stage]) -> u64 {
    match stages {
        [.., before, last] => last.from.saturating_add((last.from.saturating_sub(before.from)).max(last.ramp)),
        [only] => only.from.saturating_add(SHORTEST),
        [] => SHORTEST,
    }
}

fn weight_of(settings: &crate::history::Settings, loss: Loss) -> Piece {
    settings.losses.get(&loss).map_or(Piece::Constant(0.0), |term| term.weight)
}

/// A loss's weights as a curriculum writes them: ramps go from the previous stage's weight.
fn weight_track(loss: Loss, stages: &[Stage]) -> Track {
    let mut pieces = Vec::new();
    let mut before = 0.0;
    for stage in stages {
        let weight = stage.loss.get(&loss).copied().unwrap_or(0.0);
        pieces.extend(Piece::ramp(before, weight, stage.from, stage.ramp).into_iter().map(|(from, piece)| (from, Some(piece))));
        before = weight;
    }
    Track { name: loss.to_string(), unit: "weight", pieces }
}

/// What makes spectra hard: names and units.
const DIFFICULTY: [(&str, &str); 10] = [
    ("shortest peptide", "residues"),
    ("longest peptide", "residues"),
    ("clean share", "of the samples"),
    ("noise peaks", "a sample"),
    ("grass peaks", "a sample"),
    ("spike peaks", "a sample"),
    ("peak dropout", "chance"),
    ("signal suppression", "chance"),
    ("mass error", "ppm"),
    ("intensity variation", "deviation"),
];

/// Values in the order of [`DIFFICULTY`].
type Values = [Option<f64>; DIFFICULTY.len()];

fn written_difficulty(data: &StageData) -> Values {
    let length = data.length.as_ref();
    [
        length.map(|length| f64::from(*length.start())),
        length.map(|length| f64::from(*length.end())),
        Some(data.clean_share),
        Some(f64::from(data.noise_peaks)),
        Some(f64::from(data.grass_peaks)),
        Some(f64::from(data.spike_peaks)),
        Some(data.peak_dropout),
        Some(data.signal_suppression),
        Some(data.mass_error_ppm),
        Some(data.intensity_variation),
    ]
}

fn difficulty(difficulty: &Difficulty) -> Values {
    [
        Some(f64::from(difficulty.length.0)),
        Some(f64::from(difficulty.length.1)),
        Some(difficulty.clean_share),
        Some(f64::from(difficulty.noise_peaks)),
        Some(f64::from(difficulty.grass_peaks)),
        Some(f64::from(difficulty.spike_peaks)),
        Some(difficulty.peak_dropout),
        Some(difficulty.signal_suppression),
        Some(difficulty.mass_error_ppm),
        Some(difficulty.intensity_variation),
    ]
}

fn difficulty_tracks(values: &[(u64, Values)]) -> Vec<Track> {
    let track = |(index, (name, unit)): (usize, &(&str, &'static str))| Track {
        name: (*name).to_owned(),
        unit,
        pieces: values.iter().map(|(from, values)| (*from, values[index].map(Piece::Constant))).collect(),
    };
    DIFFICULTY.iter().enumerate().map(track).collect()
}

impl Track {
    /// Whether it ever has a value other than 0.
    fn is_used(&self) -> bool {
        self.pieces.iter().any(|(_, piece)| piece.is_some_and(|piece| piece != Piece::Constant(0.0)))
    }

    /// The value, if it is the same at every step.
    fn constant(&self) -> Option<f64> {
        let (_, first) = self.pieces.first()?;
        match first {
            Some(Piece::Constant(value)) if self.pieces.iter().all(|(_, piece)| piece == first) => Some(*value),
            _ => None,
        }
    }

    fn panel(self, steps: (u64, u64)) -> Panel {
        let nexts = self.pieces.iter().skip(1).map(|(from, _)| *from).chain([steps.1]);
        let stretches = self.pieces.iter().zip(nexts).filter_map(|((from, piece), next)| Some((*from, next, (*piece)?)));
        let within = stretches.map(|(from, to, piece)| (from.max(steps.0), to.min(steps.1), piece));
        let lines = within.filter(|(from, to, _)| from < to).flat_map(|(from, to, piece)| straight(piece, from, to)).collect();
        Panel { name: self.name, unit: self.unit, lines }
    }
}

/// A piece as straight lines.
fn straight(piece: Piece, from: u64, to: u64) -> Vec<Line> {
    let corners = match piece {
        Piece::Constant(_) | Piece::Linear { .. } => 1,
        Piece::Cosine { .. } => CORNERS.min(to - from),
    };
    let corner = |index: u64| from + ((u128::from(to - from) * u128::from(index)) / u128::from(corners)) as u64;
    let line = |index: u64| {
        let (from, to) = (corner(index), corner(index + 1));
        Line { from, to, values: (piece.at(from), piece.at(to)) }
    };
    (0..corners).map(line).collect()
}

impl Panel {
    /// The largest value; above 0.
    pub fn top(&self) -> f64 {
        let largest = self.lines.iter().flat_map(|line| [line.values.0, line.values.1]).fold(0.0, f64::max);
        if largest > 0.0 && largest.is_finite() { largest } else { 1.0 }
    }

    /// The largest value between two places on the axis of steps; none where there is no value.
    pub fn largest(&self, from: f64, to: f64) -> Option<f64> {
        let values = self.lines.iter().filter_map(|line| line.largest(from, to));
        values.reduce(f64::max)
    }
}

impl Line {
    fn largest(&self, from: f64, to: f64) -> Option<f64> {
        let (start, end) = ((self.from as f64).max(from), (self.to as f64).min(to));
        let value = |step: f64| {
            let gone = (step - self.from as f64) / (self.to - self.from) as f64;
            self.values.0 + (self.values.1 - self.values.0) * gone
        };
        (start < end).then(|| value(start).max(value(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    fn chart(text: &str) -> Chart {
        Chart::of_curriculum("c", &parse(text).unwrap(), None)
    }

    #[test]
    fn what_changes_is_drawn_and_the_rest_is_said() {
        let chart = chart(
            "(stages: [
                (from: 0, name: \"a\", loss: {CrossEntropy: 1.0}, data: (length: 7..=10)),
                (from: 100, loss: {CrossEntropy: 1.0, Spectrum: 0.5}, ramp: 50, data: (length: 7..=12)),
            ])",
        );
        assert_eq!(chart.steps, (0, 200));
        assert_eq!(chart.constant, ["CrossEntropy 1", "shortest peptide 7"]);
        let names: Vec<&str> = chart.panels.iter().map(|panel| panel.name.as_str()).collect();
        assert_eq!(names, ["Spectrum", "longest peptide"]);
        let marks: Vec<&str> = chart.marks.iter().map(|mark| mark.name.as_str()).collect();
        assert_eq!(marks, ["a", "from 100"]);
        let spectrum = &chart.panels[0];
        assert_eq!(spectrum.top(), 0.5);
        assert_eq!(spectrum.largest(0.0, 99.0), Some(0.0));
        assert_eq!(spectrum.largest(150.0, 160.0), Some(0.5));
        let half_way = spectrum.largest(124.0, 124.5).unwrap();
        assert!((half_way - 0.25).abs() < 0.01, "{half_way}");
    }

    #[test]
    fn a_curriculum_that_never_changes_is_drawn_all_the_same() {
        let chart = chart("(stages: [(from: 0, loss: {CrossEntropy: 1.0})])");
        assert_eq!(chart.panels.len(), 1);
        assert!(chart.constant.is_empty());
        assert_eq!(chart.panels[0].lines, [Line { from: 0, to: 1_000, values: (1.0, 1.0) }]);
    }
}
