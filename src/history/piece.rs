//! Values over absolute steps: weights with their ramps, learning rates with their schedules.

use serde::{Deserialize, Serialize};

use super::hash::Fields;
use crate::spec::Rate;

/// A value as a function of the absolute step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Piece {
    Constant(f64),
    /// At `start + k` the value has gone (k + 1) / `steps` of the way.
    Linear {
        from: f64,
        to: f64,
        start: u64,
        steps: u64,
    },
    /// Half a cosine from `peak` at `start` down to `floor` at `end`.
    Cosine {
        peak: f64,
        floor: f64,
        start: u64,
        end: u64,
    },
}

impl Piece {
    /// The value that governs the update from `step` to `step + 1`.
    pub fn at(&self, step: u64) -> f64 {
        match *self {
            Piece::Constant(value) => value,
            Piece::Linear { from, to, start, steps } => {
                let gone = (step.saturating_sub(start) + 1).min(steps);
                if gone == steps { to } else { from + (to - from) * (gone as f64 / steps as f64) }
            }
            Piece::Cosine { peak, floor, start, end } => {
                let gone = (step.saturating_sub(start) as f64 / (end - start) as f64).min(1.0);
                floor + (peak - floor) * 0.5 * (1.0 + (std::f64::consts::PI * gone).cos())
            }
        }
    }

    /// The pieces, by first step, that move from one value to another over `steps` from `start` on: the ramp while it is on
    /// its way, the constant from the step at which it arrives.
    pub fn ramp(from: f64, to: f64, start: u64, steps: u64) -> Vec<(u64, Piece)> {
        match from == to || steps <= 1 {
            true => vec![(start, Piece::Constant(to))],
            false => vec![(start, Piece::Linear { from, to, start, steps }), (start + steps - 1, Piece::Constant(to))],
        }
    }

    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::of("piece");
        match *self {
            Piece::Constant(value) => fields.number("constant", value),
            Piece::Linear { from, to, start, steps } => {
                fields.number("linear from", from).number("to", to).whole("start", start).whole("steps", steps)
            }
            Piece::Cosine { peak, floor, start, end } => {
                fields.number("cosine peak", peak).number("floor", floor).whole("start", start).whole("end", end)
            }
        };
        fields
    }
}

/// Floor of a schedule that names none, relative to its peak.
const FLOOR: f64 = 0.01;

/// A learning rate as pieces by first step. A history at N holds only the pieces begun before N, so a constant rate and a
/// schedule that decays later share everything up to the decay.
pub fn rate_pieces(rate: &Rate) -> Vec<(u64, Piece)> {
    let mut pieces = match *rate {
        Rate::Constant { rate } => vec![(0, Piece::Constant(rate))],
        Rate::WarmUp { peak, warm_up } => Piece::ramp(0.0, peak, 0, warm_up),
        Rate::Cosine { peak, horizon, floor, warm_up } => {
            let floor = floor.unwrap_or(peak * FLOOR);
            let mut pieces = if warm_up > 0 { Piece::ramp(0.0, peak, 0, warm_up) } else { vec![] };
            pieces.push((warm_up, Piece::Cosine { peak, floor, start: warm_up, end: horizon }));
            pieces.push((horizon, Piece::Constant(floor)));
            pieces
        }
        Rate::WarmUpStableDecay { peak, warm_up, decay_from, horizon, floor } => {
            let floor = floor.unwrap_or(peak * FLOOR);
            let mut pieces = Piece::ramp(0.0, peak, 0, warm_up);
            pieces.extend(Piece::ramp(peak, floor, decay_from, horizon - decay_from));
            pieces
        }
    };
    // Of two pieces that begin at one step the later one governs.
    pieces.reverse();
    pieces.dedup_by_key(|(from, _)| *from);
    pieces.reverse();
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(pieces: &[(u64, Piece)], step: u64) -> f64 {
        pieces.iter().rev().find(|(from, _)| *from <= step).unwrap().1.at(step)
    }

    #[test]
    fn a_ramp_has_gone_k_plus_1_of_n() {
        let pieces = Piece::ramp(0.0, 1.0, 10, 4);
        let values: Vec<f64> = (10..16).map(|step| value(&pieces, step)).collect();
        assert_eq!(values, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        assert_eq!(Piece::ramp(0.3, 0.3, 5, 9), [(5, Piece::Constant(0.3))]);
        assert_eq!(Piece::ramp(0.0, 0.3, 5, 1), [(5, Piece::Constant(0.3))]);
    }

    #[test]
    fn rates_rise_stay_and_fall() {
        let cosine = rate_pieces(&Rate::Cosine { peak: 1.0, horizon: 110, floor: Some(0.1), warm_up: 10 });
        assert_eq!(value(&cosine, 0), 0.1);
        assert_eq!(value(&cosine, 9), 1.0);
        assert_eq!(value(&cosine, 10), 1.0);
        assert!((value(&cosine, 60) - 0.55).abs() < 1e-12);
        assert_eq!(value(&cosine, 110), 0.1);
        assert_eq!(value(&cosine, 10_000), 0.1);
        let stable =
            rate_pieces(&Rate::WarmUpStableDecay { peak: 1.0, warm_up: 4, decay_from: 10, horizon: 14, floor: Some(0.0) });
        let values: Vec<f64> = [0, 3, 9, 10, 13, 20].map(|step| value(&stable, step)).to_vec();
        assert_eq!(values, [0.25, 1.0, 1.0, 0.75, 0.0, 0.0]);
        let steps = stable.iter().map(|(from, _)| *from).collect::<Vec<_>>();
        assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
    }

    #[test]
    fn a_later_decay_shares_what_comes_before_it() {
        let early = rate_pieces(&Rate::WarmUpStableDecay { peak: 1.0, warm_up: 4, decay_from: 10, horizon: 14, floor: None });
        let late = rate_pieces(&Rate::WarmUp { peak: 1.0, warm_up: 4 });
        assert_eq!(early[..2], late[..2]);
    }
}
