//! In which settings two steps, or two roots, differ.

use serde::Serialize;

use super::piece::Piece;
use super::root::{Origin, Root};
use super::settings::Settings;
use super::span::History;
use crate::task::loss::Loss;

/// One setting with its two values, as people read them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    pub setting: String,
    pub from: String,
    pub to: String,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} to {}", self.setting, self.from, self.to)
    }
}

/// Every setting in which two settings differ, in a fixed order; empty if and only if they are equal.
pub fn changes(a: &Settings, b: &Settings) -> Vec<Change> {
    let pairs = described(a).into_iter().zip(described(b)).filter(|(a, b)| a.1 != b.1);
    pairs.filter(|(a, b)| a.1 != UNUSED && b.1 != UNUSED).map(|(a, b)| change(&a.0, a.1, b.1)).collect()
}

/// Version of a part that is not in use: the setting that switches the part on or off tells the difference already.
const UNUSED: &str = "unused";

/// Every part of the roots in which two histories differ.
pub fn root_changes(a: &Root, b: &Root) -> Vec<Change> {
    let parts = |root: &Root| {
        let origin = match &root.origin {
            Origin::Initial => format!("fresh weights of seed {}", root.seed),
            Origin::Imported { digest, step } => format!("imported {}@{step}", &digest[..digest.len().min(8)]),
        };
        let model = format!("{:?} version {}", root.model.recursive(), root.model_version);
        [("weights", origin), ("model", model), ("data", format!("{:?}", root.data))]
    };
    parts(a).into_iter().zip(parts(b)).filter(|(a, b)| a.1 != b.1).map(|(a, b)| change(a.0, a.1, b.1)).collect()
}

/// Where two histories begin to differ, and in what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstDifference {
    /// The first step at which they differ; none where their roots do.
    pub step: Option<u64>,
    /// Every setting, or every part of the roots, that differs there.
    pub changes: Vec<Change>,
}

impl FirstDifference {
    /// The first difference of two histories that both go past the step up to which they agree.
    pub fn between(a: &History, b: &History) -> FirstDifference {
        let step = a.common_step(b);
        let changes = match step {
            None => root_changes(a.root(), b.root()),
            Some(step) => changes(a.settings(step), b.settings(step)),
        };
        FirstDifference { step, changes }
    }

    /// From where on they differ, as people read it.
    pub fn from(&self) -> String {
        self.step.map_or("from the root on".into(), |step| format!("from step {step} on"))
    }
}

impl std::fmt::Display for FirstDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.from(), listed(&self.changes))
    }
}

/// Changes in one line, as people read them.
pub fn listed(changes: &[Change]) -> String {
    changes.iter().map(Change::to_string).collect::<Vec<_>>().join(", ")
}

fn change(setting: &str, from: String, to: String) -> Change {
    Change { setting: setting.into(), from, to }
}

/// A piece as people read it.
fn piece(piece: &Piece) -> String {
    match *piece {
        Piece::Constant(value) => format!("{value}"),
        Piece::Linear { from, to, start, steps } => format!("{from}..{to} over {start}..{}", start + steps),
        Piece::Cosine { peak, floor, start, end } => format!("cosine {peak}..{floor} over {start}..{end}"),
    }
}

/// Every setting by name with its value; the same names in the same order for all settings.
fn described(settings: &Settings) -> Vec<(String, String)> {
    let mut list = vec![("seed".to_owned(), settings.seed.to_string())];
    for loss in Loss::ALL {
        let term = settings.losses.get(&loss);
        list.push((loss.name().into(), term.map_or("0".into(), |term| piece(&term.weight))));
        list.push((format!("version of {loss}"), term.map_or(UNUSED.into(), |term| term.version.to_string())));
    }
    let d = &settings.difficulty;
    let optional = |value: Option<f64>| value.map_or("none".to_owned(), |value| value.to_string());
    let named = [
        ("length", format!("{}..={}", d.length.0, d.length.1)),
        ("clean_share", d.clean_share.to_string()),
        ("noise_peaks", d.noise_peaks.to_string()),
        ("grass_peaks", d.grass_peaks.to_string()),
        ("spike_peaks", d.spike_peaks.to_string()),
        ("peak_dropout", d.peak_dropout.to_string()),
        ("signal_suppression", d.signal_suppression.to_string()),
        ("mass_error_ppm", d.mass_error_ppm.to_string()),
        ("intensity_variation", d.intensity_variation.to_string()),
        ("version of noise", if d.is_clean() { UNUSED.into() } else { settings.noise_version.to_string() }),
        ("batch", settings.batch.to_string()),
        ("micro_batch", settings.micro_batch.to_string()),
        ("optimizer", format!("{:?}", settings.optimizer)),
        ("version of optimizer", settings.optimizer_version.to_string()),
        ("learning rate", piece(&settings.rate)),
        ("clip", optional(settings.clip)),
        ("label_smoothing", settings.label_smoothing.to_string()),
        ("ema", optional(settings.ema)),
        ("dropout", settings.dropout.to_string()),
        ("supervision", format!("{:?}", settings.supervision)),
        ("precision", format!("{:?}", settings.precision)),
    ];
    list.extend(named.into_iter().map(|(name, value)| (name.to_owned(), value)));
    list
}
