//! Whether a run was reproduced: the verdict, the first difference, and its likely cause.

use std::fmt;

use serde::Serialize;

use super::parting::Parting;
use crate::history::Change;
use crate::record::{MetricsRow, Part, Promise};

/// How a repeated run compares with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every bit that was compared is equal.
    Identical,
    /// Nothing measured differs by more than is allowed, where equal bits are not promised.
    Within,
    Differs,
}

/// What was found at the end of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeafEnds {
    pub leaf: String,
    pub step: u64,
    /// Digests of the tensors; nothing where the repeated leaf did not get there.
    pub recorded: String,
    pub repeated: Option<String>,
}

/// A stretch of training that leaves may share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repeated {
    pub name: String,
    /// Updates whose ledgers, or logged rows, were compared.
    pub updates: u64,
    pub parting: Option<Parting>,
    /// In what the numerics of both sides differ.
    pub numerics: Vec<Change>,
    pub promise: Promise,
}

/// The largest relative difference of something measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    pub relative: f64,
    pub place: String,
}

/// Everything that was compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evidence {
    pub run: String,
    pub leaves: Vec<LeafEnds>,
    pub stretches: Vec<Repeated>,
    pub evaluations: usize,
    /// Evaluations that are not equal.
    pub other_evaluations: Vec<String>,
    pub worst: Option<Worst>,
    /// In what the records of both runs differ: program, lock file, commit, host.
    pub provenance: Vec<Change>,
    /// Where the file gives other histories, or other data, than were recorded.
    pub contradictions: Vec<String>,
    /// What kept the repeated run from its end, and other things to know.
    pub remarks: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reproduction {
    pub verdict: Verdict,
    /// The largest relative difference that counts as `within`.
    pub allowed: f64,
    /// The earliest difference of all stretches.
    pub first: Option<(String, Parting)>,
    pub cause: Option<String>,
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// The largest relative difference between the raw terms of logged rows.
pub fn worst(name: &str, recorded: &[MetricsRow], repeated: &[MetricsRow]) -> Option<Worst> {
    let at = |step: u64| repeated.binary_search_by_key(&step, |row| row.step).ok().map(|index| &repeated[index]);
    let pairs = recorded.iter().filter_map(|row| Some((row, at(row.step)?)));
    let terms = pairs.flat_map(|(a, b)| {
        let pair = |(loss, value): (&_, &f64)| Some((a.step, *loss, relative(*value, *b.terms.get(loss)?)));
        a.terms.iter().filter_map(pair).collect::<Vec<_>>()
    });
    let largest = terms.max_by(|a, b| a.2.total_cmp(&b.2))?;
    Some(Worst { relative: largest.2, place: format!("{name}, step {}, {}", largest.0, largest.1) })
}

/// Difference relative to the larger of two numbers; 0 where they are equal.
pub fn relative(a: f64, b: f64) -> f64 {
    if a == b || a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs() / a.abs().max(b.abs()) }
}

/// Says whether a run was reproduced.
pub fn judge(evidence: Evidence, allowed: f64) -> Reproduction {
    let first = evidence.stretches.iter().filter_map(|stretch| Some((stretch, stretch.parting.as_ref()?)));
    let first = first.min_by_key(|(_, parting)| parting.step);
    let reached = evidence.leaves.iter().all(|leaf| leaf.repeated.is_some());
    let equal = evidence.leaves.iter().all(|leaf| leaf.repeated.as_ref() == Some(&leaf.recorded))
        && first.is_none()
        && evidence.other_evaluations.is_empty();
    let is_close = evidence.worst.as_ref().is_some_and(|worst| worst.relative <= allowed);
    let verdict = match evidence.contradictions.is_empty() && reached {
        true if equal => Verdict::Identical,
        true if promise(&evidence) != Promise::Bits && is_close => Verdict::Within,
        _ => Verdict::Differs,
    };
    let cause = (verdict != Verdict::Identical).then(|| cause(&evidence, first));
    let first = first.map(|(stretch, parting)| (stretch.name.clone(), parting.clone()));
    Reproduction { verdict, allowed, first, cause, evidence }
}

/// What is promised of the whole: the least that is promised of a stretch.
fn promise(evidence: &Evidence) -> Promise {
    evidence.stretches.iter().map(|stretch| stretch.promise).max().unwrap_or(Promise::Bits)
}

/// What most probably made the difference.
fn cause(evidence: &Evidence, first: Option<(&Repeated, &Parting)>) -> String {
    if let Some(contradiction) = evidence.contradictions.first() {
        return contradiction.clone();
    }
    let Some((stretch, parting)) = first else {
        return match evidence.stretches.iter().find(|stretch| !stretch.numerics.is_empty()) {
            Some(stretch) => format!("other numerics: {}", named(&stretch.numerics)),
            None => {
                "without the run's ledger only the ends can be compared; with its folder the first step can be found".into()
            }
        };
    };
    let code = match parting.part {
        Part::Batch => "of the data (drawing, noise, preprocessing)",
        Part::Schedule => "of the schedules",
        Part::Term => "of the network or of that loss",
        Part::Gradient => "of the backward pass",
        Part::Update => "of the optimizer, or a state that was changed between two steps",
    };
    let exact_inputs = matches!(parting.part, Part::Batch | Part::Schedule);
    match stretch.promise {
        Promise::Closeness if !exact_inputs => {
            return format!("another machine or build, whose bits are its own: {}", named(&stretch.numerics));
        }
        Promise::Kernels if !exact_inputs => {
            return "the same GPU and build, whose bits are not promised to repeat: see docs/gpu.md".into();
        }
        _ => {}
    }
    let program = evidence.provenance.iter().find(|change| ["program", "runner"].contains(&change.setting.as_str()));
    match program {
        Some(change) => {
            format!("another program ({change}): the code {code} has changed without its version in the history being raised")
        }
        None => format!(
            "machine, build and program are the recorded ones: a fault of memory or device, a race, or a changed file; suspect the code {code}, and repeat to see whether the step stays the same"
        ),
    }
}

fn named(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Reproduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evidence = &self.evidence;
        let verdict = match self.verdict {
            Verdict::Identical => "identical".to_owned(),
            Verdict::Within => format!("within {}", self.allowed),
            Verdict::Differs => "differs".to_owned(),
        };
        writeln!(f, "{}: {verdict}", evidence.run)?;
        if !evidence.contradictions.is_empty() {
            evidence.contradictions.iter().try_for_each(|text| writeln!(f, "  {text}"))?;
            return writeln!(f, "nothing was trained: put back what was recorded, or reproduce it as it is");
        }
        writeln!(f, "  promised: {}", promise(evidence))?;
        let updates: u64 = evidence.stretches.iter().map(|stretch| stretch.updates).sum();
        let equal = evidence.leaves.iter().filter(|leaf| leaf.repeated.as_ref() == Some(&leaf.recorded)).count();
        writeln!(
            f,
            "  {equal} of {} leaf ends have equal tensors; {updates} updates and {} evaluations compared, {} evaluations differ",
            evidence.leaves.len(),
            evidence.evaluations,
            evidence.other_evaluations.len()
        )?;
        if let Some((name, parting)) = &self.first {
            write!(f, "{}", FirstDifference { name, parting })?;
        }
        if let Some(worst) = evidence.worst.as_ref().filter(|worst| worst.relative > 0.0) {
            writeln!(f, "worst difference: {:.2e} of the value, at {}", worst.relative, worst.place)?;
        }
        for leaf in evidence.leaves.iter().filter(|leaf| leaf.repeated.as_ref() != Some(&leaf.recorded)) {
            let repeated = leaf.repeated.as_ref().map_or("not reached", |digest| short(digest));
            writeln!(f, "  {}@{}: tensors {} recorded, {repeated} repeated", leaf.leaf, leaf.step, short(&leaf.recorded))?;
        }
        if self.verdict != Verdict::Identical {
            let numerics = evidence.stretches.iter().map(|stretch| &stretch.numerics).find(|changes| !changes.is_empty());
            writeln!(f, "numerics: {}", numerics.map_or("equal".into(), |changes| named(changes)))?;
            let provenance = if evidence.provenance.is_empty() { "equal".into() } else { named(&evidence.provenance) };
            writeln!(f, "provenance: {provenance}")?;
        }
        if let Some(cause) = &self.cause {
            writeln!(f, "likely cause: {cause}")?;
        }
        evidence.remarks.iter().try_for_each(|remark| writeln!(f, "note: {remark}"))
    }
}

fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

struct FirstDifference<'a> {
    name: &'a str,
    parting: &'a Parting,
}

impl fmt::Display for FirstDifference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parting { step, part, what, recorded, repeated, others, exact } = self.parting;
        let part = match part {
            Part::Batch => "the batch",
            Part::Schedule => "the schedule",
            Part::Term => "a term of the loss",
            Part::Gradient => "a gradient",
            Part::Update => "the updated values",
        };
        let by = if *exact { "at" } else { "by" };
        writeln!(f, "first difference: {}, {by} step {step}, in {part}", self.name)?;
        let others = if *others > 0 { format!(", and {others} more of the same kind") } else { String::new() };
        writeln!(f, "  {what}: {recorded} recorded, {repeated} repeated{others}")?;
        if !exact {
            writeln!(f, "  no ledger was kept of every update: the first difference may lie before that step")?;
        }
        Ok(())
    }
}
