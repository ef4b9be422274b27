//! Files of spectra that are not what they were, or that are named in more than one way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runner::lineage::{DataFile, Resolution};
use runner::load::{Digests, Loaded, Project, material_with};
use runner::spec::{Experiment, Name};

mod folders;

use folders::mgf;

/// An experiment on synthetic spectra that is evaluated on a file's.
fn experiment(training: &str, validation: &str) -> String {
    format!(
        "(
    parent: Scratch(
        seed: 1,
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 1, latent_steps: 1,
            peaks: 20, length: 12),
        data: {training},
        training: (batch: 4, lr: Constant(rate: 1e-3)),
    ),
    curriculum: Inline(stages: [(from: 0, loss: {{CrossEntropy: 1.0}})]),
    max_step: 10,
    validation: [(name: \"measured\", data: {validation}, spectra: 4)],
)"
    )
}

/// A project with one experiment, `real`, and one file of spectra.
fn project(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["experiments", "data"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    fs::write(folder.path().join("experiments/real.ron"), text).unwrap();
    mgf(&folder.path().join("data/some.mgf"), 30);
    folder
}

/// What `run` knows when everything has been checked.
fn checked(folder: &Path, digests: &mut Digests) -> (Loaded, Resolution) {
    let (mut loaded, name) = Project { root: folder.into() }.load_with(Path::new("real"), digests).unwrap();
    let resolution = loaded.resolve(std::slice::from_ref(&name));
    (loaded, resolution)
}

fn experiments(loaded: &Loaded) -> BTreeMap<Name, Experiment> {
    loaded.library.experiments.iter().map(|(name, known)| (name.clone(), known.value.clone())).collect()
}

fn digest(loaded: &Loaded, path: &str) -> String {
    match &loaded.library.data[path] {
        DataFile::Digest(digest) => digest.clone(),
        missing => panic!("{path}: {missing:?}"),
    }
}

#[test]
fn a_file_of_validation_spectra_that_changes_after_the_check_is_noticed() {
    let folder = project(&experiment("Synthetic(length: 7..=10)", "Mgf(files: [\"data/some.mgf\"])"));
    let mut digests = Digests::default();
    let (loaded, resolution) = checked(folder.path(), &mut digests);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    material_with(folder.path(), &experiments(&loaded), &resolution, &mut digests).unwrap();
    mgf(&folder.path().join("data/some.mgf"), 20);
    let error = material_with(folder.path(), &experiments(&loaded), &resolution, &mut digests).unwrap_err();
    assert!(error.contains("validation set `measured` of `real`"), "{error}");
    assert!(error.contains("`data/some.mgf` changed while it was read; run the command again"), "{error}");
    // Whoever asks again is told of the file as it is now.
    let (again, resolution) = checked(folder.path(), &mut digests);
    assert_ne!(digest(&again, "data/some.mgf"), digest(&loaded, "data/some.mgf"));
    material_with(folder.path(), &experiments(&again), &resolution, &mut digests).unwrap();
}

#[test]
fn a_changed_file_is_forgotten_under_every_spelling() {
    let folder =
        project(&experiment("Mgf(files: [\"data/some.mgf\"], held_out: 0.2)", "Mgf(files: [\"data/../data/some.mgf\"])"));
    let mut digests = Digests::default();
    let (loaded, resolution) = checked(folder.path(), &mut digests);
    assert_eq!(digests.read, 1, "one file, spelt in two ways");
    mgf(&folder.path().join("data/some.mgf"), 20);
    material_with(folder.path(), &experiments(&loaded), &resolution, &mut digests).unwrap_err();
    let (again, _) = checked(folder.path(), &mut digests);
    for path in ["data/some.mgf", "data/../data/some.mgf"] {
        assert_ne!(digest(&again, path), digest(&loaded, path), "{path}");
    }
}

#[test]
fn a_file_that_was_moved_is_read_and_watched_where_it_lies() {
    let folder = project(&experiment("Synthetic(length: 7..=10)", "Mgf(files: [\"data/some.mgf\"], digests: [\"DIGEST\"])"));
    let (from, to) = (folder.path().join("data/some.mgf"), folder.path().join("data/moved.mgf"));
    let recorded = blake3::hash(&fs::read(&from).unwrap()).to_hex().to_string();
    let file = folder.path().join("experiments/real.ron");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("DIGEST", &recorded)).unwrap();
    fs::rename(from, &to).unwrap();
    let mut digests = Digests::default();
    let (loaded, resolution) = checked(folder.path(), &mut digests);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    material_with(folder.path(), &experiments(&loaded), &resolution, &mut digests).unwrap();
    mgf(&to, 20);
    let error = material_with(folder.path(), &experiments(&loaded), &resolution, &mut digests).unwrap_err();
    assert!(error.contains("`data/some.mgf` changed while it was read"), "{error}");
    let (again, _) = checked(folder.path(), &mut digests);
    assert!(!again.problems.is_empty(), "the recorded spectra are nowhere any more");
}

#[test]
fn one_file_is_not_named_twice_in_two_spellings() {
    let folder = project(&experiment("Synthetic(length: 7..=10)", "Mgf(files: [\"data/some.mgf\", \"data/./some.mgf\"])"));
    let (loaded, _) = checked(folder.path(), &mut Digests::default());
    let [problem] = &loaded.problems[..] else { panic!("{:?}", loaded.problems) };
    assert_eq!(problem.message, "`data/./some.mgf` has the same content as `data/some.mgf`");
    assert_eq!(problem.help.as_deref(), Some("name each file once"));
}
