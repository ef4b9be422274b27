//! The checkpoints of a stretch that only guard against crashes, and the best so far, kept up to date step by step: looking
//! all of them up at every save would cost the more the longer training goes on.

use std::collections::BTreeMap;

use crate::history::Id;
use crate::plan::ROLLING;
use crate::store::Found;

/// Checkpoints with tensors by step that nothing keeps but their being recent, or their being the best.
#[derive(Default)]
pub struct Rolling {
    found: BTreeMap<u64, Found>,
    best: Option<(f64, Id)>,
}

impl Rolling {
    /// Adds a checkpoint that nothing else keeps.
    pub fn add(&mut self, found: Found) {
        self.found.insert(found.manifest.step, found);
    }

    /// Takes note of what a saved checkpoint scored, in the order of steps; of equals the earliest is the best.
    pub fn scored(&mut self, id: Id, score: f64) {
        if self.best.is_none_or(|(best, _)| score > best) {
            self.best = Some((score, id));
        }
    }

    /// Gives away all but the last few, and but the best, in the order of steps.
    pub fn surplus(&mut self) -> Vec<Found> {
        let best = self.best.map(|(_, id)| id);
        let steps: Vec<u64> =
            self.found.values().filter(|found| Some(found.manifest.id) != best).map(|f| f.manifest.step).collect();
        let surplus = steps.len().saturating_sub(ROLLING);
        steps[..surplus].iter().filter_map(|step| self.found.remove(step)).collect()
    }
}
