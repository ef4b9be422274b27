//! A comparison of the leaves of an experiment: scores and differences at the largest common step, how the branches came
//! there, and what follows.

use serde::Serialize;

use super::conclusion::{Conclusion, Parties, conclude};
use super::differences::{Difference, divergence, settings_that_differ};
use super::jumps::{Jump, jumps};
use super::leaves::{LeafRecords, Leaves, SetFacts};
use super::progress::{SetProgress, progress};
use super::prose::{MOST_NAMES, listed};
use super::samples::{EqualSamples, batches_differ, equal_samples};
use super::scores::{SetScores, set_scores};
use super::stability::{Stability, stability};
use super::statistics::{FEWEST_SEEDS, Judgement};
use super::sweep::{Sweep, sweep};
use crate::history::History;
use crate::spec::Decide;

/// What is asked of a comparison.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub experiment: &'a str,
    pub reference: &'a str,
    /// The rule that decides, and how it was edited since training began.
    pub rule: Option<&'a Decide>,
    pub rule_change: Option<String>,
}

/// A comparison of the leaves of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub format: u32,
    pub experiment: String,
    pub reference: String,
    pub conclusion: Conclusion,
    /// Leaves are compared at this step: the largest at which all have been evaluated.
    pub step: Option<u64>,
    /// Number of seeds compared, and which.
    pub seeds: usize,
    pub seed_list: Vec<Option<u64>>,
    /// Whether every branch grew from one parent under one numerics, seed by seed.
    pub paired: bool,
    /// Whether the seeds are replicates from one checkpoint on: then all claims hold for that trunk.
    pub replicates_are_forks: bool,
    /// How each branch parts from the reference.
    pub heads: Vec<Head>,
    pub sets: Vec<SetScores>,
    /// Where branches have different batch sizes.
    pub equal_samples: Option<EqualSamples>,
    pub progress: Vec<SetProgress>,
    /// Where several branches differ in the beginning of one loss alone.
    pub sweep: Option<Sweep>,
    pub jumps: Vec<Jump>,
    pub stability: Vec<Stability>,
    /// Settings in which the branches differ, whatever the step.
    pub settings_that_differ: Vec<String>,
    /// What keeps the numbers from being a verdict, or limits what they say.
    pub remarks: Vec<String>,
}

/// How a branch parts from the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Head {
    pub branch: String,
    pub curriculum: String,
    pub difference: Difference,
    /// Settings in which it differs from the reference from the fork on.
    pub settings: Vec<String>,
}

/// Compares leaves on validation sets.
pub fn compare(asked: &Asked<'_>, leaves: &[LeafRecords<'_>], sets: &[SetFacts]) -> Comparison {
    let leaves = &Leaves::new(leaves, asked.reference, sets);
    let heads = heads(leaves);
    let scores: Vec<SetScores> = leaves
        .step
        .map_or(vec![], |step| sets.iter().filter_map(|set| set_scores(leaves, set, &|_| Some(step), asked.rule)).collect());
    let described = |branch: &str| described(&heads, branch);
    let parties = Parties {
        reference: asked.reference,
        described: &described,
        sets: &scores,
        paired: leaves.paired,
        seeds: leaves.seeds.len(),
    };
    let conclusion = conclude(&parties, asked.rule, asked.rule_change.clone());
    let batches_differ = leaves.step.is_some_and(|step| batches_differ(leaves, step));
    let equal_samples = if batches_differ { equal_samples(leaves, sets, asked.rule) } else { None };
    let settings = settings(leaves);
    let mut remarks = remarks(leaves, &scores, &settings);
    if batches_differ && equal_samples.is_none() {
        remarks.push(
            "batch sizes differ, and no number of samples has been evaluated in every leaf: an `evaluate_every` that fits them would show them at equal samples".into(),
        );
    }
    Comparison {
        format: crate::record::FORMAT,
        experiment: asked.experiment.into(),
        reference: asked.reference.into(),
        conclusion,
        step: leaves.step,
        seeds: leaves.seeds.len(),
        seed_list: leaves.seeds.clone(),
        paired: leaves.paired,
        replicates_are_forks: leaves.replicates_are_forks(),
        progress: leaves.step.map_or(vec![], |step| sets.iter().map(|set| progress(leaves, set, step)).collect()),
        sweep: sweep(leaves, &scores, asked.rule.map_or("token_accuracy", |rule| rule.parts().1)),
        jumps: by_branch(leaves).flat_map(|leaf| jumps(leaf, sets)).collect(),
        stability: by_branch(leaves).map(stability).collect(),
        heads,
        sets: scores,
        equal_samples,
        settings_that_differ: settings,
        remarks,
    }
}

/// All leaves, branch by branch.
fn by_branch<'a>(leaves: &Leaves<'a>) -> impl Iterator<Item = &'a LeafRecords<'a>> {
    leaves.branches.iter().flat_map(|branch| leaves.of(branch))
}

/// Settings in which any two branches differ.
fn settings(leaves: &Leaves<'_>) -> Vec<String> {
    let firsts = leaves.firsts();
    let histories: Vec<&History> = firsts.iter().map(|leaf| leaf.history).collect();
    let from = firsts.iter().map(|leaf| leaf.own_from).min().unwrap_or(0);
    settings_that_differ(&histories, from).into_keys().collect()
}

fn heads(leaves: &Leaves<'_>) -> Vec<Head> {
    let Some(reference) = leaves.of(&leaves.reference).next() else { return vec![] };
    let head = |branch: &str| {
        let leaf = leaves.leaf(branch, reference.key.seed)?;
        let histories = [reference.history, leaf.history];
        Some(Head {
            branch: branch.to_owned(),
            curriculum: leaf.curriculum.clone(),
            difference: divergence(reference.history, leaf.history),
            settings: settings_that_differ(&histories, leaf.own_from.min(reference.own_from)).into_keys().collect(),
        })
    };
    leaves.others().filter_map(head).collect()
}

/// A branch as a conclusion may name it: one loss, or one setting, only where nothing else differs.
fn described(heads: &[Head], branch: &str) -> String {
    let Some(head) = heads.iter().find(|head| head.branch == branch) else { return format!("`{branch}`") };
    let name = match head.curriculum.as_str() {
        "" => String::new(),
        curriculum => format!("curriculum {curriculum}, "),
    };
    match &head.settings[..] {
        [] => format!("`{branch}`"),
        [only] => format!("`{branch}` (only {only} differs)"),
        several => format!("`{branch}` ({name}{} settings differ)", several.len()),
    }
}

fn remarks(leaves: &Leaves<'_>, sets: &[SetScores], settings: &[String]) -> Vec<String> {
    let mut remarks = Vec::new();
    let seeds = leaves.seeds.len();
    if leaves.step.is_none() {
        remarks.push("not all leaves have been evaluated at a common step: there is nothing to compare yet".into());
    }
    let waiting: Vec<String> = leaves.left_out.iter().flatten().map(u64::to_string).collect();
    let seeds_wait = match &waiting[..] {
        [] => None,
        [one] => Some(format!("seed {one} is left out: not every branch of it")),
        many if many.len() > MOST_NAMES => Some(format!("{} seeds are left out: not every branch of them", many.len())),
        several => Some(format!("seeds {} are left out: not every branch of them", several.join(", "))),
    };
    remarks.extend(seeds_wait.map(|text| text + " has been evaluated past the fork"));
    if seeds < FEWEST_SEEDS && leaves.branches.len() > 1 {
        let plural = if seeds == 1 { "" } else { "s" };
        remarks.push(format!("{seeds} seed{plural}: numbers, no verdict; {FEWEST_SEEDS} or more show the spread"));
    }
    remarks.extend(leaves.step.into_iter().flat_map(|step| same_trainings(leaves, step)));
    if !leaves.paired {
        remarks.push(
            "leaves of one seed did not grow from the same bits under the same numerics: differences are not paired".into(),
        );
    }
    if settings.len() > 1 && leaves.branches.len() > 1 {
        remarks.push(format!(
            "the branches differ in {} settings: a difference speaks for a whole curriculum, not for one loss",
            settings.len()
        ));
    }
    if seeds > 1 && leaves.branches.len() > 1 && leaves.replicates_are_forks() {
        remarks.push("the seeds are replicates of the fork: what is said holds for this one trunk".into());
    }
    let estimates = sets.iter().flat_map(|set| &set.branches).flat_map(|branch| branch.differences.values());
    if estimates.into_iter().any(|found| matches!(found.judgement, Some(Judgement::UnderPowered { .. }))) {
        remarks.push(
            "settle on a number of seeds and look once more: a null that is looked at twice is called different in about 1 of 10 experiments, not 1 of 20".into(),
        );
    }
    remarks
}

/// Says which branches beside the reference are one training up to a step.
fn same_trainings(leaves: &Leaves<'_>, step: u64) -> Vec<String> {
    let is_same = |a: &str, b: &str| {
        let common = |(a, b): (&LeafRecords<'_>, &LeafRecords<'_>)| a.history.common_step(b.history);
        leaves.of(a).zip(leaves.of(b)).all(|pair| common(pair).is_some_and(|common| common >= step))
    };
    let mut trainings: Vec<Vec<&str>> = Vec::new();
    for branch in leaves.others().filter(|branch| !is_same(branch, &leaves.reference)) {
        match trainings.iter_mut().find(|known| is_same(branch, known[0])) {
            Some(known) => known.push(branch),
            None => trainings.push(vec![branch]),
        }
    }
    let several = trainings.into_iter().filter(|branches| branches.len() > 1);
    let quoted = |branches: Vec<&str>| branches.into_iter().map(|branch| format!("`{branch}`")).collect::<Vec<_>>();
    several.map(|branches| format!("one training, which counts once: {}", listed(&quoted(branches), "branches"))).collect()
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
