//! Axes: from steps and values to places on a drawing, with round ticks.

use super::Scale;
use super::colour::Ink;
use super::svg::{Anchor, Stroke, Svg, width_of};
use crate::report::grouped;

/// The rectangle in which curves are drawn, and what its edges mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
    /// Values at the left and right edge.
    pub across: (f64, f64),
    /// Values at the bottom and top edge.
    pub upward: (f64, f64),
    pub log: bool,
}

/// Room for the labels of the upright axis.
pub(super) const LEFT: f64 = 58.0;

impl Frame {
    pub(super) fn x(&self, value: f64) -> f64 {
        let (from, to) = self.across;
        self.left + (self.right - self.left) * (value - from) / (to - from)
    }

    /// NaN where a logarithmic axis has no place for the value.
    pub(super) fn y(&self, value: f64) -> f64 {
        let (low, high) = self.upward;
        let part = match self.log {
            true if value <= 0.0 => f64::NAN,
            true => (value / low).ln() / (high / low).ln(),
            false => (value - low) / (high - low),
        };
        self.bottom - (self.bottom - self.top) * part
    }

    /// Level lines with their values.
    pub(super) fn draw_values(&self, svg: &mut Svg<'_>, scale: Scale) {
        let unit = if scale == Scale::Share { " %" } else { "" };
        let text = |tick: f64, step: f64| {
            let text = if self.log { short(tick) } else { super::text::fixed(tick, places(step)) };
            format!("{text}{unit}")
        };
        self.draw_levels(svg, scale, &text);
    }

    /// Level lines with values that always have their sign.
    pub(super) fn draw_differences(&self, svg: &mut Svg<'_>, scale: Scale) {
        self.draw_levels(svg, scale, &|tick, step| super::text::signed(tick, places(step)));
    }

    fn draw_levels(&self, svg: &mut Svg<'_>, scale: Scale, text: &dyn Fn(f64, f64) -> String) {
        let factor = scale.factor();
        let (low, high) = (self.upward.0 * factor, self.upward.1 * factor);
        let (ticks, step) = if self.log { (decades(low, high), 1.0) } else { ticks(low, high, 5.0) };
        for tick in ticks {
            let y = self.y(tick / factor);
            svg.line((self.left, y), (self.right, y), Stroke::of(Ink::Line, 1.0));
            svg.text((self.left - 6.0, y + 4.0), Anchor::End, Ink::Soft, 11.0, &text(tick, step));
        }
    }

    /// The axis of steps.
    pub(super) fn draw_steps(&self, svg: &mut Svg<'_>) {
        self.draw_base(svg);
        let (ticks, _) = ticks(self.across.0, self.across.1, 8.0);
        let steps: Vec<u64> = ticks.into_iter().filter(|tick| tick.fract() == 0.0).map(|tick| tick as u64).collect();
        self.mark_steps(svg, &steps);
    }

    /// The line below.
    pub(super) fn draw_base(&self, svg: &mut Svg<'_>) {
        svg.line((self.left, self.bottom), (self.right, self.bottom), Stroke::of(Ink::Soft, 1.0));
    }

    /// Marks at steps; their numbers where there is room.
    pub(super) fn mark_steps(&self, svg: &mut Svg<'_>, steps: &[u64]) {
        let mut free = f64::NEG_INFINITY;
        for &step in steps {
            let (x, text) = (self.x(step as f64), grouped(step));
            svg.line((x, self.bottom), (x, self.bottom + 4.0), Stroke::of(Ink::Soft, 1.0));
            let half = width_of(&text, 11.0) / 2.0 + 3.0;
            if x - half >= free {
                svg.text((x, self.bottom + 16.0), Anchor::Middle, Ink::Soft, 11.0, &text);
                free = x + half;
            }
        }
    }
}

/// Lowest and highest value with some room; where all are not negative, the room ends at 0.
pub(super) fn with_room(values: impl IntoIterator<Item = f64>, log: bool) -> (f64, f64) {
    let usable = values.into_iter().filter(|value| value.is_finite() && !(log && *value <= 0.0));
    let (low, high) = usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    match log {
        _ if low > high => (if log { 0.1 } else { 0.0 }, 1.0),
        true if low == high => (low / 2.0, high * 2.0),
        true => (low / (high / low).powf(0.05), high * (high / low).powf(0.05)),
        false => {
            let room = match high > low {
                true => (high - low) * 0.05,
                false if low == 0.0 => 0.5,
                false => low.abs() * 0.1,
            };
            (if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room)
        }
    }
}

/// Round values between two others, about so many, and their distance.
pub(super) fn ticks(low: f64, high: f64, about: f64) -> (Vec<f64>, f64) {
    let least = (high - low) / about;
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least * (1.0 - 1e-9));
    let step = step.filter(|step| step.is_normal()).unwrap_or(1.0);
    let first = (low / step - 1e-9).ceil();
    let count = (((high - low) / step + 1e-9).floor() as usize).min(50);
    let ticks = (0..=count).map(|index| (first + index as f64) * step).filter(|tick| *tick <= high + step * 1e-9);
    (ticks.collect(), step)
}

/// Powers of ten, with 2 and 5 between where they are few; round values where there is less than a decade.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let wide = (high / low).log10();
    if wide < 0.8 {
        return ticks(low, high, 5.0).0;
    }
    let factors: &[f64] = if wide <= 2.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = (wide / 6.0).ceil().max(1.0) as i32;
    let powers = (low.log10().floor() as i32..=high.log10().floor() as i32).filter(|power| power % every == 0);
    let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * power_of_ten(power)));
    all.filter(|tick| (low..=high).contains(tick)).collect()
}

/// Exactly, as powers by multiplication are not.
fn power_of_ten(power: i32) -> f64 {
    format!("1e{power}").parse().unwrap_or(f64::NAN)
}

/// Places that ticks at this distance ask for.
fn places(step: f64) -> usize {
    (-(step.log10() + 1e-9).floor()).clamp(0.0, 8.0) as usize
}

fn short(value: f64) -> String {
    let size = value.abs();
    let text = if (1e-4..1e6).contains(&size) { format!("{}", (value * 1e9).round() / 1e9) } else { format!("{value:e}") };
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let shown = |low, high| {
            let (ticks, step) = ticks(low, high, 5.0);
            ticks.into_iter().map(|tick| super::super::text::fixed(tick, places(step))).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(0.0, 1.0), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(shown(-0.3, 2.1), "0.0 0.5 1.0 1.5 2.0");
        assert_eq!(shown(0.0, 1.5e-3), "0.0000 0.0005 0.0010 0.0015");
        assert_eq!(shown(120.0, 910.0), "200 400 600 800");
        assert!(ticks(1.0, 1.0, 5.0).0.len() < 60);
    }

    #[test]
    fn logarithmic_axes_have_powers_of_ten() {
        let shown = |low, high| decades(low, high).into_iter().map(short).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(0.3, 30.0), "0.5 1 2 5 10 20");
        assert_eq!(shown(1e-6, 2e3), "1e\u{2212}6 0.0001 0.01 1 100");
        assert_eq!(shown(2.0, 6.0), "2 3 4 5 6");
    }

    #[test]
    fn values_have_room_and_logarithms_no_zero() {
        assert_eq!(with_room([1.0, 3.0], false), (0.9, 3.1));
        assert_eq!(with_room([0.0, 2.0, f64::NAN], false), (0.0, 2.1));
        assert_eq!(with_room([], false), (0.0, 1.0));
        let (low, high) = with_room([0.0, 1.0, 100.0], true);
        assert!(low > 0.5 && low < 1.0 && high > 100.0);
        let frame =
            Frame { left: 0.0, top: 0.0, right: 10.0, bottom: 100.0, across: (0.0, 10.0), upward: (1.0, 100.0), log: true };
        assert!((frame.y(10.0) - 50.0).abs() < 1e-9 && (frame.y(1.0) - 100.0).abs() < 1e-9);
        assert!(frame.y(0.0).is_nan());
    }
}
