//! The ground truth, fed to every loss before anything is trained: what comes out is known in advance, so a shifted token,
//! a missing proton or a forgotten modification shows here, not after a day of training.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};

use super::decode::Logits;
use super::device::Place;
use super::layout::read_vector;
use super::losses::{SIGMA, Targets, Truth, Whole};
use crate::execute::Failure;
use crate::history::Root;
use crate::spec::Supervision;
use crate::task::batch::Batch;
use crate::task::loss::Loss;
use crate::task::random::{Purpose, stream};
use crate::task::sampler::{Drawer, Sampler};
use crate::task::spectrum::{Peak, Spectrum, explained};
use crate::task::synthetic;

/// Spectra looked at for each source.
const SAMPLES: usize = 64;
/// The precursor loss of the truth stays below this.
const PRECURSOR_BOUND: f64 = 1e-4;
/// Distance of a precursor from its peptide up to which it counts, Da: real ones are off by whole isotopes at times.
const PRECURSOR_WINDOW_DA: f64 = 0.05;
/// Largest difference between the spectrum loss on the device and its value in f64.
const SPECTRUM_TOLERANCE: f64 = 1e-3;
/// Logit of the true token, where the others have 0.
const CERTAIN: f32 = 30.0;

/// Tests each source of the sampler by itself.
pub fn run(root: &Root, sampler: &Sampler, place: &Place) -> Result<(), Failure> {
    for (index, drawer) in sampler.drawers().enumerate() {
        let name = match drawer {
            Drawer::Synthetic(_) => format!("source {} (synthetic)", index + 1),
            Drawer::Pool { pool, .. } => format!("source {} (files, {} spectra)", index + 1, pool.spectra().len()),
        };
        test_source(root, &samples(root, sampler, drawer), &name, place).map_err(Failure::SelfTest)?;
    }
    Ok(())
}

/// Clean spectra of a source that the model can write, the same at every call.
fn samples(root: &Root, sampler: &Sampler, drawer: &Drawer) -> Vec<Spectrum> {
    let longest = sampler.model().longest_peptide();
    match drawer {
        Drawer::Synthetic(source) => {
            let length = (*source.length.start(), longest.min(*source.length.end()));
            let random = |slot| stream(root.seed, Purpose::Validation, u64::MAX, slot);
            let draw = |slot| synthetic::draw(source, sampler.vocabulary(), length, &mut random(slot));
            if length.0 > length.1 { vec![] } else { (0..SAMPLES as u64).map(draw).collect() }
        }
        Drawer::Pool { pool, .. } => {
            let usable = pool.within((1, longest));
            usable.iter().step_by(usable.len().div_ceil(SAMPLES).max(1)).cloned().collect()
        }
    }
}

fn test_source(root: &Root, spectra: &[Spectrum], name: &str, place: &Place) -> Result<(), String> {
    if spectra.is_empty() {
        return Err(format!("{name} has no spectrum whose peptide the model can write"));
    }
    test_spectrum_loss(root, spectra, name, place)?;
    test_precursor_loss(root, spectra, name, place)?;
    test_text(root, spectra, name, place)
}

/// The spectrum loss of the truth is what its ions leave unexplained.
fn test_spectrum_loss(root: &Root, spectra: &[Spectrum], name: &str, place: &Place) -> Result<(), String> {
    let batch = pack(root, spectra);
    let got = loss_of_truth(root, &batch, Loss::Spectrum, place)?;
    let vocabulary = root.vocabulary();
    let left = |(row, spectrum): (usize, &Spectrum)| 1.0 - explained(&vocabulary, &shown(&batch, row, spectrum), SIGMA);
    let expected = spectra.iter().enumerate().map(left).sum::<f64>() / spectra.len() as f64;
    if (got - expected).abs() <= SPECTRUM_TOLERANCE {
        return Ok(());
    }
    Err(format!(
        "the spectrum loss of the true peptides of {name} is {got:.6}, but their b and y ions leave {expected:.6} of the \
         intensity unexplained: tokens, masses or ions of code and data disagree"
    ))
}

/// The precursor loss of the truth is next to nothing.
fn test_precursor_loss(root: &Root, spectra: &[Spectrum], name: &str, place: &Place) -> Result<(), String> {
    let vocabulary = root.vocabulary();
    let error = |spectrum: &Spectrum| vocabulary.peptide_mass(&spectrum.peptide) - spectrum.neutral_mass();
    let matching: Vec<_> = spectra.iter().filter(|spectrum| error(spectrum).abs() <= PRECURSOR_WINDOW_DA).cloned().collect();
    if matching.is_empty() {
        let mut errors: Vec<f64> = spectra.iter().map(error).collect();
        errors.sort_by(f64::total_cmp);
        return Err(format!(
            "no peptide of {name} weighs what its precursor does, within {PRECURSOR_WINDOW_DA} Da; typically it is {:.4} Da \
             too heavy: is a modification missing, or a fixed one that the data do not have?",
            errors[errors.len() / 2]
        ));
    }
    let got = loss_of_truth(root, &pack(root, &matching), Loss::Precursor, place)?;
    if got < PRECURSOR_BOUND {
        return Ok(());
    }
    Err(format!(
        "the precursor loss of the true peptides of {name} is {got:.6}, expected below {PRECURSOR_BOUND}: \
         tokens or masses of code and data disagree"
    ))
}

/// The truth, decoded, reads like the label.
fn test_text(root: &Root, spectra: &[Spectrum], name: &str, place: &Place) -> Result<(), String> {
    let batch = pack(root, spectra);
    let vocabulary = root.vocabulary();
    let logits = one_hot(&batch, vocabulary.len(), place).mul_scalar(CERTAIN);
    let logits = Logits::read(logits).map_err(|failure| failure.to_string())?;
    for (row, spectrum) in spectra.iter().enumerate() {
        let (got, expected) = (vocabulary.text(&logits.answer(row).tokens), vocabulary.text(&spectrum.peptide));
        if got != expected {
            return Err(format!("the true tokens of a peptide of {name} decode to `{got}`, but its label is `{expected}`"));
        }
    }
    Ok(())
}

fn pack(root: &Root, spectra: &[Spectrum]) -> Batch {
    Batch::pack(root.model.recursive(), &root.vocabulary(), spectra)
}

/// A spectrum with the peaks the model is shown.
fn shown(batch: &Batch, row: usize, spectrum: &Spectrum) -> Spectrum {
    let places = row * batch.peaks..(row + 1) * batch.peaks;
    let real = places.filter(|&place| batch.is_peak[place] > 0.0);
    let peak = |place: usize| Peak { mz: batch.mz[place].into(), intensity: batch.intensity[place].into() };
    Spectrum { peaks: real.map(peak).collect(), ..spectrum.clone() }
}

/// A loss of the true tokens as certain probabilities.
fn loss_of_truth(root: &Root, batch: &Batch, loss: Loss, place: &Place) -> Result<f64, String> {
    let vocabulary = root.vocabulary();
    let weights = BTreeMap::from([(loss, 1.0)]);
    let targets = Targets { supervision: Supervision::Linear, label_smoothing: 0.0, passes: 1 };
    let truth = Truth::new(batch, &vocabulary, &weights, targets, batch.peaks, Whole::of(batch)).place(&place.device);
    let probabilities = one_hot(batch, vocabulary.len(), place);
    let term = truth.mass_terms(|| probabilities, &weights).remove(&loss).ok_or("the loss was not computed")?;
    Ok(f64::from(read_vector(term).map_err(|failure| failure.to_string())?[0]))
}

/// The true tokens as probabilities of 1, `[B, L, V]`.
fn one_hot(batch: &Batch, vocabulary: usize, place: &Place) -> Tensor<3> {
    let row = |&wanted: &i32| (0..vocabulary).map(move |token| if token == wanted as usize { 1.0 } else { 0.0 });
    let values: Vec<f32> = batch.tokens.iter().flat_map(row).collect();
    Tensor::from_data(TensorData::new(values, [batch.size, batch.length, vocabulary]), &place.device)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::spec::Model;
    use crate::task::mass;
    use crate::task::model::Recursive;
    use crate::task::sampler::Pool;
    use crate::task::synthetic::Synthetic;
    use crate::task::tokens::Modification;
    use crate::train::device::Choice;
    use crate::train::testing;

    fn model(modifications: &[Modification]) -> Recursive {
        Recursive { peaks: 50, length: 20, modifications: modifications.to_vec(), ..testing::micro() }
    }

    fn root(modifications: &[Modification]) -> Root {
        Root { model: Model::Recursive(model(modifications)), ..testing::root(&testing::micro(), 1) }
    }

    fn test(root: &Root, drawers: Vec<Drawer>) -> Result<(), Failure> {
        let sampler = Sampler::new(root.model.recursive(), drawers.into_iter().map(|drawer| (1.0, drawer)).collect());
        run(root, &sampler, &Choice::Cpu.open().unwrap())
    }

    fn spectra(root: &Root) -> Vec<Spectrum> {
        let source = Synthetic { length: 6..=14, fragment_charges: 2 };
        let draw = |slot| synthetic::draw(&source, &root.vocabulary(), (6, 14), &mut stream(3, Purpose::Sample, 0, slot));
        (0..100).map(draw).collect()
    }

    fn pool(spectra: Vec<Spectrum>) -> Drawer {
        Drawer::Pool { pool: Arc::new(Pool::new(spectra)), noise: false }
    }

    #[test]
    fn clean_sources_pass_also_with_modifications_and_noise_peaks() {
        for charges in [1, 2] {
            test(&root(&[]), vec![Drawer::Synthetic(Synthetic { length: 7..=18, fragment_charges: charges })]).unwrap();
        }
        let root = root(&Modification::ALL);
        let acetyl = root.vocabulary().n_terminal(Modification::Acetyl).unwrap();
        let mut spectra = spectra(&root);
        for (index, spectrum) in spectra.iter_mut().enumerate() {
            spectrum.peaks.extend((0..40).map(|i| Peak { mz: 100.3 + 31.7 * f64::from(i), intensity: 0.3 }));
            if index % 3 == 0 {
                spectrum.peptide.insert(0, acetyl);
            }
            let isotope = if index % 5 == 0 { mass::ISOTOPE } else { 0.0 };
            let neutral = root.vocabulary().peptide_mass(&spectrum.peptide) + isotope;
            spectrum.precursor_mz = mass::mz(neutral, spectrum.charge);
        }
        test(&root, vec![pool(spectra)]).unwrap();
    }

    #[test]
    fn an_undeclared_modification_is_found() {
        let root = root(&[]);
        let mut spectra = spectra(&root);
        spectra.iter_mut().for_each(|spectrum| spectrum.precursor_mz += 57.021464 / f64::from(spectrum.charge));
        let clean = Drawer::Synthetic(testing::synthetic());
        let Err(Failure::SelfTest(message)) = test(&root, vec![clean, pool(spectra)]) else { panic!("it must fail") };
        assert!(message.contains("source 2 (files, 100 spectra)") && message.contains("-57.0215"), "{message}");
    }

    #[test]
    fn a_source_that_the_model_cannot_write_is_found() {
        let long = Synthetic { length: 25..=30, fragment_charges: 1 };
        let Err(Failure::SelfTest(message)) = test(&root(&[]), vec![Drawer::Synthetic(long)]) else { panic!("it must fail") };
        assert!(message.contains("no spectrum"), "{message}");
    }
}
