//! A report as one page: what was found, the lineage, and curves that can be looked into.
//!
//! [`Page`] is plain data. [`render`] makes it one HTML file that loads nothing from anywhere, [`figures`] makes static SVG
//! of the same drawings for papers. Equal pages give equal bytes. The script and the style of the page lie in `assets/`.

mod colour;
mod curves;
mod data;
mod downsample;
mod figure;
mod frame;
mod html;
mod labels;
mod lengths;
mod lineage;
mod made;
mod made_figures;
mod made_grids;
mod mean;
mod response;
mod svg;
mod tables;
#[cfg(test)]
mod testing;
mod text;
mod tree;

use serde::Serialize;

pub use curves::figures;
pub use downsample::thin;
pub use figure::{Detail, Figure, Heading, Points, Series, Shape, Strand};
pub use html::render;
pub use lineage::{Branch, Leaf, Lineage, Node, Progress, Stage};
pub use made::{Told, page};
pub use mean::Mean;

/// Everything a report shows. Branches and leaves are named by their place in [`Lineage`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// Name of the experiment.
    pub title: String,
    /// The experiment's question: the page's headline.
    pub question: Option<String>,
    pub state: State,
    /// One statement a line, the conclusion itself first. What stands between backticks is shown as code, here, in
    /// `rule`, `remarks`, `diffs` and notes.
    pub conclusion: Vec<String>,
    /// The rule that led to it as declared, when it was frozen, and later edits of it; empty where none is declared.
    pub rule: Vec<String>,
    /// What keeps the numbers from saying more than they do.
    pub remarks: Vec<String>,
    /// How each branch differs from the reference.
    pub diffs: Vec<Diff>,
    pub lineage: Lineage,
    /// Curves, in the order shown; those of one group stand together.
    pub figures: Vec<Figure>,
    /// Final metrics against the reference, the deciding one first.
    pub outcomes: Vec<Outcome>,
    /// Response curves of sweeps over when a loss begins.
    pub responses: Vec<Response>,
    /// Final metrics by length bucket.
    pub lengths: Vec<Lengths>,
    /// Further tables: jumps at stage edges, instability, steps to reach an accuracy.
    pub grids: Vec<Grid>,
    /// Settings in which branches differ.
    pub settings: Vec<Setting>,
    /// By name, in the order shown: version, commit, device, command line, times.
    pub provenance: Vec<(String, String)>,
    /// The last line of the page.
    pub footer: String,
}

/// How far the run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// While it is not, the page says so and offers to be read again.
    pub complete: bool,
    /// `complete`, `training: 5 of 9 leaves are at their last step`.
    pub text: String,
    /// When the page was written, `2026-11-03 14:02 UTC`.
    pub updated: Option<String>,
}

/// How two branches differ: what `runner diff` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// `early against control`.
    pub title: String,
    /// `identical to step 20,000; then Precursor 0 to 0.01; everything else equal`, and further stretches.
    pub lines: Vec<String>,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// A share from 0 to 1: shown in per cent, differences in points.
    Share,
    Number,
}

/// A value with what is known of how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranged {
    pub value: f64,
    /// Ends of its 95 % interval.
    pub interval: Option<(f64, f64)>,
}

/// One metric on one validation set, branch by branch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// `peptide precision`.
    pub metric: String,
    /// `hard`.
    pub set: String,
    pub scale: Scale,
    /// `nats a token`; empty for shares.
    pub unit: String,
    pub higher_is_better: bool,
    /// `at step 1,600`.
    pub at: String,
    /// How many spectra, which weights, what is scored without looking, what the replicates can speak for.
    pub note: String,
    /// The difference that the rule asks for.
    pub at_least: Option<f64>,
    /// Shown at once; the others are folded.
    pub shown: bool,
    /// In the order of the branches.
    pub rows: Vec<OutcomeRow>,
}

/// A branch's value of a metric and what is said of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutcomeRow {
    pub branch: usize,
    pub seeds: usize,
    pub value: Ranged,
    /// To the reference, paired by seed; none for the reference itself or where leaves are not paired.
    pub difference: Option<Ranged>,
    pub finding: Finding,
    /// The verdict in words, `under-powered: about 2 more seeds`; empty for the reference.
    pub verdict: String,
}

/// What a verdict comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Reference,
    Better,
    Worse,
    NoDifference,
    UnderPowered,
    /// Numbers only.
    NotJudged,
}

/// How a metric answers to the step from which a loss is on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    /// `When Precursor begins`.
    pub title: String,
    /// `peptide precision, hard`.
    pub metric: String,
    pub scale: Scale,
    /// `nats a token`; empty for shares.
    pub unit: String,
    /// Name of the branch that differences are taken to.
    pub baseline: String,
    /// Between these, differences of the reference to itself would lie.
    pub null_band: Option<(f64, f64)>,
    /// By rising step.
    pub points: Vec<ResponsePoint>,
    pub note: String,
}

/// One training of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResponsePoint {
    /// One, or several that are the same training.
    pub branches: Vec<usize>,
    /// Step from which the loss is on.
    pub to: u64,
    /// Where it was to begin, if the fork clamped it: `written 0 to 400`.
    pub written: Option<String>,
    /// Mean difference to the baseline.
    pub difference: Ranged,
}

/// A metric by the length of the true peptide.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lengths {
    /// `token accuracy, hard`.
    pub title: String,
    pub scale: Scale,
    /// Residues, `7-10`, and the number of spectra.
    pub buckets: Vec<(String, u64)>,
    pub rows: Vec<LengthRow>,
}

/// A branch's values, one for each bucket; none where there is no spectrum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LengthRow {
    pub branch: usize,
    pub values: Vec<Option<Ranged>>,
}

/// A table with a section of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grid {
    /// `Jumps at stage edges`.
    pub title: String,
    /// Its name in the bar on top, `Jumps`.
    pub short: String,
    pub note: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Field>>,
}

/// A column's heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    pub name: String,
    /// Words stand to the left, numbers to the right.
    pub is_text: bool,
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    Branch(usize),
    Text(String),
    Step(u64),
    /// As it is sorted, and as it is written.
    Number(f64, String),
    Empty,
}

/// A setting in which branches differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub name: String,
    /// Each course it takes, `0; 0.01 from 800`, with the branches that take it.
    pub values: Vec<(String, Vec<usize>)>,
}

impl Scale {
    /// A value without its unit.
    fn value(self, value: f64) -> String {
        match self {
            Scale::Share => text::fixed(value * 100.0, 1),
            Scale::Number => text::significant(value, 4),
        }
    }

    /// A difference without its unit; its sign always written.
    fn difference(self, value: f64) -> String {
        match self {
            Scale::Share => text::signed(value * 100.0, 1),
            Scale::Number if value > 0.0 => format!("+{}", text::significant(value, 3)),
            Scale::Number => text::significant(value, 3),
        }
    }

    /// What values are multiplied with to be shown.
    fn factor(self) -> f64 {
        match self {
            Scale::Share => 100.0,
            Scale::Number => 1.0,
        }
    }
}

impl Ranged {
    /// The value and the ends of its interval.
    fn all(self) -> impl Iterator<Item = f64> {
        let ends = self.interval.map(|(low, high)| [low, high]);
        std::iter::once(self.value).chain(ends.into_iter().flatten())
    }
}
