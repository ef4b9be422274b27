//! Whether what lies on disk is what its records claim: the checks of one segment, and the answer for a run.

use std::fmt;

use serde::Serialize;

use super::parting::Parting;
use crate::history::{At, History};
use crate::record::{Column, Ledger, MetricsRow, Promise, State, state_digests};
use crate::task::loss::Loss;

/// What a run's records were found to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    pub run: String,
    /// Checkpoints with everything in their lineages, and how many of them have tensors.
    pub checkpoints: usize,
    pub with_tensors: usize,
    /// Updates whose ledgers were checked.
    pub updates: u64,
    /// Checkpoints that keep no ledger.
    pub without_ledger: usize,
    pub evaluations: usize,
    /// Batches that were drawn again.
    pub batches: Option<u64>,
    pub spots: Vec<Spot>,
    /// Everything that is not as it should be; empty for a sound run.
    pub problems: Vec<String>,
    pub remarks: Vec<String>,
}

/// A segment that was trained again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spot {
    pub segment: String,
    pub from: u64,
    pub to: u64,
    pub equal: bool,
    pub parting: Option<Parting>,
    pub promise: Promise,
}

/// The updates of a checkpoint's segment, as they were recorded.
pub struct Segment<'a> {
    pub from: u64,
    pub history: &'a History,
    pub rows: &'a [MetricsRow],
    pub ledger: Option<&'a Ledger>,
    /// The last chained word of the parent's ledger, or the first of all.
    pub chain: Option<u64>,
    pub state: Option<&'a State>,
}

impl Segment<'_> {
    /// Whatever in a segment's records contradicts its history, or another of its records.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.rows_problems();
        if let Some(ledger) = self.ledger {
            problems.extend(self.ledger_problems(ledger));
        }
        problems
    }

    fn rows_problems(&self) -> Vec<String> {
        let range = self.from..self.history.end();
        if let Some(row) = self.rows.iter().find(|row| !range.contains(&row.step)) {
            return vec![format!("a row of metrics is about step {}, which is not the segment's", row.step)];
        }
        if self.rows.windows(2).any(|pair| pair[0].step >= pair[1].step) {
            return vec!["the rows of metrics are not in order".into()];
        }
        let off = self.rows.iter().find(|row| !follows(row, &self.history.at(row.step)));
        off.map(|row| format!("metrics: step {} was not trained under the settings of its history", row.step))
            .into_iter()
            .collect()
    }

    fn ledger_problems(&self, ledger: &Ledger) -> Vec<String> {
        let mut problems = Vec::new();
        if (ledger.from(), ledger.to()) != (self.from, self.history.end()) {
            problems.push(format!(
                "the ledger goes from {} to {}, the segment from {} to {}",
                ledger.from(),
                ledger.to(),
                self.from,
                self.history.end()
            ));
            return problems;
        }
        if let Some(step) = ledger.broken_chain() {
            problems.push(format!("ledger: the row of step {step} does not follow from those before it"));
        }
        if self.chain.is_some_and(|chain| chain != ledger.begins_with()) {
            problems.push("ledger: it does not go on from its parent's".into());
        }
        if let Some((step, column, recorded, scheduled)) = ledger.off_schedule(&|step| self.history.at(step)) {
            problems.push(format!("ledger: at step {step} the {column} was {recorded:e}, the history says {scheduled:e}"));
        }
        if let Some(step) = self.rows.iter().find(|row| !agrees(row, ledger)).map(|row| row.step) {
            problems.push(format!("at step {step} metrics and ledger do not agree"));
        }
        if let Some(path) = self.state.and_then(|state| other_tensor(ledger, state)) {
            problems.push(format!("the tensor `{path}` is not the one that the ledger ends with"));
        }
        problems
    }
}

/// Whether a row's schedule is the history's.
fn follows(row: &MetricsRow, at: &At) -> bool {
    row.rate.to_bits() == at.rate.to_bits()
        && row.weights == at.weights
        && row.batch == at.batch
        && row.length == at.difficulty.length
}

/// Whether a row's terms are those of the ledger, bit for bit.
fn agrees(row: &MetricsRow, ledger: &Ledger) -> bool {
    let Some(words) = ledger.row(row.step) else { return false };
    let word = |number: Option<f64>| number.map_or(0, |number| u64::from((number as f32).to_bits()));
    let expected = |column: &Column| match column {
        Column::Term(loss) => Some(word(row.terms.get::<Loss>(loss).copied())),
        Column::GradientNorm => Some(word(Some(row.gradient_norm))),
        _ => None,
    };
    ledger.columns().iter().zip(words).all(|(column, word)| expected(column).is_none_or(|expected| expected == *word))
}

/// A tensor of a state that is not the one a ledger ends with.
fn other_tensor(ledger: &Ledger, state: &State) -> Option<String> {
    state_digests(state).find(|(path, digest)| ledger.ends().get(path) != Some(digest)).map(|(path, _)| path)
}

impl Verification {
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_sound() { "verified" } else { "not verified" };
        writeln!(f, "{}: {verdict}", self.run)?;
        writeln!(
            f,
            "  {} checkpoints with their lineage, {} with tensors; {} updates in ledgers; {} evaluations",
            self.checkpoints, self.with_tensors, self.updates, self.evaluations
        )?;
        if self.without_ledger > 0 {
            writeln!(f, "  {} of them without a ledger", self.without_ledger)?;
        }
        if let Some(batches) = self.batches {
            writeln!(f, "  {batches} batches drawn again")?;
        }
        for spot in &self.spots {
            let verdict = match (spot.equal, spot.promise) {
                (true, _) => "trained again: equal bits",
                (false, Promise::Bits) => "trained again: differs",
                (false, Promise::Kernels) => "trained again: differs, as a GPU may",
                (false, Promise::Closeness) => "trained again: differs, as another machine or build may",
            };
            writeln!(f, "  {}: {verdict}", spot.segment)?;
            if let Some(parting) = &spot.parting {
                let Parting { step, what, recorded, repeated, .. } = parting;
                writeln!(f, "    first at step {step}: {what} {recorded} recorded, {repeated} now")?;
            }
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "note: {remark}"))
    }
}
