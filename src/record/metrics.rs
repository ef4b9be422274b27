//! One line of `metrics.jsonl`: what was in force and what was measured at one step. No clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::task::loss::Loss;

/// What one update measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Raw terms, before their weights.
    pub terms: BTreeMap<Loss, f64>,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// The update from `step` to `step + 1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    pub step: u64,
    /// Effective weight of each loss that was computed.
    pub weights: BTreeMap<Loss, f64>,
    /// Raw value of each loss that was computed.
    #[serde(serialize_with = "write_terms", deserialize_with = "read_terms")]
    pub terms: BTreeMap<Loss, f64>,
    /// Sum of weight times value.
    #[serde(serialize_with = "write_number", deserialize_with = "read_number")]
    pub total: f64,
    /// Global norm of the gradient before clipping.
    #[serde(serialize_with = "write_number", deserialize_with = "read_number")]
    pub gradient_norm: f64,
    pub rate: f64,
    /// Samples in the batch.
    pub batch: usize,
    /// Shortest and longest peptide in force.
    pub length: (u32, u32),
}

impl MetricsRow {
    pub fn new(at: &crate::history::At, measured: &Measured) -> MetricsRow {
        let weighted = |(loss, weight): (&Loss, &f64)| weight * measured.terms.get(loss).copied().unwrap_or(f64::NAN);
        MetricsRow {
            step: at.step,
            weights: at.weights.clone(),
            terms: measured.terms.clone(),
            total: at.weights.iter().map(weighted).sum(),
            gradient_norm: measured.gradient_norm,
            rate: at.rate,
            batch: at.batch,
            length: at.difficulty.length,
        }
    }
}

/// JSON has no NaN and no infinities: they are written as text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Text(String),
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        if value.is_finite() { Number::Finite(value) } else { Number::Text(value.to_string()) }
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> f64 {
        match number {
            Number::Finite(value) => value,
            Number::Text(text) => text.parse().unwrap_or(f64::NAN),
        }
    }
}

fn write_number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number::from(*value).serialize(serializer)
}

fn read_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Number::deserialize(deserializer).map(f64::from)
}

fn write_terms<S: Serializer>(terms: &BTreeMap<Loss, f64>, serializer: S) -> Result<S::Ok, S::Error> {
    terms.iter().map(|(loss, value)| (*loss, Number::from(*value))).collect::<BTreeMap<_, _>>().serialize(serializer)
}

fn read_terms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Loss, f64>, D::Error> {
    let terms = BTreeMap::<Loss, Number>::deserialize(deserializer)?;
    Ok(terms.into_iter().map(|(loss, number)| (loss, number.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_lacks_survive() {
        let row = MetricsRow {
            step: 3,
            weights: BTreeMap::from([(Loss::CrossEntropy, 1.0)]),
            terms: BTreeMap::from([(Loss::CrossEntropy, f64::NEG_INFINITY)]),
            total: f64::INFINITY,
            gradient_norm: 0.1 + 0.2,
            rate: 1e-3,
            batch: 8,
            length: (7, 10),
        };
        let text = serde_json::to_string(&row).unwrap();
        assert!(text.contains(r#""total":"inf""#), "{text}");
        assert_eq!(serde_json::from_str::<MetricsRow>(&text).unwrap(), row);
    }
}
