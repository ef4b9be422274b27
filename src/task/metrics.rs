//! placeholder until the mgf branch lands
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    pub spectra: usize,
}
pub const NAMES: [&str; 5] =
    ["token_accuracy", "peptide_accuracy", "amino_acid_precision", "amino_acid_recall", "cross_entropy"];
