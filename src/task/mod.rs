//! What is learned: peptides from tandem mass spectra. Masses, tokens, spectra and their generators, shapes, metrics.
//!
//! Nothing here knows about experiments, histories, files on disk or burn.

pub mod batch;
pub mod difficulty;
pub mod loss;
pub mod mass;
pub mod metrics;
pub mod model;
pub mod noise;
pub mod preprocess;
pub mod random;
pub mod sampler;
pub mod spectrum;
pub mod synthetic;
pub mod tokens;
