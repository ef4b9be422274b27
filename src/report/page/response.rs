//! The response curve of a sweep: how a metric answers to the step from which a loss is on.

use std::collections::BTreeSet;

use super::colour::{Ink, Palette};
use super::frame::{Frame, LEFT, with_room};
use super::lineage::Lineage;
use super::svg::{Anchor, Stroke, Svg};
use super::{Ranged, Response, ResponsePoint, Scale};
use crate::report::prose::listed;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 290.0;
/// Room for the baseline's name.
const RIGHT: f64 = 130.0;

pub(super) fn draw(lineage: &Lineage, palette: &Palette, response: &Response) -> String {
    let frame = frame(response);
    let mut svg = Svg::new(palette, (WIDTH, HEIGHT), &response.title);
    let unit = if response.scale == Scale::Share { "points" } else { response.unit.as_str() };
    let what = format!("{}: difference to {}", response.metric, response.baseline);
    svg.title(&response.title, &if unit.is_empty() { what } else { format!("{what}, {unit}") });
    if let Some((low, high)) = response.null_band {
        let (top, bottom) = (frame.y(high), frame.y(low));
        svg.rectangle((frame.left, top), (frame.right - frame.left, bottom - top), Ink::Shade);
    }
    frame.draw_differences(&mut svg, response.scale);
    svg.line((frame.left, frame.y(0.0)), (frame.right, frame.y(0.0)), Stroke::of(Ink::Soft, 1.0));
    draw_baseline(&mut svg, &frame, response);
    frame.draw_base(&mut svg);
    let steps: Vec<u64> = response.points.iter().map(|point| point.to).collect();
    frame.mark_steps(&mut svg, &steps);
    let middle = f64::midpoint(frame.left, frame.right);
    svg.text((middle, HEIGHT - 6.0), Anchor::Middle, Ink::Soft, 11.0, "step from which the loss is on");
    mark_clamped(&mut svg, &frame, response);
    draw_points(&mut svg, &frame, lineage, response);
    svg.finish()
}

fn frame(response: &Response) -> Frame {
    let steps = response.points.iter().map(|point| point.to as f64);
    let first = steps.clone().fold(f64::INFINITY, f64::min);
    let last = steps.fold(f64::NEG_INFINITY, f64::max);
    let (first, last) = if first > last { (0.0, 1.0) } else { (first, last) };
    let side = ((last - first) * 0.06).max(1.0);
    let band = response.null_band.into_iter().flat_map(|(low, high)| [low, high]);
    let values = response.points.iter().flat_map(|point| point.difference.all()).chain(band).chain([0.0]);
    // Turned about, so that values that are not negative have their room below 0 too.
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let (low, high) = (with_room(values.iter().map(|value| -value), false), with_room(values.iter().copied(), false));
    Frame {
        left: LEFT,
        top: 26.0,
        right: WIDTH - RIGHT,
        bottom: HEIGHT - 44.0,
        across: (first - side, last + side),
        upward: (-low.1, high.1),
        log: false,
    }
}

/// What the line at 0 and the band around it are.
fn draw_baseline(svg: &mut Svg<'_>, frame: &Frame, response: &Response) {
    let (left, y) = (frame.right + 6.0, frame.y(0.0));
    svg.text((left, y + 4.0), Anchor::Start, Ink::Text, 11.0, &response.baseline);
    if response.null_band.is_some() {
        svg.text((left, y + 18.0), Anchor::Start, Ink::Soft, 10.0, "band: its differences");
        svg.text((left, y + 30.0), Anchor::Start, Ink::Soft, 10.0, "to itself, 95 %");
    }
}

fn draw_points(svg: &mut Svg<'_>, frame: &Frame, lineage: &Lineage, response: &Response) {
    let place = |to: u64, value: f64| (frame.x(to as f64), frame.y(value));
    svg.path(response.points.iter().map(|point| place(point.to, point.difference.value)), Stroke::of(Ink::Trunk, 1.2));
    for point in &response.points {
        // What branches share is grey, and hidden with none of them.
        let own = (point.branches.len() == 1).then(|| point.branches[0]);
        let ink = own.map_or(Ink::Trunk, Ink::Branch);
        svg.open(own);
        if let Some((low, high)) = point.difference.interval {
            svg.line(place(point.to, low), place(point.to, high), Stroke::of(ink, 1.5));
        }
        let title = format!("{}: {}", called(lineage, point), words(response.scale, point.difference));
        svg.dot(place(point.to, point.difference.value), 3.6, ink, &title);
        svg.close();
    }
}

/// `early, sooner (written 0 to 400)`.
fn called(lineage: &Lineage, point: &ResponsePoint) -> String {
    let names: Vec<&str> = point.branches.iter().map(|branch| lineage.name(*branch)).collect();
    let written = point.written.as_ref().map(|written| format!(" ({written})"));
    listed(&names, "branches") + &written.unwrap_or_default()
}

/// A line at each step to which the fork clamped a branch.
fn mark_clamped(svg: &mut Svg<'_>, frame: &Frame, response: &Response) {
    let clamped: BTreeSet<u64> = response.points.iter().filter(|point| point.written.is_some()).map(|point| point.to).collect();
    for step in clamped {
        let x = frame.x(step as f64);
        svg.line((x, frame.top), (x, frame.bottom), Stroke::of(Ink::Soft, 1.0).dashed("2 3"));
        svg.text((x + 4.0, frame.top + 10.0), Anchor::Start, Ink::Soft, 10.0, "clamped by the fork");
    }
}

/// `+2.1 (0.2 to 4.0)`.
fn words(scale: Scale, difference: Ranged) -> String {
    let ends = difference.interval.map(|(low, high)| format!(" ({} to {})", scale.difference(low), scale.difference(high)));
    scale.difference(difference.value) + &ends.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_baseline_is_in_sight() {
        let page = testing::page(5, &[1, 2, 3]);
        let frame = frame(&page.responses[0]);
        assert!(frame.upward.0 < 0.0 && frame.upward.1 > 0.0);
        let drawing = draw(&page.lineage, &Palette::of(&page.lineage), &page.responses[0]);
        assert!(drawing.contains("branch_0: +1.0 (+0.5 to +1.5)"), "{drawing}");
        assert_eq!(drawing.matches("<circle").count(), 4);
    }

    #[test]
    fn clamped_branches_are_one_grey_dot_at_the_fork() {
        let mut page = testing::page(5, &[1, 2, 3]);
        let points = &mut page.responses[0].points;
        points[1].branches = vec![1, 3];
        points[1].written = Some("written 100 to 400".into());
        points.truncate(3);
        let drawing = draw(&page.lineage, &Palette::of(&page.lineage), &page.responses[0]);
        assert!(drawing.contains("branch_1, branch_3 (written 100 to 400): +1.0"), "{drawing}");
        assert_eq!(drawing.matches(">clamped by the fork<").count(), 1);
        assert!(!drawing.contains("data-branch=\"1\"") && drawing.contains("data-branch=\"0\""));
    }

    #[test]
    fn a_sweep_without_points_is_an_empty_frame() {
        let page = testing::page(2, &[1]);
        let empty = Response { points: vec![], null_band: None, ..page.responses[0].clone() };
        let drawing = draw(&page.lineage, &Palette::of(&page.lineage), &empty);
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"));
    }
}
