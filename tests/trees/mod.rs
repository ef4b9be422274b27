//! What must hold of every tree of histories, and of who owns its edges.

use proptest::prelude::*;
use runner::lineage::{LeafKey, Path, Tree};
use runner::plan::{Member, Owner, Plan};

/// An edge belongs to the experiment of the first leaf that passes it past its own fork: to the leaf, or to all where there
/// are several.
pub fn check_owners(plan: &Plan) -> Result<(), TestCaseError> {
    for (index, node) in plan.tree.nodes.iter().enumerate() {
        let mut through: Vec<usize> = plan.tree.through(index).collect();
        through.sort_unstable();
        let mut own: Vec<&LeafKey> = Vec::new();
        for member in through.iter().map(|&member| &plan.members[member]).filter(|member| member.own_from <= node.from) {
            if own.first().is_none_or(|first| first.experiment == member.key.experiment) {
                own.push(&member.key);
            }
        }
        let owner = match own[..] {
            [] => Owner::Leaf(plan.members[node.first].key.clone()),
            [only] => Owner::Leaf(only.clone()),
            [first, ..] => Owner::Shared(first.experiment.clone()),
        };
        prop_assert_eq!(&plan.owners[index], &owner);
        let targets = through.into_iter().map(|member| &plan.members[member]).filter(|member| member.is_target);
        let named = |members: Vec<&Member>| members.into_iter().map(|member| member.key.clone()).collect::<Vec<_>>();
        prop_assert_eq!(named(plan.targets(index)), named(targets.collect()));
    }
    Ok(())
}

/// Every history runs down the tree without a gap, and two of them share edges exactly as far as they agree.
pub fn check_tree(paths: &[Path<'_>]) -> Result<(), TestCaseError> {
    let tree = Tree::new(paths);
    let lines: Vec<Vec<usize>> = (0..paths.len()).map(|member| tree.path_to_end(member)).collect();
    for (member, path) in paths.iter().enumerate() {
        let mut at = path.history.start();
        for &index in &lines[member] {
            let node = &tree.nodes[index];
            prop_assert!(node.from == at && node.step > at, "edges follow each other");
            prop_assert_eq!(node.id, path.history.ids([node.step])[0]);
            prop_assert!(tree.through(index).any(|other| other == member));
            at = node.step;
        }
        prop_assert_eq!(at, path.history.end());
        for mark in path.marks.iter().filter(|&&mark| mark < path.history.end()) {
            prop_assert!(lines[member].iter().any(|&index| tree.nodes[index].step == *mark), "a mark has its node");
        }
    }
    for (index, node) in tree.nodes.iter().enumerate() {
        let through: Vec<usize> = (0..paths.len()).filter(|&member| lines[member].contains(&index)).collect();
        let mut members: Vec<usize> = tree.through(index).collect();
        members.sort_unstable();
        prop_assert_eq!(&members, &through);
        prop_assert_eq!(node.first, through[0]);
        prop_assert!(node.parent.is_none_or(|parent| parent < index && tree.nodes[parent].children.contains(&index)));
        let marked = through.iter().any(|&member| paths[member].marks.contains(&node.step));
        prop_assert!(marked || !node.ends.is_empty() || node.children.len() > 1, "a node has a reason");
        let first: Vec<usize> = node.children.iter().map(|&child| tree.nodes[child].first).collect();
        prop_assert!(first.is_sorted(), "children stand in the order of the histories");
    }
    for a in 0..paths.len() {
        for b in 0..paths.len() {
            let shared = lines[a].iter().zip(&lines[b]).take_while(|(a, b)| a == b).map(|(index, _)| tree.nodes[*index].step);
            let common = paths[a].history.common_step(paths[b].history).unwrap_or(0);
            prop_assert_eq!(shared.max().unwrap_or(0), common, "{} and {}", a, b);
        }
    }
    Ok(())
}
