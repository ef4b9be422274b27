//! Draws a chart as a picture: the same panels as in the terminal, with exact corners. Static SVG, for papers.

use super::chart::{Chart, Line, Mark, Panel};
use super::numbers::{brief, grouped};
use super::style::printable;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TITLE: f64 = 44.0;
/// Room for the stages' names, which stand aslant.
const NAMES: f64 = 110.0;
const PANEL: f64 = 56.0;
const GAP: f64 = 30.0;
const AXIS: f64 = 44.0;
/// Labels on the axis of steps.
const TICKS: u64 = 6;
const COLOURS: [&str; 6] = ["#1f5fa8", "#b5541c", "#2e7d4f", "#7a4aa0", "#a0323c", "#55606a"];

/// The chart as the text of an SVG file.
pub fn plot_svg(chart: &Chart) -> String {
    let height = TITLE + NAMES + chart.panels.len() as f64 * (PANEL + GAP) + AXIS;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    out += &text(LEFT, 20.0, "font-size=\"14\" font-weight=\"bold\"", &chart.title);
    if !chart.constant.is_empty() {
        out += &text(LEFT, 36.0, "fill=\"#555555\"", &format!("throughout: {}", chart.constant.join(", ")));
    }
    let base = TITLE + NAMES + chart.panels.len() as f64 * (PANEL + GAP) - GAP;
    chart.marks.iter().for_each(|mark| out += &stage(mark, chart, base));
    for (index, panel) in chart.panels.iter().enumerate() {
        let top = TITLE + NAMES + index as f64 * (PANEL + GAP);
        out += &draw(panel, chart, top, COLOURS[index % COLOURS.len()]);
    }
    out + &axis(chart, base) + "</svg>\n"
}

/// The place of a step from left to right.
fn across(chart: &Chart, step: u64) -> f64 {
    let (from, to) = chart.steps;
    LEFT + (WIDTH - LEFT - RIGHT) * (step.saturating_sub(from) as f64 / (to - from) as f64)
}

/// A stage's name over a line through all panels; where a leaf forks, the line is whole.
fn stage(mark: &Mark, chart: &Chart, base: f64) -> String {
    let x = across(chart, mark.step);
    let top = TITLE + NAMES - 14.0;
    let dashes = if mark.is_fork { "" } else { " stroke-dasharray=\"3 3\"" };
    let line = format!(
        "<line x1=\"{x:.2}\" y1=\"{top}\" x2=\"{x:.2}\" y2=\"{base}\" stroke=\"#999999\" stroke-width=\"0.8\"{dashes}/>\n"
    );
    let turned = format!("transform=\"rotate(-50 {x:.2} {y})\"", y = top - 4.0);
    line + &text(x, top - 4.0, &turned, &mark.name)
}

fn draw(panel: &Panel, chart: &Chart, top: f64, colour: &str) -> String {
    let (base, largest) = (top + PANEL, panel.top());
    let unit = if panel.unit.is_empty() { String::new() } else { format!(", {}", panel.unit) };
    let mut out = text(LEFT, top - 4.0, "font-weight=\"bold\"", &format!("{}{unit}", panel.name));
    out += &text(LEFT - 6.0, top + 8.0, "text-anchor=\"end\"", &brief(largest));
    out += &text(LEFT - 6.0, base, "text-anchor=\"end\"", "0");
    let right = WIDTH - RIGHT;
    out += &format!("<path d=\"M{LEFT} {top}V{base}H{right}\" fill=\"none\" stroke=\"#444444\" stroke-width=\"0.8\"/>\n");
    let height = |value: f64| base - PANEL * (value / largest).clamp(0.0, 1.0);
    let path = outline(&panel.lines, &|step| across(chart, step), &height);
    out + &format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"/>\n")
}

/// The lines as one path, broken where there is no value.
fn outline(lines: &[Line], across: &dyn Fn(u64) -> f64, height: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut at = None;
    for line in lines {
        let begin = if at == Some(line.from) { "L" } else { "M" };
        let (start, end) = (height(line.values.0), height(line.values.1));
        path += &format!("{begin}{:.2} {start:.2}L{:.2} {end:.2}", across(line.from), across(line.to));
        at = Some(line.to);
    }
    path
}

/// Numbers of steps below the last panel, and where the drawing ends.
fn axis(chart: &Chart, base: f64) -> String {
    let (from, to) = chart.steps;
    let mut steps: Vec<u64> =
        (0..=TICKS).map(|tick| from + ((to - from) as u128 * u128::from(tick) / u128::from(TICKS)) as u64).collect();
    steps.dedup();
    let label = |step: u64| {
        let x = across(chart, step);
        let tick = format!("<line x1=\"{x:.2}\" y1=\"{base}\" x2=\"{x:.2}\" y2=\"{}\" stroke=\"#444444\"/>\n", base + 4.0);
        tick + &text(x, base + 16.0, "text-anchor=\"middle\"", &grouped(step))
    };
    let labels: String = steps.into_iter().map(label).collect();
    labels + &text((LEFT + WIDTH - RIGHT) / 2.0, base + 34.0, "text-anchor=\"middle\"", "step")
}

fn text(x: f64, y: f64, attributes: &str, content: &str) -> String {
    format!("<text x=\"{x:.2}\" y=\"{y:.2}\" {attributes}>{}</text>\n", escaped(content))
}

/// Names of stages may hold anything, also what a page would take for its own.
fn escaped(content: &str) -> String {
    printable(content).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    #[test]
    fn pictures_hold_every_stage_and_panel() {
        let curriculum = parse(
            "(stages: [
                (from: 0, name: \"a <script> & \\\"b\\\"\", loss: {CrossEntropy: 1.0}, data: (length: 7..=10)),
                (from: 100, name: \"later\", loss: {CrossEntropy: 1.0, Spectrum: 0.5}, data: (length: 7..=12)),
            ])",
        );
        let svg = plot_svg(&Chart::of_curriculum("a & b", &curriculum.unwrap(), None));
        for part in ["a &lt;script&gt; &amp; &quot;b&quot;", ">later<", "a &amp; b", ">Spectrum, weight<", ">200<"] {
            assert!(svg.contains(part), "{part}\n{svg}");
        }
        // Spectrum: 0 up to the middle, then at its top to the end.
        assert!(svg.contains("M64.00 210.00L450.00 210.00L450.00 154.00L836.00 154.00"), "{svg}");
        assert!(!svg.contains("<script"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
