//! Experiments: one question, a parent, branches, a last step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::branch::{Branch, Change, CurriculumChoice};
use super::curriculum::Curriculum;
use super::decide::Decide;
use super::findings::{Findings, Place};
use super::in_run::clash;
use super::name::Name;
use super::parent::Parent;
use super::recorded::Recorded;
use super::validation::Validation;

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
            if let Some(what) = clash(&branch.name) {
                findings.add(&field("name"), what, "choose another name");
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
