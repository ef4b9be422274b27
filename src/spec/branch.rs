//! Branches: which curriculum one follows, and what it changes against its parent.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::curriculum::Curriculum;
use super::findings::{Findings, Place};
use super::name::Name;
use super::training::{Optimizer, Precision, Rate, below_one, check_clip, check_micro_batch};
use crate::task::loss::Loss;

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

impl Branch {
    pub(super) fn check(&self, field: &dyn Fn(&str) -> Place, is_root: bool, findings: &mut Findings) {
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
