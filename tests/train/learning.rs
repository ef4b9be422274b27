//! The network learns from real spectra where they are at hand, and from a set that the test makes where they are not.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use runner::store::RealDisk;
use runner::task::random::{Purpose, stream};
use runner::task::synthetic::{self, Synthetic};
use runner::task::tokens::Vocabulary;

use crate::cuts::burn;
use crate::world::World;

/// An experiment on a file of spectra, of micro size.
pub const REAL: &str = r#"(
    parent: Scratch(
        seed: 1,
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 2, latent_steps: 1,
            peaks: 50, length: 20, modifications: [Carbamidomethyl, Oxidation, Deamidated, Acetyl, Carbamyl, AmmoniaLoss]),
        data: Mixture([
            (share: 3, data: Mgf(files: ["data/spectra.mgf"], held_out: 0.3, preprocessing: (fewest_peaks: 5))),
            (share: 1, data: Synthetic(length: 7..=12)),
        ]),
        training: (batch: 8, lr: Constant(rate: 3e-3), ema: 0.9),
    ),
    curriculum: Inline(stages: [(from: 0, loss: {CrossEntropy: 1.0, Spectrum: 0.1, Precursor: 0.01}, data: (length: 7..=14))]),
    max_step: 40,
    evaluate_every: 40,
    validation: [(name: "held_out", data: Mgf(files: ["data/spectra.mgf"], length: 7..=14, preprocessing: (fewest_peaks: 5)))],
)"#;

/// An annotated file of synthetic spectra, written as a measured one would be.
pub fn own_file() -> String {
    let vocabulary = Vocabulary::new(&[]);
    let source = Synthetic { length: 7..=14, fragment_charges: 1 };
    let mut text = String::new();
    for slot in 0..200 {
        let spectrum = synthetic::draw(&source, &vocabulary, (7, 14), &mut stream(5, Purpose::Validation, 0, slot));
        let peptide = vocabulary.text(&spectrum.peptide).replace('C', "C[Carbamidomethyl]");
        let cysteines = peptide.matches("Carb").count() as f64;
        let shift = cysteines * 57.021464 / f64::from(spectrum.charge);
        let (mz, charge) = (spectrum.precursor_mz + shift, spectrum.charge);
        write!(text, "BEGIN IONS\nTITLE={slot}\nPEPMASS={mz:.6}\nCHARGE={charge}+\nSEQ={peptide}\n").unwrap();
        spectrum.peaks.iter().for_each(|peak| writeln!(text, "{:.5} {:.4}", peak.mz, peak.intensity * 1000.0).unwrap());
        text += "END IONS\n";
    }
    text
}

#[test]
fn spectra_of_files_are_trained_on_and_held_out() {
    let world = World::new();
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real/massivekb_500.mgf");
    let text = std::fs::read_to_string(&shared).unwrap_or_else(|_| {
        eprintln!("SKIPPED: no shared/data here; a file made by the test takes its place");
        own_file()
    });
    for text in [text, own_file()] {
        world.write("data/spectra.mgf", &text);
        world.write("experiments/real.ron", REAL);
        let outcome = world.run_with("real", &burn(), Arc::new(RealDisk), 1, &|| false).unwrap();
        assert!(outcome.failures.is_empty() && outcome.steps_trained == 40, "{outcome:?}");
        let inventory = world.store().inventory();
        let evaluation = inventory.evaluations.last().unwrap();
        let spectra = evaluation.scores.summary.all.spectra;
        assert!((20..=256).contains(&spectra), "{spectra} spectra held out");
        let uniform = 30_f64.ln();
        assert!(evaluation.scores.cross_entropy < uniform, "{} nats, {uniform} by guessing", evaluation.scores.cross_entropy);
        std::fs::remove_dir_all(world.path().join("runs")).unwrap();
    }
}
