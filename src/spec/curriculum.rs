//! Curricula: settings over absolute steps.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::findings::{Findings, Place};
use crate::task::loss::Loss;

/// A curriculum as written: stages in the order of their starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curriculum {
    pub stages: Vec<Stage>,
}

/// Settings from one absolute step until the next stage begins. A field left out is neutral, never the previous stage's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Absolute step from which the stage governs.
    pub from: u64,
    /// For people; not part of the history.
    #[serde(default)]
    pub name: Option<String>,
    /// Weight of each loss; a loss not named is not computed. `CrossEntropy` must be named.
    pub loss: BTreeMap<Loss, f64>,
    /// Lengths and noise.
    #[serde(default)]
    pub data: StageData,
    /// Steps over which each weight moves linearly from the previous stage's weight to this one's; 0 is at once.
    #[serde(default)]
    pub ramp: u64,
}

/// Lengths and noise of a stage; what is left out is the source's whole range, and no noise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageData {
    /// Shortest and longest peptide, residues.
    pub length: Option<RangeInclusive<u32>>,
    /// Share of samples without any noise, 0 to 1.
    pub clean_share: f64,
    /// Added peaks a sample, any intensity.
    pub noise_peaks: u32,
    /// Added peaks a sample of intensity 0 to 0.1.
    pub grass_peaks: u32,
    /// Added peaks a sample of intensity 0.2 to 1.
    pub spike_peaks: u32,
    /// Chance that a peak is left out, 0 to 1.
    pub peak_dropout: f64,
    /// Chance that a peak is pressed below 0.05, 0 to 1.
    pub signal_suppression: f64,
    /// Standard deviation of the relative mass error, ppm.
    pub mass_error_ppm: f64,
    /// Standard deviation of the factor on intensities.
    pub intensity_variation: f64,
}

/// More noise peaks than this in a sample is taken for a slip.
const MOST_NOISE_PEAKS: u32 = 10_000;
/// No peptide is longer; the model's own limit is usually far below.
pub const MOST_RESIDUES: u32 = 1_000;

impl Curriculum {
    /// Reports every rule the curriculum breaks on its own.
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        let stages = at.field("stages");
        if self.stages.is_empty() {
            findings.add(
                &stages,
                "a curriculum without stages",
                "write at least one stage, `(from: 0, loss: {CrossEntropy: 1.0})`",
            );
        }
        for (index, stage) in self.stages.iter().enumerate() {
            stage.check(&stages.index(index), findings);
        }
        if self.stages.first().is_some_and(|first| first.ramp > 0) {
            let place = stages.index(0).field("ramp");
            findings.add(
                &place,
                "the first stage has no weights to ramp from",
                "leave `ramp` out, or begin with a stage of weight 0",
            );
        }
        for (index, pair) in self.stages.windows(2).enumerate() {
            let next = self.stages.get(index + 2).map(|stage| stage.from);
            if let Some(next) = next.filter(|&next| pair[1].from < next && pair[1].from.saturating_add(pair[1].ramp) > next) {
                let place = stages.index(index + 1).field("ramp");
                let message = format!("the ramp of {} steps reaches past the next stage at {next}", pair[1].ramp);
                findings.add(&place, message, format!("write at most {}", next - pair[1].from));
            }
            if pair[1].from <= pair[0].from {
                let place = stages.index(index + 1).field("from");
                let message = format!("this stage starts at {}, but the one before it at {}", pair[1].from, pair[0].from);
                findings.add(&place, message, "order the stages by their start; each start once");
            }
        }
    }
}

impl Stage {
    fn check(&self, at: &Place, findings: &mut Findings) {
        let loss = at.field("loss");
        for (term, &weight) in &self.loss {
            findings.number(&loss.field(term.name()), weight, 0.0..=f64::INFINITY, &format!("the weight of `{term}`"));
        }
        if !self.loss.contains_key(&Loss::CrossEntropy) {
            findings.add(
                &loss,
                "`CrossEntropy` is not named",
                "write `CrossEntropy: 1.0`, or `CrossEntropy: 0.0` if it is meant to be off",
            );
        }
        if self.loss.values().all(|&weight| weight == 0.0) {
            findings.add(&loss, "all weights are 0: nothing would be learned", "give at least one loss a weight above 0");
        }
        self.data.check(&at.field("data"), findings);
    }
}

impl StageData {
    /// Reports values out of range.
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        if let Some(length) = &self.length {
            check_length(length, &at.field("length"), findings);
        }
        for (name, share) in [
            ("clean_share", self.clean_share),
            ("peak_dropout", self.peak_dropout),
            ("signal_suppression", self.signal_suppression),
        ] {
            findings.number(&at.field(name), share, 0.0..=1.0, &format!("`{name}`"));
        }
        findings.number(&at.field("mass_error_ppm"), self.mass_error_ppm, 0.0..=10_000.0, "`mass_error_ppm`");
        findings.number(&at.field("intensity_variation"), self.intensity_variation, 0.0..=100.0, "`intensity_variation`");
        for (name, count) in
            [("noise_peaks", self.noise_peaks), ("grass_peaks", self.grass_peaks), ("spike_peaks", self.spike_peaks)]
        {
            findings.number(&at.field(name), f64::from(count), 0.0..=f64::from(MOST_NOISE_PEAKS), &format!("`{name}`"));
        }
    }
}

/// A range of peptide lengths that holds at least one length.
pub fn check_length(length: &RangeInclusive<u32>, at: &Place, findings: &mut Findings) {
    let (shortest, longest) = (*length.start(), *length.end());
    if shortest > longest {
        findings.add(at, format!("the lengths {shortest}..={longest} are none"), "write the shorter length first, `7..=10`");
    } else if shortest < 2 || longest > MOST_RESIDUES {
        let help = format!("peptides have 2 to {MOST_RESIDUES} residues, and no more than the model's `length` - 1");
        findings.add(at, format!("no peptide can have the lengths {shortest}..={longest}"), help);
    }
}
