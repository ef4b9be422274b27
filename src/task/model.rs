//! The networks that can be trained, by their sizes: names, shapes and first values of their tensors.
//!
//! A shape is known without burn, so that `check` can compare a file's tensors with a model's, and initial weights are
//! drawn here, so that they are the same on every device.

use rand_distr::{Distribution, Normal, Uniform};
use serde::{Deserialize, Serialize};

use super::random::{Purpose, stream};
use super::tokens::{Modification, Vocabulary};

/// The recursive network: an encoder of the peaks, and a small decoder that is applied over and over to its own answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recursive {
    /// Width of the network.
    pub hidden: u32,
    /// Attention heads; divides `hidden`.
    pub heads: u32,
    /// Transformer layers over the peaks.
    pub encoder_layers: u32,
    /// Transformer layers of the recursive core.
    pub decoder_layers: u32,
    /// Supervised passes T: each ends with an answer.
    pub supervision_steps: u32,
    /// Latent passes n before each answer.
    pub latent_steps: u32,
    /// Most peaks a spectrum keeps.
    pub peaks: u32,
    /// Longest sequence with its end token, in tokens.
    pub length: u32,
    /// Modifications the vocabulary knows.
    #[serde(default)]
    pub modifications: Vec<Modification>,
}

/// Width of the embedding of a peak's intensity; the rest of `hidden` embeds its m/z.
pub const INTENSITY_WIDTH: u32 = 32;
/// Highest precursor charge with an embedding of its own; higher ones share the last.
pub const MAX_CHARGE: u8 = 10;

/// Deviation of the first embeddings of a token's place: as strong as what attention adds to them, so that places are told
/// apart from the start. With the 0.02 of the other embeddings a small network learns nothing in its first 1,000 steps.
const POSITION: f32 = 0.5;

/// How a tensor is filled before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between minus and plus this bound.
    Uniform(f32),
}

/// A parameter of the network: its path, its shape and its first values.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub path: String,
    pub shape: Vec<usize>,
    pub fill: Fill,
}

/// Tables that are added as they are; all other parameters of two dimensions are multiplied with.
const TABLES: [&str; 4] = ["core.answer", "core.latent", "core.position", "core.step"];

impl Parameter {
    /// Whether rows are multiplied with it.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2 && !TABLES.contains(&self.path.as_str())
    }
}

impl Recursive {
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary::new(&self.modifications)
    }

    /// Longest peptide the model can write: one place is the end token's.
    pub fn longest_peptide(&self) -> u32 {
        self.length.saturating_sub(1)
    }

    /// Width of the embedding of a peak's intensity: [`INTENSITY_WIDTH`], less in narrow networks.
    pub fn intensity_width(&self) -> usize {
        INTENSITY_WIDTH.min(self.hidden / 4).max(2) as usize & !1
    }

    /// All parameters in a fixed order. Linear weights are `[in, out]`, embeddings `[entries, hidden]`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let d = self.hidden as usize;
        let vocabulary = self.vocabulary().len();
        let mut list = Vec::new();
        linear(&mut list, "peaks.intensity", 1, self.intensity_width());
        push(&mut list, "precursor.charge", &[usize::from(MAX_CHARGE) + 1, d], Fill::Normal(0.02));
        for layer in 0..self.encoder_layers {
            let at = format!("encoder.{layer}");
            attention(&mut list, &format!("{at}.attention"), d);
            feed_forward(&mut list, &at, d);
            norm(&mut list, &format!("{at}.norm_attention"), d);
            norm(&mut list, &format!("{at}.norm_feed_forward"), d);
        }
        norm(&mut list, "encoder.norm", d);
        push(&mut list, "core.answer", &[self.length as usize, vocabulary], Fill::Constant(0.0));
        push(&mut list, "core.latent", &[self.length as usize, d], Fill::Normal(0.02));
        push(&mut list, "core.embed", &[vocabulary, d], Fill::Normal(1.0 / (d as f32).sqrt()));
        push(&mut list, "core.position", &[self.length as usize, d], Fill::Normal(POSITION));
        push(&mut list, "core.step", &[self.supervision_steps as usize, d], Fill::Normal(0.02));
        for layer in 0..self.decoder_layers {
            let at = format!("decoder.{layer}");
            attention(&mut list, &format!("{at}.self_attention"), d);
            attention(&mut list, &format!("{at}.cross_attention"), d);
            feed_forward(&mut list, &at, d);
            norm(&mut list, &format!("{at}.norm_self"), d);
            norm(&mut list, &format!("{at}.norm_cross"), d);
            norm(&mut list, &format!("{at}.norm_feed_forward"), d);
        }
        norm(&mut list, "core.norm_latent", d);
        norm(&mut list, "core.norm_answer", d);
        linear(&mut list, "core.out", d, vocabulary);
        push(&mut list, "core.gate.weight", &[d, 1], Fill::Constant(0.0));
        push(&mut list, "core.gate.bias", &[1], Fill::Constant(self.gate_bias()));
        list
    }

    /// First bias of the gate: over all passes together as much of the answer is replaced as in the reference, where 8 passes
    /// start with a bias of -2 each. A few passes that each replaced as little would hardly move the answer, or learn.
    fn gate_bias(&self) -> f32 {
        let kept = 1.0 - 1.0 / (1.0 + 2_f64.exp());
        let gate = 1.0 - kept.powf(8.0 / f64::from(self.supervision_steps.max(1)));
        (gate / (1.0 - gate)).ln() as f32
    }

    /// Number of trained scalars.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    }
}

impl Parameter {
    /// First values of the parameter that stands at `index` in its model, a function of (seed, index) alone.
    pub fn initial(&self, seed: u64, index: usize) -> Vec<f32> {
        let count = self.shape.iter().product();
        let mut random = stream(seed, Purpose::Weights, 0, index as u64);
        match self.fill {
            Fill::Constant(value) => vec![value; count],
            Fill::Normal(deviation) => {
                Normal::new(0.0, deviation).expect("a finite deviation").sample_iter(&mut random).take(count).collect()
            }
            Fill::Uniform(bound) => {
                Uniform::new(-bound, bound).expect("a finite bound").sample_iter(&mut random).take(count).collect()
            }
        }
    }
}

fn push(list: &mut Vec<Parameter>, path: &str, shape: &[usize], fill: Fill) {
    list.push(Parameter { path: path.into(), shape: shape.to_vec(), fill });
}

/// Weight and bias uniform within 1/sqrt(in), as PyTorch's linear layers start.
fn linear(list: &mut Vec<Parameter>, path: &str, from: usize, to: usize) {
    let bound = Fill::Uniform(1.0 / (from as f32).sqrt());
    push(list, &format!("{path}.weight"), &[from, to], bound);
    push(list, &format!("{path}.bias"), &[to], bound);
}

fn norm(list: &mut Vec<Parameter>, path: &str, width: usize) {
    push(list, &format!("{path}.gamma"), &[width], Fill::Constant(1.0));
    push(list, &format!("{path}.beta"), &[width], Fill::Constant(0.0));
}

fn attention(list: &mut Vec<Parameter>, path: &str, width: usize) {
    for part in ["query", "key", "value", "output"] {
        linear(list, &format!("{path}.{part}"), width, width);
    }
}

fn feed_forward(list: &mut Vec<Parameter>, path: &str, width: usize) {
    linear(list, &format!("{path}.widen"), width, 4 * width);
    linear(list, &format!("{path}.narrow"), 4 * width, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_size() -> Recursive {
        Recursive {
            hidden: 384,
            heads: 6,
            encoder_layers: 3,
            decoder_layers: 3,
            supervision_steps: 8,
            latent_steps: 6,
            peaks: 100,
            length: 35,
            modifications: vec![],
        }
    }

    #[test]
    fn the_full_size_has_twelve_and_a_half_million_parameters() {
        let count = full_size().parameter_count();
        assert!((12_400_000..12_600_000).contains(&count), "{count}");
    }

    #[test]
    fn the_gate_starts_as_in_the_reference_and_wider_for_fewer_passes() {
        assert!((full_size().gate_bias() + 2.0).abs() < 1e-6);
        let two = Recursive { supervision_steps: 2, ..full_size() };
        assert!((two.gate_bias() + 0.4137).abs() < 1e-3, "{}", two.gate_bias());
    }

    #[test]
    fn paths_are_unique() {
        let mut paths: Vec<_> = full_size().parameters().into_iter().map(|p| p.path).collect();
        let all = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(all, paths.len());
    }

    #[test]
    fn first_values_depend_on_seed_and_place_only() {
        let parameter = &full_size().parameters()[0];
        assert_eq!(parameter.initial(1, 0), parameter.initial(1, 0));
        assert_ne!(parameter.initial(1, 0), parameter.initial(2, 0));
        assert_ne!(parameter.initial(1, 0), parameter.initial(1, 1));
    }
}
