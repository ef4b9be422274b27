//! A curriculum as tracks over absolute steps, and tracks with a training as the spans of a history.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Piece, Settings, Span, Versions, rate_pieces};
use crate::spec::{Curriculum, Optimizer, StageData, Training};
use crate::task::difficulty::Difficulty;
use crate::task::loss::Loss;

/// Values by the first step at which they govern, in order.
type Track<T> = Vec<(u64, T)>;

/// What a course is laid over to become the settings of a history.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub seed: u64,
    pub training: &'a Training,
    /// Shortest and longest peptide of the source.
    pub source_length: (u32, u32),
    pub versions: &'a Versions,
}

/// A curriculum whose parts can be moved and scaled on their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Weight pieces of every loss the curriculum names.
    weights: BTreeMap<Loss, Track<Piece>>,
    difficulty: Track<StageData>,
    names: Track<Option<String>>,
}

impl Course {
    /// The curriculum as written; steps as they are after the clock.
    pub fn new(curriculum: &Curriculum) -> Course {
        let mut weights: BTreeMap<Loss, Track<Piece>> = BTreeMap::new();
        let named: BTreeSet<Loss> = curriculum.stages.iter().flat_map(|stage| stage.loss.keys().copied()).collect();
        for loss in named {
            let mut track = Vec::new();
            let mut before = 0.0;
            for stage in &curriculum.stages {
                let weight = stage.loss.get(&loss).copied().unwrap_or(0.0);
                track.extend(Piece::ramp(before, weight, stage.from, stage.ramp));
                before = weight;
            }
            weights.insert(loss, track);
        }
        Course {
            weights,
            difficulty: curriculum.stages.iter().map(|stage| (stage.from, stage.data.clone())).collect(),
            names: curriculum.stages.iter().map(|stage| (stage.from, stage.name.clone())).collect(),
        }
    }

    /// First step at which a loss weighs more than 0.
    pub fn begins(&self, loss: Loss) -> Option<u64> {
        self.weights.get(&loss)?.iter().find(|(_, piece)| *piece != Piece::Constant(0.0)).map(|(from, _)| *from)
    }

    /// The weights of every loss it names, by first step; none where the loss is not there.
    pub fn weights(&self) -> BTreeMap<Loss, Track<Option<Piece>>> {
        let present = |(from, piece): &(u64, Piece)| (*from, Some(*piece).filter(|piece| *piece != Piece::Constant(0.0)));
        self.weights.iter().map(|(loss, track)| (*loss, track.iter().map(present).collect())).collect()
    }

    /// The same course with a loss's weights shifted so that they begin at `to`, and 0 before. `None` if it never begins.
    pub fn moved(mut self, loss: Loss, to: u64) -> Option<Course> {
        let begin = self.begins(loss)?;
        let shift = |step: u64| step - begin + to;
        let track = self.weights.get_mut(&loss)?;
        track.retain(|(from, _)| *from >= begin);
        for (from, piece) in track.iter_mut() {
            *from = shift(*from);
            if let Piece::Linear { start, .. } = piece {
                *start = shift(*start);
            }
        }
        if to > 0 {
            track.insert(0, (0, Piece::Constant(0.0)));
        }
        Some(self)
    }

    /// The same course with weights multiplied.
    pub fn scaled(mut self, factors: &BTreeMap<Loss, f64>) -> Course {
        for (loss, &factor) in factors {
            for (_, piece) in self.weights.get_mut(loss).into_iter().flatten() {
                *piece = match *piece {
                    Piece::Constant(value) => Piece::Constant(value * factor),
                    Piece::Linear { .. } if factor == 0.0 => Piece::Constant(0.0),
                    Piece::Linear { from, to, start, steps } => {
                        Piece::Linear { from: from * factor, to: to * factor, start, steps }
                    }
                    Piece::Cosine { .. } => unreachable!("weights have no cosines"),
                };
            }
        }
        self
    }

    /// Whether the curriculum names a loss at all.
    pub fn names_loss(&self, loss: Loss) -> bool {
        self.weights.contains_key(&loss)
    }

    /// Starts and names of the stages.
    pub fn stages(&self) -> &[(u64, Option<String>)] {
        &self.names
    }

    /// The spans from `from` on, without end.
    pub fn spans(&self, from: u64, ground: Ground<'_>) -> Vec<Span> {
        let rate = rate_pieces(&ground.training.lr);
        let tracks = self.weights.values().flat_map(steps).chain(steps(&self.difficulty)).chain(steps(&rate));
        let edges: BTreeSet<u64> = tracks.filter(|&step| step > from).chain([from]).collect();
        let at = |step: u64| Span { from: step, settings: self.settings(step, ground, &rate) };
        edges.into_iter().map(at).collect()
    }

    fn settings(&self, step: u64, ground: Ground<'_>, rate: &Track<Piece>) -> Settings {
        let Ground { seed, training, source_length, versions } = ground;
        let weight = |track: &Track<Piece>| in_force(track, step).copied().unwrap_or(Piece::Constant(0.0));
        let data = in_force(&self.difficulty, step).cloned().unwrap_or_default();
        let difficulty = difficulty(&data, source_length);
        Settings {
            seed,
            losses: Settings::canonical_losses(self.weights.iter().map(|(&loss, track)| (loss, weight(track))), versions),
            noise_version: if difficulty.is_clean() { 0 } else { versions.noise },
            difficulty,
            batch: training.batch,
            micro_batch: training.micro_batch.unwrap_or(training.batch).min(training.batch),
            optimizer: training.optimizer.clone(),
            optimizer_version: match training.optimizer {
                Optimizer::AdamW { .. } => versions.optimizer,
            },
            rate: in_force(rate, step).copied().unwrap_or(Piece::Constant(0.0)),
            clip: training.clip,
            label_smoothing: training.label_smoothing,
            ema: training.ema,
            dropout: training.dropout,
            supervision: training.supervision,
            precision: training.precision,
        }
    }
}

/// A stage's lengths and noise; a length left out is the source's whole range.
pub fn difficulty(data: &StageData, source_length: (u32, u32)) -> Difficulty {
    let written = Difficulty {
        length: data.length.as_ref().map_or(source_length, |range| (*range.start(), *range.end())),
        clean_share: data.clean_share,
        noise_peaks: data.noise_peaks,
        grass_peaks: data.grass_peaks,
        spike_peaks: data.spike_peaks,
        peak_dropout: data.peak_dropout,
        signal_suppression: data.signal_suppression,
        mass_error_ppm: data.mass_error_ppm,
        intensity_variation: data.intensity_variation,
    };
    written.canonical()
}

/// The steps of a curriculum multiplied by a clock; the places and values that give no whole step are named.
pub fn scaled(curriculum: &Curriculum, clock: (u64, u64)) -> Result<Curriculum, Vec<(usize, &'static str, u64)>> {
    let mut scaled = curriculum.clone();
    let mut broken = Vec::new();
    for (index, stage) in scaled.stages.iter_mut().enumerate() {
        for (field, value) in [("from", &mut stage.from), ("ramp", &mut stage.ramp)] {
            match scale(*value, clock) {
                Some(whole) => *value = whole,
                None => broken.push((index, field, *value)),
            }
        }
    }
    if broken.is_empty() { Ok(scaled) } else { Err(broken) }
}

/// A step multiplied by a clock, if the result is whole.
pub fn scale(step: u64, (multiply, divide): (u64, u64)) -> Option<u64> {
    let product = u128::from(step) * u128::from(multiply);
    let whole = product.checked_div(u128::from(divide))?;
    (whole * u128::from(divide) == product).then(|| u64::try_from(whole).ok()).flatten()
}

fn steps<T>(track: &Track<T>) -> impl Iterator<Item = u64> + '_ {
    track.iter().map(|(from, _)| *from)
}

fn in_force<T>(track: &Track<T>, step: u64) -> Option<&T> {
    let index = track.partition_point(|(from, _)| *from <= step);
    track[..index].last().map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    fn course(text: &str) -> Course {
        Course::new(&parse(text).unwrap())
    }

    fn ground(training: &Training) -> Ground<'_> {
        Ground { seed: 1, training, source_length: (7, 10), versions: &Versions::CURRENT }
    }

    fn training() -> Training {
        parse("(batch: 4, lr: Constant(rate: 0.001))").unwrap()
    }

    fn weights(course: &Course, loss: Loss, steps: std::ops::Range<u64>) -> Vec<f64> {
        let spans = course.spans(0, ground(&training()));
        let at = |step: u64| {
            let span = spans.iter().rev().find(|span| span.from <= step).unwrap();
            span.settings.at(step).weights.get(&loss).copied().unwrap_or(0.0)
        };
        steps.map(at).collect()
    }

    const RAMPED: &str = "(stages: [
        (from: 0, loss: {CrossEntropy: 1}),
        (from: 2, loss: {CrossEntropy: 1, Spectrum: 1}, ramp: 4, data: (noise_peaks: 1)),
        (from: 8, loss: {CrossEntropy: 1}, ramp: 2)])";

    #[test]
    fn weights_ramp_from_the_previous_stage() {
        let values = weights(&course(RAMPED), Loss::Spectrum, 0..11);
        assert_eq!(values, [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn a_moved_loss_moves_alone() {
        let moved = course(RAMPED).moved(Loss::Spectrum, 4).unwrap();
        let values = weights(&moved, Loss::Spectrum, 0..13);
        assert_eq!(values, [0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]);
        let spans = moved.spans(0, ground(&training()));
        let noisy = spans.iter().find(|span| span.settings.difficulty.noise_peaks == 1).unwrap();
        assert_eq!(noisy.from, 2, "the noise stays where it was");
        assert!(course(RAMPED).moved(Loss::Precursor, 4).is_none());
    }

    #[test]
    fn clocks_give_whole_steps_or_nothing() {
        assert_eq!(scale(15_000, (1, 25)), Some(600));
        assert_eq!(scale(10, (1, 25)), None);
        assert_eq!(scale(u64::MAX, (2, 1)), None);
        assert_eq!(scale(5, (1, 0)), None);
    }
}
