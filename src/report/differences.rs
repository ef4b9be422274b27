//! In which settings histories differ, and from where.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::history::{Change, History, changes, listed, root_changes};

/// Steps over which two histories differ in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    pub from: u64,
    pub to: u64,
    pub changes: Vec<Change>,
}

/// How two histories compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Step up to which they are the same; none where their roots differ.
    pub identical_to: Option<u64>,
    pub roots: Vec<Change>,
    /// Where both go on, the stretches over which their settings differ.
    pub stretches: Vec<Stretch>,
    /// Last steps of the two.
    pub ends: (u64, u64),
}

/// Compares two histories step by step.
pub fn divergence(a: &History, b: &History) -> Difference {
    let common = a.common_step(b);
    let from = common.unwrap_or(a.start().max(b.start()));
    let end = a.end().min(b.end());
    let edges: BTreeSet<u64> = a.edges().chain(b.edges()).filter(|edge| (from..end).contains(edge)).chain([from]).collect();
    let mut stretches: Vec<Stretch> = Vec::new();
    for edge in edges.into_iter().filter(|edge| *edge < end) {
        let found = changes(a.settings(edge), b.settings(edge));
        if let Some(last) = stretches.last_mut() {
            last.to = edge;
            if last.changes == found {
                last.to = end;
                continue;
            }
        }
        stretches.push(Stretch { from: edge, to: end, changes: found });
    }
    stretches.retain(|stretch| !stretch.changes.is_empty());
    Difference { identical_to: common, roots: root_changes(a.root(), b.root()), stretches, ends: (a.end(), b.end()) }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.identical_to {
            None => write!(f, "nothing in common: {}", listed(&self.roots))?,
            Some(step) if self.stretches.is_empty() && self.ends.0 == self.ends.1 => {
                return write!(f, "identical to step {step}, the end of both");
            }
            Some(step) if self.stretches.is_empty() => {
                return write!(
                    f,
                    "identical to step {step}; then only one of them goes on, to {}",
                    self.ends.0.max(self.ends.1)
                );
            }
            Some(step) => write!(f, "identical to step {step}; then {}", listed(&self.stretches[0].changes))?,
        }
        let later = if self.identical_to.is_some() { 1 } else { 0 };
        for stretch in self.stretches.iter().skip(later) {
            write!(f, "\n  from {} to {}: {}", stretch.from, stretch.to, listed(&stretch.changes))?;
        }
        Ok(())
    }
}

/// Every setting in which the histories differ at some step from `from` on, with the number of different courses it takes.
pub fn settings_that_differ(histories: &[&History], from: u64) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for (index, a) in histories.iter().enumerate() {
        for b in &histories[index + 1..] {
            let found: BTreeSet<String> = divergence(a, b)
                .stretches
                .into_iter()
                .filter(|stretch| stretch.to > from)
                .flat_map(|stretch| stretch.changes.into_iter().map(|change| change.setting))
                .collect();
            found.into_iter().for_each(|name| *names.entry(name).or_insert(0) += 1);
        }
    }
    names
}
