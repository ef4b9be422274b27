//! A metric by the length of the true peptide: a dot for each branch and bucket.

use super::colour::{Ink, Palette};
use super::curves::MOST_BANDS;
use super::frame::{Frame, LEFT, with_room};
use super::labels::{self, Label};
use super::lineage::Lineage;
use super::svg::{Anchor, Stroke, Svg};
use super::{LengthRow, Lengths, Ranged, Scale};
use crate::report::grouped;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 270.0;

pub(super) fn draw(lineage: &Lineage, palette: &Palette, lengths: &Lengths) -> String {
    let values = lengths.rows.iter().flat_map(|row| row.values.iter().flatten()).flat_map(|value| value.all());
    let frame = Frame {
        left: LEFT,
        top: 26.0,
        right: WIDTH - labels::room(lineage),
        bottom: HEIGHT - 42.0,
        across: (0.0, lengths.buckets.len().max(1) as f64),
        upward: with_room(values, false),
        log: false,
    };
    let mut svg = Svg::new(palette, (WIDTH, HEIGHT), &lengths.title);
    svg.title(&lengths.title, "");
    frame.draw_values(&mut svg, lengths.scale);
    frame.draw_base(&mut svg);
    for (index, (name, spectra)) in lengths.buckets.iter().enumerate() {
        let x = frame.x(index as f64 + 0.5);
        svg.text((x, frame.bottom + 16.0), Anchor::Middle, Ink::Text, 11.0, name);
        svg.text((x, frame.bottom + 30.0), Anchor::Middle, Ink::Soft, 10.0, &format!("{} spectra", grouped(*spectra)));
    }
    for (index, row) in lengths.rows.iter().enumerate() {
        draw_row(&mut svg, &frame, lineage, lengths, (index, row));
    }
    let label = |row: &LengthRow| {
        let last = row.values.iter().rev().flatten().next()?;
        Some(Label { branch: row.branch, wish: frame.y(last.value) })
    };
    labels::draw(&mut svg, &frame, lineage, lengths.rows.iter().filter_map(label).collect());
    svg.finish()
}

/// A branch's dots, joined; a few branches stand beside each other with their intervals.
fn draw_row(svg: &mut Svg<'_>, frame: &Frame, lineage: &Lineage, lengths: &Lengths, (index, row): (usize, &LengthRow)) {
    let count = lengths.rows.len();
    let is_few = count <= MOST_BANDS;
    let apart = if is_few { (60.0 / count as f64).min(9.0) } else { 0.0 };
    let aside = (index as f64 - (count - 1) as f64 / 2.0) * apart;
    let x = |bucket: usize| frame.x(bucket as f64 + 0.5) + aside;
    let ink = Ink::Branch(row.branch);
    svg.open(Some(row.branch));
    let places = row.values.iter().enumerate();
    let places = places.map(|(bucket, value)| (x(bucket), value.map_or(f64::NAN, |value| frame.y(value.value))));
    svg.path(places, Stroke::of(ink, if is_few { 0.8 } else { 1.2 }));
    for (bucket, value) in row.values.iter().enumerate() {
        let Some(value) = value.filter(|value| value.value.is_finite()) else { continue };
        if let Some((low, high)) = value.interval.filter(|_| is_few) {
            svg.line((x(bucket), frame.y(low)), (x(bucket), frame.y(high)), Stroke::of(ink, 1.5));
        }
        let title = format!("{}: {}", lineage.name(row.branch), words(lengths.scale, value));
        svg.dot((x(bucket), frame.y(value.value)), if is_few { 3.2 } else { 2.0 }, ink, &title);
    }
    svg.close();
}

/// `71.3 (70.1 to 72.5)`.
fn words(scale: Scale, value: Ranged) -> String {
    let ends = value.interval.map(|(low, high)| format!(" ({} to {})", scale.value(low), scale.value(high)));
    scale.value(value.value) + &ends.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn every_bucket_with_spectra_has_its_dots() {
        for branches in [2, 30] {
            let page = testing::page(branches, &[1, 2, 3]);
            let drawing = draw(&page.lineage, &Palette::of(&page.lineage), &page.lengths[0]);
            // The last bucket has no value.
            assert_eq!(drawing.matches("<circle").count(), branches * 3);
            assert!(drawing.contains("branch_1: 69.0 (68.0 to 70.0)"), "{drawing}");
        }
    }
}
