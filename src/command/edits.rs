//! Edits after a run began are judged by history: extensions go on, the rest is refused.

use super::context::{Context, Ready};
use super::{Fault, note};
use crate::history::FirstDifference;
use crate::lineage::{Leaf, Resolved};
use crate::spec::Name;
use crate::store::Inventory;

/// Compares every experiment of a plan that has run before with what it was then; says where steps already trained would
/// get another history.
pub(crate) fn refuse_edits(context: &Context, ready: &Ready, inventory: &Inventory) -> Result<(), Fault> {
    for (name, resolved) in &ready.resolution.experiments {
        let Some(before) = earlier(context, name) else { continue };
        for leaf in &resolved.leaves {
            let Some(old) = before.leaves.iter().find(|old| old.key == leaf.key) else { continue };
            if let Some(conflict) = conflict(old, leaf, inventory) {
                let way_out = match *name == ready.name {
                    true => {
                        "save the file under another name, or train again with `--replace` (the old run goes to runs/.trash)"
                            .to_owned()
                    }
                    false => format!(
                        "put `experiments/{name}.ron` back as it was, or save it under another name; `runner run --replace experiments/{name}.ron` trains it again"
                    ),
                };
                return Err(Fault::Arguments(format!("{conflict}\n  = help: {way_out}")));
            }
        }
    }
    Ok(())
}

/// The experiment as it was when it was last run, read from its saved file.
fn earlier(context: &Context, name: &Name) -> Option<Resolved> {
    let path = context.store.saved_experiment(name);
    if !path.exists() {
        return None;
    }
    match context.ready(&path) {
        Ok(mut ready) => ready.resolution.experiments.remove(name),
        Err(_) => {
            note(&format!(
                "warning: `{}` cannot be read any more; edits of `{name}` are not judged",
                context.store.shown(&path)
            ));
            None
        }
    }
}

/// Where a leaf's history would change below its deepest checkpoint.
fn conflict(old: &Leaf, new: &Leaf, inventory: &Inventory) -> Option<String> {
    let steps: std::collections::BTreeSet<u64> =
        inventory.checkpoints.values().map(|found| found.manifest.step).filter(|&step| step <= old.history.end()).collect();
    let ids = old.history.ids(steps.iter().copied());
    let trained = steps.into_iter().zip(ids).rfind(|(_, id)| inventory.checkpoints.contains_key(id))?.0;
    let own = old.own_from();
    let common = new.history.common_step(&old.history);
    if trained <= own && common.is_some()
        || common.is_some_and(|common| common >= trained)
        || new.history.end() <= common.unwrap_or(0)
    {
        return None;
    }
    let what = FirstDifference::between(&old.history, &new.history);
    Some(format!("`{}` is trained to step {trained}, and the edited file gives it another history: {what}", new.key))
}
