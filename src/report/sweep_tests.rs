use super::*;
use crate::lineage::{FileOrigin, Known, Leaf, Library, resolve};
use crate::spec::{Curriculum, Experiment, Name, Place, parse};

const ROOT: &str = "(parent: Scratch(seed: 1, model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1,
    supervision_steps: 1, latent_steps: 1, peaks: 20, length: 12), data: Synthetic(length: 7..=10),
    training: (batch: 4, lr: Constant(rate: 1e-3))), max_step: 100, branches: [BRANCHES])";
const STAGES: &str = "(stages: [(from: 0, loss: {CrossEntropy: 1}),
    (from: 20, loss: {CrossEntropy: 1, Precursor: 0.1}, ramp: 4, data: (noise_peaks: 1)),
    (from: 40, loss: {CrossEntropy: 1, Precursor: 0.2}, data: (noise_peaks: 2))])";

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn leaves(branches: &str) -> Vec<Leaf> {
    let origin = || FileOrigin { file: "a.ron".into(), at: Place::root() };
    let mut library = Library::default();
    let value: Experiment = parse(&ROOT.replace("BRANCHES", branches)).unwrap();
    library.experiments.insert(name("a"), Known { value, origin: origin() });
    let value: Curriculum = parse(STAGES).unwrap();
    library.curricula.insert(name("late"), Known { value, origin: origin() });
    let mut resolution = resolve(&library, &[name("a")]);
    assert!(resolution.faults.is_empty(), "{:?}", resolution.faults);
    resolution.experiments.remove(&name("a")).unwrap().leaves
}

fn found(branches: &str, loss: Loss) -> Vec<(String, Option<u64>)> {
    let leaves = leaves(branches);
    let records: Vec<LeafRecords<'_>> = leaves
        .iter()
        .map(|leaf| LeafRecords {
            key: leaf.key.clone(),
            curriculum: String::new(),
            history: &leaf.history,
            own_from: 0,
            stage_starts: vec![],
            rows: vec![],
            evaluations: vec![],
            probes: std::collections::BTreeMap::new(),
            pairing: String::new(),
        })
        .collect();
    members(&records.iter().collect::<Vec<_>>(), loss)
}

fn moved(name: &str, to: u64) -> String {
    format!("(name: \"{name}\", curriculum: Moved(of: \"late\", loss: Precursor, to: {to})),")
}

#[test]
fn moved_branches_are_a_sweep_whatever_they_are_called() {
    let written = "(name: \"as_it_is\", curriculum: File(\"late\")), (name: \"other\", curriculum: Inline(stages: [
        (from: 0, loss: {CrossEntropy: 1, Precursor: 0.3})])),";
    let branches = moved("late_one", 60) + &moved("early_one", 10) + written + &moved("never", 500);
    let expected: [(&str, Option<u64>); 4] =
        [("early_one", Some(10)), ("as_it_is", Some(20)), ("late_one", Some(60)), ("never", None)];
    let expected = expected.map(|(branch, begin)| (branch.to_owned(), begin));
    assert_eq!(found(&branches, Loss::Precursor), expected);
    assert!(found(&branches, Loss::Spectrum).is_empty());
}

#[test]
fn another_weight_or_another_noise_is_no_sweep() {
    let inline = |weight: f64, noise: u32, from: u64| {
        format!(
            "(name: \"b{from}\", curriculum: Inline(stages: [(from: 0, loss: {{CrossEntropy: 1}}, data: (noise_peaks: {noise})),
            (from: {from}, loss: {{CrossEntropy: 1, Precursor: {weight}}}, data: (noise_peaks: {noise}))])),"
        )
    };
    let members = |parts: &[String]| found(&parts.concat(), Loss::Precursor).len();
    assert_eq!(members(&[inline(0.1, 1, 10), inline(0.1, 1, 20), inline(0.1, 1, 30)]), 3);
    assert_eq!(members(&[inline(0.1, 1, 10), inline(0.2, 1, 20), inline(0.1, 1, 30)]), 2);
    assert_eq!(members(&[inline(0.1, 1, 10), inline(0.1, 2, 20), inline(0.1, 1, 30)]), 2);
}
