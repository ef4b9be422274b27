//! What people are told beside an error, or without one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::resolved::{Leaf, Note, StageStart};
use crate::history::Id;
use crate::spec::{Curriculum, closest};

/// Stages that never govern a trained step, and losses that are on from the fork's first step.
pub fn stage_notes(leaf: &Leaf) -> Vec<Note> {
    let note = |text: String| Note { leaf: leaf.key.clone(), text };
    let own = leaf.own_from();
    let list = |stages: Vec<&StageStart>, what: &str| {
        let label = |stage: &&StageStart| {
            stage.name.as_ref().map_or(format!("from {}", stage.from), |name| format!("`{name}` from {}", stage.from))
        };
        let labels = stages.iter().map(label).collect::<Vec<_>>().join(", ");
        (!stages.is_empty()).then(|| note(format!("{what}: {labels}")))
    };
    let (past, within): (Vec<&StageStart>, Vec<&StageStart>) =
        leaf.stages.iter().partition(|stage| stage.from >= leaf.history.end());
    let nexts = leaf.stages.iter().skip(1).map(|stage| stage.from);
    let over =
        within.into_iter().zip(nexts).filter(|(_, next)| leaf.fork.is_some() && *next <= own).map(|(stage, _)| stage).collect();
    let mut notes = Vec::new();
    notes.extend(list(over, &format!("stages that end before the fork at {own}")));
    notes.extend(list(past, &format!("stages that start at or past the last step {}", leaf.history.end())));
    if leaf.fork.is_some() && own > leaf.history.start() {
        let (before, after) = (leaf.history.settings(own - 1), leaf.history.settings(own));
        for (loss, term) in after.losses.iter().filter(|(loss, _)| !before.losses.contains_key(loss)) {
            notes.push(note(format!("`{loss}` is on from the fork's first step {own}, with weight {}", term.weight.at(own))));
        }
    }
    notes
}

/// Branches that are the same training under two names.
pub fn identical_branches(leaves: &[Leaf]) -> Vec<Note> {
    let mut first: BTreeMap<Id, &Leaf> = BTreeMap::new();
    let same = |leaf: &Leaf, other: &Leaf| Note {
        leaf: leaf.key.clone(),
        text: format!("is the same training as `{}`", other.key.local()),
    };
    let mut notes = Vec::new();
    // A single leaf has nothing to be the same as, and hashing a history takes its time.
    for leaf in leaves.iter().filter(|_| leaves.len() > 1) {
        match first.entry(leaf.history.id()) {
            Entry::Occupied(other) => notes.push(same(leaf, other.get())),
            Entry::Vacant(free) => {
                free.insert(leaf);
            }
        }
    }
    notes
}

pub fn what_exists(written: &str, known: &[String], folder: &str) -> String {
    match closest(written, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("`{folder}` holds none"),
        None => {
            let mut shown = known.iter().take(12).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            if known.len() > 12 {
                shown += &format!(" and {} more", known.len() - 12);
            }
            format!("`{folder}` holds {shown}")
        }
    }
}

/// Of the divisors that give every step of a curriculum a whole step, the one nearest to what was written.
pub fn fitting_divisor(curriculum: &Curriculum, (multiply, divide): (u64, u64)) -> u64 {
    let steps = curriculum.stages.iter().flat_map(|stage| [stage.from, stage.ramp]);
    let greatest = steps.map(|step| step.saturating_mul(multiply)).fold(0, gcd).max(1);
    // Nobody means a larger one.
    const MOST: u64 = 100_000;
    let fitting = (1..=greatest.min(MOST)).filter(|divisor| greatest.is_multiple_of(*divisor));
    fitting.min_by_key(|divisor| divisor.abs_diff(divide)).unwrap_or(1)
}

pub fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
