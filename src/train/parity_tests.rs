//! The same network in PyTorch, by its numbers: `benches/peer/parity.py make` writes the fixtures, docs/peer.md says how.
//!
//! Expected values were computed in f64. Bounds are those of f32: PyTorch in f32 keeps the same ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::device::Place;
use super::dropout::Dropout;
use super::feed::Micro;
use super::forward::Forward;
use super::gradient::{Gradient, both_ways};
use super::layout::{Layout, read_vector};
use super::losses::{Targets, Truth, Whole};
use super::network::{Arithmetic, Input, Network};
use super::optimizer::{Weights, gradient_norm};
use super::testing::{cpu, gpu, history, plain};
use crate::history::At;
use crate::record::{self, State, Tensors};
use crate::spec::{Optimizer, Precision};
use crate::task::batch::Batch;
use crate::task::loss::Loss;
use crate::task::model::Recursive;

/// Largest difference of a logit.
const LOGIT: f64 = 1e-4;
/// Relative difference of a term; what is smaller than [`SMALL_TERM`] is measured against that.
const TERM: f64 = 1e-5;
const SMALL_TERM: f64 = 0.1;
/// Norm of the difference over the norm of a tensor's gradient. Of a tensor with less than [`SMALL_GRADIENT`] of the whole
/// norm next to nothing but rounding is left, so it is measured against that share.
const GRADIENT: f64 = 1e-3;
const SMALL_GRADIENT: f64 = 5e-3;
/// Relative difference of a term, of the gradient's norm, and of how far the running average went, at any of the updates.
const COURSE: f64 = 1e-3;
/// Norm of the difference over the length of the way that a tensor went in all updates.
const WAY: f64 = 1e-2;

/// Logits after each supervised pass, raw terms, and the gradient of the weighted total.
struct Passed {
    logits: Vec<Vec<f32>>,
    terms: BTreeMap<Loss, f64>,
    gradient: Tensors,
}

/// A way of computing a batch's gradient with these weights, without dropout.
type ForwardBackward = fn(&Recursive, &Tensors, &Batch, &At, &Place) -> Passed;

/// The same with the device that updates are made on.
struct Way<'a> {
    forward_backward: ForwardBackward,
    place: &'a Place,
}

#[derive(Deserialize)]
struct Settings {
    model: Recursive,
    weights: BTreeMap<Loss, f64>,
    label_smoothing: f64,
    /// The highest norm of each update's gradient; `None` where it is not clipped.
    clip: Vec<Option<f64>>,
    ema: f64,
    optimizer: AdamW,
    /// One for each update.
    rate: Vec<f64>,
}

#[derive(Deserialize)]
struct AdamW {
    weight_decay: f64,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

/// What PyTorch was given, and what came of it.
struct Fixture {
    settings: Settings,
    batch: Batch,
    weights: Tensors,
    expected: Tensors,
}

#[test]
fn the_graph_computes_what_pytorch_does() {
    ["micro", "deep"].into_iter().for_each(|name| agrees(name, "burn's graph", by_graph, &gpu().place));
}

#[test]
fn the_network_by_hand_computes_what_pytorch_does() {
    ["micro", "deep"].into_iter().for_each(|name| agrees(name, "by hand", by_hand, &cpu().place));
}

/// A fixture in which a loss has no slope would compare nothing, and AdamW hardly sees a clip that is the same for all updates.
#[test]
fn the_fixtures_hold_what_they_should() {
    for name in ["micro", "deep"] {
        let fixture = Fixture::read(name);
        let Batch { size, lengths, charge, cleavable, is_peak, .. } = &fixture.batch;
        let differ = |values: &mut dyn Iterator<Item = usize>| values.collect::<std::collections::BTreeSet<_>>().len() > 2;
        assert!(differ(&mut lengths.iter().copied()), "{name}: lengths differ");
        assert!(differ(&mut charge.iter().map(|&charge| charge as usize)), "{name}: charges differ");
        assert!(cleavable.contains(&1.0) && is_peak.contains(&0.0) && *size > 2, "{name}: there is padding");
        let terms = Loss::ALL.map(|loss| fixture.number(&format!("term.{loss}")));
        assert!(terms[1] < 0.97 && terms[2] > 1e-3, "{name}: ions lie near peaks, and masses are off: {terms:?}");
        let (norms, clip) = (fixture.values("step.gradient_norm"), &fixture.settings.clip);
        assert_eq!(norms.len(), clip.len(), "{name}: every update has a norm and a clip");
        let shares: Vec<f64> = norms.iter().zip(clip).filter_map(|(norm, most)| most.map(|most| most / norm)).collect();
        let both = shares.iter().any(|&share| share < 0.2) && shares.iter().any(|&share| share > 1.0);
        assert!(both && shares.len() < clip.len(), "{name}: some are cut strongly, some are below, some free: {shares:?}");
    }
}

/// Compares one way of computing with PyTorch, and prints how far apart they are.
fn agrees(name: &str, called: &str, forward_backward: ForwardBackward, place: &Place) {
    let fixture = Fixture::read(name);
    let mut table = Table::default();
    let way = Way { forward_backward, place };
    fixture.once(&way, &mut table);
    fixture.course(&way, &mut table);
    println!("\n{name}, {called} against PyTorch\n{}", table.lines.join("\n"));
    assert!(table.too_far.is_empty(), "{name}, {called}: {}", table.too_far.join("; "));
}

/// Burn's graph, as training on a GPU uses it.
fn by_graph(model: &Recursive, weights: &Tensors, batch: &Batch, at: &At, place: &Place) -> Passed {
    let layout = Layout::new(model);
    let vector = layout.place(weights, "", "weights", &place.device).unwrap();
    let network = Network::new(model, &layout, &layout.split(&vector), Arithmetic::new(Precision::F32, place));
    let logits = network.forward(&Input::new(model, batch).place(&place.device), &Dropout::none(place));
    let [graph, _] = ways(model, weights, batch, at, place);
    passed(model, logits, graph)
}

/// The network by hand, as training on the CPU uses it.
fn by_hand(model: &Recursive, weights: &Tensors, batch: &Batch, at: &At, place: &Place) -> Passed {
    let logits = Forward::new(model, weights, place).unwrap().logits(Input::new(model, batch));
    let [_, hand] = ways(model, weights, batch, at, place);
    passed(model, logits, hand)
}

fn ways(model: &Recursive, weights: &Tensors, batch: &Batch, at: &At, place: &Place) -> [Gradient; 2] {
    let state = State { model: weights.clone(), ..State::default() };
    let mut weights = Weights::new(Layout::new(model), &state, place.clone()).unwrap();
    let input = Input::new(model, batch);
    let targets = Targets::of(at, model.supervision_steps as usize);
    let truth = Truth::new(batch, &model.vocabulary(), &at.weights, targets, input.peaks, Whole::of(batch));
    both_ways(model, &mut weights, at, &Micro { slots: 0..batch.size, input, truth }, place)
}

fn passed(model: &Recursive, logits: Tensor<4>, gradient: Gradient) -> Passed {
    let [passes, rows, length, vocabulary] = logits.dims();
    let values = read_vector(logits.reshape([passes * rows * length * vocabulary])).unwrap();
    let term = |(loss, term): (Loss, Tensor<1>)| (loss, f64::from(read_vector(term).unwrap()[0]));
    Passed {
        logits: values.chunks(rows * length * vocabulary).map(<[f32]>::to_vec).collect(),
        terms: gradient.terms.into_iter().map(term).collect(),
        gradient: Layout::new(model).read(&gradient.vector, "").unwrap(),
    }
}

/// Rows of "what, how far, bound".
#[derive(Default)]
struct Table {
    lines: Vec<String>,
    too_far: Vec<String>,
}

impl Table {
    fn row(&mut self, what: &str, distance: f64, bound: f64) {
        let line = format!("  {what:<70} {distance:9.1e}  bound {bound:.0e}");
        // Written so that what is not a number is too far.
        if distance <= bound {
            self.lines.push(format!("{line}  ok"));
        } else {
            self.lines.push(format!("{line}  TOO FAR"));
            self.too_far.push(format!("{what}: {distance:.1e} is more than {bound:.0e}"));
        }
    }

    /// The row of the worst of several tensors.
    fn worst(&mut self, what: &str, distances: impl Iterator<Item = (String, f64)>, bound: f64) {
        let (path, distance) = distances.max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are tensors");
        self.row(&format!("{what}, worst tensor ({path})"), distance, bound);
    }
}

impl Fixture {
    fn read(name: &str) -> Fixture {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name);
        let text = std::fs::read_to_string(folder.join("settings.json")).unwrap();
        let settings: Settings = serde_json::from_str(&text).unwrap();
        let batch = batch(&settings.model, folder.join("batch.safetensors"));
        let weights = tensors(folder.join("weights.safetensors"));
        Fixture { batch, weights, expected: tensors(folder.join("expected.safetensors")), settings }
    }

    /// What the update from `step` needs to know.
    fn at(&self, step: u64) -> At {
        let AdamW { weight_decay, beta_1, beta_2, epsilon } = self.settings.optimizer;
        At {
            step,
            weights: self.settings.weights.clone(),
            batch: self.batch.size,
            micro_batch: self.batch.size,
            optimizer: Optimizer::AdamW { weight_decay, beta_1, beta_2, epsilon },
            rate: self.settings.rate[step as usize],
            clip: self.settings.clip[step as usize],
            label_smoothing: self.settings.label_smoothing,
            ema: Some(self.settings.ema),
            ..history(plain(), step + 1).at(step)
        }
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let tensor = self.expected.get(name).unwrap_or_else(|| panic!("`{name}` is not in the fixture"));
        wide(tensor)
    }

    fn number(&self, name: &str) -> f64 {
        self.values(name)[0]
    }

    /// How far all tensors went together since the first update.
    fn way(&self, tensors: &Tensors) -> f64 {
        let of = |(path, start): (&String, &record::Tensor)| norm(&less(&wide(&tensors[path]), &wide(start)));
        self.weights.iter().map(|tensor| of(tensor).powi(2)).sum::<f64>().sqrt()
    }

    /// Norm of the whole gradient.
    fn whole(&self) -> f64 {
        self.weights.keys().map(|path| norm(&self.values(&format!("gradient.{path}"))).powi(2)).sum::<f64>().sqrt()
    }

    /// One pass forward and back.
    fn once(&self, way: &Way<'_>, table: &mut Table) {
        let model = &self.settings.model;
        let passed = (way.forward_backward)(model, &self.weights, &self.batch, &self.at(0), way.place);
        assert_eq!(passed.logits.len(), model.supervision_steps as usize);
        for (pass, logits) in passed.logits.iter().enumerate() {
            let expected = self.values(&format!("logits.{pass}"));
            assert_eq!(logits.len(), expected.len());
            let furthest = logits.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, largest);
            table.row(&format!("logits after pass {pass}, largest difference"), furthest, LOGIT);
        }
        assert!(passed.terms.keys().eq(&Loss::ALL), "all losses are computed");
        for (loss, term) in passed.terms {
            let expected = self.number(&format!("term.{loss}"));
            table.row(&format!("{loss}, relative"), (term - expected).abs() / expected.abs().max(SMALL_TERM), TERM);
        }
        assert!(passed.gradient.keys().eq(self.weights.keys()), "every parameter has a gradient");
        let small = SMALL_GRADIENT * self.whole();
        let distances = passed.gradient.iter().map(|(path, gradient)| {
            let expected = self.values(&format!("gradient.{path}"));
            (path.clone(), norm(&less(&wide(gradient), &expected)) / norm(&expected).max(small))
        });
        table.worst("gradient", distances, GRADIENT);
    }

    /// Updates with AdamW, clipping and averaging under a rate and a clip that change, on the same batch.
    fn course(&self, way: &Way<'_>, table: &mut Table) {
        let place = way.place;
        let layout = Layout::new(&self.settings.model);
        let mut state = State { model: self.weights.clone(), ..State::default() };
        let mut weights = Weights::new(layout.clone(), &state, place.clone()).unwrap();
        let mut parted: BTreeMap<String, f64> = BTreeMap::new();
        let steps = self.settings.rate.len();
        for step in 0..steps {
            let at = self.at(step as u64);
            let passed = (way.forward_backward)(&self.settings.model, &state.model, &self.batch, &at, way.place);
            let (gradient, norm) = joined(&layout, &passed.gradient, place);
            let found = f64::from(read_vector(norm.clone()).unwrap()[0]);
            weights.update(&at, gradient, norm, false).unwrap();
            state = weights.state().unwrap();
            let measured = passed.terms.iter().map(|(loss, &term)| (loss.name(), term));
            let gone = self.way(&state.ema);
            for (name, value) in measured.chain([("gradient_norm", found), ("way_of_average", gone)]) {
                let expected = self.values(&format!("step.{name}"))[step];
                let furthest = parted.entry(name.to_owned()).or_default();
                *furthest = largest(*furthest, (value / expected - 1.0).abs());
            }
        }
        for (name, furthest) in parted {
            table.row(&format!("{steps} updates: {name}, largest relative"), furthest, COURSE);
        }
        assert_eq!(state.ema.remove("updates").and_then(|updates| updates.as_counter()), Some(steps as u64));
        for (kind, found) in [("after", &state.model), ("average", &state.ema)] {
            let distances = found.iter().map(|(path, values)| {
                let expected = self.values(&format!("{kind}.{path}"));
                let went = norm(&less(&expected, &wide(&self.weights[path])));
                (path.clone(), norm(&less(&wide(values), &expected)) / went)
            });
            table.worst(&format!("{steps} updates: way of {kind}"), distances, WAY);
        }
    }
}

/// A gradient as one vector, and its norm.
fn joined(layout: &Layout, gradient: &Tensors, place: &Place) -> (Tensor<1>, Tensor<1>) {
    let mut vector = layout.place(gradient, "", "gradient", &place.device).unwrap();
    let norm = gradient_norm(&mut vector, place).unwrap();
    (vector, norm)
}

fn wide(tensor: &record::Tensor) -> Vec<f64> {
    tensor.as_f32().expect("f32").iter().copied().map(f64::from).collect()
}

fn less(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The larger of two, where what is not a number is the largest.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tensors of a file, all f32.
fn tensors(path: PathBuf) -> Tensors {
    let bytes = read(&path);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| record::Tensor::f32(file.tensor(name).unwrap().shape().to_vec(), f32s(&file, name));
    file.names().into_iter().map(|name| (name.to_owned(), floats(name))).collect()
}

fn batch(model: &Recursive, path: PathBuf) -> Batch {
    let bytes = read(&path);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let whole = |name: &str| -> Vec<i32> {
        assert_eq!(file.tensor(name).unwrap().dtype(), Dtype::I32, "{name}");
        file.tensor(name).unwrap().data().chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let lengths = file.tensor("lengths").unwrap();
    assert_eq!(lengths.dtype(), Dtype::I64);
    let lengths = lengths.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize);
    let batch = Batch {
        size: file.tensor("charge").unwrap().shape()[0],
        peaks: model.peaks as usize,
        length: model.length as usize,
        mz: f32s(&file, "mz"),
        intensity: f32s(&file, "intensity"),
        is_peak: f32s(&file, "is_peak"),
        neutral_mass: f32s(&file, "neutral_mass"),
        charge: whole("charge"),
        tokens: whole("tokens"),
        lengths: lengths.collect(),
        cleavable: f32s(&file, "cleavable"),
    };
    assert_eq!(batch.mz.len(), batch.size * batch.peaks);
    assert_eq!(batch.tokens.len(), batch.size * batch.length);
    batch
}

fn f32s(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F32, "{name}");
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}
