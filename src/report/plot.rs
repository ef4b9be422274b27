//! Draws a chart in a terminal: a small panel for each quantity, the stages' names above, the steps below.

use std::collections::BTreeSet;

use super::chart::{Chart, Panel};
use super::flags::flags;
use super::numbers::{brief, grouped};
use super::style::{Look, Style, columns, printable, shortened};

/// Columns of a drawing where nobody says how many there are.
const USUAL: usize = 80;
/// Nothing can be seen in fewer.
const NARROWEST: usize = 40;
/// Lines of a panel, without its name and its base.
const HEIGHT: usize = 3;
/// Eighths of a line.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const EIGHTHS: usize = BARS.len() - 1;

/// Where things stand in the drawing: labels to the left, then one column for each stretch of steps.
pub(super) struct Frame {
    gutter: usize,
    pub columns: usize,
    steps: (u64, u64),
}

/// The chart as text. No line is wider than the style says.
pub fn plot(chart: &Chart, style: Style) -> String {
    let width = style.width.unwrap_or(USUAL).max(NARROWEST);
    let frame = Frame::new(chart, width);
    let mut out = style.paint(Look::Heading, &shortened(&printable(&chart.title), width)) + "\n";
    for line in constants(chart, width) {
        out += &(style.paint(Look::Faint, &line) + "\n");
    }
    out.push('\n');
    for line in flags(&chart.marks, &frame) {
        out += &format!("{:frame$}  {line}\n", "", frame = frame.gutter);
    }
    let marked: BTreeSet<usize> = chart.marks.iter().map(|mark| frame.column(mark.step)).collect();
    for panel in &chart.panels {
        out += &draw(panel, &marked, &frame, style);
    }
    out + &axis(&frame)
}

impl Frame {
    fn new(chart: &Chart, width: usize) -> Frame {
        let labels = chart.panels.iter().map(|panel| columns(&brief(panel.top())));
        let gutter = labels.chain([STEP.len()]).max().unwrap_or(0);
        Frame { gutter, columns: width - gutter - 2, steps: chart.steps }
    }

    /// The column in which a step lies.
    pub fn column(&self, step: u64) -> usize {
        let (from, to) = self.steps;
        let place = u128::from(step.saturating_sub(from)) * self.columns as u128 / u128::from(to - from);
        (place as usize).min(self.columns - 1)
    }

    /// Where a column begins and ends on the axis of steps.
    fn bounds(&self, column: usize) -> (f64, f64) {
        let (from, to) = (self.steps.0 as f64, self.steps.1 as f64);
        let place = |column: usize| from + (to - from) * column as f64 / self.columns as f64;
        (place(column), place(column + 1))
    }
}

/// What does not change, in as many lines as it takes.
fn constants(chart: &Chart, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (index, text) in chart.constant.iter().enumerate() {
        let comma = if index + 1 < chart.constant.len() { "," } else { "" };
        let item = printable(text) + comma;
        match lines.last_mut() {
            None => lines.push(format!("throughout: {item}")),
            Some(line) if columns(line) + 1 + columns(&item) <= width => *line += &format!(" {item}"),
            Some(_) => lines.push(item),
        }
    }
    lines
}

/// A panel: its name, its curve as bars, and a base on which the stages begin.
fn draw(panel: &Panel, marked: &BTreeSet<usize>, frame: &Frame, style: Style) -> String {
    let gutter = frame.gutter;
    let top = panel.top();
    let levels: Vec<usize> = (0..frame.columns).map(|column| level(panel, frame.bounds(column), top)).collect();
    let unit = if panel.unit.is_empty() { String::new() } else { format!(", {}", panel.unit) };
    let name = style.paint(Look::Heading, &panel.name) + &style.paint(Look::Faint, &unit);
    let mut out = format!("{:gutter$}  {name}\n", "");
    for row in (0..HEIGHT).rev() {
        let is_top = row + 1 == HEIGHT;
        let label = if is_top { brief(top) } else { String::new() };
        let edge = style.paint(Look::Faint, if is_top { "┤" } else { "│" });
        let bars: String = levels.iter().map(|level| BARS[level.saturating_sub(row * EIGHTHS).min(EIGHTHS)]).collect();
        out += &format!("{label:>gutter$} {edge}{}\n", bars.trim_end());
    }
    let base: String = (0..frame.columns).map(|column| if marked.contains(&column) { '┴' } else { '─' }).collect();
    out + &format!("{:>gutter$} {}\n", "0", style.paint(Look::Faint, &format!("└{base}")))
}

/// How high the bar of a column is, in eighths of a line. What is not 0 is seen.
fn level(panel: &Panel, (from, to): (f64, f64), top: f64) -> usize {
    let value = panel.largest(from, to).unwrap_or(0.0);
    let level = (value / top * (HEIGHT * EIGHTHS) as f64).round() as usize;
    if value > 0.0 { level.max(1) } else { 0 }
}

const STEP: &str = "step";

/// Numbers of steps under their columns, as many as there is room for.
fn axis(frame: &Frame) -> String {
    let (from, to) = frame.steps;
    let room = columns(&grouped(to)) + 3;
    let every = round_number((to - from) as f64 * room as f64 / frame.columns as f64);
    let mut line = String::new();
    let mut taken = 0;
    for step in (from.div_ceil(every)..).map(|count| count * every).take_while(|step| *step < to) {
        let (column, label) = (frame.column(step), format!("╵{}", grouped(step)));
        let is_free = taken == 0 || column > taken;
        if is_free && column + columns(&label) <= frame.columns {
            line += &(" ".repeat(column - taken) + &label);
            taken = column + columns(&label);
        }
    }
    format!("{STEP:>gutter$}  {line}\n", gutter = frame.gutter)
}

/// The smallest of 1, 2, 5, 10, 20, .. that is not below a number.
fn round_number(least: f64) -> u64 {
    let powers = (0..19).map(|power| 10_u64.pow(power));
    let mut numbers = powers.flat_map(|power| [power, power.saturating_mul(2), power.saturating_mul(5)]);
    numbers.find(|number| *number as f64 >= least).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    const RAMPED: &str = "(stages: [
        (from: 0, name: \"foundation\", loss: {CrossEntropy: 1.0}, data: (length: 7..=10)),
        (from: 15_000, name: \"spectrum\", loss: {CrossEntropy: 1.0, Spectrum: 0.08}, ramp: 5_000, data: (length: 7..=12)),
        (from: 15_001, name: \"at once\", loss: {CrossEntropy: 1.0, Spectrum: 0.2}, data: (length: 7..=12)),
        (from: 39_000, name: \"late\\u{1b}[31m\", loss: {CrossEntropy: 1.0}, data: (length: 7..=18, noise_peaks: 5)),
        (from: 40_000, loss: {CrossEntropy: 1.0}, data: (length: 7..=18, noise_peaks: 10)),
    ])";

    #[test]
    fn drawings_fit_and_name_every_stage() {
        let chart = Chart::of_curriculum("ramped", &parse(RAMPED).unwrap(), None);
        for width in [40, 80, 81, 160] {
            let text = plot(&chart, Style { width: Some(width), colour: false });
            assert!(text.lines().all(|line| columns(line) <= width), "{width}\n{text}");
            for part in ["foundation", "│spectrum", "at once", "late", "from 40,000", "Spectrum, weight", "noise peaks", "╵0"]
            {
                assert!(text.contains(part), "{part}, {width}\n{text}");
            }
            assert!(!text.contains('\x1b'), "names must not reach the terminal as orders");
            let bases: Vec<&str> = text.lines().filter(|line| line.contains('└')).collect();
            assert_eq!(bases.len(), chart.panels.len());
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!([0.0, 1.0, 1.5, 3.0, 7.0, 12.0, 4_001.0].map(round_number), [1, 1, 2, 5, 10, 20, 5_000]);
    }
}
