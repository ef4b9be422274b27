//! The model and how it is trained: what a root declares and a fork may change.

use serde::{Deserialize, Serialize};

use super::findings::{Findings, Place};
use crate::task::model::Recursive;

/// The network to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    Recursive(Recursive),
}

/// How the model is trained, before any `change`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Samples an update.
    pub batch: u32,
    /// Samples that are on the device at once; the gradient is summed over them. Left out: the whole batch.
    #[serde(default)]
    pub micro_batch: Option<u32>,
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Learning rate over absolute steps.
    pub lr: Rate,
    /// Largest global norm of the gradient; `None` leaves it as it is.
    #[serde(default = "default_clip")]
    pub clip: Option<f64>,
    /// Probability mass spread evenly over the other tokens, 0 to below 1.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Decay of the running average of the weights; `None` keeps none.
    #[serde(default = "default_ema")]
    pub ema: Option<f64>,
    /// Chance that an activation is dropped, 0 to below 1.
    #[serde(default)]
    pub dropout: f64,
    /// Share of each supervised pass in the cross-entropy.
    #[serde(default)]
    pub supervision: Supervision,
    /// In which number format the products of the network are computed.
    #[serde(default)]
    pub precision: Precision,
}

fn default_clip() -> Option<f64> {
    Some(1.0)
}

fn default_ema() -> Option<f64> {
    Some(0.999)
}

/// The optimizer and its hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Optimizer {
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    #[serde(rename = "AdamW")]
    AdamW {
        #[serde(default = "default_decay")]
        weight_decay: f64,
        #[serde(default = "default_beta_1")]
        beta_1: f64,
        #[serde(default = "default_beta_2")]
        beta_2: f64,
        #[serde(default = "default_epsilon")]
        epsilon: f64,
    },
}

fn default_decay() -> f64 {
    0.01
}

fn default_beta_1() -> f64 {
    0.9
}

fn default_beta_2() -> f64 {
    0.999
}

fn default_epsilon() -> f64 {
    1e-8
}

impl Default for Optimizer {
    fn default() -> Optimizer {
        Optimizer::AdamW {
            weight_decay: default_decay(),
            beta_1: default_beta_1(),
            beta_2: default_beta_2(),
            epsilon: default_epsilon(),
        }
    }
}

/// The learning rate as a function of the absolute step. `horizon` and `warm_up` are steps, never scaled by a clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Rate {
    /// The same rate at every step.
    Constant { rate: f64 },
    /// Linear from 0 to `peak` over `warm_up` steps, then half a cosine down to `floor` at `horizon`, then `floor`.
    Cosine {
        peak: f64,
        horizon: u64,
        /// Rate at and past the horizon. Left out: 1 % of the peak.
        #[serde(default)]
        floor: Option<f64>,
        #[serde(default)]
        warm_up: u64,
    },
    /// Linear from 0 to `peak` over `warm_up` steps, then `peak`.
    WarmUp { peak: f64, warm_up: u64 },
    /// Linear up over `warm_up` steps, `peak` until `decay_from`, linear down to `floor` at `horizon`, then `floor`.
    WarmUpStableDecay {
        peak: f64,
        warm_up: u64,
        decay_from: u64,
        horizon: u64,
        /// Rate at and past the horizon. Left out: 1 % of the peak.
        #[serde(default)]
        floor: Option<f64>,
    },
}

/// Weight of supervised pass t of T in the cross-entropy; they sum to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Supervision {
    /// Proportional to t + 1.
    #[default]
    Linear,
    /// Proportional to e^(t / 2).
    Exponential,
}

/// Number format of the products in the layers of encoder and decoder. Everything else is f32 in both: weights, optimizer and
/// average, embedded masses, norms, softmax, the answer's logits and the losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    #[default]
    F32,
    /// Weights and activations are rounded to bfloat16 (8 bits of mantissa) on their way into a product. On GPUs that compute
    /// with it.
    Bf16,
}

impl Model {
    /// The only kind so far; a second one makes this a `match` at its users.
    pub fn recursive(&self) -> &Recursive {
        let Model::Recursive(model) = self;
        model
    }

    /// Reports sizes that make no network.
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        let Model::Recursive(model) = self;
        let sizes = [
            ("hidden", model.hidden, 8, 16_384),
            ("heads", model.heads, 1, 256),
            ("encoder_layers", model.encoder_layers, 0, 100),
            ("decoder_layers", model.decoder_layers, 1, 100),
            ("supervision_steps", model.supervision_steps, 1, 100),
            ("latent_steps", model.latent_steps, 0, 100),
            ("peaks", model.peaks, 1, 10_000),
            ("length", model.length, 3, super::curriculum::MOST_RESIDUES + 1),
        ];
        for (name, size, least, most) in sizes {
            if !(least..=most).contains(&size) {
                findings.add(
                    &at.field(name),
                    format!("`{name}` is {size}"),
                    format!("write a whole number from {least} to {most}"),
                );
            }
        }
        if model.heads > 0 && !model.hidden.is_multiple_of(model.heads) {
            let message = format!("{} heads do not divide a width of {}", model.heads, model.hidden);
            findings.add(&at.field("heads"), message, "write a number of heads that divides `hidden`");
        }
        if !model.hidden.is_multiple_of(4) {
            findings.add(
                &at.field("hidden"),
                format!("`hidden` is {}", model.hidden),
                "write a multiple of 4: sines and cosines share it",
            );
        }
        for (index, modification) in model.modifications.iter().enumerate() {
            if model.modifications[..index].contains(modification) {
                let message = format!("`{}` is named twice", modification.name());
                findings.add(&at.field("modifications").index(index), message, "name each modification once");
            }
        }
    }
}

impl Training {
    /// Reports values out of range.
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        findings.positive(&at.field("batch"), u64::from(self.batch), "`batch`");
        check_micro_batch(self.batch, self.micro_batch, at, findings);
        self.optimizer.check(&at.field("optimizer"), findings);
        self.lr.check(&at.field("lr"), findings);
        if let Some(clip) = self.clip {
            check_clip(clip, &at.field("clip"), findings);
        }
        below_one(&at.field("label_smoothing"), self.label_smoothing, findings);
        below_one(&at.field("dropout"), self.dropout, findings);
        if let Some(decay) = self.ema {
            below_one(&at.field("ema"), decay, findings);
        }
    }
}

/// A micro-batch is a part of the batch.
pub fn check_micro_batch(batch: u32, micro: Option<u32>, at: &Place, findings: &mut Findings) {
    let Some(micro) = micro else { return };
    if micro == 0 || micro > batch {
        let help = format!("write a whole number from 1 to the batch's {batch}, or leave it out");
        findings.add(&at.field("micro_batch"), format!("`micro_batch` is {micro}"), help);
    }
}

/// A clipping norm above 0.
pub fn check_clip(clip: f64, at: &Place, findings: &mut Findings) {
    findings.number(at, clip, f64::MIN_POSITIVE..=f64::INFINITY, "`clip`");
}

/// A chance or decay from 0 to below 1.
pub fn below_one(at: &Place, value: f64, findings: &mut Findings) {
    if !(0.0..1.0).contains(&value) {
        findings.add(at, format!("{value} is out of range"), "write a number from 0 to below 1");
    }
}

impl Optimizer {
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        let Optimizer::AdamW { weight_decay, beta_1, beta_2, epsilon } = self;
        findings.number(&at.field("weight_decay"), *weight_decay, 0.0..=f64::INFINITY, "`weight_decay`");
        below_one(&at.field("beta_1"), *beta_1, findings);
        below_one(&at.field("beta_2"), *beta_2, findings);
        findings.number(&at.field("epsilon"), *epsilon, f64::MIN_POSITIVE..=1.0, "`epsilon`");
    }

    /// Same optimizer with another weight decay.
    #[must_use]
    pub fn with_weight_decay(&self, decay: f64) -> Optimizer {
        let Optimizer::AdamW { beta_1, beta_2, epsilon, .. } = *self;
        Optimizer::AdamW { weight_decay: decay, beta_1, beta_2, epsilon }
    }
}

impl Rate {
    pub fn check(&self, at: &Place, findings: &mut Findings) {
        let mut rate =
            |name: &str, value: f64| findings.number(&at.field(name), value, 0.0..=f64::INFINITY, &format!("`{name}`"));
        match *self {
            Rate::Constant { rate: value } => rate("rate", value),
            Rate::WarmUp { peak, .. } => rate("peak", peak),
            Rate::Cosine { peak, floor, .. } | Rate::WarmUpStableDecay { peak, floor, .. } => {
                rate("peak", peak);
                floor.into_iter().for_each(|floor| rate("floor", floor));
            }
        }
        match *self {
            Rate::Cosine { horizon, warm_up, .. } if horizon <= warm_up => {
                let message = format!("the horizon {horizon} is not past the {warm_up} steps of warm-up");
                findings.add(&at.field("horizon"), message, "write the step at which the rate reaches its floor");
            }
            Rate::WarmUpStableDecay { warm_up, decay_from, horizon, .. }
                if !(warm_up <= decay_from && decay_from < horizon) =>
            {
                let message = format!("warm-up to {warm_up}, decay from {decay_from} to {horizon} are out of order");
                findings.add(&at.field("decay_from"), message, "write warm_up <= decay_from < horizon");
            }
            _ => {}
        }
    }
}
