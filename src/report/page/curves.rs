//! Static drawings of curves, for papers and for readers without scripts.

use super::colour::{Ink, Palette};
use super::figure::{Figure, Shape, Strand};
use super::frame::{Frame, LEFT, with_room};
use super::labels::{self, Label};
use super::lineage::Lineage;
use super::svg::{Anchor, Stroke, Svg, width_of};
use super::{Page, lengths, response, tree};
use crate::report::grouped;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
/// With more branches, intervals would only cover each other.
pub(super) const MOST_BANDS: usize = 6;
/// With more forks, lines would be a fence; short marks stand for those after the first.
const MOST_FORK_LINES: usize = 3;

/// A strand as it is drawn.
struct Line<'a> {
    branches: &'a [usize],
    /// Whether a curve ends here.
    is_end: bool,
    steps: &'a [u64],
    values: &'a [f64],
    interval: Option<(&'a [f64], &'a [f64])>,
    /// Where the strand above ended.
    origin: Option<(u64, f64)>,
}

/// The page's drawings as static SVG, by a name for their file.
pub fn figures(page: &Page) -> Vec<(String, String)> {
    let palette = Palette::of(&page.lineage);
    let mut drawings = vec![("lineage".to_owned(), tree::draw(&page.lineage, &palette))];
    for figure in page.figures.iter().filter(|figure| figure.heading.shown) {
        drawings.push((file_name(&figure.heading.key), draw(&page.lineage, &palette, figure)));
    }
    for (index, shown) in page.responses.iter().enumerate() {
        drawings.push((format!("response-{}", index + 1), response::draw(&page.lineage, &palette, shown)));
    }
    for (index, shown) in page.lengths.iter().enumerate() {
        drawings.push((format!("lengths-{}", index + 1), lengths::draw(&page.lineage, &palette, shown)));
    }
    drawings
}

fn file_name(key: &str) -> String {
    key.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}

/// A figure over the whole lineage: means with their intervals, what branches share in grey.
pub(super) fn draw(lineage: &Lineage, palette: &Palette, figure: &Figure) -> String {
    let heading = &figure.heading;
    let lines = lines(figure);
    let (from, to) = lineage.span();
    let frame = Frame {
        left: LEFT,
        top: 34.0,
        right: WIDTH - labels::room(lineage),
        bottom: HEIGHT - 26.0,
        across: (from as f64, to as f64),
        upward: with_room(lines.iter().flat_map(Line::all), heading.log),
        log: heading.log,
    };
    let mut svg = Svg::new(palette, (WIDTH, HEIGHT), &heading.title);
    draw_stages(&mut svg, &frame, lineage);
    frame.draw_values(&mut svg, heading.scale);
    frame.draw_steps(&mut svg);
    svg.title(&heading.title, &heading.unit);
    draw_margin(&mut svg, &frame, lineage);
    if lineage.branches.len() <= MOST_BANDS {
        lines.iter().for_each(|line| line.draw_interval(&mut svg, &frame));
    }
    lines.iter().for_each(|line| line.draw(&mut svg, &frame, heading.shape));
    let label = |branch: usize| {
        let own = lines.iter().filter(|line| line.is_end && line.branches.contains(&branch));
        let last = own.filter_map(Line::last).map(|value| frame.y(value)).find(|y| y.is_finite())?;
        Some(Label { branch, wish: last })
    };
    labels::draw(&mut svg, &frame, lineage, (0..lineage.branches.len()).filter_map(label).collect());
    svg.finish()
}

fn lines(figure: &Figure) -> Vec<Line<'_>> {
    let strands = figure.strands.iter().enumerate();
    strands.flat_map(|(index, strand)| of_strand(figure, index, strand)).collect()
}

fn of_strand<'a>(figure: &'a Figure, index: usize, strand: &'a Strand) -> Vec<Line<'a>> {
    let (branches, is_end, origin) = (strand.branches.as_slice(), figure.ends(index), origin(figure, strand));
    let Some(mean) = &strand.mean else {
        let line = |series: &'a super::Series| Line {
            branches,
            is_end,
            steps: &series.steps,
            values: &series.values,
            interval: None,
            origin,
        };
        return strand.series.iter().map(line).collect();
    };
    let interval = mean.low.as_deref().zip(mean.high.as_deref());
    vec![Line { branches, is_end, steps: &mean.steps, values: &mean.mean, interval, origin }]
}

/// The last point before a strand, so that curves do not break where histories part.
fn origin(figure: &Figure, strand: &Strand) -> Option<(u64, f64)> {
    let mut above = strand.parent;
    while let Some(index) = above {
        let strand = figure.strands.get(index)?;
        let of_mean = strand.mean.as_ref().and_then(|mean| Some((*mean.steps.last()?, *mean.mean.last()?)));
        let of_series = || strand.series.first().and_then(|own| Some((*own.steps.last()?, *own.values.last()?)));
        if let Some(point) = of_mean.or_else(of_series) {
            return Some(point);
        }
        above = strand.parent;
    }
    None
}

/// The stages of one branch as bands below the curves.
fn draw_stages(svg: &mut Svg<'_>, frame: &Frame, lineage: &Lineage) {
    for stage in lineage.stages(lineage.focus()).iter().skip(1).step_by(2) {
        let (left, right) = (frame.x(stage.from as f64).max(frame.left), frame.x(stage.to as f64).min(frame.right));
        if left < right {
            svg.rectangle((left, frame.top), (right - left, frame.bottom - frame.top), Ink::Tint);
        }
    }
}

/// Above a frame: the steps where histories part, and the stages' names where these leave room.
fn draw_margin(svg: &mut Svg<'_>, frame: &Frame, lineage: &Lineage) {
    let forks = lineage.forks();
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (index, fork) in forks.iter().enumerate() {
        let x = frame.x(*fork as f64);
        if index > 0 && forks.len() > MOST_FORK_LINES {
            svg.line((x, frame.top), (x, frame.top + 5.0), Stroke::of(Ink::Soft, 1.0));
            continue;
        }
        svg.line((x, frame.top - 12.0), (x, frame.bottom), Stroke::of(Ink::Soft, 1.0).dashed("3 3"));
        let text = if index == 0 { format!("fork {}", grouped(*fork)) } else { grouped(*fork) };
        let left = x - width_of(&text, 10.0) - 6.0;
        if left >= 0.0 && taken.iter().all(|(_, right)| left >= *right) {
            svg.text((x - 4.0, frame.top - 4.0), Anchor::End, Ink::Soft, 10.0, &text);
            taken.push((left, x));
        }
    }
    for stage in lineage.stages(lineage.focus()) {
        let left = frame.x(stage.from as f64).max(frame.left) + 3.0;
        let right = left + width_of(&stage.name, 10.0);
        let is_free = taken.iter().all(|(from, to)| right < *from || left > *to);
        if is_free && right <= frame.x(stage.to as f64).min(frame.right) - 2.0 {
            svg.text((left, frame.top - 4.0), Anchor::Start, Ink::Soft, 10.0, &stage.name);
        }
    }
}

impl Line<'_> {
    /// Every value that is drawn.
    fn all(&self) -> impl Iterator<Item = f64> {
        let ends = self.interval.into_iter().flat_map(|(low, high)| low.iter().chain(high));
        self.values.iter().chain(ends).copied()
    }

    fn last(&self) -> Option<f64> {
        self.values.iter().rev().copied().find(|value| value.is_finite())
    }

    /// The interval as an area, one for each stretch without a gap.
    fn draw_interval(&self, svg: &mut Svg<'_>, frame: &Frame) {
        let Some((low, high)) = self.interval else { return };
        let ends = self.steps.iter().zip(low.iter().zip(high));
        let places = ends.map(|(step, (low, high))| (frame.x(*step as f64), frame.y(*low), frame.y(*high)));
        let places: Vec<(f64, f64, f64)> = places.collect();
        for run in places.split(|(_, low, high)| !low.is_finite() || !high.is_finite()) {
            let over = run.iter().map(|(x, _, high)| (*x, *high));
            let under = run.iter().rev().map(|(x, low, _)| (*x, *low));
            svg.area(over.chain(under), Ink::of(self.branches), 0.22);
        }
    }

    fn draw(&self, svg: &mut Svg<'_>, frame: &Frame, shape: Shape) {
        let ink = Ink::of(self.branches);
        let points = self.steps.iter().copied().zip(self.values.iter().copied());
        let mut places: Vec<(f64, f64)> = Vec::new();
        for (step, value) in self.origin.into_iter().chain(points) {
            let place = (frame.x(step as f64), frame.y(value));
            let before = places.last().map(|(_, y)| *y);
            if let (Shape::Steps, Some(before)) = (shape, before) {
                places.push((place.0, before));
            }
            places.push(place);
        }
        svg.open(if let Ink::Branch(branch) = ink { Some(branch) } else { None });
        svg.path(places.iter().copied(), Stroke::of(ink, 1.5));
        if shape == Shape::Points && self.steps.len() < 60 {
            let own = places.iter().skip(usize::from(self.origin.is_some()));
            own.filter(|(_, y)| y.is_finite()).for_each(|place| svg.dot(*place, 2.0, ink, ""));
        }
        svg.close();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn drawings_stand_alone_and_repeat() {
        let page = testing::page(3, &[1, 2, 3]);
        let drawings = figures(&page);
        let names: Vec<&str> = drawings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lineage", "hard_token_accuracy", "total", "weight_Precursor", "response-1", "lengths-1"]);
        for (name, drawing) in &drawings {
            assert!(drawing.starts_with("<svg xmlns=") && drawing.ends_with("</svg>"), "{name}");
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{name}: {drawing}");
            assert_eq!(drawing.matches("<g").count(), drawing.matches("</g>").count(), "{name}");
        }
        assert_eq!(drawings, figures(&page));
    }

    #[test]
    fn gaps_break_the_line_and_the_interval() {
        let page = testing::page(2, &[1, 2, 3]);
        let mut figure = page.figures[1].clone();
        let mean = figure.strands[1].mean.as_mut().unwrap();
        let middle = mean.mean.len() / 2;
        mean.mean[middle] = f64::NAN;
        mean.low.as_mut().unwrap()[middle] = f64::NAN;
        let palette = Palette::of(&page.lineage);
        let (whole, broken) = (draw(&page.lineage, &palette, &page.figures[1]), draw(&page.lineage, &palette, &figure));
        assert_eq!(broken.matches("fill-opacity").count(), whole.matches("fill-opacity").count() + 1);
    }
}
