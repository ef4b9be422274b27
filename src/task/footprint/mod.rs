//! How many numbers training keeps in memory at once, by the shapes of the network and by what computes it.

mod graph;
mod host;

use super::model::{MAX_CHARGE, Recursive};

/// What the network is computed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// By hand, with room that is kept from step to step.
    Cpu,
    /// By burn's graph.
    Gpu,
}

/// What decides, besides the network, how much one sample takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Most peaks of a spectrum that are shown.
    pub peaks: u32,
    pub dropout: bool,
    /// Whether the spectrum loss is computed.
    pub spectrum: bool,
}

/// What an update keeps, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Vectors as long as all parameters, besides weights and moments.
    pub vectors: u64,
    /// For each sample of a micro-batch.
    pub sample: u64,
    /// For each of the lanes that a micro-batch is cut into, and how many there are at most.
    pub lane: u64,
    pub lanes: u64,
}

/// What an update keeps on a machine.
pub fn kept(model: &Recursive, shown: &Shown, machine: Machine) -> Kept {
    let sizes = Sizes::new(model, shown);
    match machine {
        Machine::Cpu => {
            let room = host::room(&sizes);
            Kept { sample: room.sample + sizes.losses(), ..room }
        }
        Machine::Gpu => graph::kept(&sizes),
    }
}

/// What the network by hand makes room for, with logits and gradients: an update on the CPU without its losses.
pub fn room(model: &Recursive, shown: &Shown) -> Kept {
    host::room(&Sizes::new(model, shown))
}

/// Numbers that one sample of a batch takes while the batch waits to be used.
pub fn waiting(model: &Recursive, shown: &Shown) -> u64 {
    let sizes = Sizes::new(model, shown);
    let embedded = sizes.spectrum * (sizes.width - model.intensity_width() as u64 + 2);
    let precursor = sizes.width + CHARGES;
    let truth = sizes.steps * sizes.length * sizes.vocabulary;
    let ions = if shown.spectrum { 2 * sizes.spectrum + sizes.length } else { 0 };
    embedded + precursor + truth + ions
}

/// Peaks and precursor together are padded to a multiple of this.
const PEAK_ROUND: u64 = 8;
/// Width of the one-hot charge.
const CHARGES: u64 = MAX_CHARGE as u64 + 1;

/// The sizes that the counts are made of.
struct Sizes {
    width: u64,
    heads: u64,
    /// The precursor and the peaks shown.
    spectrum: u64,
    length: u64,
    vocabulary: u64,
    encoder_layers: u64,
    decoder_layers: u64,
    /// Supervised passes.
    steps: u64,
    /// Latent passes before each.
    latent_steps: u64,
    /// Elements of the parameters that are no matrices, whose gradients every lane sums on its own.
    small_parameters: u64,
    dropout: bool,
    spectrum_loss: bool,
}

impl Sizes {
    fn new(model: &Recursive, shown: &Shown) -> Sizes {
        let most = u64::from(model.peaks);
        let padded = (u64::from(shown.peaks.min(model.peaks)) + 1).next_multiple_of(PEAK_ROUND);
        Sizes {
            width: u64::from(model.hidden),
            heads: u64::from(model.heads),
            spectrum: padded.min(most + 1),
            length: u64::from(model.length),
            vocabulary: model.vocabulary().len() as u64,
            encoder_layers: u64::from(model.encoder_layers),
            decoder_layers: u64::from(model.decoder_layers),
            steps: u64::from(model.supervision_steps),
            latent_steps: u64::from(model.latent_steps),
            small_parameters: small_parameters(model),
            dropout: shown.dropout,
            spectrum_loss: shown.spectrum,
        }
    }

    /// Logits of a sample after one supervised pass.
    fn logits(&self) -> u64 {
        self.length * self.vocabulary
    }

    /// Numbers of a sample that the losses, which are burn's graph everywhere, keep.
    fn losses(&self) -> u64 {
        let ions = if self.spectrum_loss { ION_PAIRS * self.spectrum * self.length } else { 0 };
        CROSS_ENTROPY * self.steps * self.logits() + ions
    }
}

/// Pairs of peaks and places that the spectrum loss keeps.
const ION_PAIRS: u64 = 12;
/// Numbers for each logit that the cross-entropy keeps.
const CROSS_ENTROPY: u64 = 4;

/// Elements of the parameters that nothing is multiplied with.
fn small_parameters(model: &Recursive) -> u64 {
    let parameters = model.parameters();
    let small = parameters.iter().filter(|parameter| !parameter.is_matrix());
    small.map(|parameter| parameter.shape.iter().product::<usize>() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_peaks_are_shown_than_the_model_keeps() {
        let model = graph::tests::model(96, 4, 1, 2, 24);
        for machine in [Machine::Cpu, Machine::Gpu] {
            let all = |peaks: u32| kept(&model, &Shown { peaks, dropout: false, spectrum: true }, machine).sample;
            assert_eq!(all(60), all(1_000));
            assert!(all(20) < all(40));
        }
    }
}
