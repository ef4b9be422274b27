//! Where each parameter stands in the flat vector, and the sizes that follow from the model.

use crate::task::model::{MAX_CHARGE, Recursive};

/// The flat vector is padded to a multiple of this; see the layout of parameters.
const ROW: usize = 256;

/// Width of the one-hot charge.
pub const CHARGES: usize = MAX_CHARGE as usize + 1;

/// A matrix `[rows, columns]` in the flat vector, and its transpose among the turned ones.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    pub at: usize,
    pub turned: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Matrix {
    pub fn size(&self) -> usize {
        self.rows * self.columns
    }
}

/// A parameter whose gradient is summed in place by every lane: where it stands in the flat vector, and in a lane's sums.
#[derive(Clone, Copy, Debug)]
pub struct Small {
    pub at: usize,
    pub sums: usize,
    pub length: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Linear {
    pub weight: Matrix,
    pub bias: Small,
}

#[derive(Clone, Copy, Debug)]
pub struct Norm {
    pub gamma: Small,
    pub beta: Small,
}

#[derive(Clone, Copy, Debug)]
pub struct Attention {
    pub norm: Norm,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub output: Linear,
}

#[derive(Clone, Copy, Debug)]
pub struct FeedForward {
    pub norm: Norm,
    pub widen: Linear,
    pub narrow: Linear,
}

#[derive(Clone, Copy, Debug)]
pub struct EncoderLayer {
    pub attention: Attention,
    pub feed_forward: FeedForward,
}

#[derive(Clone, Copy, Debug)]
pub struct DecoderLayer {
    pub own: Attention,
    pub cross: Attention,
    pub feed_forward: FeedForward,
}

/// Sizes and places of a model.
#[derive(Clone, Debug)]
pub struct Plan {
    pub width: usize,
    pub heads: usize,
    pub length: usize,
    pub vocabulary: usize,
    pub steps: usize,
    pub latent_steps: usize,
    pub mz_width: usize,
    /// Weight and bias of the intensity's embedding, one matrix `[2, width of the intensity]`.
    pub intensity: Matrix,
    pub charge: Matrix,
    pub encoder: Vec<EncoderLayer>,
    pub encoder_norm: Norm,
    pub answer: Small,
    pub latent: Small,
    pub embed: Matrix,
    pub position: Small,
    pub step: Small,
    pub decoder: Vec<DecoderLayer>,
    pub norm_latent: Norm,
    pub norm_answer: Norm,
    pub out: Linear,
    pub gate: Linear,
    /// All of them, in the order of the flat vector.
    pub smalls: Vec<Small>,
    pub matrices: Vec<Matrix>,
    /// Matrices in the order of their turned ones; those of a group are turned into one.
    pub groups: Vec<Vec<Matrix>>,
    /// Elements of all turned matrices, and of a lane's sums.
    pub turned: usize,
    pub sums: usize,
    /// Length of the flat vector.
    pub padded: usize,
}

impl Plan {
    pub fn new(model: &Recursive) -> Plan {
        let finder = Finder::new(model);
        let encoder = (0..model.encoder_layers).map(|index| finder.encoder_layer(index)).collect();
        let decoder = (0..model.decoder_layers).map(|index| finder.decoder_layer(index)).collect();
        let width = model.hidden as usize;
        let intensity = finder.matrix("peaks.intensity.weight");
        Plan {
            width,
            heads: model.heads as usize,
            length: model.length as usize,
            vocabulary: model.vocabulary().len(),
            steps: model.supervision_steps as usize,
            latent_steps: model.latent_steps as usize,
            mz_width: width - model.intensity_width(),
            intensity: Matrix { rows: 2, ..intensity },
            charge: finder.matrix("precursor.charge"),
            encoder,
            encoder_norm: finder.norm("encoder.norm"),
            answer: finder.small("core.answer"),
            latent: finder.small("core.latent"),
            embed: finder.matrix("core.embed"),
            position: finder.small("core.position"),
            step: finder.small("core.step"),
            decoder,
            norm_latent: finder.norm("core.norm_latent"),
            norm_answer: finder.norm("core.norm_answer"),
            out: finder.linear("core.out"),
            gate: finder.linear("core.gate"),
            smalls: finder.smalls,
            matrices: finder.matrices,
            groups: finder.groups,
            turned: finder.turned,
            sums: finder.sums,
            padded: finder.end.next_multiple_of(ROW),
        }
    }

    /// Passes of the decoder.
    pub fn passes(&self) -> usize {
        self.steps * (self.latent_steps + 1)
    }

    /// The site of dropout of a branch of an encoder layer; site 0 is the encoder's input.
    pub fn encoder_site(&self, layer: usize, branch: usize) -> u64 {
        (1 + 2 * layer + branch) as u64
    }

    /// The site of dropout of a branch of a decoder layer in a pass.
    pub fn decoder_site(&self, pass: usize, layer: usize, branch: usize) -> u64 {
        (1 + 2 * self.encoder.len() + (pass * self.decoder.len() + layer) * 3 + branch) as u64
    }
}

/// What stands where, by path.
struct Finder {
    places: Vec<(String, Place)>,
    smalls: Vec<Small>,
    matrices: Vec<Matrix>,
    groups: Vec<Vec<Matrix>>,
    turned: usize,
    sums: usize,
    end: usize,
}

#[derive(Clone, Copy)]
enum Place {
    Matrix(Matrix),
    Small(Small),
}

/// Whether a matrix's turned one is a group with the one before it: queries, keys and values of attention to itself, and keys
/// and values of attention to a memory, each have one input.
fn joins(path: &str) -> bool {
    path.ends_with("attention.value.weight") || path.ends_with("attention.key.weight") && !path.contains("cross_attention")
}

impl Finder {
    fn new(model: &Recursive) -> Finder {
        let mut finder =
            Finder { places: vec![], smalls: vec![], matrices: vec![], groups: vec![], turned: 0, sums: 0, end: 0 };
        for parameter in model.parameters() {
            let length: usize = parameter.shape.iter().product();
            let at = finder.end;
            finder.end += length;
            let place = if parameter.is_matrix() {
                let (rows, columns) = (parameter.shape[0], parameter.shape[1]);
                let matrix = Matrix { at, turned: finder.turned, rows, columns };
                finder.turned += length;
                finder.matrices.push(matrix);
                match finder.groups.last_mut() {
                    Some(group) if joins(&parameter.path) => group.push(matrix),
                    _ => finder.groups.push(vec![matrix]),
                }
                Place::Matrix(matrix)
            } else {
                let small = Small { at, sums: finder.sums, length };
                finder.sums += length;
                finder.smalls.push(small);
                Place::Small(small)
            };
            finder.places.push((parameter.path, place));
        }
        // The intensity's bias is the second row of its matrix.
        let bias = finder.small("peaks.intensity.bias");
        finder.smalls.retain(|small| small.at != bias.at);
        finder
    }

    fn place(&self, path: &str) -> Place {
        let found = self.places.iter().find(|(name, _)| name == path);
        found.unwrap_or_else(|| panic!("the model has no parameter `{path}`")).1
    }

    fn matrix(&self, path: &str) -> Matrix {
        match self.place(path) {
            Place::Matrix(matrix) => matrix,
            Place::Small(_) => panic!("`{path}` is no matrix"),
        }
    }

    fn small(&self, path: &str) -> Small {
        match self.place(path) {
            Place::Small(small) => small,
            Place::Matrix(_) => panic!("`{path}` is a matrix"),
        }
    }

    fn linear(&self, path: &str) -> Linear {
        Linear { weight: self.matrix(&format!("{path}.weight")), bias: self.small(&format!("{path}.bias")) }
    }

    fn norm(&self, path: &str) -> Norm {
        Norm { gamma: self.small(&format!("{path}.gamma")), beta: self.small(&format!("{path}.beta")) }
    }

    fn attention(&self, path: &str, norm: &str) -> Attention {
        let part = |name: &str| self.linear(&format!("{path}.{name}"));
        let norm = self.norm(norm);
        Attention { norm, query: part("query"), key: part("key"), value: part("value"), output: part("output") }
    }

    fn feed_forward(&self, path: &str) -> FeedForward {
        let part = |name: &str| self.linear(&format!("{path}.{name}"));
        FeedForward { norm: self.norm(&format!("{path}.norm_feed_forward")), widen: part("widen"), narrow: part("narrow") }
    }

    fn encoder_layer(&self, index: u32) -> EncoderLayer {
        let at = format!("encoder.{index}");
        EncoderLayer {
            attention: self.attention(&format!("{at}.attention"), &format!("{at}.norm_attention")),
            feed_forward: self.feed_forward(&at),
        }
    }

    fn decoder_layer(&self, index: u32) -> DecoderLayer {
        let at = format!("decoder.{index}");
        DecoderLayer {
            own: self.attention(&format!("{at}.self_attention"), &format!("{at}.norm_self")),
            cross: self.attention(&format!("{at}.cross_attention"), &format!("{at}.norm_cross")),
            feed_forward: self.feed_forward(&at),
        }
    }
}
