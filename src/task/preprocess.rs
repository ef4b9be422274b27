//! placeholder until the mgf branch lands
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocessing {}
impl Preprocessing {
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        vec![]
    }
    pub fn values(&self) -> Vec<(&'static str, f64)> {
        vec![]
    }
}
