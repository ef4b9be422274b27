//! The raw terms of the loss on given spectra, as training computes them but without dropout and label smoothing.

use std::collections::BTreeMap;

use super::device::Place;
use super::dropout::Dropout;
use super::layout::{Layout, read_vector};
use super::losses::{Targets, Truth, Whole};
use super::network::{Input, Network};
use crate::execute::Failure;
use crate::record::Tensors;
use crate::spec::Supervision;
use crate::task::batch::Batch;
use crate::task::loss::Loss;
use crate::task::model::Recursive;
use crate::task::spectrum::Spectrum;

/// Spectra looked at at once.
const ROWS: usize = 64;

/// Every term, mean over the spectra as over a batch; `None` where `stop`, asked between parts, said so.
pub fn terms(
    model: &Recursive,
    supervision: Supervision,
    weights: &Tensors,
    spectra: &[Spectrum],
    place: &Place,
    stop: &dyn Fn() -> bool,
) -> Result<Option<BTreeMap<Loss, f64>>, Failure> {
    let layout = Layout::new(model);
    let vector = layout.place(weights, "", "weights", &place.device)?;
    let network = Network::new(model, &layout, &layout.split(&vector));
    let vocabulary = model.vocabulary();
    let all = Batch::pack(model, &vocabulary, spectra);
    let whole = Whole::of(&all);
    let targets = Targets { supervision, label_smoothing: 0.0, passes: model.supervision_steps as usize };
    let wanted = Loss::ALL.map(|loss| (loss, 1.0)).into();
    let mut sums: BTreeMap<Loss, f64> = Loss::ALL.map(|loss| (loss, 0.0)).into();
    for from in (0..all.size).step_by(ROWS) {
        if stop() {
            return Ok(None);
        }
        let rows = all.rows(from, (from + ROWS).min(all.size));
        let input = Input::new(model, &rows);
        let truth = Truth::new(&rows, &vocabulary, &wanted, targets, input.peaks, whole).place(&place.device);
        let logits = network.forward(&input.place(&place.device), &Dropout::none(place));
        for (loss, term) in truth.terms(logits, &wanted) {
            *sums.entry(loss).or_default() += f64::from(read_vector(term)?[0]);
        }
    }
    Ok(Some(sums))
}
