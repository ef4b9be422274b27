//! The saved experiment: ordinary grammar, complete in itself.

use std::collections::BTreeMap;

use crate::lineage::{Resolution, Resolved};
use crate::load::Loaded;
use crate::record::Manifest;
use crate::spec::{
    Curriculum, Decide, Experiment, Imported, Library, Name, Parent, Recorded, RecordedEnd, Scratch, Source, ValidationData,
    render_ron,
};
use crate::store::Inventory;

/// The text of an experiment with its ancestors, curricula and the digests of its data, every default written out, and what
/// its run came to. `frozen` is the rule that stood when training began, which no edit replaces.
pub(crate) fn saved_text(
    name: &Name,
    loaded: &Loaded,
    resolution: &Resolution,
    inventory: &Inventory,
    frozen: Option<Option<Decide>>,
) -> String {
    let mut ancestors: BTreeMap<Name, Experiment> = BTreeMap::new();
    let mut curricula: BTreeMap<Name, Curriculum> = BTreeMap::new();
    let mut next = Some(name);
    while let Some(resolved) = next.and_then(|name| resolution.experiments.get(name)) {
        let named = resolved
            .curricula
            .iter()
            .filter_map(|name| Some((name.clone(), loaded.library.curricula.get(name)?.value.clone())));
        curricula.extend(named);
        ancestors.insert(resolved.name.clone(), complete(resolved, loaded));
        next = resolved.parent.as_ref().filter(|parent| !ancestors.contains_key(*parent));
    }
    let mut experiment = ancestors.remove(name).expect("the experiment is its own first");
    // A rule about a set, or branches, that are gone would make the saved file one that cannot be read.
    let sets = resolution.experiments.get(name).map_or(&[][..], |resolved| &resolved.validation[..]);
    let stands = |rule: &Option<Decide>| match rule {
        Some(rule) => experiment.all_branches().len() > 1 && sets.iter().any(|set| set.name.as_str() == rule.parts().0),
        None => true,
    };
    if let Some(rule) = frozen.filter(stands) {
        experiment.decide = rule;
    }
    let recorded = resolution.experiments.get(name).and_then(|resolved| recorded(resolved, inventory));
    experiment.library = Library { experiments: ancestors, curricula, recorded };
    render_ron(&experiment)
}

/// Where the leaves that have been trained to their ends came to; nothing where none has.
fn recorded(resolved: &Resolved, inventory: &Inventory) -> Option<Recorded> {
    let ends = resolved.leaves.iter().filter_map(|leaf| Some((leaf, inventory.checkpoints.get(&leaf.history.id())?)));
    let ends: Vec<_> = ends.map(|(leaf, found)| (leaf.key.local(), &found.manifest)).collect();
    let numerics = &ends.first()?.1.numerics;
    let alike = ends.iter().all(|(_, manifest)| manifest.numerics == *numerics);
    let end =
        |manifest: &Manifest| RecordedEnd { step: manifest.step, id: manifest.id.hex(), tensors: manifest.tensors.clone() };
    Some(Recorded {
        numerics: if alike { numerics.named() } else { BTreeMap::new() },
        leaves: ends.iter().map(|(local, manifest)| (local.clone(), end(manifest))).collect(),
    })
}

/// The experiment as written, with what it inherits and the digests of its data filled in, and nothing carried inside.
fn complete(resolved: &Resolved, loaded: &Loaded) -> Experiment {
    let mut experiment = loaded.library.experiments[&resolved.name].value.clone();
    experiment.library = Library::default();
    experiment.save_every = Some(resolved.rhythm.save_every);
    experiment.evaluate_every = Some(resolved.rhythm.evaluate_every);
    experiment.log_every = Some(resolved.rhythm.log_every);
    experiment.ledger = Some(resolved.rhythm.ledger);
    if experiment.branches.len() > 1 {
        experiment.reference = Some(resolved.reference.clone());
    }
    match &mut experiment.parent {
        Parent::Scratch(Scratch { data, .. }) => fill(data, loaded),
        Parent::Imported(Imported { data, file, digest, .. }) => {
            fill(data, loaded);
            if let Some(crate::lineage::TensorFile::Header { digest: found, .. }) = loaded.library.tensors.get(file) {
                *digest = Some(found.clone());
            }
        }
        Parent::Checkpoint(_) => {}
    }
    for set in &mut experiment.validation {
        if let ValidationData::Mgf(files) = &mut set.data {
            files.digests = digests(&files.files, loaded);
        }
    }
    experiment
}

fn fill(source: &mut Source, loaded: &Loaded) {
    match source {
        Source::Synthetic(_) => {}
        Source::Mgf(mgf) => mgf.digests = digests(&mgf.files, loaded),
        Source::Mixture(parts) => parts.iter_mut().for_each(|part| fill(&mut part.data, loaded)),
    }
}

fn digests(files: &[String], loaded: &Loaded) -> Vec<String> {
    let digest = |path: &String| match loaded.library.data.get(path) {
        Some(crate::lineage::DataFile::Digest(digest)) => Some(digest.clone()),
        _ => None,
    };
    files.iter().filter_map(digest).collect()
}
