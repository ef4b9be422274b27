//! The prefix tree of histories: what leaves share, and where they part.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::history::{History, Id};

/// A point where histories part, fork or end. The edge above a node is the segment from its parent to it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node above; `None` for the first node of a root, whose edge starts at the fresh weights.
    pub parent: Option<usize>,
    pub children: Vec<usize>,
    /// Step of the node; the history up to it names its checkpoint.
    pub step: u64,
    /// Step at which the edge above begins.
    pub from: u64,
    pub id: Id,
    /// The lowest index of the histories that pass through the edge above.
    pub first: usize,
    /// Indices of the histories that end here.
    pub ends: Vec<usize>,
    /// The nodes from this one up to here, exclusively, are it and all below it.
    below: usize,
}

/// All nodes, parents before children, and what is below a node directly behind it.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

/// A history with the steps at which it wants a node of its own (forks), in rising order.
pub struct Path<'a> {
    pub history: &'a History,
    pub marks: Vec<u64>,
}

/// A node while the tree is made.
struct Draft {
    step: u64,
    parent: Option<usize>,
    ends: Vec<usize>,
}

/// The nodes on the way of one history after the other, each history beside the one that it agrees with longest. Nothing
/// here goes through all that pass a node: in a line of thousands of forks that would be the square of its length.
#[derive(Default)]
struct Sketch {
    drafts: Vec<Draft>,
    /// Drafts on the way of the history at hand, from the root on.
    way: Vec<usize>,
}

impl Tree {
    /// Joins histories as far as they agree.
    pub fn new(paths: &[Path<'_>]) -> Tree {
        let mut roots: BTreeMap<Id, Vec<usize>> = BTreeMap::new();
        for (index, path) in paths.iter().enumerate() {
            // The history cut to nothing is named by its root alone; the first span decides the rest.
            roots.entry(path.history.cut(path.history.start()).id()).or_default().push(index);
        }
        let mut tree = Tree::default();
        for members in roots.into_values().rev() {
            for group in by_first_span(paths, &members) {
                tree.extend(paths, Sketch::new(paths, group).drafts);
            }
        }
        for index in (0..tree.nodes.len()).rev() {
            let last = tree.nodes[index].children.last();
            tree.nodes[index].below = last.map_or(index + 1, |&last| tree.nodes[last].below);
        }
        tree
    }

    /// Takes over drafts, parents before children and children by the lowest history that passes through them.
    fn extend(&mut self, paths: &[Path<'_>], mut drafts: Vec<Draft>) {
        let mut first: Vec<usize> = drafts.iter().map(|draft| draft.ends.iter().copied().min().unwrap_or(usize::MAX)).collect();
        let mut children: Vec<Vec<usize>> = vec![vec![]; drafts.len()];
        let mut open: Vec<(usize, Option<usize>)> = Vec::new();
        // What is deeper comes later.
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        order.sort_unstable_by_key(|&draft| std::cmp::Reverse(drafts[draft].step));
        for draft in order {
            match drafts[draft].parent {
                Some(parent) => {
                    first[parent] = first[parent].min(first[draft]);
                    children[parent].push(draft);
                }
                None => open.push((draft, None)),
            }
        }
        children.iter_mut().for_each(|children| children.sort_unstable_by_key(|&child| first[child]));
        while let Some((draft, parent)) = open.pop() {
            let index = self.nodes.len();
            let history = paths[first[draft]].history;
            let mut ends = std::mem::take(&mut drafts[draft].ends);
            ends.sort_unstable();
            let step = drafts[draft].step;
            let from = parent.map_or(history.start(), |parent: usize| {
                self.nodes[parent].children.push(index);
                self.nodes[parent].step
            });
            let id = history.ids([step])[0];
            self.nodes.push(Node { parent, children: vec![], step, from, id, first: first[draft], ends, below: 0 });
            open.extend(children[draft].iter().rev().map(|&child| (child, Some(index))));
        }
    }

    /// Indices of the histories that pass through the edge above a node, in no particular order. They end at the node or below
    /// it, and are not kept in a list: in a tree that sheds one leaf after the other, all the lists together would be as long
    /// as the square of the leaves.
    pub fn through(&self, node: usize) -> impl Iterator<Item = usize> {
        self.nodes[self.below(node)].iter().flat_map(|node| node.ends.iter().copied())
    }

    /// The numbers of a node and of all nodes below it.
    pub fn below(&self, node: usize) -> Range<usize> {
        node..self.nodes[node].below
    }

    /// The nodes from the root down to a history's end.
    pub fn path_to_end(&self, member: usize) -> Vec<usize> {
        let mut path = Vec::new();
        let mut at = self.nodes.iter().position(|node| node.ends.contains(&member));
        while let Some(index) = at {
            path.push(index);
            at = self.nodes[index].parent;
        }
        path.reverse();
        path
    }
}

impl Sketch {
    /// The nodes of histories with one root and one first span.
    fn new(paths: &[Path<'_>], mut members: Vec<usize>) -> Sketch {
        members.sort_by(|&a, &b| order(paths[a].history, paths[b].history));
        let mut sketch = Sketch::default();
        let mut before: Option<&History> = None;
        for member in members {
            let Path { history, marks } = &paths[member];
            if let Some(before) = before {
                sketch.part(before.agrees_until(history));
            }
            for &mark in marks.iter().filter(|mark| (history.start() + 1..history.end()).contains(mark)) {
                sketch.at(mark);
            }
            let end = sketch.at(history.end());
            sketch.drafts[end].ends.push(member);
            before = Some(history);
        }
        sketch
    }

    /// Leaves the way behind a step, at which there is a node from now on.
    fn part(&mut self, step: u64) {
        let mut left = None;
        while let Some(last) = self.way.pop_if(|last| self.drafts[*last].step > step) {
            left = Some(last);
        }
        let here = self.at(step);
        // What was left hangs on the node before it, or on one that has come in between.
        if let Some(left) = left {
            self.drafts[left].parent = Some(here);
        }
    }

    /// The node at a step of the way.
    fn at(&mut self, step: u64) -> usize {
        match self.way.binary_search_by_key(&step, |&draft| self.drafts[draft].step) {
            Ok(place) => self.way[place],
            Err(place) => {
                let draft = self.drafts.len();
                let parent = place.checked_sub(1).map(|before| self.way[before]);
                self.drafts.push(Draft { step, parent, ends: vec![] });
                if let Some(&next) = self.way.get(place) {
                    self.drafts[next].parent = Some(draft);
                }
                self.way.insert(place, draft);
                draft
            }
        }
    }
}

/// Orders histories with one root so that those that pass through a node stand side by side: by what each does where they
/// part, first by when.
fn order(a: &History, b: &History) -> Ordering {
    let equal = a.spans().common(b.spans());
    let next = |history: &History| history.spans().name(equal).map_or((history.end(), None), |(from, id)| (from, Some(id)));
    next(a).cmp(&next(b))
}

/// Groups histories by their first span, in the order of their first members.
fn by_first_span(paths: &[Path<'_>], members: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut places: BTreeMap<Option<(u64, Id)>, usize> = BTreeMap::new();
    for &member in members {
        let place = *places.entry(paths[member].history.spans().name(0)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(member),
            None => groups.push(vec![member]),
        }
    }
    groups
}
