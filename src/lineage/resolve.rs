//! Fills experiments in, ancestors first, and collects every broken rule among files.

use std::collections::{BTreeMap, BTreeSet};

use super::course::{self, Course};
use super::library::{DataFile, Fault, FileOrigin, Known, Library, TensorFile};
use super::resolved::{Fork, Leaf, LeafKey, Note, Resolved, Rhythm, Set, SetSource, StageStart};
use crate::history::{FileSource, History, Origin, Root, Source, Versions};
use crate::spec::{
    self, Branch, Change, Curriculum, CurriculumChoice, Experiment, Model, Name, Parent, Place, Reference, Training,
    ValidationData, closest,
};
use crate::task::model::Recursive;

/// Rhythm of a root that names none.
const SAVE_EVERY: u64 = 1_000;
const EVALUATE_EVERY: u64 = 1_000;
const LOG_EVERY: u64 = 10;
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
        let mut next = self.library.experiments.get_key_value(target).map(|(name, _)| name);
        while let Some(name) = next.filter(|name| !self.done.contains_key(*name)) {
            if let Some(start) = line.iter().position(|seen| *seen == name) {
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
struct File<'a> {
    library: &'a Library,
    name: &'a Name,
    experiment: &'a Experiment,
    origin: &'a FileOrigin,
}

/// Where a leaf's own settings begin and what they start from.
struct Base {
    /// The history so far; its end is the fork.
    history: History,
    fork: Option<Fork>,
    seed: u64,
    training: Training,
    /// The parent's curriculum, for branches that inherit it.
    course: Option<Course>,
    /// The seed that distinguishes the leaf from its siblings, if any does.
    replicate: Option<u64>,
}

type Faults = Vec<Fault>;

impl File<'_> {
    fn fault(&self, faults: &mut Faults, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        faults.push(self.origin.fault(place, message, help));
    }

    fn resolve(&self, done: &BTreeMap<Name, Option<Resolved>>, faults: &mut Faults) -> Option<Resolved> {
        let parent = match &self.experiment.parent {
            Parent::Checkpoint(reference) => Some(self.parent(reference, done, faults)?),
            _ => None,
        };
        let bases = match (&self.experiment.parent, parent) {
            (Parent::Checkpoint(reference), Some(parent)) => self.forks(reference, parent, faults)?,
            _ => self.roots(faults)?,
        };
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
            validation,
            parent: parent.map(|parent| parent.name.clone()),
            curricula: branches.iter().filter_map(|branch| named_curriculum(&branch.curriculum).cloned()).collect(),
            leaves,
            notes,
        })
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

    /// What each leaf of a root starts from: one for each seed.
    fn roots(&self, faults: &mut Faults) -> Option<Vec<Base>> {
        let (model, data, training, imported) = match &self.experiment.parent {
            Parent::Scratch(root) => (&root.model, &root.data, &root.training, None),
            Parent::Imported(root) => (&root.model, &root.data, &root.training, Some(root)),
            Parent::Checkpoint(_) => return None,
        };
        let parent = Place::root().field("parent");
        let source = self.source(data, &parent.field("data"), faults);
        let origin = match imported {
            None => Some(Origin::Initial),
            Some(root) => self.imported(root, faults),
        };
        let (source, origin) = (source?, origin?);
        let declared = self.experiment.root_seed();
        let seeds =
            if self.experiment.seeds.is_empty() { declared.into_iter().collect() } else { self.experiment.seeds.clone() };
        let base = |seed: u64| {
            let root = Root {
                // Imported weights are the same whatever the seed of the streams.
                seed: if imported.is_some() { 0 } else { seed },
                origin: origin.clone(),
                model: model.clone(),
                model_version: Versions::MODEL,
                data: source.clone(),
            };
            let start = root.first_step();
            let replicate = self.experiment.seeds.contains(&seed).then_some(seed);
            Base {
                history: History::new(root, [], start),
                fork: None,
                seed,
                training: training.clone(),
                course: None,
                replicate,
            }
        };
        Some(seeds.into_iter().map(base).collect())
    }

    /// What each leaf of a fork starts from: one for each seed, or for each seed of the parent.
    fn forks(&self, reference: &Reference, parent: &Resolved, faults: &mut Faults) -> Option<Vec<Base>> {
        let place = Place::root().field("parent").index(0);
        let branch = self.parent_branch(reference, parent, faults)?;
        let replicates: Vec<&Leaf> = parent.leaves.iter().filter(|leaf| leaf.key.branch == branch).collect();
        let matching: Vec<&Leaf> = match reference.seed {
            None => replicates.clone(),
            Some(seed) => replicates.iter().copied().filter(|leaf| leaf.key.seed == Some(seed)).collect(),
        };
        if matching.is_empty() {
            let seeds: Vec<String> =
                replicates.iter().filter_map(|leaf| leaf.key.seed).map(|seed| format!("#{seed}")).collect();
            let help = match seeds.is_empty() {
                true => "leave `#..` out: the parent declares no `seeds`".into(),
                false => format!("its seeds are {}", seeds.join(", ")),
            };
            self.fault(faults, &place, format!("`{}` has no such seed", parent.name), help);
            return None;
        }
        if matching.len() > 1 && !self.experiment.seeds.is_empty() {
            let help = format!("write the seed of the parent, `{}@{}`, or leave `seeds` out", matching[0].key, reference.step);
            self.fault(
                faults,
                &Place::root().field("seeds"),
                "the parent has several seeds, and this fork has `seeds` of its own",
                help,
            );
            return None;
        }
        let (start, end) = (matching[0].history.start(), matching[0].history.end());
        if reference.step > end || reference.step < start {
            let help = format!("fork at a step from {start} to {end}, or raise `max_step` of `{}`", parent.name);
            self.fault(
                faults,
                &place,
                format!("`{}` ends at step {end}: it has no step {}", parent.name, reference.step),
                help,
            );
            return None;
        }
        if self.experiment.max_step <= reference.step {
            let message = format!("`max_step` {} is not past the fork at {}", self.experiment.max_step, reference.step);
            self.fault(faults, &Place::root().field("max_step"), message, "write a step past the fork");
            return None;
        }
        let base = |leaf: &Leaf, seed: Option<u64>| Base {
            history: leaf.history.cut(reference.step),
            fork: Some(Fork { parent: leaf.key.clone(), step: reference.step }),
            seed: seed.unwrap_or(leaf.history.settings(reference.step).seed),
            training: leaf.training.clone(),
            course: Some(leaf.course.clone()),
            replicate: seed.or(if matching.len() > 1 { leaf.key.seed } else { None }),
        };
        Some(match self.experiment.seeds.is_empty() {
            true => matching.iter().map(|leaf| base(leaf, None)).collect(),
            false => self.experiment.seeds.iter().map(|&seed| base(matching[0], Some(seed))).collect(),
        })
    }

    fn parent_branch(&self, reference: &Reference, parent: &Resolved, faults: &mut Faults) -> Option<Name> {
        let place = Place::root().field("parent").index(0);
        let branches: BTreeSet<&Name> = parent.leaves.iter().map(|leaf| &leaf.key.branch).collect();
        let names = branches.iter().map(|name| name.as_str()).collect::<Vec<_>>().join("`, `");
        match &reference.branch {
            Some(branch) if branches.contains(branch) => Some(branch.clone()),
            Some(branch) => {
                self.fault(
                    faults,
                    &place,
                    format!("`{}` has no branch `{branch}`", parent.name),
                    format!("its branches are `{names}`"),
                );
                None
            }
            None if branches.len() == 1 => branches.first().map(|&name| name.clone()),
            None => {
                let first = branches.first().map_or("", |name| name.as_str());
                let help = format!("write `{}/{first}@{}`; its branches are `{names}`", parent.name, reference.step);
                self.fault(faults, &place, format!("`{}` has several branches", parent.name), help);
                None
            }
        }
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
        let spans = course.spans(from, base.seed, &training, length);
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
        let own = history.spans().iter().filter(|span| span.from >= from);
        let current = history.spans().iter().rfind(|span| span.from < from).into_iter();
        for span in current.chain(own) {
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

    fn source(&self, source: &spec::Source, at: &Place, faults: &mut Faults) -> Option<Source> {
        match source {
            spec::Source::Synthetic(synthetic) => {
                Some(Source::Synthetic { synthetic: synthetic.clone(), version: Versions::SYNTHETIC })
            }
            spec::Source::Mgf(mgf) => {
                let digests = self.digests(&mgf.files, &mgf.digests, at, faults)?;
                Some(Source::Files(FileSource {
                    digests,
                    held_out: mgf.held_out,
                    noise: mgf.noise,
                    preprocessing: mgf.preprocessing.clone(),
                    version: Versions::FILES,
                }))
            }
            spec::Source::Mixture(parts) => {
                let sum: f64 = parts.iter().map(|part| part.share).sum();
                let list = at.index(0);
                let resolved: Vec<_> = parts
                    .iter()
                    .enumerate()
                    .map(|(index, part)| {
                        Some((part.share / sum, self.source(&part.data, &list.index(index).field("data"), faults)?))
                    })
                    .collect();
                resolved.into_iter().collect::<Option<_>>().map(Source::Mixture)
            }
        }
    }

    fn digests(&self, files: &[String], written: &[String], at: &Place, faults: &mut Faults) -> Option<Vec<String>> {
        let mut digests = Vec::new();
        for (index, path) in files.iter().enumerate() {
            let place = at.field("files").index(index);
            match self.library.data.get(path) {
                Some(DataFile::Digest(digest)) => match written.get(index) {
                    Some(expected) if expected != digest => {
                        let message =
                            format!("`{path}` has changed: its blake3 is {}.., not {}..", &digest[..8], &expected[..8]);
                        self.fault(
                            faults,
                            &place,
                            message,
                            "put the recorded file back, or remove `digests` to train on this one",
                        );
                    }
                    _ => digests.push(digest.clone()),
                },
                Some(DataFile::Missing(why)) => {
                    let help = "put an annotated MGF file there (SEQ= lines in BEGIN IONS blocks), or change the path";
                    self.fault(faults, &place, format!("`{path}` cannot be read: {why}"), help);
                }
                None => self.fault(faults, &place, format!("`{path}` has not been looked for"), ""),
            }
        }
        (digests.len() == files.len()).then_some(digests)
    }

    fn imported(&self, root: &spec::Imported, faults: &mut Faults) -> Option<Origin> {
        let at = Place::root().field("parent").field("file");
        match self.library.tensors.get(&root.file) {
            Some(TensorFile::Header { digest, shapes }) => {
                if let Some(expected) = root.digest.as_ref().filter(|expected| *expected != digest) {
                    let message = format!(
                        "`{}` has changed: its tensors are {}.., not {}..",
                        root.file,
                        &digest[..8],
                        &expected[..expected.len().min(8)]
                    );
                    self.fault(faults, &at, message, "put the recorded file back, or remove `digest`");
                    return None;
                }
                let Model::Recursive(model) = &root.model;
                let differences = misfits(model, shapes);
                if !differences.is_empty() {
                    let message = format!("the tensors of `{}` do not fit the model:\n{}", root.file, differences.join("\n"));
                    self.fault(faults, &at, message, "name a file of this model, or give the model the file's sizes");
                    return None;
                }
                Some(Origin::Imported { digest: digest.clone(), step: root.step })
            }
            Some(TensorFile::Missing(why)) => {
                self.fault(faults, &at, format!("`{}` cannot be read: {why}", root.file), "put a safetensors file there");
                None
            }
            None => None,
        }
    }

    fn rhythm(&self, parent: Option<&Resolved>) -> Rhythm {
        let of = |own: Option<u64>, inherited: fn(&Rhythm) -> u64, default: u64| {
            own.unwrap_or(parent.map_or(default, |parent| inherited(&parent.rhythm)))
        };
        Rhythm {
            save_every: of(self.experiment.save_every, |rhythm| rhythm.save_every, SAVE_EVERY),
            evaluate_every: of(self.experiment.evaluate_every, |rhythm| rhythm.evaluate_every, EVALUATE_EVERY),
            log_every: of(self.experiment.log_every, |rhythm| rhythm.log_every, LOG_EVERY),
            keep: self.experiment.keep.clone(),
        }
    }

    fn best(&self, parent: Option<&Resolved>, sets: &[Set], faults: &mut Faults) -> Option<(Name, String)> {
        let Some(written) = &self.experiment.best else {
            let inherited =
                parent.and_then(|parent| parent.best.clone()).filter(|(set, _)| sets.iter().any(|known| known.name == *set));
            return inherited.or_else(|| sets.last().map(|set| (set.name.clone(), "token_accuracy".into())));
        };
        let place = Place::root().field("best");
        let names = sets.iter().map(|set| set.name.as_str()).collect::<Vec<_>>().join("`, `");
        let (set, metric) = written.split_once('/').unwrap_or((written, ""));
        let Some(set) = sets.iter().find(|known| known.name.as_str() == set) else {
            self.fault(
                faults,
                &place,
                format!("`{written}` names no validation set"),
                format!("write `set/metric`; the sets are `{names}`"),
            );
            return None;
        };
        if !crate::task::metrics::NAMES.contains(&metric) {
            let help = closest(metric, crate::task::metrics::NAMES).map_or_else(
                || format!("the metrics are `{}`", crate::task::metrics::NAMES.join("`, `")),
                |near| format!("did you mean `{near}`?"),
            );
            self.fault(faults, &place, format!("`{metric}` is no metric"), help);
            return None;
        }
        Some((set.name.clone(), metric.to_owned()))
    }

    fn validation(&self, parent: Option<&Resolved>, leaves: &[Leaf], faults: &mut Faults) -> Vec<Set> {
        if self.experiment.validation.is_empty() {
            return parent.map(|parent| parent.validation.clone()).unwrap_or_default();
        }
        let Some(model) = leaves.first().map(|leaf| leaf.history.root().model.recursive()) else { return vec![] };
        let sets = self.experiment.validation.iter().enumerate();
        sets.filter_map(|(index, written)| self.set(&Place::root().field("validation").index(index), written, model, faults))
            .collect()
    }

    fn set(&self, at: &Place, written: &spec::Validation, model: &Recursive, faults: &mut Faults) -> Option<Set> {
        let longest = model.longest_peptide();
        let data = at.field("data");
        let (source, range, place) = match &written.data {
            ValidationData::Synthetic { source, noise, seed } => {
                let difficulty = course::difficulty(noise, (*source.length.start(), *source.length.end()));
                let range = difficulty.length;
                let place = if noise.length.is_some() {
                    data.field("noise").field("length")
                } else {
                    data.field("source").field("length")
                };
                (SetSource::Synthetic { synthetic: source.clone(), difficulty, seed: *seed }, range, place)
            }
            ValidationData::Mgf(set) => {
                self.digests(&set.files, &set.digests, &data, faults)?;
                let length = set.length.as_ref().map_or((1, longest), |range| (*range.start(), *range.end()));
                let source = SetSource::Files { paths: set.files.clone(), length, preprocessing: set.preprocessing.clone() };
                (source, length, data.field("length"))
            }
        };
        if range.1 > longest {
            let message =
                format!("`{}` has peptides of up to {} residues, but the model writes {longest}", written.name, range.1);
            self.fault(faults, &place, message, format!("write lengths up to {longest}"));
            return None;
        }
        Some(Set { name: written.name.clone(), source, spectra: written.spectra })
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
        ..parent.clone()
    }
}

/// Stages that never govern a trained step, and losses that are on from the fork's first step.
fn stage_notes(leaf: &Leaf) -> Vec<Note> {
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

/// Parameters of the model and tensors of a file that do not match, one line each.
fn misfits(model: &Recursive, shapes: &BTreeMap<String, Vec<usize>>) -> Vec<String> {
    let wanted: BTreeMap<String, Vec<usize>> = model.parameters().into_iter().map(|p| (p.path, p.shape)).collect();
    let names: BTreeSet<&String> = wanted.keys().chain(shapes.keys()).collect();
    let shown = |shape: Option<&Vec<usize>>| shape.map_or("-".to_owned(), |shape| format!("{shape:?}"));
    let differing = names.into_iter().filter(|name| wanted.get(*name) != shapes.get(*name));
    let mut lines: Vec<String> = differing
        .map(|name| format!("  {name:<44} model {:<14} file {}", shown(wanted.get(name)), shown(shapes.get(name))))
        .collect();
    const MOST: usize = 12;
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("  and {more} more"));
    }
    lines
}

fn what_exists(written: &str, known: &[String], folder: &str) -> String {
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
fn fitting_divisor(curriculum: &Curriculum, (multiply, divide): (u64, u64)) -> u64 {
    let steps = curriculum.stages.iter().flat_map(|stage| [stage.from, stage.ramp]);
    let greatest = steps.map(|step| step.saturating_mul(multiply)).fold(0, gcd).max(1);
    // Nobody means a larger one.
    const MOST: u64 = 100_000;
    let fitting = (1..=greatest.min(MOST)).filter(|divisor| greatest.is_multiple_of(*divisor));
    fitting.min_by_key(|divisor| divisor.abs_diff(divide)).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
