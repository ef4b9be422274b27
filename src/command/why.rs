//! `runner plan --why`: which existing checkpoints do not apply, and what file, field or part version keeps them away.

use serde::Serialize;

use super::context::{Context, Ready};
use super::diagnostics::line_of;
use crate::history::FirstDifference;
use crate::lineage::{Leaf, LeafKey};
use crate::plan::{Owner, Plan, Segment};
use crate::spec::{CurriculumChoice, Name, Parent, Place};
use crate::store::{Found, Inventory};

/// A checkpoint that exists where a segment is to be trained, and does not apply.
#[derive(Debug, Serialize)]
pub(crate) struct NotApplied {
    pub segment: String,
    pub checkpoint: String,
    /// Where its history and the planned one begin to differ, and in what.
    #[serde(flatten)]
    pub first: FirstDifference,
    /// Where the planned settings come from: file, line and field.
    pub written: Vec<String>,
}

impl std::fmt::Display for NotApplied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.first.from();
        writeln!(f, "{}: `{}` does not apply: {from} its history is another", self.segment, self.checkpoint)?;
        for (change, written) in self.first.changes.iter().zip(&self.written) {
            writeln!(f, "  {}: {} there, {} here; {written}", change.setting, change.from, change.to)?;
        }
        Ok(())
    }
}

/// For every segment that is to be trained, the deepest checkpoint in its folder that is not on any planned history.
pub(crate) fn not_applied(context: &Context, ready: &Ready, plan: &Plan, inventory: &Inventory) -> Vec<NotApplied> {
    let segments = plan.segments.iter();
    segments.filter_map(|segment| explain(context, ready, plan, inventory, segment)).collect()
}

fn explain(context: &Context, ready: &Ready, plan: &Plan, inventory: &Inventory, segment: &Segment) -> Option<NotApplied> {
    let folder = match &segment.owner {
        Owner::Leaf(key) => context.store.leaf_folder(key),
        Owner::Shared(name) => context.store.shared_folder(name),
    };
    let mut here: Vec<&Found> = inventory.checkpoints.values().filter(|found| found.path.parent() == Some(&folder)).collect();
    here.sort_by_key(|found| std::cmp::Reverse(found.manifest.step));
    let applies = |found: &Found| {
        let step = found.manifest.step;
        plan.members.iter().any(|member| member.history.end() >= step && member.history.ids([step])[0] == found.manifest.id)
    };
    let other = here.into_iter().find(|found| !applies(found))?;
    let recorded = context.store.history(other).ok()?;
    let first = FirstDifference::between(&recorded, &segment.history);
    let leaf = leaf_of(ready, plan, segment)?;
    let written = first.changes.iter().map(|change| written(ready, leaf, &change.setting, first.step)).collect();
    Some(NotApplied { segment: segment.owner.to_string(), checkpoint: context.store.shown(&other.path), first, written })
}

/// The leaf that decides over a segment.
fn leaf_of<'a>(ready: &'a Ready, plan: &Plan, segment: &Segment) -> Option<&'a Leaf> {
    let leaves = &ready.resolution.experiments.get(segment.owner.experiment())?.leaves;
    let key: Option<&LeafKey> = match &segment.owner {
        Owner::Leaf(key) => Some(key),
        Owner::Shared(_) => plan.leaves(segment).next(),
    };
    leaves.iter().find(|leaf| Some(&leaf.key) == key).or(leaves.first())
}

/// Where a setting of a leaf at a step was written.
fn written(ready: &Ready, leaf: &Leaf, setting: &str, step: Option<u64>) -> String {
    if let Some(part) = setting.strip_prefix("version of ") {
        return format!("the code of `{part}` has another version; `--from-recorded` goes on from what was recorded");
    }
    // A setting before the fork is the parent's.
    let mut leaf = leaf;
    while let Some(fork) = leaf.fork.as_ref().filter(|fork| step.is_none_or(|step| step < fork.step)) {
        let parent = ready.resolution.experiments.get(&fork.parent.experiment);
        match parent.and_then(|parent| parent.leaves.iter().find(|leaf| leaf.key == fork.parent)) {
            Some(parent) => leaf = parent,
            None => break,
        }
    }
    let stage_field = match setting {
        "length"
        | "clean_share"
        | "noise_peaks"
        | "grass_peaks"
        | "spike_peaks"
        | "peak_dropout"
        | "signal_suppression"
        | "mass_error_ppm"
        | "intensity_variation" => Some("data"),
        "CrossEntropy" | "Spectrum" | "Precursor" => Some("loss"),
        _ => None,
    };
    match stage_field {
        Some(field) => stage(ready, leaf, field, step.unwrap_or(0)),
        None => training(ready, &leaf.key.experiment, leaf, setting),
    }
}

/// The stage in force at a step, in the file of its curriculum.
fn stage(ready: &Ready, leaf: &Leaf, field: &str, step: u64) -> String {
    let experiment = &ready.loaded.library.experiments[&leaf.key.experiment];
    let branches = experiment.value.all_branches();
    let index = branches.iter().position(|branch| branch.name == leaf.key.branch).unwrap_or(0);
    let at = experiment.value.branch_place(index, "curriculum");
    let number = leaf.stages.iter().rposition(|stage| stage.from <= step).unwrap_or(0);
    let inner = Place::root().field("stages").index(number).field(field);
    match branches.get(index).map(|branch| &branch.curriculum) {
        Some(CurriculumChoice::File(name) | CurriculumChoice::Moved { of: name, .. }) => {
            match ready.loaded.library.curricula.get(name) {
                Some(known) => said(ready, &known.origin.file, &known.origin.at.join(&inner)),
                None => format!("curriculum `{name}`"),
            }
        }
        _ => said(ready, &experiment.origin.file, &experiment.origin.at.join(&at)),
    }
}

/// A setting of the training, or of the root: in the leaf's `change`, or in the root's own fields.
fn training(ready: &Ready, name: &Name, leaf: &Leaf, setting: &str) -> String {
    let field = match setting {
        "learning rate" => "lr",
        other => other,
    };
    let Some(experiment) = ready.loaded.library.experiments.get(name) else { return format!("experiment `{name}`") };
    let parent = Place::root().field("parent");
    let place = match (&experiment.value.parent, field) {
        (Parent::Checkpoint(_), "seed") => Place::root().field("seeds"),
        (Parent::Checkpoint(_), _) => {
            let branches = experiment.value.all_branches();
            let index = branches.iter().position(|branch| branch.name == leaf.key.branch).unwrap_or(0);
            let changed = branches.get(index).is_some_and(|branch| branch.change.is_some());
            match (changed, &leaf.fork) {
                (false, Some(fork)) if fork.parent.experiment != *name => {
                    let above = ready.resolution.experiments.get(&fork.parent.experiment);
                    let above = above.and_then(|above| above.leaves.iter().find(|leaf| leaf.key == fork.parent));
                    return above.map_or_else(
                        || format!("experiment `{name}`"),
                        |above| training(ready, &fork.parent.experiment, above, setting),
                    );
                }
                _ => experiment.value.branch_place(index, "change"),
            }
        }
        (_, "weights" | "seed") => parent.field("seed"),
        (_, "model" | "data") => parent.field(field),
        _ => parent.field("training").field(field),
    };
    said(ready, &experiment.origin.file, &experiment.origin.at.join(&place))
}

/// `experiments/a.ron:12, parent.training.batch`.
fn said(ready: &Ready, file: &str, place: &Place) -> String {
    let line = ready.loaded.texts.get(file).map(|text| line_of(&text.text, text.outline.span(place).start));
    match line {
        Some(line) => format!("see `{file}`, line {line} ({place})"),
        None => format!("see `{file}` ({place})"),
    }
}
