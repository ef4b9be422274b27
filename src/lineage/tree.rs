//! The prefix tree of histories: what leaves share, and where they part.

use std::collections::BTreeMap;

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

/// Histories that agree up to `step`, all governed there by their span number `span`.
struct Group {
    parent: Option<usize>,
    members: Vec<usize>,
    span: usize,
    step: u64,
}

impl Tree {
    /// Joins histories as far as they agree.
    pub fn new(paths: &[Path<'_>]) -> Tree {
        let mut tree = Tree::default();
        let mut roots: BTreeMap<Id, Vec<usize>> = BTreeMap::new();
        for (index, path) in paths.iter().enumerate() {
            // The history cut to nothing is named by its root alone; the first span decides the rest.
            roots.entry(path.history.cut(path.history.start()).id()).or_default().push(index);
        }
        let mut open: Vec<Group> = Vec::new();
        for members in roots.into_values() {
            let start = paths[members[0]].history.start();
            let groups = partition(paths, &members, 0);
            open.extend(groups.into_iter().rev().map(|members| Group { parent: None, members, span: 0, step: start }));
        }
        while let Some(group) = open.pop() {
            tree.grow(paths, group, &mut open);
        }
        for index in (0..tree.nodes.len()).rev() {
            let last = tree.nodes[index].children.last();
            tree.nodes[index].below = last.map_or(index + 1, |&last| tree.nodes[last].below);
        }
        tree
    }

    /// Indices of the histories that pass through the edge above a node, in no particular order. They end at the node or below
    /// it, and are not kept in a list: in a tree that sheds one leaf after the other, all the lists together would be as long
    /// as the square of the leaves.
    pub fn through(&self, node: usize) -> impl Iterator<Item = usize> {
        self.nodes[node..self.nodes[node].below].iter().flat_map(|node| node.ends.iter().copied())
    }

    /// Follows a group to its next node and opens the groups that go on from there.
    fn grow(&mut self, paths: &[Path<'_>], mut group: Group, open: &mut Vec<Group>) {
        let from = group.step;
        loop {
            let next = |&member: &usize| next_event(&paths[member], group.span, group.step);
            let Some(step) = group.members.iter().map(next).min() else { return };
            let (ending, going): (Vec<usize>, Vec<usize>) =
                group.members.iter().partition(|&&m| paths[m].history.end() == step);
            let (turning, staying): (Vec<usize>, Vec<usize>) = going
                .iter()
                .partition(|&&m| paths[m].history.spans().get(group.span + 1).is_some_and(|span| span.from == step));
            let turned = partition(paths, &turning, group.span + 1);
            let marked = group.members.iter().any(|&m| paths[m].marks.contains(&step));
            let parts = turned.len() + usize::from(!staying.is_empty());
            if ending.is_empty() && !marked && parts == 1 {
                group.span += usize::from(staying.is_empty());
                group.step = step;
                continue;
            }
            let id = paths[group.members[0]].history.ids([step])[0];
            let (parent, first) = (group.parent, group.members[0]);
            let node = Node { parent, children: vec![], step, from, id, first, ends: ending, below: 0 };
            let index = self.nodes.len();
            if let Some(parent) = node.parent {
                self.nodes[parent].children.push(index);
            }
            self.nodes.push(node);
            let parent = Some(index);
            let mut next: Vec<Group> =
                turned.into_iter().map(|members| Group { parent, members, span: group.span + 1, step }).collect();
            if !staying.is_empty() {
                next.push(Group { parent, members: staying, span: group.span, step });
            }
            next.sort_by_key(|group| group.members[0]);
            open.extend(next.into_iter().rev());
            return;
        }
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

/// The next step past `step` at which a history turns into its next span, ends, or wants a node.
fn next_event(path: &Path<'_>, span: usize, step: u64) -> u64 {
    let turn = path.history.spans().get(span + 1).map_or(path.history.end(), |span| span.from);
    let mark = path.marks.iter().copied().find(|&mark| mark > step).unwrap_or(turn);
    turn.min(mark).min(path.history.end())
}

/// Groups histories by their span number `span`, in the order of their first members.
fn partition(paths: &[Path<'_>], members: &[usize], span: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut places: BTreeMap<Option<(u64, Id)>, usize> = BTreeMap::new();
    for &member in members {
        let place = *places.entry(paths[member].history.spans().name(span)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(member),
            None => groups.push(vec![member]),
        }
    }
    groups
}
