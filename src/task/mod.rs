//! What is learned: peptides from tandem mass spectra. Masses, tokens, spectra and their generators, shapes, metrics.
//!
//! Nothing here knows about experiments, histories, files on disk or burn.

pub mod baseline;
pub mod batch;
pub mod difficulty;
pub mod footprint;
pub mod inspect;
pub mod label;
pub mod lines;
pub mod loss;
pub mod mass;
pub mod metrics;
pub mod mgf;
pub mod model;
pub mod noise;
pub mod notation;
pub mod preprocess;
pub mod random;
pub mod reason;
pub mod residue_match;
pub mod sampler;
pub mod spectrum;
pub mod split;
pub mod synthetic;
pub mod tokens;
