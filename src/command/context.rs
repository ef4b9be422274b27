//! What several verbs begin with: a project, a resolved experiment, what exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Fault;
use super::diagnostics::Diagnostics;
use super::note;
use super::versions::take_recorded;
use crate::history::Versions;
use crate::lineage::{LeafKey, Resolution, Resolved};
use crate::load::{Digests, Loaded, Planned, Project, Reading, material_with, planned};
use crate::plan::{Existing, Material, Plan};
pub(crate) use crate::report::grouped;
use crate::spec::{Experiment, Name};
use crate::store::{Inventory, RealDisk, Store};

/// A project and its store.
pub(crate) struct Context {
    pub project: Project,
    pub store: Store,
    /// Versions of our code's parts under which experiments are resolved: this program's, but in tests.
    pub versions: Versions,
    /// Whether experiments that have run before keep the versions they were trained with.
    pub from_recorded: bool,
    /// Whether data files that look as they did are taken to be what they were. Not where anything is trained or proved.
    pub believes: bool,
}

/// An experiment without problems.
pub(crate) struct Ready {
    pub name: Name,
    pub loaded: Loaded,
    pub resolution: Resolution,
    /// Digests of its data files.
    digests: Mutex<Digests>,
}

impl Context {
    pub fn open(directory: Option<&Path>) -> Result<Context, Fault> {
        let project = Project::find(directory).map_err(Fault::Arguments)?;
        let store = Store::new(project.runs(), Arc::new(RealDisk));
        Ok(Context { project, store, versions: Versions::CURRENT, from_recorded: false, believes: false })
    }

    /// Reads and resolves one experiment with its curricula and ancestors, or reports all their problems.
    pub fn ready(&self, target: &Path) -> Result<Ready, Fault> {
        let files = |loaded: Loaded| Fault::Files(Box::new(Diagnostics::new(loaded)));
        let mut digests = self.digests();
        let (mut loaded, name) = self.project.load_with(target, &mut digests).map_err(|loaded| files(*loaded))?;
        let names: Vec<Name> = loaded.library.experiments.keys().cloned().collect();
        loaded.library.versions = names.into_iter().map(|name| (name, self.versions.clone())).collect();
        if self.from_recorded {
            take_recorded(self, &mut loaded.library)?;
        }
        let resolution = loaded.resolve(std::slice::from_ref(&name));
        if !loaded.problems.is_empty() || !resolution.experiments.contains_key(&name) {
            return Err(files(loaded));
        }
        self.remember(&digests);
        Ok(Ready { name, loaded, resolution, digests: Mutex::new(digests) })
    }

    /// Digests of data files, with what is known of them already.
    pub fn digests(&self) -> Digests {
        let cache = self.store.data_cache();
        if self.believes { Digests::believing(cache, &program()) } else { Digests::fresh(cache) }
    }

    /// Keeps what was learned of data files for later. It only saves time: that it cannot be written stops nothing.
    pub fn remember(&self, digests: &Digests) {
        if let Some(news) = digests.news() {
            let _ = self.store.save_data_cache(&news);
        }
    }

    /// What a plan wants to know of the data; files are read only where they are not known, and what is in them is said.
    pub fn planned(&self, ready: &Ready) -> Result<Planned, Fault> {
        let mut digests = ready.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = planned(&self.project.root, &ready.loaded.library, &ready.resolution, &mut digests);
        self.remember(&digests);
        let planned = planned.map_err(Fault::World)?;
        planned.told.iter().for_each(|line| note(line));
        Ok(planned)
    }

    /// Sources and validation sets; spectra of files that cannot be used are said.
    pub fn material(&self, ready: &Ready) -> Result<Material, Fault> {
        let (material, readings) = self.read_material(ready)?;
        for reading in readings {
            note(&reading.to_string());
        }
        Ok(material)
    }

    /// The same, and what was read for it, without a word.
    pub fn read_material(&self, ready: &Ready) -> Result<(Material, Vec<Reading>), Fault> {
        let mut digests = ready.digests.lock().unwrap_or_else(PoisonError::into_inner);
        material_with(&self.project.root, &ready.experiments(), &ready.resolution, &mut digests).map_err(Fault::World)
    }

    /// What exists under `runs/`; what cannot be read is said.
    pub fn inventory(&self) -> Inventory {
        self.said(self.store.inventory())
    }

    /// An inventory; what could not be read is said.
    fn said(&self, inventory: Inventory) -> Inventory {
        self.warn(&inventory.damaged);
        inventory
    }

    /// Says what could not be read, and why.
    pub fn warn(&self, damaged: &[(PathBuf, String)]) {
        for (path, why) in damaged {
            note(&format!("warning: `{}` is not used: {why}", self.store.shown(path)));
        }
    }
}

impl Ready {
    pub fn resolved(&self) -> &Resolved {
        &self.resolution.experiments[&self.name]
    }

    pub fn experiments(&self) -> BTreeMap<Name, Experiment> {
        self.loaded.library.experiments.iter().map(|(name, known)| (name.clone(), known.value.clone())).collect()
    }

    pub fn plan(&self, inventory: &Inventory, sets: &BTreeMap<Name, Vec<(Name, String)>>) -> Plan {
        Plan::new(&self.resolution.experiments, &self.name, &existing(inventory), sets)
    }
}

/// Which program this is, as far as the looks of its file say.
pub(crate) fn program() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let looks = file.and_then(|file| Ok((file.len(), file.modified()?))).ok();
    format!("{} {looks:?}", env!("CARGO_PKG_VERSION"))
}

/// What exists, as a plan wants it.
pub(crate) fn existing(inventory: &Inventory) -> Existing {
    let probed =
        inventory.probes.iter().flat_map(|probe| probe.sets.iter().map(|probed| (probe.id, probed.set_digest.clone())));
    Existing {
        checkpoints: inventory.checkpoints.iter().map(|(id, found)| (*id, (found.manifest.step, found.has_tensors))).collect(),
        evaluations: inventory.evaluations.iter().map(|evaluation| (evaluation.id, evaluation.set_digest.clone())).collect(),
        probes: probed.collect(),
    }
}

/// Names of leaves, shortened where there are many seeds of a branch: `early (3 seeds)`.
pub(crate) fn leaf_list(keys: &[LeafKey]) -> String {
    let mut branches: Vec<(String, Vec<String>)> = Vec::new();
    for key in keys {
        let branch = key.branch.to_string();
        match branches.iter_mut().find(|(known, _)| *known == branch) {
            Some((_, locals)) => locals.push(key.local()),
            None => branches.push((branch, vec![key.local()])),
        }
    }
    let shown = branches.into_iter().map(|(branch, locals)| match locals.len() {
        1 => locals[0].clone(),
        several => format!("{branch} ({several} seeds)"),
    });
    shown.collect::<Vec<_>>().join(", ")
}
