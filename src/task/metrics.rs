//! placeholder until the mgf branch lands
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    pub spectra: usize,
}
