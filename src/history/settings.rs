//! Everything in force at one step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hash::Fields;
use super::piece::Piece;
use super::versions::Versions;
use crate::spec::{Optimizer, Precision, Supervision};
use crate::task::difficulty::Difficulty;
use crate::task::loss::Loss;

/// A loss that is computed: its code's version and its weight over steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    pub version: u32,
    pub weight: Piece,
}

/// The settings of a span of steps, in canonical form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Keys every stream of random numbers.
    pub seed: u64,
    /// The losses that are computed; a weight of 0 is the loss not being here.
    pub losses: BTreeMap<Loss, Term>,
    pub difficulty: Difficulty,
    /// Version of the noise code.
    pub noise_version: u32,
    pub batch: u32,
    pub micro_batch: u32,
    pub optimizer: Optimizer,
    /// Version of the optimizer's code, with clipping and averaging.
    pub optimizer_version: u32,
    pub rate: Piece,
    pub clip: Option<f64>,
    pub label_smoothing: f64,
    pub ema: Option<f64>,
    pub dropout: f64,
    pub supervision: Supervision,
    pub precision: Precision,
}

/// [`Settings`] with every schedule evaluated: what one update needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct At {
    /// The update goes from this step to the next.
    pub step: u64,
    pub seed: u64,
    /// Effective weights of the losses that are computed; never 0.
    pub weights: BTreeMap<Loss, f64>,
    pub difficulty: Difficulty,
    pub batch: usize,
    pub micro_batch: usize,
    pub optimizer: Optimizer,
    pub rate: f64,
    pub clip: Option<f64>,
    pub label_smoothing: f64,
    pub ema: Option<f64>,
    pub dropout: f64,
    pub supervision: Supervision,
    pub precision: Precision,
}

impl Settings {
    pub fn at(&self, step: u64) -> At {
        At {
            step,
            seed: self.seed,
            weights: self.losses.iter().map(|(&loss, term)| (loss, term.weight.at(step))).collect(),
            difficulty: self.difficulty.clone(),
            batch: self.batch as usize,
            micro_batch: self.micro_batch as usize,
            optimizer: self.optimizer.clone(),
            rate: self.rate.at(step),
            clip: self.clip,
            label_smoothing: self.label_smoothing,
            ema: self.ema,
            dropout: self.dropout,
            supervision: self.supervision,
            precision: self.precision,
        }
    }

    /// The losses in canonical form: a constant weight of 0 is left out.
    pub fn canonical_losses(weights: impl IntoIterator<Item = (Loss, Piece)>, versions: &Versions) -> BTreeMap<Loss, Term> {
        let present = weights.into_iter().filter(|(_, weight)| *weight != Piece::Constant(0.0));
        present.map(|(loss, weight)| (loss, Term { version: versions.loss(loss), weight })).collect()
    }

    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::of("settings");
        fields.whole("seed", self.seed);
        for (loss, term) in &self.losses {
            let mut part = Fields::of(loss.name());
            part.whole("version", term.version).part("weight", &term.weight.fields());
            fields.part("loss", &part);
        }
        fields.part("difficulty", &difficulty_fields(&self.difficulty, self.noise_version));
        fields.whole("batch", self.batch).whole("micro batch", self.micro_batch);
        let Optimizer::AdamW { weight_decay, beta_1, beta_2, epsilon } = self.optimizer;
        let mut adamw = Fields::of("AdamW");
        adamw
            .whole("version", self.optimizer_version)
            .number("weight decay", weight_decay)
            .number("beta 1", beta_1)
            .number("beta 2", beta_2)
            .number("epsilon", epsilon);
        fields.part("optimizer", &adamw).part("rate", &self.rate.fields());
        for (name, value) in [("clip", self.clip), ("ema", self.ema)] {
            if let Some(value) = value {
                fields.number(name, value);
            }
        }
        fields.number("label smoothing", self.label_smoothing).number("dropout", self.dropout);
        fields.text(
            "supervision",
            match self.supervision {
                Supervision::Linear => "linear",
                Supervision::Exponential => "exponential",
            },
        );
        fields.text(
            "precision",
            match self.precision {
                Precision::F32 => "f32",
                Precision::Bf16 => "bf16",
            },
        );
        fields
    }
}

fn difficulty_fields(difficulty: &Difficulty, noise_version: u32) -> Fields {
    let mut fields = Fields::of("difficulty");
    fields.whole("shortest", difficulty.length.0).whole("longest", difficulty.length.1);
    if difficulty.is_clean() {
        return fields;
    }
    fields
        .whole("noise version", noise_version)
        .number("clean share", difficulty.clean_share)
        .whole("noise peaks", difficulty.noise_peaks)
        .whole("grass peaks", difficulty.grass_peaks)
        .whole("spike peaks", difficulty.spike_peaks)
        .number("peak dropout", difficulty.peak_dropout)
        .number("signal suppression", difficulty.signal_suppression)
        .number("mass error ppm", difficulty.mass_error_ppm)
        .number("intensity variation", difficulty.intensity_variation);
    fields
}
