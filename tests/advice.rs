//! What an error says to write instead works when it is written.

use std::fs;
use std::path::Path;

use runner::load::{Diagnosis, Project};

/// The shipped files, and one more experiment.
fn problems(text: &str) -> Vec<Diagnosis> {
    let folder = tempfile::tempdir().unwrap();
    for part in ["experiments", "curricula"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(part)).unwrap().map(|entry| entry.unwrap()) {
            fs::copy(entry.path(), folder.path().join(part).join(entry.file_name())).unwrap();
        }
    }
    fs::write(folder.path().join("experiments/tried.ron"), text).unwrap();
    let project = Project { root: folder.path().into() };
    match project.load(Path::new("tried")) {
        Ok((mut loaded, name)) => {
            loaded.resolve(&[name]);
            loaded.problems
        }
        Err(loaded) => loaded.problems,
    }
}

/// The only problem of `wrong` advises `advice`, and with `right` in place of `part` there is none.
fn follows(wrong: &str, advice: &str, part: &str, right: &str) {
    let found = problems(wrong);
    let [problem] = &found[..] else { panic!("{wrong}\n{found:#?}") };
    let help = problem.help.clone().unwrap_or_default();
    assert!(help.contains(advice), "{wrong}\n{problem:#?}");
    assert!(wrong.contains(part));
    let mended = wrong.replace(part, right);
    assert_eq!(problems(&mended), [], "{mended}");
}

#[test]
fn a_seeded_parent_is_named_with_branch_and_seed() {
    let wrong = "(parent: Checkpoint(\"precursor_timing/early@900\"), curriculum: Inherit, max_step: 1_900, seeds: [4])";
    follows(wrong, "`precursor_timing/early#1@900`", "precursor_timing/early@900", "precursor_timing/early#1@900");
}

#[test]
fn a_parent_with_several_branches_is_named_with_one() {
    let wrong = "(parent: Checkpoint(\"precursor_timing@900\"), curriculum: Inherit, max_step: 1_900)";
    follows(wrong, "`precursor_timing/control@900`", "precursor_timing@900", "precursor_timing/control@900");
}

#[test]
fn the_nearest_clock_that_fits_is_named() {
    let wrong = "(parent: Checkpoint(\"ce_baseline@600\"), curriculum: File(\"early\"), clock: (1, 24), max_step: 900)";
    follows(wrong, "such as 25", "(1, 24)", "(1, 25)");
    let wrong = "(parent: Checkpoint(\"ce_baseline@600\"), curriculum: File(\"phased\"), clock: (2, 33), max_step: 900)";
    follows(wrong, "such as 40", "(2, 33)", "(2, 40)");
}

#[test]
fn a_misspelt_name_is_corrected() {
    let fork = |curriculum: &str| format!("(parent: Checkpoint(\"ce_baseline@600\"), curriculum: {curriculum}, max_step: 900)");
    follows(&fork("File(\"erly\")"), "`early`", "erly", "early");
    follows(&fork("Inherrit"), "`Inherit`", "Inherrit", "Inherit");
    let moved = "Moved(of: \"phased\", loss: Precurser, to: 700)";
    follows(&fork(moved), "`Precursor`", "Precurser", "Precursor");
    follows(&fork("Inherit, change: (dropuot: 0.2)"), "`dropout`", "dropuot", "dropout");
    follows(&fork("Inherit, change: (lr: Cosine(peak: 1e-3, horizont: 9))"), "`horizon`", "horizont", "horizon");
    follows(&fork("Inherit, best: \"hard/token_acuracy\""), "`token_accuracy`", "acuracy", "accuracy");
}
