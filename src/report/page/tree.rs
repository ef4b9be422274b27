//! The lineage as a drawing: steps to the right, a row for each leaf, a line for each stretch of history.

use std::collections::BTreeSet;

use super::colour::{Ink, Palette};
use super::lineage::{Lineage, Node};
use super::svg::{Anchor, Stroke, Svg, width_of};
use crate::report::grouped;

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 8.0;
const TOP: f64 = 10.0;
/// Rows are lower where there are more leaves than this.
const FEW_LEAVES: usize = 16;

/// Where everything stands.
struct Layout<'a> {
    lineage: &'a Lineage,
    span: (u64, u64),
    right: f64,
    /// Width of the longest name.
    names: f64,
    row: f64,
    /// Leaves from top to bottom.
    order: Vec<usize>,
    /// Heights of the nodes.
    heights: Vec<f64>,
}

pub(super) fn draw(lineage: &Lineage, palette: &Palette) -> String {
    let layout = Layout::new(lineage);
    let height = layout.base() + 26.0;
    let mut svg = Svg::new(palette, (WIDTH, height), "the lineage of the leaves");
    layout.draw_steps(&mut svg);
    for (index, node) in lineage.nodes.iter().enumerate() {
        layout.draw_node(&mut svg, index, node);
    }
    layout.draw_leaves(&mut svg);
    svg.finish()
}

/// Leaves in the order in which the tree is walked.
fn order(lineage: &Lineage) -> Vec<usize> {
    let children = |index: usize| (0..lineage.nodes.len()).filter(move |child| lineage.nodes[*child].parent == Some(index));
    let mut open: Vec<usize> = (0..lineage.nodes.len()).filter(|node| lineage.nodes[*node].parent.is_none()).collect();
    open.reverse();
    let mut order = Vec::new();
    while let Some(index) = open.pop() {
        let below: Vec<usize> = children(index).collect();
        let deeper: BTreeSet<usize> = below.iter().flat_map(|child| lineage.nodes[*child].leaves.iter().copied()).collect();
        order.extend(lineage.nodes[index].leaves.iter().copied().filter(|leaf| !deeper.contains(leaf)));
        open.extend(below.into_iter().rev());
    }
    order.retain(|leaf| *leaf < lineage.leaves.len());
    order
}

impl<'a> Layout<'a> {
    fn new(lineage: &'a Lineage) -> Layout<'a> {
        let row = if lineage.leaves.len() > FEW_LEAVES { 16.0 } else { 22.0 };
        let names = lineage.branches.iter().map(|branch| width_of(&branch.name, 12.0)).fold(0.0, f64::max).min(260.0);
        let seeds = if lineage.leaves.iter().any(|leaf| leaf.seed.is_some()) { 46.0 } else { 16.0 };
        let mut layout = Layout {
            lineage,
            span: lineage.span(),
            right: WIDTH - names - seeds,
            names,
            row,
            order: order(lineage),
            heights: vec![],
        };
        layout.heights = lineage.nodes.iter().map(|node| layout.height(node)).collect();
        layout
    }

    /// The middle of the rows of a node's leaves.
    fn height(&self, node: &Node) -> f64 {
        let rows = self.order.iter().enumerate().filter(|(_, leaf)| node.leaves.contains(leaf)).map(|(row, _)| row);
        let (first, last) = (rows.clone().min().unwrap_or(0), rows.max().unwrap_or(0));
        f64::midpoint(self.row_height(first), self.row_height(last))
    }

    fn row_height(&self, row: usize) -> f64 {
        TOP + self.row * (row as f64 + 0.5)
    }

    fn x(&self, step: u64) -> f64 {
        let (from, to) = self.span;
        LEFT + (self.right - LEFT) * (step.saturating_sub(from) as f64 / (to - from) as f64).min(1.0)
    }

    /// The height of the axis.
    fn base(&self) -> f64 {
        TOP + self.row * self.order.len().max(1) as f64 + 6.0
    }

    /// The axis, with the steps where histories part.
    fn draw_steps(&self, svg: &mut Svg<'_>) {
        let (from, to) = self.span;
        let (base, forks) = (self.base(), self.lineage.forks());
        svg.line((LEFT, base), (self.right, base), Stroke::of(Ink::Line, 1.0));
        let marks: BTreeSet<u64> = forks.iter().copied().chain([from, to]).collect();
        let mut free = f64::NEG_INFINITY;
        for mark in marks {
            let x = self.x(mark);
            let is_first_fork = forks.first() == Some(&mark) && mark > from;
            let text = if is_first_fork { format!("fork {}", grouped(mark)) } else { grouped(mark) };
            let half = width_of(&text, 11.0) / 2.0 + 3.0;
            let at = x.max(half).min(WIDTH - half);
            svg.line((x, base), (x, base + 4.0), Stroke::of(Ink::Soft, 1.0));
            if forks.contains(&mark) {
                svg.line((x, TOP), (x, base), Stroke::of(Ink::Line, 1.0).dashed("2 3"));
            }
            if at - half >= free {
                svg.text((at, base + 16.0), Anchor::Middle, Ink::Soft, 11.0, &text);
                free = at + half;
            }
        }
    }

    /// A stretch: whole where it is trained, dotted where it is not yet; its stage edges as short marks.
    fn draw_node(&self, svg: &mut Svg<'_>, index: usize, node: &Node) {
        let branches = self.lineage.branches_of(node);
        let ink = Ink::of(&branches);
        let (y, from, to) = (self.heights[index], self.x(node.from), self.x(node.to));
        if let Some(above) = node.parent.and_then(|parent| self.heights.get(parent)) {
            svg.line((from, *above), (from, y), Stroke::of(Ink::Trunk, 1.5));
        }
        let (first, last) = (grouped(node.from), grouped(node.to));
        svg.open(if let [branch] = branches[..] { Some(branch) } else { None });
        svg.describe(&format!("{}, {first} to {last}: {}", node.owner, node.progress.word()));
        let reached = self.x(node.reached.clamp(node.from, node.to.max(node.from)));
        let width = if ink == Ink::Trunk { 2.5 } else { 2.0 };
        if reached > from {
            svg.line((from, y), (reached, y), Stroke::of(ink, width));
        }
        if reached < to {
            svg.line((reached, y), (to, y), Stroke::of(ink, 1.5).dashed("1 4"));
        }
        if let [branch] = branches[..] {
            self.draw_stages(svg, branch, node, y);
        } else if to - from > width_of(&node.owner, 11.0) + 14.0 {
            svg.text((from + 4.0, y - 5.0), Anchor::Start, Ink::Soft, 11.0, &node.owner);
        }
        svg.close();
    }

    fn draw_stages(&self, svg: &mut Svg<'_>, branch: usize, node: &Node, y: f64) {
        for stage in self.lineage.stages(branch).iter().filter(|stage| (node.from + 1..node.to).contains(&stage.from)) {
            let x = self.x(stage.from);
            svg.line((x, y - 4.0), (x, y + 4.0), Stroke::of(Ink::Branch(branch), 1.5));
        }
    }

    /// Names at the ends; a ring where a leaf is not yet at its end.
    fn draw_leaves(&self, svg: &mut Svg<'_>) {
        let mut said = None;
        for (row, leaf) in self.order.iter().map(|leaf| &self.lineage.leaves[*leaf]).enumerate() {
            let (x, y) = (self.x(leaf.end), self.row_height(row));
            svg.open(Some(leaf.branch));
            match leaf.reached >= leaf.end {
                true => svg.dot((x, y), 3.0, Ink::Branch(leaf.branch), ""),
                false => svg.ring((x, y), 3.0, Ink::Branch(leaf.branch)),
            }
            if said != Some(leaf.branch) {
                let name = self.lineage.name(leaf.branch);
                let is_reference = self.lineage.branches.get(leaf.branch).is_some_and(|branch| branch.reference);
                let at = (self.right + 10.0, y + 4.0);
                match is_reference {
                    true => svg.bold(at, Anchor::Start, Ink::Text, 12.0, name),
                    false => svg.text(at, Anchor::Start, Ink::Text, 12.0, name),
                }
            }
            if let Some(seed) = leaf.seed {
                svg.text((self.right + 18.0 + self.names, y + 4.0), Anchor::Start, Ink::Soft, 11.0, &format!("#{seed}"));
            }
            said = Some(leaf.branch);
            svg.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn every_leaf_has_a_row_and_every_fork_its_step() {
        let lineage = testing::lineage(3, &[1, 2]);
        assert_eq!(order(&lineage), [0, 1, 2, 3, 4, 5]);
        let drawing = draw(&lineage, &Palette::of(&lineage));
        assert!(drawing.contains(">fork 600</text>") && drawing.contains(">1,600</text>"), "{drawing}");
        assert_eq!(drawing.matches(">branch_1</text>").count(), 1);
        assert!(drawing.contains("<title>trunk, 0 to 600: trained</title>"), "{drawing}");
    }

    #[test]
    fn what_is_not_trained_is_dotted() {
        let mut lineage = testing::lineage(1, &[1]);
        assert!(!draw(&lineage, &Palette::of(&lineage)).contains("dasharray=\"1 4\""));
        lineage.nodes[1].reached = 700;
        lineage.leaves[0].reached = 700;
        let drawing = draw(&lineage, &Palette::of(&lineage));
        assert!(drawing.contains("stroke-dasharray=\"1 4\"") && drawing.contains("class=\"f-paper s-c c0\""), "{drawing}");
    }

    #[test]
    fn an_empty_lineage_is_drawn_all_the_same() {
        let lineage = Lineage { branches: vec![], leaves: vec![], nodes: vec![] };
        assert!(!draw(&lineage, &Palette::of(&lineage)).contains("NaN"));
    }
}
