//! Where a history begins: the model, its first weights, and the data.

use serde::{Deserialize, Serialize};

use super::hash::Fields;
use crate::spec::Model;
use crate::task::preprocess::Preprocessing;
use crate::task::synthetic::Synthetic;
use crate::task::tokens::Vocabulary;

/// Everything a history starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Root {
    pub origin: Origin,
    /// Seed of the initial weights; for imported weights only of the streams, by the first span.
    pub seed: u64,
    pub model: Model,
    /// Version of the model's code.
    pub model_version: u32,
    pub data: Source,
}

/// Where the first weights come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Origin {
    /// Drawn from the seed, at step 0.
    Initial,
    /// Read from a file whose tensors have this digest, taken to be at this step.
    Imported { digest: String, step: u64 },
}

/// Training spectra by their content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    Synthetic {
        synthetic: Synthetic,
        version: u32,
    },
    Files(FileSource),
    /// Sources with their shares, which sum to 1.
    Mixture(Vec<(f64, Source)>),
}

/// Files by their digests, never by their paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileSource {
    /// blake3 of each file, in order.
    pub digests: Vec<String>,
    pub held_out: f64,
    pub noise: bool,
    pub preprocessing: Preprocessing,
    /// Version of the code that reads, cleans, splits and draws.
    pub version: u32,
}

impl Root {
    /// First step of every history with this root.
    pub fn first_step(&self) -> u64 {
        match self.origin {
            Origin::Initial => 0,
            Origin::Imported { step, .. } => step,
        }
    }

    /// The tokens of the root's model.
    pub fn vocabulary(&self) -> Vocabulary {
        self.model.recursive().vocabulary()
    }

    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::of("root");
        match &self.origin {
            Origin::Initial => fields.text("origin", "initial").whole("seed", self.seed),
            Origin::Imported { digest, step } => fields.text("origin", "imported").text("digest", digest).whole("step", *step),
        };
        fields.part("model", &model_fields(&self.model, self.model_version)).part("data", &self.data.fields());
        fields
    }
}

fn model_fields(model: &Model, version: u32) -> Fields {
    let Model::Recursive(model) = model;
    let mut fields = Fields::of("recursive");
    fields
        .whole("version", version)
        .whole("hidden", model.hidden)
        .whole("heads", model.heads)
        .whole("encoder layers", model.encoder_layers)
        .whole("decoder layers", model.decoder_layers)
        .whole("supervision steps", model.supervision_steps)
        .whole("latent steps", model.latent_steps)
        .whole("peaks", model.peaks)
        .whole("length", model.length);
    // The table itself, not the modifications' names: a mended mass is another model.
    for entry in model.vocabulary().entries() {
        fields.text("token", &entry.name).number("mass", entry.mass);
    }
    fields
}

impl Source {
    pub(super) fn fields(&self) -> Fields {
        match self {
            Source::Synthetic { synthetic, version } => {
                let mut fields = Fields::of("synthetic");
                fields
                    .whole("version", *version)
                    .whole("shortest", *synthetic.length.start())
                    .whole("longest", *synthetic.length.end())
                    .whole("fragment charges", synthetic.fragment_charges);
                fields
            }
            Source::Files(files) => {
                let mut fields = Fields::of("files");
                fields.whole("version", files.version).number("held out", files.held_out).truth("noise", files.noise);
                files.digests.iter().for_each(|digest| {
                    fields.text("file", digest);
                });
                for (name, value) in files.preprocessing.values() {
                    fields.number(name, value);
                }
                fields
            }
            Source::Mixture(parts) => {
                let mut fields = Fields::of("mixture");
                for (share, source) in parts {
                    fields.number("share", *share).part("source", &source.fields());
                }
                fields
            }
        }
    }

    /// Shortest and longest peptide the source can give; files give whatever the model can write.
    pub fn length_range(&self, longest: u32) -> (u32, u32) {
        match self {
            Source::Synthetic { synthetic, .. } => (*synthetic.length.start(), *synthetic.length.end()),
            Source::Files(_) => (1, longest),
            Source::Mixture(parts) => {
                let ranges = parts.iter().map(|(_, source)| source.length_range(longest));
                ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((1, longest))
            }
        }
    }
}
