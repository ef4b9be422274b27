//! An experiment and its ancestors made small: the same stages, forks, seeds and evaluations in as few steps as asked for,
//! with a network of a few thousand weights. What `rehearse` trains.

use std::collections::{BTreeMap, BTreeSet};

use super::course;
use super::library::Library;
use crate::spec::{
    self, Change, Curriculum, CurriculumChoice, Experiment, Model, Name, Parent, Precision, Rate, Training, Validation,
};
use crate::task::model::Recursive;

/// Width, batch and spectra of a rehearsal.
const HIDDEN: u32 = 16;
const HEADS: u32 = 2;
const PEAKS: u32 = 30;
const BATCH: u32 = 4;
const SPECTRA: u32 = 16;

/// Steps as they are, and as they are in the rehearsal: in the same order, and different where they were different.
struct Clock {
    steps: BTreeMap<u64, u64>,
    divisor: u64,
}

impl Clock {
    fn new(notable: &BTreeSet<u64>, divisor: u64) -> Clock {
        let mut steps = BTreeMap::new();
        let mut least = 0;
        for &step in notable {
            let small = if step == 0 { 0 } else { (step / divisor).max(least) };
            steps.insert(step, small);
            least = small + 1;
        }
        Clock { steps, divisor }
    }

    fn at(&self, step: u64) -> u64 {
        self.steps.get(&step).copied().unwrap_or(step / self.divisor)
    }

    /// A length of steps that begins at one.
    fn span(&self, from: u64, length: u64) -> u64 {
        if length == 0 { 0 } else { (self.at(from + length) - self.at(from)).max(1) }
    }

    fn every(&self, every: u64) -> u64 {
        (every / self.divisor).max(1)
    }
}

/// The target with its ancestors and curricula inside, shrunk so that a step stands for `divisor` of the real ones. Imported
/// weights are taken from the file at `weights`, which must fit [`small`].
///
/// # Errors
/// What the files lack; files that resolve lack nothing.
pub fn shrink(library: &Library, target: &Name, divisor: u64, weights: &str) -> Result<Experiment, String> {
    let mut line: Vec<(&Name, &Experiment)> = Vec::new();
    let mut next = Some(target);
    while let Some((name, known)) = next.and_then(|name| library.experiments.get_key_value(name)) {
        line.push((name, &known.value));
        next = match &known.value.parent {
            Parent::Checkpoint(reference) if line.len() <= library.experiments.len() => Some(&reference.experiment),
            _ => None,
        };
    }
    let mut notable = BTreeSet::from([0]);
    for (_, experiment) in &line {
        note_steps(library, experiment, &mut notable)?;
    }
    let clock = Clock::new(&notable, divisor.max(1));
    let mut carried = spec::Library::default();
    let mut small = Vec::new();
    for (index, (name, experiment)) in line.iter().enumerate() {
        let prefix = format!("x{index}.");
        small.push(((*name).clone(), one(library, experiment, &clock, &prefix, &mut carried, weights)?));
    }
    let (_, mut experiment) = small.remove(0);
    carried.experiments = small.into_iter().collect();
    experiment.library = carried;
    Ok(experiment)
}

/// The same with products in f32, for a device that computes in nothing else.
pub fn in_f32(mut experiment: Experiment) -> Experiment {
    for one in experiment.library.experiments.values_mut() {
        set_f32(one);
    }
    set_f32(&mut experiment);
    experiment
}

fn set_f32(experiment: &mut Experiment) {
    match &mut experiment.parent {
        Parent::Checkpoint(_) => {}
        Parent::Scratch(root) => root.training.precision = Precision::F32,
        Parent::Imported(root) => root.training.precision = Precision::F32,
    }
    let changes = experiment.branches.iter_mut().filter_map(|branch| branch.change.as_mut()).chain(&mut experiment.change);
    changes.for_each(|change| change.precision = None);
}

/// The network of a rehearsal of another one: it writes the same peptides.
pub fn small(model: &Recursive) -> Recursive {
    Recursive {
        hidden: HIDDEN,
        heads: HEADS,
        encoder_layers: model.encoder_layers.min(1),
        decoder_layers: 1,
        supervision_steps: model.supervision_steps.min(2),
        latent_steps: model.latent_steps.min(1),
        peaks: model.peaks.min(PEAKS),
        ..model.clone()
    }
}

/// A curriculum's steps after the clock of the file that names it.
fn clocked(library: &Library, name: &Name, clock: Option<(u64, u64)>) -> Result<Curriculum, String> {
    let known = library.curricula.get(name).ok_or_else(|| format!("there is no curriculum `{name}`"))?;
    course::scaled(&known.value, clock.unwrap_or((1, 1))).map_err(|_| format!("the clock does not fit `{name}`"))
}

/// The curriculum that a branch names or writes, with steps as they are trained.
fn curriculum(library: &Library, choice: &CurriculumChoice, clock: Option<(u64, u64)>) -> Result<Option<Curriculum>, String> {
    match choice {
        CurriculumChoice::Inherit => Ok(None),
        CurriculumChoice::Inline(curriculum) => Ok(Some(curriculum.clone())),
        CurriculumChoice::File(name) | CurriculumChoice::Moved { of: name, .. } => clocked(library, name, clock).map(Some),
    }
}

fn moved_to(to: u64, clock: Option<(u64, u64)>) -> u64 {
    course::scale(to, clock.unwrap_or((1, 1))).unwrap_or(to)
}

/// Collects every step that means something.
fn note_steps(library: &Library, experiment: &Experiment, notable: &mut BTreeSet<u64>) -> Result<(), String> {
    notable.insert(experiment.max_step);
    notable.extend(&experiment.keep);
    match &experiment.parent {
        Parent::Checkpoint(reference) => drop(notable.insert(reference.step)),
        Parent::Scratch(root) => note_rate(&root.training.lr, notable),
        Parent::Imported(root) => {
            notable.insert(root.step);
            note_rate(&root.training.lr, notable);
        }
    }
    for branch in experiment.all_branches() {
        if let Some(rate) = branch.change.as_ref().and_then(|change| change.lr.as_ref()) {
            note_rate(rate, notable);
        }
        if let CurriculumChoice::Moved { to, .. } = branch.curriculum {
            notable.insert(moved_to(to, experiment.clock));
        }
        let stages = curriculum(library, &branch.curriculum, experiment.clock)?;
        for stage in stages.into_iter().flat_map(|curriculum| curriculum.stages) {
            notable.extend([stage.from, stage.from + stage.ramp]);
        }
    }
    Ok(())
}

fn note_rate(rate: &Rate, notable: &mut BTreeSet<u64>) {
    match *rate {
        Rate::Constant { .. } => {}
        Rate::WarmUp { warm_up, .. } => drop(notable.insert(warm_up)),
        Rate::Cosine { horizon, warm_up, .. } => notable.extend([warm_up, horizon]),
        Rate::WarmUpStableDecay { warm_up, decay_from, horizon, .. } => notable.extend([warm_up, decay_from, horizon]),
    }
}

/// One experiment made small; the curricula that its branches name go to `carried`, under names of their own.
fn one(
    library: &Library,
    experiment: &Experiment,
    clock: &Clock,
    prefix: &str,
    carried: &mut spec::Library,
    weights: &str,
) -> Result<Experiment, String> {
    let mut small = experiment.clone();
    small.library = spec::Library::default();
    small.clock = None;
    small.max_step = clock.at(experiment.max_step);
    small.keep = experiment.keep.iter().map(|&step| clock.at(step)).collect();
    for every in [&mut small.save_every, &mut small.evaluate_every, &mut small.log_every] {
        *every = every.map(|every| clock.every(every));
    }
    if !matches!(experiment.parent, Parent::Checkpoint(_)) {
        // A root's defaults are meant for real steps.
        small.save_every = small.save_every.or(Some(clock.every(1_000)));
        small.evaluate_every = small.evaluate_every.or(Some(clock.every(1_000)));
        small.log_every = Some(1);
    }
    let base = batch_of(experiment);
    small.parent = parent(&experiment.parent, clock, weights);
    small.validation = experiment.validation.iter().map(fewer).collect();
    let choose = |choice: &CurriculumChoice, carried: &mut spec::Library| -> Result<CurriculumChoice, String> {
        let stages = curriculum(library, choice, experiment.clock)?.map(|curriculum| stages(curriculum, clock));
        Ok(match (choice, stages) {
            (CurriculumChoice::File(_), Some(stages)) => CurriculumChoice::Inline(stages),
            (CurriculumChoice::Inline(_), Some(stages)) => CurriculumChoice::Inline(stages),
            (CurriculumChoice::Moved { of, loss, to }, Some(stages)) => {
                let own: String = format!("{prefix}{of}").chars().take(64).collect();
                let of = Name::try_from(own)?;
                carried.curricula.insert(of.clone(), stages);
                CurriculumChoice::Moved { of, loss: *loss, to: clock.at(moved_to(*to, experiment.clock)) }
            }
            (other, _) => other.clone(),
        })
    };
    if let Some(choice) = &experiment.curriculum {
        small.curriculum = Some(choose(choice, carried)?);
    }
    small.change = small.change.map(|change| changed(change, clock, base));
    for branch in &mut small.branches {
        branch.curriculum = choose(&branch.curriculum.clone(), carried)?;
        branch.change = branch.change.take().map(|change| changed(change, clock, base));
    }
    Ok(small)
}

/// The batch that a root declares; a fork's changes are made small by the full size's.
fn batch_of(experiment: &Experiment) -> u32 {
    match &experiment.parent {
        Parent::Scratch(root) => root.training.batch,
        Parent::Imported(root) => root.training.batch,
        Parent::Checkpoint(_) => 192,
    }
}

fn fewer_samples(batch: u32, base: u32) -> u32 {
    (batch * BATCH).div_ceil(base.max(1)).clamp(1, BATCH * 2)
}

fn parent(parent: &Parent, clock: &Clock, weights: &str) -> Parent {
    match parent {
        Parent::Checkpoint(reference) => {
            let mut reference = reference.clone();
            reference.step = clock.at(reference.step);
            Parent::Checkpoint(reference)
        }
        Parent::Scratch(root) => {
            let mut root = root.clone();
            root.model = Model::Recursive(small(root.model.recursive()));
            root.training = training(root.training, clock);
            Parent::Scratch(root)
        }
        Parent::Imported(root) => {
            let mut root = root.clone();
            (root.file, root.digest, root.step) = (weights.to_owned(), None, clock.at(root.step));
            root.model = Model::Recursive(small(root.model.recursive()));
            root.training = training(root.training, clock);
            Parent::Imported(root)
        }
    }
}

fn training(training: Training, clock: &Clock) -> Training {
    let micro_batch = training.micro_batch.map(|_| BATCH / 2);
    Training { batch: BATCH, micro_batch, lr: rate(training.lr, clock), ..training }
}

fn changed(change: Change, clock: &Clock, base: u32) -> Change {
    Change {
        batch: change.batch.map(|batch| fewer_samples(batch, base)),
        micro_batch: change.micro_batch.map(|_| 1),
        lr: change.lr.map(|lr| rate(lr, clock)),
        ..change
    }
}

fn rate(rate: Rate, clock: &Clock) -> Rate {
    match rate {
        Rate::Constant { rate } => Rate::Constant { rate },
        Rate::WarmUp { peak, warm_up } => Rate::WarmUp { peak, warm_up: clock.at(warm_up) },
        Rate::Cosine { peak, horizon, floor, warm_up } => {
            Rate::Cosine { peak, horizon: clock.at(horizon), floor, warm_up: clock.at(warm_up) }
        }
        Rate::WarmUpStableDecay { peak, warm_up, decay_from, horizon, floor } => Rate::WarmUpStableDecay {
            peak,
            warm_up: clock.at(warm_up),
            decay_from: clock.at(decay_from),
            horizon: clock.at(horizon),
            floor,
        },
    }
}

fn stages(mut curriculum: Curriculum, clock: &Clock) -> Curriculum {
    for stage in &mut curriculum.stages {
        let from = stage.from;
        stage.from = clock.at(from);
        stage.ramp = clock.span(from, stage.ramp);
    }
    curriculum
}

fn fewer(set: &Validation) -> Validation {
    Validation { spectra: set.spectra.min(SPECTRA), ..set.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_keep_their_order_and_stay_apart() {
        let notable = BTreeSet::from([0, 600, 800, 801, 802, 20_000]);
        let clock = Clock::new(&notable, 200);
        let small: Vec<u64> = notable.iter().map(|&step| clock.at(step)).collect();
        assert_eq!(small, [0, 3, 4, 5, 6, 100]);
        assert_eq!((clock.span(800, 1), clock.span(800, 0), clock.every(1_000), clock.every(10)), (1, 0, 5, 1));
    }
}
