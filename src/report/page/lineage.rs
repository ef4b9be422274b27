//! Branches, leaves, and the tree in which their histories share and part.

use std::collections::BTreeSet;

use serde::Serialize;

/// The prefix tree of the leaves' histories.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lineage {
    /// In the order of the file.
    pub branches: Vec<Branch>,
    /// Branch by branch, seeds in the order of the file.
    pub leaves: Vec<Leaf>,
    /// Parents before children.
    pub nodes: Vec<Node>,
}

/// A branch, with its stages over the whole lineage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Branch {
    pub name: String,
    /// Whether the others are compared with it.
    pub reference: bool,
    /// From the root's first step on, those before the fork as the trunk was trained; without gaps, in order.
    pub stages: Vec<Stage>,
}

/// Settings in force from one step until another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    pub from: u64,
    /// The step at which the next one begins, or the branch's last.
    pub to: u64,
    pub name: String,
    /// Weight of each loss that is on.
    pub weights: Vec<(String, f64)>,
}

/// A branch under one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaf {
    pub branch: usize,
    /// None where the experiment declares no seeds.
    pub seed: Option<u64>,
    /// `early#1`.
    pub key: String,
    /// Its last step.
    pub end: u64,
    /// The step up to which it is trained.
    pub reached: u64,
}

/// A stretch of the tree: the segment between two points where histories part, fork or end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The stretch above; none for a root's first.
    pub parent: Option<usize>,
    pub from: u64,
    pub to: u64,
    /// Who trained it: `ce_baseline`, `precursor_timing/early#1`.
    pub owner: String,
    /// Leaves that pass through it.
    pub leaves: Vec<usize>,
    pub progress: Progress,
    /// The step up to which it is trained; `from` where it is only planned.
    pub reached: u64,
}

/// How far a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    Trained,
    Training,
    Planned,
    Failed,
}

/// A stretch that a set of branches passes, under all seeds: nodes that differ in their seed alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    pub branches: Vec<usize>,
    pub from: u64,
    pub to: u64,
    /// The passage above, by its place in the list.
    pub parent: Option<usize>,
    pub nodes: Vec<usize>,
}

impl Lineage {
    /// First and last step.
    pub(super) fn span(&self) -> (u64, u64) {
        let from = self.nodes.iter().map(|node| node.from).min().unwrap_or(0);
        let to = self.nodes.iter().map(|node| node.to).max().unwrap_or(0);
        (from, to.max(from + 1))
    }

    /// Steps at which histories part, in rising order.
    pub(super) fn forks(&self) -> Vec<u64> {
        let parents = self.nodes.iter().filter_map(|node| node.parent);
        let steps: BTreeSet<u64> = parents.filter_map(|parent| self.nodes.get(parent)).map(|node| node.to).collect();
        steps.into_iter().collect()
    }

    /// The branch whose stages lie under the curves at first: not the reference, which usually has nothing new.
    pub(super) fn focus(&self) -> usize {
        self.branches.iter().position(|branch| !branch.reference).unwrap_or(0)
    }

    pub(super) fn reference(&self) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.reference)
    }

    /// A branch's stages; none where there is no such branch.
    pub(super) fn stages(&self, branch: usize) -> &[Stage] {
        match self.branches.get(branch) {
            Some(branch) => &branch.stages,
            None => &[],
        }
    }

    /// A branch's name; a question mark where there is no such branch.
    pub(super) fn name(&self, branch: usize) -> &str {
        self.branches.get(branch).map_or("?", |branch| &branch.name)
    }

    /// The branches of a node's leaves, in order.
    pub(super) fn branches_of(&self, node: &Node) -> Vec<usize> {
        let branches: BTreeSet<usize> =
            node.leaves.iter().filter_map(|leaf| self.leaves.get(*leaf)).map(|leaf| leaf.branch).collect();
        branches.into_iter().collect()
    }

    pub(super) fn passages(&self) -> Vec<Passage> {
        let mut passages: Vec<Passage> = Vec::new();
        let mut of_node: Vec<usize> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let branches = self.branches_of(node);
            let same = |passage: &Passage| passage.from == node.from && passage.to == node.to && passage.branches == branches;
            let place = passages.iter().position(same).unwrap_or(passages.len());
            if place == passages.len() {
                let parent = node.parent.and_then(|parent| of_node.get(parent).copied());
                passages.push(Passage { branches, from: node.from, to: node.to, parent, nodes: vec![] });
            }
            passages[place].nodes.push(index);
            of_node.push(place);
        }
        passages
    }
}

impl Stage {
    /// `CrossEntropy 1, Spectrum 0.08`.
    pub(super) fn text(&self) -> String {
        self.weights.iter().map(|(loss, weight)| format!("{loss} {weight}")).collect::<Vec<_>>().join(", ")
    }
}

impl Progress {
    pub(super) fn word(self) -> &'static str {
        match self {
            Progress::Trained => "trained",
            Progress::Training => "in training",
            Progress::Planned => "planned",
            Progress::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;

    #[test]
    fn nodes_that_differ_in_their_seed_alone_are_one_passage() {
        let lineage = testing::lineage(2, &[1, 2, 3]);
        let passages = lineage.passages();
        assert_eq!(lineage.nodes.len(), 7);
        assert_eq!(passages.len(), 3);
        assert_eq!((passages[0].branches.as_slice(), passages[0].parent), ([0, 1].as_slice(), None));
        assert_eq!((passages[2].nodes.as_slice(), passages[2].parent), ([4, 5, 6].as_slice(), Some(0)));
        assert_eq!((lineage.span(), lineage.forks()), ((0, 1_600), vec![600]));
        assert_eq!((lineage.focus(), lineage.reference().map(|branch| branch.name.as_str())), (0, Some("branch_1")));
    }
}
