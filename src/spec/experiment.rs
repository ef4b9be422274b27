//! Experiments: one question, a parent, branches, a last step.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::curriculum::{Curriculum, StageData};
use super::decide::Decide;
use super::findings::{Findings, Place};
use super::name::Name;
use super::recorded::Recorded;
use super::reference::Reference;
use super::source::{MgfSet, Source, check_files, check_preprocessing, check_synthetic};
use super::training::{Model, Optimizer, Precision, Rate, Training, below_one, check_clip, check_micro_batch};
use crate::task::loss::Loss;
use crate::task::synthetic::Synthetic;

/// The branch of an experiment that names none.
pub const IMPLIED_BRANCH: &str = "main";

/// An experiment as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What the experiment is to answer; for people.
    #[serde(default)]
    pub question: Option<String>,
    /// Where training starts.
    pub parent: Parent,
    /// The curriculum of the only branch. Either this or `branches`.
    #[serde(default)]
    pub curriculum: Option<CurriculumChoice>,
    /// What the only branch changes against its parent.
    #[serde(default)]
    pub change: Option<Change>,
    /// Several branches of the same parent.
    #[serde(default)]
    pub branches: Vec<Branch>,
    /// The branch that the others are compared with. Left out: the last one.
    #[serde(default)]
    pub reference: Option<Name>,
    /// `(a, b)`: the steps of this file's `File` and `Moved` curricula are multiplied by a and divided by b.
    #[serde(default)]
    pub clock: Option<(u64, u64)>,
    /// Replicates: each branch is trained once for each seed.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Absolute step at which every leaf ends.
    pub max_step: u64,
    /// Steps between checkpoints. Left out: the parent's, for a root 1,000.
    #[serde(default)]
    pub save_every: Option<u64>,
    /// Steps between evaluations. Left out: the parent's, for a root 1,000.
    #[serde(default)]
    pub evaluate_every: Option<u64>,
    /// Steps between lines of metrics. Left out: the parent's, for a root 10.
    #[serde(default)]
    pub log_every: Option<u64>,
    /// Whether the bits of every update are kept beside the checkpoints. Left out: the parent's, for a root `true`.
    #[serde(default)]
    pub ledger: Option<bool>,
    /// Absolute steps whose checkpoints are kept for good.
    #[serde(default)]
    pub keep: Vec<u64>,
    /// `set/metric` by which the best checkpoint is chosen. Left out: the parent's, for a root token accuracy on the last set.
    #[serde(default)]
    pub best: Option<String>,
    /// What decides between the branches. Frozen when training begins.
    #[serde(default)]
    pub decide: Option<Decide>,
    /// Fixed sets every leaf is evaluated on. Left out: the parent's.
    #[serde(default)]
    pub validation: Vec<Validation>,
    /// Files this one needs, in the file itself: what `run` saves beside a run. They come before those in the folders.
    #[serde(default)]
    pub library: Library,
}

/// Experiments and curricula carried inside a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Library {
    pub experiments: BTreeMap<Name, Experiment>,
    pub curricula: BTreeMap<Name, Curriculum>,
    /// What the run came to; `reproduce` compares with it.
    pub recorded: Option<Recorded>,
}

/// Where training starts. Only a root names a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Parent {
    /// Fresh weights.
    Scratch(Scratch),
    /// A checkpoint of another experiment: `"experiment/branch#seed@step"`.
    Checkpoint(Reference),
    /// Weights from a file; optimizer and running average start afresh.
    Imported(Imported),
}

/// A root with fresh weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scratch {
    /// Keys every random number. Left out together with `seeds` at the top level.
    #[serde(default)]
    pub seed: Option<u64>,
    pub model: Model,
    pub data: Source,
    pub training: Training,
}

/// A root whose weights come from a safetensors file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Path of the safetensors file, relative to the folder that holds `experiments/`.
    pub file: String,
    /// blake3 of the tensors in hexadecimal; written into saved files.
    #[serde(default)]
    pub digest: Option<String>,
    /// Absolute step the weights are taken to be at.
    pub step: u64,
    #[serde(default)]
    pub seed: Option<u64>,
    pub model: Model,
    pub data: Source,
    pub training: Training,
}

/// One branch of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    pub name: Name,
    pub curriculum: CurriculumChoice,
    /// What the branch changes against its parent.
    #[serde(default)]
    pub change: Option<Change>,
}

/// Which curriculum a branch follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CurriculumChoice {
    /// `curricula/<name>.ron`.
    File(Name),
    /// The parent's settings, as if it were trained on.
    Inherit,
    /// A curriculum with one loss's weights shifted so that they begin at `to`; 0 before.
    Moved { of: Name, loss: Loss, to: u64 },
    /// A curriculum written here; the clock does not touch it.
    Inline(Curriculum),
}

/// Settings a fork changes from its first step on. What is left out stays the parent's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    pub batch: Option<u32>,
    pub micro_batch: Option<u32>,
    pub lr: Option<Rate>,
    pub weight_decay: Option<f64>,
    /// Largest global norm of the gradient; `None` is no limit.
    #[serde(deserialize_with = "read_written", serialize_with = "write_written", skip_serializing_if = "Option::is_none")]
    pub clip: Option<Option<f64>>,
    pub dropout: Option<f64>,
    pub precision: Option<Precision>,
    pub optimizer: Option<Optimizer>,
    /// Factor on every weight of a loss, `{Precursor: 0.5}`.
    pub scale: BTreeMap<Loss, f64>,
}

/// Tells `clip: None` (no limit) from a `clip` that is not written (the parent's).
fn read_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn write_written<S: Serializer>(value: &Option<Option<f64>>, serializer: S) -> Result<S::Ok, S::Error> {
    value.flatten().serialize(serializer)
}

/// A fixed set of spectra.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    pub name: Name,
    pub data: ValidationData,
    /// Most spectra of the set; of a file those with the lowest hash.
    #[serde(default = "default_spectra")]
    pub spectra: u32,
}

/// More spectra in a validation set than this are taken for a slip.
const MOST_SPECTRA: u32 = 1_000_000;

fn default_spectra() -> u32 {
    256
}

/// Where a validation set comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ValidationData {
    /// Drawn by rule from a seed of its own, with noise as a stage has it.
    Synthetic {
        source: Synthetic,
        #[serde(default)]
        noise: StageData,
        #[serde(default)]
        seed: u64,
    },
    /// Held-out peptides of annotated files.
    Mgf(MgfSet),
}

impl Experiment {
    /// The branches; an experiment that names none has one, called `main`.
    pub fn all_branches(&self) -> Vec<Branch> {
        let single = self.curriculum.clone().map(|curriculum| {
            let name = Name::try_from(IMPLIED_BRANCH).expect("a fixed name");
            Branch { name, curriculum, change: self.change.clone() }
        });
        single.into_iter().chain(self.branches.iter().cloned()).collect()
    }

    /// The place of a branch's field, whichever way the branch is written.
    pub fn branch_place(&self, index: usize, field: &str) -> Place {
        match self.curriculum {
            Some(_) => Place::root().field(field),
            None => Place::root().field("branches").index(index).field(field),
        }
    }

    /// The declared root seed of an experiment without `seeds`.
    pub fn root_seed(&self) -> Option<u64> {
        match &self.parent {
            Parent::Scratch(scratch) => scratch.seed,
            Parent::Imported(imported) => imported.seed,
            Parent::Checkpoint(_) => None,
        }
    }

    /// Reports every rule the experiment breaks on its own.
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        self.parent.check(&at.field("parent"), findings);
        self.check_branches(at, findings);
        self.check_seeds(at, findings);
        self.check_steps(at, findings);
        if let Some(decide) = &self.decide {
            decide.check(self.all_branches().len(), &at.field("decide"), findings);
        }
        for (index, set) in self.validation.iter().enumerate() {
            let place = at.field("validation").index(index);
            set.check(&place, findings);
            if self.validation[..index].iter().any(|other| other.name.folded() == set.name.folded()) {
                findings.add(
                    &place.field("name"),
                    format!("two validation sets are called `{}`", set.name),
                    "give each a name of its own",
                );
            }
        }
        for (name, experiment) in &self.library.experiments {
            experiment.check(&at.field("library").field("experiments").field(name.as_str()), findings);
        }
        for (name, curriculum) in &self.library.curricula {
            curriculum.check(&at.field("library").field("curricula").field(name.as_str()), findings);
        }
    }

    fn check_branches(&self, at: &Place, findings: &mut Findings) {
        match (&self.curriculum, self.branches.is_empty()) {
            (None, true) => findings.add(
                at,
                "neither `curriculum` nor `branches` is written",
                "write `curriculum: File(\"...\")`, or a list of branches",
            ),
            (Some(_), false) => {
                findings.add(&at.field("branches"), "both `curriculum` and `branches` are written", "write one of them");
            }
            _ => {}
        }
        if self.change.is_some() && !self.branches.is_empty() {
            findings.add(
                &at.field("change"),
                "`change` stands beside `branches`",
                "write the change into the branch it is for",
            );
        }
        let is_root = !matches!(self.parent, Parent::Checkpoint(_));
        for (index, branch) in self.all_branches().iter().enumerate() {
            let field = |name: &str| match self.curriculum {
                Some(_) => at.field(name),
                None => at.field("branches").index(index).field(name),
            };
            branch.check(&field, is_root, findings);
            if self.branches[..index.min(self.branches.len())].iter().any(|other| other.name.folded() == branch.name.folded()) {
                findings.add(
                    &field("name"),
                    format!("two branches are called `{}`", branch.name),
                    "give each a name of its own, not only another case",
                );
            }
            if branch.name.as_str() == "shared" {
                findings.add(&field("name"), "`shared` is the folder of what several leaves share", "choose another name");
            }
        }
        let Some(reference) = &self.reference else { return };
        let branches = self.all_branches();
        if !branches.iter().any(|branch| branch.name == *reference) {
            let known = branches.iter().map(|branch| branch.name.as_str()).collect::<Vec<_>>().join("`, `");
            findings.add(
                &at.field("reference"),
                format!("there is no branch `{reference}`"),
                format!("the branches are `{known}`"),
            );
        }
    }

    fn check_seeds(&self, at: &Place, findings: &mut Findings) {
        for (index, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..index].contains(seed) {
                findings.add(&at.field("seeds").index(index), format!("seed {seed} is written twice"), "write each seed once");
            }
        }
        let is_root = !matches!(self.parent, Parent::Checkpoint(_));
        match (is_root, self.root_seed(), self.seeds.is_empty()) {
            (true, Some(_), false) => {
                findings.add(&at.field("seeds"), "both the parent's `seed` and `seeds` are written", "write one of them");
            }
            (true, None, true) => findings.add(
                &at.field("parent"),
                "no seed is written",
                "write `seed: 42` here, or `seeds: [1, 2, 3]` at the top level",
            ),
            _ => {}
        }
    }

    fn check_steps(&self, at: &Place, findings: &mut Findings) {
        findings.positive(&at.field("max_step"), self.max_step, "`max_step`");
        for (name, every) in
            [("save_every", self.save_every), ("evaluate_every", self.evaluate_every), ("log_every", self.log_every)]
        {
            if let Some(every) = every {
                findings.positive(&at.field(name), every, &format!("`{name}`"));
            }
        }
        for (index, set) in self.validation.iter().enumerate().filter(|(_, set)| set.spectra > MOST_SPECTRA) {
            let place = at.field("validation").index(index).field("spectra");
            findings.add(&place, format!("{} spectra to evaluate on", set.spectra), format!("write at most {MOST_SPECTRA}"));
        }
        for (index, &step) in self.keep.iter().enumerate() {
            if step == 0 || step > self.max_step {
                let help = format!("write steps from 1 to {}", self.max_step);
                findings.add(&at.field("keep").index(index), format!("no checkpoint is made at step {step}"), help);
            }
        }
        if let Some((multiply, divide)) = self.clock {
            if multiply == 0 || divide == 0 {
                findings.add(
                    &at.field("clock"),
                    format!("a clock of ({multiply}, {divide})"),
                    "write two whole numbers above 0, `(1, 25)`",
                );
            }
            let scaled =
                |choice: &CurriculumChoice| matches!(choice, CurriculumChoice::File(_) | CurriculumChoice::Moved { .. });
            if !self.all_branches().iter().any(|branch| scaled(&branch.curriculum)) {
                findings.add(
                    &at.field("clock"),
                    "the clock scales nothing here",
                    "leave it out: it is for `File` and `Moved` curricula",
                );
            }
        }
    }
}

impl Branch {
    fn check(&self, field: &dyn Fn(&str) -> Place, is_root: bool, findings: &mut Findings) {
        match &self.curriculum {
            CurriculumChoice::Inherit if is_root => {
                findings.add(
                    &field("curriculum"),
                    "a root has nothing to inherit",
                    "name a curriculum, `File(\"cross_entropy_only\")`",
                );
            }
            CurriculumChoice::Moved { loss: Loss::CrossEntropy, .. } => {
                findings.add(
                    &field("curriculum").field("loss"),
                    "`CrossEntropy` cannot be moved",
                    "move `Spectrum` or `Precursor`",
                );
            }
            CurriculumChoice::Inline(curriculum) => curriculum.check(&field("curriculum"), findings),
            _ => {}
        }
        if let Some(change) = &self.change {
            if is_root {
                findings.add(
                    &field("change"),
                    "a root has nothing to change",
                    "write the values into `training`, the weights into the curriculum",
                );
            }
            change.check(&field("change"), findings);
        }
    }
}

impl Change {
    fn check(&self, at: &Place, findings: &mut Findings) {
        if let Some(batch) = self.batch {
            findings.positive(&at.field("batch"), u64::from(batch), "`batch`");
        }
        if let (Some(batch), micro) = (self.batch, self.micro_batch) {
            check_micro_batch(batch, micro, at, findings);
        } else if let Some(micro) = self.micro_batch {
            findings.positive(&at.field("micro_batch"), u64::from(micro), "`micro_batch`");
        }
        if let Some(rate) = &self.lr {
            rate.check(&at.field("lr"), findings);
        }
        if let Some(decay) = self.weight_decay {
            findings.number(&at.field("weight_decay"), decay, 0.0..=f64::INFINITY, "`weight_decay`");
        }
        if let Some(Some(clip)) = self.clip {
            check_clip(clip, &at.field("clip"), findings);
        }
        if let Some(dropout) = self.dropout {
            below_one(&at.field("dropout"), dropout, findings);
        }
        if let Some(optimizer) = &self.optimizer {
            optimizer.check(&at.field("optimizer"), findings);
            if self.weight_decay.is_some() {
                findings.add(
                    &at.field("weight_decay"),
                    "`weight_decay` stands beside `optimizer`",
                    "write it into the optimizer",
                );
            }
        }
        for (loss, &factor) in &self.scale {
            findings.number(
                &at.field("scale").field(loss.name()),
                factor,
                0.0..=f64::INFINITY,
                &format!("the factor of `{loss}`"),
            );
        }
    }
}

impl Parent {
    fn check(&self, at: &Place, findings: &mut Findings) {
        let (model, data, training) = match self {
            Parent::Scratch(root) => (&root.model, &root.data, &root.training),
            Parent::Imported(root) => (&root.model, &root.data, &root.training),
            Parent::Checkpoint(_) => return,
        };
        model.check(&at.field("model"), findings);
        data.check(&at.field("data"), findings);
        training.check(&at.field("training"), findings);
    }
}

impl Validation {
    fn check(&self, at: &Place, findings: &mut Findings) {
        findings.positive(&at.field("spectra"), u64::from(self.spectra), "`spectra`");
        match &self.data {
            ValidationData::Synthetic { source, noise, .. } => {
                check_synthetic(source, &at.field("data").field("source"), findings);
                noise.check(&at.field("data").field("noise"), findings);
            }
            ValidationData::Mgf(set) => {
                check_files(&set.files, &set.digests, &at.field("data"), findings);
                check_preprocessing(&set.preprocessing, &at.field("data").field("preprocessing"), findings);
                if let Some(length) = &set.length {
                    super::curriculum::check_length(length, &at.field("data").field("length"), findings);
                }
            }
        }
    }
}
