//! The raw terms of the loss on given spectra, as training computes them but without dropout and label smoothing.

use std::collections::BTreeMap;

use super::device::Place;
use super::forward::Forward;
use super::layout::read_vector;
use super::losses::{Targets, Truth, Whole};
use super::network::Input;
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
    let mut network = Forward::new(model, weights, place)?;
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
        for (loss, term) in truth.terms(network.logits(input), &wanted) {
            *sums.entry(loss).or_default() += f64::from(read_vector(term)?[0]);
        }
    }
    Ok(Some(sums))
}
