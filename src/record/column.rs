//! Columns of a ledger: what they hold, what they are called, and to which part of an update they belong.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::task::loss::Loss;

/// What a column of a ledger holds, in the order of cause and effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Column {
    /// Digest of the batch.
    Batch,
    /// Bits of the learning rate (f64).
    Rate,
    /// Bits of a loss's weight (f64); 0 where it is not computed.
    Weight(Loss),
    /// Bits of a raw term (f32); 0 where it is not computed.
    Term(Loss),
    /// Digest of a tensor's gradient.
    Gradient(String),
    /// Bits of the gradient's norm (f32).
    GradientNorm,
    /// Digest of a tensor after the update.
    Value(String),
}

/// A part of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Batch,
    Schedule,
    Term,
    Gradient,
    Update,
}

impl Column {
    pub fn part(&self) -> Part {
        match self {
            Column::Batch => Part::Batch,
            Column::Rate | Column::Weight(_) => Part::Schedule,
            Column::Term(_) => Part::Term,
            Column::Gradient(_) | Column::GradientNorm => Part::Gradient,
            Column::Value(_) => Part::Update,
        }
    }

    /// A word of this column as people read it.
    pub fn shown(&self, word: u64) -> String {
        match self {
            Column::Batch | Column::Gradient(_) | Column::Value(_) => format!("{word:016x}"),
            Column::Rate | Column::Weight(_) => format!("{:e}", f64::from_bits(word)),
            Column::Term(_) | Column::GradientNorm => format!("{:e} ({word:08x})", f32::from_bits(word as u32)),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Column::Batch => f.write_str("batch"),
            Column::Rate => f.write_str("rate"),
            Column::Weight(loss) => write!(f, "weight {loss}"),
            Column::Term(loss) => write!(f, "term {loss}"),
            Column::Gradient(path) => write!(f, "gradient {path}"),
            Column::GradientNorm => f.write_str("gradient_norm"),
            Column::Value(path) => write!(f, "value {path}"),
        }
    }
}

impl From<Column> for String {
    fn from(column: Column) -> String {
        column.to_string()
    }
}

impl TryFrom<String> for Column {
    type Error = String;

    fn try_from(text: String) -> Result<Column, String> {
        let loss = |name: &str| Loss::ALL.into_iter().find(|loss| loss.name() == name).ok_or(format!("`{name}` is no loss"));
        match text.split_once(' ') {
            None if text == "batch" => Ok(Column::Batch),
            None if text == "rate" => Ok(Column::Rate),
            None if text == "gradient_norm" => Ok(Column::GradientNorm),
            Some(("weight", name)) => loss(name).map(Column::Weight),
            Some(("term", name)) => loss(name).map(Column::Term),
            Some(("gradient", path)) => Ok(Column::Gradient(path.into())),
            Some(("value", path)) => Ok(Column::Value(path.into())),
            _ => Err(format!("`{}` is no column of a ledger", text.escape_default())),
        }
    }
}
