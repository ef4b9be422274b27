//! Validation sets, and how often a run saves, evaluates and logs.

use super::bases::Base;
use super::course;
use super::resolve::{Faults, File};
use super::resolved::{Leaf, Resolved, Rhythm, Set, SetSource};
use crate::spec::{self, Decide, Name, Place, ValidationData, closest};
use crate::task::model::Recursive;

/// Rhythm of a root that names none.
const SAVE_EVERY: u64 = 1_000;
const EVALUATE_EVERY: u64 = 1_000;
const LOG_EVERY: u64 = 10;
/// Most checkpoints, and evaluations, of a leaf.
const MOST_TIMES: u64 = 100_000;

impl File<'_> {
    pub fn rhythm(&self, parent: Option<&Resolved>) -> Rhythm {
        let of = |own: Option<u64>, inherited: fn(&Rhythm) -> u64, default: u64| {
            own.unwrap_or(parent.map_or(default, |parent| inherited(&parent.rhythm)))
        };
        Rhythm {
            save_every: of(self.experiment.save_every, |rhythm| rhythm.save_every, SAVE_EVERY),
            evaluate_every: of(self.experiment.evaluate_every, |rhythm| rhythm.evaluate_every, EVALUATE_EVERY),
            log_every: of(self.experiment.log_every, |rhythm| rhythm.log_every, LOG_EVERY),
            ledger: self.experiment.ledger.unwrap_or(parent.is_none_or(|parent| parent.rhythm.ledger)),
            keep: self.experiment.keep.clone(),
        }
    }

    /// A rhythm that is too fine for so many steps would fill any disk, and any memory of a plan.
    pub fn check_rhythm(&self, bases: &[Base], parent: Option<&Resolved>, faults: &mut Faults) {
        let rhythm = self.rhythm(parent);
        let from = bases.iter().map(|base| base.history.end()).min().unwrap_or(0);
        let steps = self.experiment.max_step.saturating_sub(from);
        for (field, every) in [("save_every", rhythm.save_every), ("evaluate_every", rhythm.evaluate_every)] {
            let times = steps / every.max(1);
            if times > MOST_TIMES {
                let message = format!("`{field}` of {every} is due {times} times up to step {}", self.experiment.max_step);
                let help = format!("write `{field}: {}` or more, or an earlier `max_step`", steps.div_ceil(MOST_TIMES));
                let place = if self.writes(field) { field } else { "max_step" };
                self.fault(faults, &Place::root().field(place), message, help);
            }
        }
    }

    fn writes(&self, field: &str) -> bool {
        match field {
            "save_every" => self.experiment.save_every.is_some(),
            _ => self.experiment.evaluate_every.is_some(),
        }
    }

    pub fn best(&self, parent: Option<&Resolved>, sets: &[Set], faults: &mut Faults) -> Option<(Name, String)> {
        let Some(written) = &self.experiment.best else {
            let inherited =
                parent.and_then(|parent| parent.best.clone()).filter(|(set, _)| sets.iter().any(|known| known.name == *set));
            return inherited.or_else(|| sets.last().map(|set| (set.name.clone(), "token_accuracy".into())));
        };
        self.set_and_metric(&Place::root().field("best"), written, sets, faults)
    }

    pub fn decide(&self, sets: &[Set], faults: &mut Faults) -> Option<Decide> {
        let written = self.experiment.decide.as_ref()?;
        let place = Place::root().field("decide").field("metric");
        self.set_and_metric(&place, &written.metric, sets, faults).map(|_| written.clone())
    }

    /// A `set/metric` of which both parts are known.
    fn set_and_metric(&self, place: &Place, written: &str, sets: &[Set], faults: &mut Faults) -> Option<(Name, String)> {
        let names = sets.iter().map(|set| set.name.as_str()).collect::<Vec<_>>().join("`, `");
        let (set, metric) = written.split_once('/').unwrap_or((written, ""));
        let Some(set) = sets.iter().find(|known| known.name.as_str() == set) else {
            self.fault(
                faults,
                place,
                format!("`{written}` names no validation set"),
                format!("write `set/metric`; the sets are `{names}`"),
            );
            return None;
        };
        if !crate::task::metrics::NAMES.contains(&metric) {
            let help = closest(metric, crate::task::metrics::NAMES).map_or_else(
                || format!("the metrics are `{}`", crate::task::metrics::NAMES.join("`, `")),
                |near| format!("did you mean `{near}`?"),
            );
            self.fault(faults, place, format!("`{metric}` is no metric"), help);
            return None;
        }
        Some((set.name.clone(), metric.to_owned()))
    }

    pub fn validation(&self, parent: Option<&Resolved>, leaves: &[Leaf], faults: &mut Faults) -> Vec<Set> {
        if self.experiment.validation.is_empty() {
            return parent.map(|parent| parent.validation.clone()).unwrap_or_default();
        }
        let Some(model) = leaves.first().map(|leaf| leaf.history.root().model.recursive()) else { return vec![] };
        let sets = self.experiment.validation.iter().enumerate();
        sets.filter_map(|(index, written)| self.set(&Place::root().field("validation").index(index), written, model, faults))
            .collect()
    }

    fn set(&self, at: &Place, written: &spec::Validation, model: &Recursive, faults: &mut Faults) -> Option<Set> {
        let longest = model.longest_peptide();
        let data = at.field("data");
        let (source, range, place) = match &written.data {
            ValidationData::Synthetic { source, noise, seed } => {
                let difficulty = course::difficulty(noise, (*source.length.start(), *source.length.end()));
                let range = difficulty.length;
                let place = if noise.length.is_some() {
                    data.field("noise").field("length")
                } else {
                    data.field("source").field("length")
                };
                (SetSource::Synthetic { synthetic: source.clone(), difficulty, seed: *seed }, range, place)
            }
            ValidationData::Mgf(set) => {
                let digests = self.digests(&set.files, &set.digests, &data, faults)?;
                let files = set.files.iter().cloned().zip(digests).collect();
                let length = set.length.as_ref().map_or((1, longest), |range| (*range.start(), *range.end()));
                let source = SetSource::Files { files, length, preprocessing: set.preprocessing.clone() };
                (source, length, data.field("length"))
            }
        };
        if range.1 > longest {
            let message =
                format!("`{}` has peptides of up to {} residues, but the model writes {longest}", written.name, range.1);
            self.fault(faults, &place, message, format!("write lengths up to {longest}"));
            return None;
        }
        Some(Set { name: written.name.clone(), source, spectra: written.spectra })
    }
}
