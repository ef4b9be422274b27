//! Fills experiments in, ancestors first, and collects every broken rule among files.

use std::collections::BTreeMap;

use super::advice::{fitting_divisor, gcd, identical_branches, stage_notes, what_exists};
use super::bases::Base;
use super::course::{self, Course, Ground};
use super::library::{Fault, FileOrigin, Known, Library};
use super::resolved::{Leaf, LeafKey, Resolved, StageStart};
use crate::history::History;
use crate::spec::{
    Branch, Change, Curriculum, CurriculumChoice, Experiment, Name, Parent, Place, Reference, Training, ValidationData,
};

/// Deepest line of ancestors that is followed.
const MOST_ANCESTORS: usize = 10_000;

/// The experiments asked for and all their ancestors, and what is wrong with any of them.
#[derive(Debug, Default)]
pub struct Resolution {
    pub experiments: BTreeMap<Name, Resolved>,
    pub faults: Vec<Fault>,
}

/// Resolves the experiments named in `targets` and their ancestors.
pub fn resolve(library: &Library, targets: &[Name]) -> Resolution {
    let mut resolver = Resolver { library, done: BTreeMap::new(), faults: Vec::new() };
    for target in targets {
        resolver.with_ancestors(target);
    }
    resolver.faults.extend(unused_case_clashes(library));
    let experiments = resolver.done.into_iter().filter_map(|(name, resolved)| Some((name, resolved?))).collect();
    Resolution { experiments, faults: resolver.faults }
}

struct Resolver<'a> {
    library: &'a Library,
    /// `None` where an experiment could not be resolved; its faults are in the list.
    done: BTreeMap<Name, Option<Resolved>>,
    faults: Vec<Fault>,
}

/// Two files whose names differ only in case would share a folder on some systems.
fn unused_case_clashes(library: &Library) -> Vec<Fault> {
    let mut seen: BTreeMap<String, &Name> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, known) in &library.experiments {
        if let Some(other) = seen.insert(name.folded(), name) {
            let message =
                format!("`{name}` and `{other}` differ only in case: their runs would share a folder on some systems");
            faults.push(known.origin.fault(&Place::root(), message, "rename one of the files"));
        }
    }
    faults
}

impl<'a> Resolver<'a> {
    /// Resolves an experiment after its ancestors, without recursion: lineages may be long.
    fn with_ancestors(&mut self, target: &Name) {
        let mut line: Vec<&Name> = Vec::new();
        let mut places: BTreeMap<&Name, usize> = BTreeMap::new();
        let mut next = self.library.experiments.get_key_value(target).map(|(name, _)| name);
        while let Some(name) = next.filter(|name| !self.done.contains_key(*name)) {
            if let Some(start) = places.insert(name, line.len()) {
                self.cycle(&line[start..]);
                break;
            }
            line.push(name);
            if line.len() > MOST_ANCESTORS {
                break;
            }
            next = match &self.library.experiments[name].value.parent {
                Parent::Checkpoint(reference) => {
                    self.library.experiments.get_key_value(&reference.experiment).map(|(name, _)| name)
                }
                _ => None,
            };
        }
        for name in line.into_iter().rev() {
            if !self.done.contains_key(name) {
                let resolved = self.experiment(name, &self.library.experiments[name]);
                self.done.insert(name.clone(), resolved);
            }
        }
    }

    fn cycle(&mut self, members: &[&Name]) {
        let path = members.iter().chain(&members[..1]).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" -> ");
        for name in members {
            let known = &self.library.experiments[*name];
            let message = format!("an experiment cannot be its own ancestor: {path}");
            self.faults.push(known.origin.fault(
                &Place::root().field("parent"),
                message,
                "fork one of them from another parent",
            ));
            self.done.insert((*name).clone(), None);
        }
    }

    fn experiment(&mut self, name: &Name, known: &'a Known<Experiment>) -> Option<Resolved> {
        let before = self.faults.len();
        let file = File { library: self.library, name, experiment: &known.value, origin: &known.origin };
        let resolved = file.resolve(&self.done, &mut self.faults);
        resolved.filter(|_| self.faults.len() == before)
    }
}

/// One experiment's file while it is being resolved.
pub(super) struct File<'a> {
    pub library: &'a Library,
    pub name: &'a Name,
    pub experiment: &'a Experiment,
    pub origin: &'a FileOrigin,
}

pub(super) type Faults = Vec<Fault>;

impl File<'_> {
    pub fn fault(&self, faults: &mut Faults, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        faults.push(self.origin.fault(place, message, help));
    }

    fn resolve(&self, done: &BTreeMap<Name, Option<Resolved>>, faults: &mut Faults) -> Option<Resolved> {
        let parent = match &self.experiment.parent {
            Parent::Checkpoint(reference) => Some(self.parent(reference, done, faults)?),
            _ => None,
        };
        let bases = match (&self.experiment.parent, parent) {
            (Parent::Checkpoint(reference), Some(parent)) => self.forks(reference, parent, faults),
            _ => self.roots(faults),
        };
        let Some(bases) = bases else {
            // What does not hang on the parent is checked all the same: all problems at once.
            self.check_without_parent(faults);
            return None;
        };
        self.check_kept(&bases, faults);
        self.check_rhythm(&bases, parent, faults);
        let mut leaves = Vec::new();
        let mut notes = Vec::new();
        for (index, branch) in self.experiment.all_branches().iter().enumerate() {
            let chosen = self.course(index, branch, faults);
            for base in &bases {
                if let Some(leaf) = self.leaf(index, branch, base, chosen.as_ref(), faults) {
                    notes.extend(stage_notes(&leaf));
                    leaves.push(leaf);
                }
            }
        }
        notes.extend(identical_branches(&leaves));
        let branches = self.experiment.all_branches();
        let reference = self.experiment.reference.clone().or_else(|| branches.last().map(|branch| branch.name.clone()))?;
        let validation = self.validation(parent, &leaves, faults);
        Some(Resolved {
            name: self.name.clone(),
            origin: self.origin.clone(),
            question: self.experiment.question.clone(),
            reference,
            rhythm: self.rhythm(parent),
            best: self.best(parent, &validation, faults),
            decide: self.decide(&validation, faults),
            validation,
            parent: parent.map(|parent| parent.name.clone()),
            curricula: branches.iter().filter_map(|branch| named_curriculum(&branch.curriculum).cloned()).collect(),
            leaves,
            notes,
        })
    }

    fn check_without_parent(&self, faults: &mut Faults) {
        for (index, branch) in self.experiment.all_branches().iter().enumerate() {
            self.course(index, branch, faults);
        }
        for (index, set) in self.experiment.validation.iter().enumerate() {
            if let ValidationData::Mgf(files) = &set.data {
                let at = Place::root().field("validation").index(index).field("data");
                self.digests(&files.files, &files.digests, &at, faults);
            }
        }
    }

    /// A fork keeps checkpoints of its own steps only.
    fn check_kept(&self, bases: &[Base], faults: &mut Faults) {
        let Some(fork) = bases.first().map(|base| base.history.end()) else { return };
        for (index, step) in self.experiment.keep.iter().enumerate().filter(|(_, step)| **step <= fork) {
            let message = format!("step {step} is not past the fork at {fork}: its checkpoint is the parent's");
            self.fault(faults, &Place::root().field("keep").index(index), message, "name the step in the parent's `keep`");
        }
    }

    fn parent<'d>(
        &self,
        reference: &Reference,
        done: &'d BTreeMap<Name, Option<Resolved>>,
        faults: &mut Faults,
    ) -> Option<&'d Resolved> {
        let place = Place::root().field("parent").index(0);
        if let Some(found) = done.get(&reference.experiment) {
            // A parent with faults of its own has reported them.
            return found.as_ref();
        }
        if self.library.unreadable_experiments.contains(&reference.experiment) {
            return None;
        }
        let known = &self.library.experiment_names;
        let message = format!("there is no experiment `{}`", reference.experiment);
        self.fault(faults, &place, message, what_exists(reference.experiment.as_str(), known, "experiments/"));
        None
    }

    /// The curriculum a branch follows from its first own step on; `None` is the parent's, or a fault that was noted.
    fn course(&self, index: usize, branch: &Branch, faults: &mut Faults) -> Option<Chosen> {
        let at = self.experiment.branch_place(index, "curriculum");
        match &branch.curriculum {
            CurriculumChoice::Inherit => Some(Chosen::Parents),
            CurriculumChoice::Inline(curriculum) => Some(Chosen::Own(Course::new(curriculum))),
            CurriculumChoice::File(name) => {
                let curriculum = self.clocked(name, &at.index(0), faults)?;
                Some(Chosen::Own(Course::new(&curriculum)))
            }
            CurriculumChoice::Moved { of, loss, to } => {
                let curriculum = self.clocked(of, &at.field("of"), faults)?;
                let clock = self.experiment.clock.unwrap_or((1, 1));
                let Some(to) = course::scale(*to, clock) else {
                    let help = format!("write a multiple of {}", clock.1 / gcd(clock.0, clock.1));
                    self.fault(faults, &at.field("to"), format!("the clock gives {to} no whole step"), help);
                    return None;
                };
                let course = Course::new(&curriculum).moved(*loss, to);
                if course.is_none() {
                    let message = format!("`{loss}` never begins in the curriculum `{of}`");
                    self.fault(faults, &at.field("loss"), message, "name a loss that the curriculum gives a weight above 0");
                }
                course.map(Chosen::Own)
            }
        }
    }

    /// A curriculum from the library with this file's clock applied.
    fn clocked(&self, name: &Name, place: &Place, faults: &mut Faults) -> Option<Curriculum> {
        let Some(known) = self.library.curricula.get(name) else {
            if !self.library.unreadable_curricula.contains(name) {
                let help = what_exists(name.as_str(), &self.library.curriculum_names, "curricula/");
                self.fault(faults, place, format!("there is no curriculum `{name}`"), help);
            }
            return None;
        };
        let clock = self.experiment.clock.unwrap_or((1, 1));
        match course::scaled(&known.value, clock) {
            Ok(curriculum) => Some(curriculum),
            Err(broken) => {
                let (stage, field, value) = broken[0];
                let at = Place::root().field("stages").index(stage).field(field);
                let message = format!("the clock {clock:?} gives `{field}` {value} of `{name}` ({at}) no whole step");
                let help =
                    format!("choose a divisor that fits all its steps, such as {}", fitting_divisor(&known.value, clock));
                self.fault(faults, &Place::root().field("clock"), message, help);
                None
            }
        }
    }

    fn leaf(&self, index: usize, branch: &Branch, base: &Base, chosen: Option<&Chosen>, faults: &mut Faults) -> Option<Leaf> {
        let from = base.history.end();
        let change = branch.change.clone().unwrap_or_default();
        let place = |field: &str| self.experiment.branch_place(index, field);
        let course = match chosen? {
            Chosen::Own(course) => course.clone(),
            Chosen::Parents => base.course.clone()?,
        };
        for &loss in change.scale.keys().filter(|loss| !course.names_loss(**loss)) {
            let at = place("change").field("scale").field(loss.name());
            self.fault(faults, &at, format!("`{loss}` has no weight in this branch"), "scale a loss that the curriculum names");
        }
        let course = course.scaled(&change.scale);
        let training = changed(&base.training, &change);
        if let Some(first) = course.stages().first().filter(|(first, _)| *first > from) {
            let message = format!("the first stage starts at {}, the branch at {from}", first.0);
            let help = format!("write a stage that starts at {from} or before");
            self.fault(faults, &place("curriculum"), message, help);
            return None;
        }
        let model = base.history.root().model.recursive();
        let length = base.history.root().data.length_range(model.longest_peptide());
        let ground =
            Ground { seed: base.seed, training: &training, source_length: length, versions: self.library.versions(self.name) };
        let spans = course.spans(from, ground);
        let history = base.history.extend(from, spans, self.experiment.max_step);
        self.check_spans(&history, from, &place("curriculum"), faults);
        let stages = course.stages().iter().map(|(from, name)| StageStart { from: *from, name: name.clone() }).collect();
        let key = LeafKey { experiment: self.name.clone(), branch: branch.name.clone(), seed: base.replicate };
        Some(Leaf { key, history, fork: base.fork.clone(), stages, course, training })
    }

    /// Rules on what will be trained: something is learned at every step, and the model can write every length.
    fn check_spans(&self, history: &History, from: u64, place: &Place, faults: &mut Faults) {
        let longest = history.root().model.recursive().longest_peptide();
        let source = history.root().data.length_range(longest);
        for span in history.spans().iter_from(history.spans().begun_before(from).saturating_sub(1)) {
            let step = span.from.max(from);
            let (shortest, most) = span.settings.difficulty.length;
            if span.settings.losses.is_empty() {
                self.fault(
                    faults,
                    place,
                    format!("from step {step} on all weights are 0: nothing would be learned"),
                    "give a loss a weight above 0",
                );
                return;
            }
            if most > longest {
                let message =
                    format!("from step {step} on peptides have up to {most} residues, but the model writes {longest}");
                self.fault(faults, place, message, format!("end before that stage, or give the model `length: {}`", most + 1));
                return;
            }
            if shortest < source.0 || most > source.1 {
                let message = format!(
                    "from step {step} on the stage asks for {shortest}..={most} residues, but the source gives {}..={}",
                    source.0, source.1
                );
                self.fault(faults, place, message, "widen the source's `length`, or narrow the stage's");
                return;
            }
        }
    }
}

enum Chosen {
    Own(Course),
    Parents,
}

fn named_curriculum(choice: &CurriculumChoice) -> Option<&Name> {
    match choice {
        CurriculumChoice::File(name) | CurriculumChoice::Moved { of: name, .. } => Some(name),
        CurriculumChoice::Inherit | CurriculumChoice::Inline(_) => None,
    }
}

/// The parent's training with a branch's changes.
fn changed(parent: &Training, change: &Change) -> Training {
    let optimizer = change.optimizer.clone().unwrap_or_else(|| parent.optimizer.clone());
    Training {
        batch: change.batch.unwrap_or(parent.batch),
        micro_batch: change.micro_batch.or(parent.micro_batch),
        optimizer: change.weight_decay.map_or(optimizer.clone(), |decay| optimizer.with_weight_decay(decay)),
        lr: change.lr.clone().unwrap_or_else(|| parent.lr.clone()),
        clip: change.clip.unwrap_or(parent.clip),
        dropout: change.dropout.unwrap_or(parent.dropout),
        precision: change.precision.unwrap_or(parent.precision),
        ..parent.clone()
    }
}
