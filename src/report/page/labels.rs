//! Names beside the ends of curves, moved apart where they would touch.

use super::colour::Ink;
use super::frame::Frame;
use super::lineage::Lineage;
use super::svg::{Anchor, Stroke, Svg, width_of};

/// Distance of neighbouring names.
const GAP: f64 = 13.0;

/// A branch's name and the height of its curve's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Label {
    pub branch: usize,
    pub wish: f64,
}

/// Room that the names of a page's branches take.
pub(super) fn room(lineage: &Lineage) -> f64 {
    lineage.branches.iter().map(|branch| width_of(&branch.name, 11.0)).fold(0.0, f64::max).min(180.0) + 24.0
}

/// Writes names to the right of a frame.
pub(super) fn draw(svg: &mut Svg<'_>, frame: &Frame, lineage: &Lineage, mut labels: Vec<Label>) {
    labels.sort_by(|a, b| a.wish.total_cmp(&b.wish));
    let labels = fewer(labels, lineage, frame.bottom - frame.top);
    let wishes: Vec<f64> = labels.iter().map(|label| label.wish).collect();
    for (label, at) in labels.iter().zip(spread(&wishes, GAP, (frame.top, frame.bottom))) {
        svg.open(Some(label.branch));
        let (left, ink) = (frame.right, Ink::Branch(label.branch));
        svg.path([(left + 3.0, label.wish), (left + 10.0, at), (left + 15.0, at)], Stroke::of(ink, 1.5));
        svg.text((left + 19.0, at + 4.0), Anchor::Start, Ink::Text, 11.0, lineage.name(label.branch));
        svg.close();
    }
}

/// Where names would have to go far from their curves: the reference's, the outermost, and every so many of the others.
fn fewer(labels: Vec<Label>, lineage: &Lineage, height: f64) -> Vec<Label> {
    let wide = labels.last().map_or(0.0, |last| last.wish - labels[0].wish);
    let most = ((wide + 5.0 * GAP).min(height) / GAP) as usize;
    if labels.len() <= most {
        return labels;
    }
    let last = labels.len() - 1;
    let every = last.div_ceil(most.saturating_sub(2).max(1));
    let is_reference = |branch: usize| lineage.branches.get(branch).is_some_and(|branch| branch.reference);
    let is_kept = |index: usize, label: &Label| index.is_multiple_of(every) || index == last || is_reference(label.branch);
    labels.into_iter().enumerate().filter(|(index, label)| is_kept(*index, label)).map(|(_, label)| label).collect()
}

/// Places near where names want to be (in rising order), at least a gap apart: neighbours that touch become a block around
/// the mean of their wishes.
fn spread(wishes: &[f64], gap: f64, ends: (f64, f64)) -> Vec<f64> {
    // Number of names, and the middle of the block.
    let mut blocks: Vec<(usize, f64)> = Vec::new();
    for &wish in wishes {
        let mut block = within((1, wish), gap, ends);
        while let Some(&(count, middle)) = blocks.last() {
            let apart = (count + block.0) as f64 / 2.0 * gap;
            if middle + apart <= block.1 {
                break;
            }
            blocks.pop();
            let all = count + block.0;
            block = within((all, (middle * count as f64 + block.1 * block.0 as f64) / all as f64), gap, ends);
        }
        blocks.push(block);
    }
    let place =
        |(count, middle): (usize, f64)| (0..count).map(move |index| middle + (index as f64 - (count - 1) as f64 / 2.0) * gap);
    blocks.into_iter().flat_map(place).collect()
}

/// The block, moved so that it ends within the ends.
fn within(block: (usize, f64), gap: f64, ends: (f64, f64)) -> (usize, f64) {
    let half = (block.0 - 1) as f64 / 2.0 * gap;
    (block.0, block.1.min(ends.1 - half).max(ends.0 + half))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn names_that_touch_are_moved_apart() {
        assert_eq!(spread(&[10.0, 50.0], 10.0, (0.0, 100.0)), [10.0, 50.0]);
        assert_eq!(spread(&[50.0, 50.0, 50.0], 10.0, (0.0, 100.0)), [40.0, 50.0, 60.0]);
        assert_eq!(spread(&[82.0, 100.0, 100.0], 10.0, (0.0, 100.0)), [80.0, 90.0, 100.0]);
        assert_eq!(spread(&[99.0, 100.0], 10.0, (0.0, 100.0)), [90.0, 100.0]);
        let many: Vec<f64> = (0..9).map(|index| f64::from(index) * 3.0).collect();
        let places = spread(&many, 10.0, (0.0, 200.0));
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] > 9.999) && places[0] >= 0.0, "{places:?}");
    }

    #[test]
    fn of_too_many_names_the_outermost_and_the_reference_stay() {
        let lineage = testing::lineage(30, &[1]);
        let labels: Vec<Label> = (0..30).map(|branch| Label { branch, wish: (30 - branch) as f64 }).rev().collect();
        let kept: Vec<usize> = fewer(labels, &lineage, 200.0).into_iter().map(|label| label.branch).collect();
        assert!(kept.len() < 10 && kept.contains(&0) && kept.contains(&29), "{kept:?}");
    }
}
