//! Names of checkpoints never change by accident: a file of fixed histories with the names they have always had.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use runner::lineage::{DataFile, FileOrigin, Known, Library, TensorFile, resolve};
use runner::spec::{Experiment, Name, Place, parse};
use runner::task::model::Recursive;

const GOLDEN: &str = "tests/golden/names.txt";

const HELP: &str = "
Names of checkpoints have changed. Every run made before would be trained again: nothing of it would be found.

- Not meant? Then something that enters a name was altered: a field, its order, a default, a mass, the canonical form.
- What a part computes has changed? Raise its version in src/history/versions.rs; only names that use the part may change.
- Meant all the same? Run `RENEW_NAMES=1 cargo test --test names`, look at the difference, and say so first in CHANGELOG.md.
";

const MODEL: &str = "hidden: 48, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 2, latent_steps: 1, \
                     peaks: 50, length: 20";

/// Histories that between them use every part a name is made of, each with the steps whose names are written down.
fn cases() -> Vec<(&'static str, String, &'static [u64])> {
    let root = |seed: &str, model: &str, data: &str, training: &str, rest: &str| {
        format!("(parent: Scratch({seed} model: Recursive({model}), data: {data}, training: ({training})), {rest})")
    };
    let synthetic = "Synthetic(length: 7..=18)";
    let constant = "batch: 8, lr: Constant(rate: 1e-3)";
    let entropy = "curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1.0})]), max_step: 100";
    let staged = "max_step: 100, curriculum: Inline(stages: [
        (from: 0, loss: {CrossEntropy: 1.0}, data: (length: 7..=10)),
        (from: 10, loss: {CrossEntropy: 1.0, Spectrum: 0.5}, ramp: 20, data: (length: 7..=11, clean_share: 0.5, noise_peaks: 1,
            grass_peaks: 2, spike_peaks: 3, peak_dropout: 0.1, signal_suppression: 0.2, mass_error_ppm: 5.0,
            intensity_variation: 0.3)),
        (from: 50, loss: {CrossEntropy: 0.5, Precursor: 0.1}, data: (length: 7..=18)),
    ])";
    let modified = &format!("{MODEL}, modifications: [Carbamidomethyl, Oxidation, Deamidated, Acetyl, Carbamyl, AmmoniaLoss]");
    let files = "Mgf(files: [\"a.mgf\", \"b.mgf\"], held_out: 0.2, noise: true, preprocessing: (floor: 0.02))";
    let mixture = &format!("Mixture([(share: 3.0, data: {synthetic}), (share: 1.0, data: Mgf(files: [\"a.mgf\"]))])");
    let trained = "batch: 32, micro_batch: 8, optimizer: AdamW(weight_decay: 0.1, beta_1: 0.8, beta_2: 0.99, epsilon: 1e-6), \
                   lr: Cosine(peak: 1e-3, horizon: 90, floor: 1e-5, warm_up: 10), clip: None, label_smoothing: 0.1, ema: None, \
                   dropout: 0.2, supervision: Exponential";
    let stable = "batch: 8, lr: WarmUpStableDecay(peak: 1e-3, warm_up: 10, decay_from: 50, horizon: 90)";
    let seed = "seed: 42,";
    vec![
        ("plain", root(seed, MODEL, synthetic, constant, entropy), &[0, 1, 100]),
        ("other_seed", root("seed: 43,", MODEL, synthetic, constant, entropy), &[0, 100]),
        ("staged", root(seed, MODEL, synthetic, constant, staged), &[10, 11, 30, 50, 51, 100]),
        ("modified", root(seed, modified, synthetic, constant, entropy), &[0, 100]),
        ("charged", root(seed, MODEL, "Synthetic(length: 7..=18, fragment_charges: 2)", constant, entropy), &[0]),
        ("files", root(seed, MODEL, files, constant, entropy), &[0, 100]),
        ("mixture", root(seed, MODEL, mixture, constant, entropy), &[0, 100]),
        ("trained", root(seed, MODEL, synthetic, trained, entropy), &[10, 11, 90, 91]),
        ("stable", root(seed, MODEL, synthetic, stable, entropy), &[10, 50, 90, 100]),
        (
            "imported",
            format!(
                "(parent: Imported(file: \"w.safetensors\", step: 50, seed: 42, model: Recursive({MODEL}), data: {synthetic}, \
                 training: ({constant})), {entropy})"
            ),
            &[50, 100],
        ),
        (
            "changed",
            "(parent: Checkpoint(\"staged@40\"), curriculum: Inherit, change: (batch: 4, lr: WarmUp(peak: 1e-4, warm_up: 60), \
             weight_decay: 0.0, clip: None, dropout: 0.1, scale: {Precursor: 0.5}), max_step: 100)"
                .into(),
            &[40, 41, 100],
        ),
        (
            "replicate",
            "(parent: Checkpoint(\"staged@40\"), curriculum: Inherit, seeds: [7], max_step: 100)".into(),
            &[40, 41, 100],
        ),
        (
            "moved",
            "(parent: Checkpoint(\"plain@20\"), curriculum: Moved(of: \"late\", loss: Spectrum, to: 250), clock: (1, 5), \
             max_step: 100)"
                .into(),
            &[50, 51, 100],
        ),
    ]
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn library() -> Library {
    let origin = || FileOrigin { file: "a test".into(), at: Place::root() };
    let experiment = |text: &str| parse::<Experiment>(text).unwrap_or_else(|problem| panic!("{problem:?} in {text}"));
    let model: Recursive = parse(&format!("({MODEL})")).unwrap();
    let shapes = model.parameters().into_iter().map(|parameter| (parameter.path, parameter.shape)).collect();
    let late = parse("(stages: [(from: 0, loss: {CrossEntropy: 1.0}), (from: 400, loss: {CrossEntropy: 1.0, Spectrum: 0.1})])");
    Library {
        experiments: cases()
            .iter()
            .map(|(stem, text, _)| (name(stem), Known { value: experiment(text), origin: origin() }))
            .collect(),
        curricula: BTreeMap::from([(name("late"), Known { value: late.unwrap(), origin: origin() })]),
        data: BTreeMap::from([
            ("a.mgf".into(), DataFile::Digest("a1".repeat(32))),
            ("b.mgf".into(), DataFile::Digest("b2".repeat(32))),
        ]),
        tensors: BTreeMap::from([("w.safetensors".into(), TensorFile::Header { digest: "c3".repeat(32), shapes })]),
        ..Library::default()
    }
}

#[test]
fn names_are_what_they_always_were() {
    let library = library();
    let targets: Vec<Name> = library.experiments.keys().cloned().collect();
    let resolution = resolve(&library, &targets);
    assert!(resolution.faults.is_empty(), "{:#?}", resolution.faults);
    let mut found = String::new();
    for (stem, _, steps) in cases() {
        let history = &resolution.experiments[&name(stem)].leaves[0].history;
        for (step, id) in steps.iter().zip(history.ids(steps.iter().copied())) {
            writeln!(found, "{stem:<12} {step:>4} {id}").unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("RENEW_NAMES").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (was, is) = (lines(&golden), lines(&found));
    let missing: String = was.iter().filter(|line| !is.contains(line)).map(|line| format!("- {line}\n")).collect();
    let new: String = is.iter().filter(|line| !was.contains(line)).map(|line| format!("+ {line}\n")).collect();
    assert!(golden == found, "{GOLDEN}\n{missing}{new}{HELP}");
}
