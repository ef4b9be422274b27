//! Every file that is shipped resolves and plans, and says what it is meant to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runner::history::{History, changes};
use runner::lineage::{Leaf, Resolved};
use runner::load::{Diagnosis, Project};
use runner::plan::{Existing, Plan};
use runner::spec::{Curriculum, Findings, Name, Place, Stage, parse};
use runner::task::loss::Loss;

/// Experiments that need a file which is not shipped.
const WITHOUT_DATA: [&str; 1] = ["real_spectra"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// Names of the RON files in a folder of the repository.
fn stems(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "ron"));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// A shipped experiment with its ancestors, resolved without a problem.
fn resolved(experiment: &str) -> BTreeMap<Name, Resolved> {
    resolved_in(&Project { root: root() }, experiment).unwrap_or_else(|problems| panic!("{experiment}: {problems:#?}"))
}

fn resolved_in(project: &Project, experiment: &str) -> Result<BTreeMap<Name, Resolved>, Vec<Diagnosis>> {
    let (mut loaded, target) = project.load(Path::new(experiment)).map_err(|loaded| loaded.problems)?;
    let resolution = loaded.resolve(std::slice::from_ref(&target));
    if loaded.problems.is_empty() { Ok(resolution.experiments) } else { Err(loaded.problems) }
}

fn planned(experiment: &str) -> Plan {
    Plan::new(&resolved(experiment), &name(experiment), &Existing::default(), &BTreeMap::new())
}

/// Segments as (owner, first step, last step), in the order of the plan.
fn segments(plan: &Plan) -> Vec<(String, u64, u64)> {
    plan.segments.iter().map(|segment| (segment.owner.to_string(), segment.from, segment.to())).collect()
}

fn leaf<'a>(experiments: &'a BTreeMap<Name, Resolved>, key: &str) -> &'a Leaf {
    let leaves = experiments.values().flat_map(|resolved| &resolved.leaves);
    leaves.into_iter().find(|leaf| leaf.key.to_string() == key).unwrap_or_else(|| panic!("no leaf {key}"))
}

/// Names of the settings in which two histories differ at a step.
fn differing(a: &History, b: &History, step: u64) -> Vec<String> {
    changes(a.settings(step), b.settings(step)).into_iter().map(|change| change.setting).collect()
}

#[test]
fn every_experiment_resolves_and_plans() {
    let experiments = stems("experiments");
    for experiment in experiments.iter().filter(|stem| !WITHOUT_DATA.contains(&stem.as_str())) {
        let plan = planned(experiment);
        let ends = plan.members.iter().filter(|member| member.is_target).count();
        let (segments, steps, unshared) = (plan.segments.len(), plan.steps_to_train(), plan.steps_unshared());
        println!("{experiment:<24} {ends:>2} leaves {segments:>3} segments {steps:>7} steps, {unshared:>7} unshared");
        assert!(plan.evaluations.is_empty() && !plan.is_done(), "{experiment}: nothing exists yet");
        assert_eq!(plan.steps_to_train(), plan.steps_shared(), "{experiment}: everything is to be trained");
        let resolved = &resolved(experiment)[&name(experiment)];
        assert!(resolved.question.is_some() && !resolved.validation.is_empty(), "{experiment}");
    }
    assert_eq!(experiments.len(), 9, "a new file needs a test of its own below: {experiments:?}");
}

#[test]
fn checking_everything_finds_the_missing_spectra_and_nothing_else() {
    let (mut loaded, targets) = Project { root: root() }.load_all();
    if root().join("data/spectra.mgf").exists() {
        return;
    }
    let resolution = loaded.resolve(&targets);
    let shipped = stems("experiments").len();
    assert_eq!((targets.len(), resolution.experiments.len()), (shipped, shipped - WITHOUT_DATA.len()));
    assert!(!resolution.experiments.contains_key(&name("real_spectra")));
    assert!(loaded.problems.iter().all(|problem| problem.file == "experiments/real_spectra.ron"), "{:#?}", loaded.problems);
}

/// What a person finds who has just got the repository.
#[test]
fn a_fresh_clone_is_checked_with_a_warning_and_what_needs_the_spectra_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["experiments", "curricula"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        for stem in stems(part) {
            let file = format!("{part}/{stem}.ron");
            fs::copy(root().join(&file), folder.path().join(&file)).unwrap();
        }
    }
    let runner = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_runner")).arg("-C").arg(folder.path()).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, stderr) = runner(&["check"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.ends_with(" files without problems, 1 warning\n"), "{stdout}");
    assert!(stderr.starts_with("warning: `data/spectra.mgf` cannot be read: there is no such file\n"), "{stderr}");
    assert!(stderr.contains("experiments/real_spectra.ron:") && stderr.contains("annotated MGF file"), "{stderr}");
    let (code, stdout, _) = runner(&["check", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, shown.as_array().unwrap().len()), (0, 1));
    assert_eq!((&shown[0]["severity"], &shown[0]["file"]), (&"warning".into(), &"experiments/real_spectra.ron".into()));
    for verb in ["check", "plan", "run"] {
        let (code, _, stderr) = runner(&[verb, "real_spectra"]);
        assert_eq!(code, 2, "{verb}: {stderr}");
        assert!(
            stderr.contains("error: `data/spectra.mgf` cannot be read") && stderr.contains("2 problems in 1 file"),
            "{stderr}"
        );
    }
    // What hangs on the missing file is checked all the same.
    let write = |name: &str, text: &str| fs::write(folder.path().join(format!("experiments/{name}.ron")), text).unwrap();
    write("measured_on", "(parent: Checkpoint(\"real_spectra@500\"), curriculum: Inherit, max_step: 600)");
    assert_eq!(runner(&["check"]).0, 0);
    write("measured_on", "(parent: Checkpoint(\"real_spectra@501\"), curriculum: Inherit, max_step: 600)");
    let (code, _, stderr) = runner(&["check"]);
    assert_eq!(code, 2, "{stderr}");
    for part in ["error: ", "measured_on.ron", "warning: `data/spectra.mgf`", "1 problem in 1 file"] {
        assert!(stderr.contains(part), "{part}:\n{stderr}");
    }
}

#[test]
fn weights_that_are_absent_are_a_warning_too_and_the_rest_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("experiments")).unwrap();
    let write = |lengths: &str| {
        let text = format!(
            "(parent: Imported(file: \"weights.safetensors\", step: 5, seed: 1, model: Recursive(hidden: 16, heads: 2,
                encoder_layers: 1, decoder_layers: 1, supervision_steps: 1, latent_steps: 1, peaks: 20, length: 12),
                data: Synthetic(length: {lengths}), training: (batch: 4, lr: Constant(rate: 1e-3))),
            curriculum: Inline(stages: [(from: 0, loss: {{CrossEntropy: 1.0}})]), max_step: 9)"
        );
        fs::write(folder.path().join("experiments/on.ron"), text).unwrap();
    };
    let check = || {
        let (mut loaded, targets) = Project { root: folder.path().into() }.load_all();
        loaded.check(&targets);
        loaded.problems
    };
    write("7..=10");
    let problems = check();
    assert!(problems.iter().all(|problem| problem.absent_data) && problems.len() == 1, "{problems:#?}");
    write("7..=19");
    let problems = check();
    assert_eq!(problems.iter().filter(|problem| !problem.absent_data).count(), 1, "{problems:#?}");
    // Whoever plans is not told anything that rests on what is not there.
    let (mut loaded, targets) = Project { root: folder.path().into() }.load_all();
    assert!(loaded.resolve(&targets).experiments.is_empty());
}

#[test]
fn missing_spectra_are_named_with_what_to_put_there() {
    let folder = real_project();
    let project = Project { root: folder.path().into() };
    let problems = resolved_in(&project, "real_spectra").unwrap_err();
    let text = fs::read_to_string(folder.path().join("experiments/real_spectra.ron")).unwrap();
    // Both places that name the file: the source and the validation set.
    let [problem, other] = &problems[..] else { panic!("{problems:#?}") };
    assert_eq!(problem.message, other.message);
    assert!(problem.span.start < other.span.start);
    assert_eq!(&text[problem.span.clone()], "\"data/spectra.mgf\"");
    assert!(problem.message.starts_with("`data/spectra.mgf` cannot be read"), "{problem:?}");
    let help = problem.help.as_deref().unwrap_or_default();
    assert!(help.contains("annotated MGF file") && help.contains("SEQ="), "{help}");

    fs::create_dir(folder.path().join("data")).unwrap();
    let spectrum = "BEGIN IONS\nPEPMASS=464.7347\nCHARGE=2+\nSEQ=PEPTIDEK\n147.1128 10.0\nEND IONS\n";
    fs::write(folder.path().join("data/spectra.mgf"), spectrum).unwrap();
    let experiments = resolved_in(&project, "real_spectra").unwrap();
    let plan = Plan::new(&experiments, &name("real_spectra"), &Existing::default(), &BTreeMap::new());
    assert_eq!(segments(&plan), [("real_spectra/main".into(), 0, 500)]);
    // All lengths that the model can write.
    assert_eq!(leaf(&experiments, "real_spectra/main").history.settings(0).difficulty.length, (1, 23));
}

/// A project with nothing but the experiment on measured spectra.
fn real_project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("experiments")).unwrap();
    let file = "experiments/real_spectra.ron";
    fs::copy(root().join(file), folder.path().join(file)).unwrap();
    folder
}

#[test]
fn the_trunk_is_one_segment() {
    let plan = planned("ce_baseline");
    assert_eq!(segments(&plan), [("ce_baseline/main".into(), 0, 600)]);
    let segment = &plan.segments[0];
    assert_eq!(segment.saves.iter().map(|save| save.step).collect::<Vec<_>>(), [200, 400, 600]);
    assert_eq!(segment.evaluate, BTreeSet::from([200, 400, 600]));
}

#[test]
fn timing_trains_the_trunk_once_and_nine_leaves() {
    let plan = planned("precursor_timing");
    let mut expected = vec![("ce_baseline/main".to_owned(), 0, 600)];
    for branch in ["early", "phased", "control"] {
        expected.extend([1, 2, 3].map(|seed| (format!("precursor_timing/{branch}#{seed}"), 600, 1_600)));
    }
    assert_eq!(segments(&plan), expected, "the three part at the fork: nothing but the trunk is shared");
    assert_eq!((plan.steps_to_train(), plan.steps_unshared()), (600 + 9 * 1_000, 9 * 1_600));
}

#[test]
fn timing_follows_the_clock() {
    let experiments = resolved("precursor_timing");
    let weights = |branch: &str, step| {
        let at = leaf(&experiments, &format!("precursor_timing/{branch}#1")).history.at(step);
        [Loss::Spectrum, Loss::Precursor].map(|loss| at.weights.get(&loss).copied().unwrap_or(0.0))
    };
    assert_eq!(
        [600, 799, 800, 1_599].map(|step| weights("early", step)),
        [[0.05, 0.0], [0.05, 0.0], [0.08, 0.01], [0.10, 0.02]]
    );
    assert_eq!(
        [600, 1_199, 1_200, 1_500].map(|s| weights("phased", s)),
        [[0.08, 0.0], [0.12, 0.0], [0.15, 0.01], [0.18, 0.02]]
    );
    assert_eq!([600, 1_599].map(|step| weights("control", step)), [[0.0, 0.0]; 2]);
    let notes = &experiments[&name("precursor_timing")].notes;
    let on = notes.iter().filter(|note| note.text.contains("is on from the fork's first step 600"));
    assert_eq!(on.count(), 6, "the spectrum loss, for early and phased under three seeds: {notes:#?}");
}

#[test]
fn when_moves_one_loss_and_shares_what_it_can() {
    let plan = planned("precursor_when");
    // For each seed: one leaf that parts at the fork, and two that go together until the first of them gets its loss.
    let mut expected = vec![("ce_baseline/main".to_owned(), 0, 600)];
    for seed in [1, 2, 3] {
        expected.push((format!("precursor_when/at_600#{seed}"), 600, 1_600));
    }
    let mut found = segments(&plan);
    found.sort();
    for seed in [1, 2, 3] {
        expected.push(("precursor_when/shared".into(), 600, 900));
        expected.push((format!("precursor_when/at_900#{seed}"), 900, 1_600));
        expected.push((format!("precursor_when/at_1200#{seed}"), 900, 1_600));
    }
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(plan.steps_to_train(), 600 + 3 * (1_000 + 300 + 700 + 700));

    let experiments = resolved("precursor_when");
    let history = |branch: &str| &leaf(&experiments, &format!("precursor_when/{branch}#1")).history;
    for (a, b, parts) in [("at_600", "at_900", 600), ("at_600", "at_1200", 600), ("at_900", "at_1200", 900)] {
        assert_eq!(history(a).common_step(history(b)), Some(parts));
        for step in parts..1_600 {
            let settings = differing(history(a), history(b), step);
            assert!(settings.iter().all(|setting| setting.contains("Precursor")), "{a}, {b} at {step}: {settings:?}");
        }
    }
}

#[test]
fn the_last_of_the_moved_is_the_schedule_itself() {
    for (moved, written) in [
        ("precursor_when/at_1200#2", "precursor_timing/phased#2"),
        ("precursor_when_full/at_30000#2", "precursor_timing_full/phased#2"),
    ] {
        let experiment = |key: &str| key.split('/').next().unwrap().to_owned();
        let (a, b) = (resolved(&experiment(moved)), resolved(&experiment(written)));
        assert_eq!(leaf(&a, moved).history.id(), leaf(&b, written).history.id(), "{moved}, {written}");
    }
}

#[test]
fn full_size_is_the_guides() {
    let plan = planned("precursor_timing_full");
    assert_eq!((plan.segments.len(), plan.steps_to_train()), (10, 15_000 + 9 * 25_000));
    let plan = planned("precursor_when_full");
    // at_15000 alone; the other two together until 22,500.
    assert_eq!((plan.segments.len(), plan.steps_to_train()), (13, 15_000 + 3 * (25_000 + 7_500 + 2 * 17_500)));
    let experiments = resolved("ce_baseline_full");
    let trunk = &leaf(&experiments, "ce_baseline_full/main").history;
    let parameters = trunk.root().model.recursive().parameter_count();
    assert!((12_400_000..12_600_000).contains(&parameters), "{parameters}");
    let rate = |step| leaf(&experiments, "ce_baseline_full/main").history.settings(0).rate.at(step);
    assert_eq!(rate(0), 1.5e-4);
    let cosine = |step: f64| 1.5e-6 + (1.5e-4 - 1.5e-6) * 0.5 * (1.0 + (std::f64::consts::PI * step / 100_000.0).cos());
    for step in [1_000_u64, 14_999, 99_999] {
        assert!((rate(step) - cosine(step as f64)).abs() < 1e-15, "{step}");
    }
}

#[test]
fn the_winner_is_its_leaf_trained_on() {
    let plan = planned("winner_full");
    assert_eq!(
        segments(&plan),
        [
            ("ce_baseline_full/main".into(), 0, 15_000),
            ("precursor_timing_full/phased#1".into(), 15_000, 40_000),
            ("winner_full/main".into(), 40_000, 100_000),
        ]
    );
    let experiments = resolved("winner_full");
    let history = &leaf(&experiments, "winner_full/main").history;
    let last = history.at(99_999);
    assert_eq!((last.weights[&Loss::Precursor], last.difficulty.length, last.seed), (0.08, (7, 18), 1));
}

#[test]
fn batches_differ_in_nothing_else() {
    let plan = planned("batch_size");
    assert_eq!((plan.segments.len(), plan.steps_to_train()), (7, 5_000 + 6 * 10_000));
    let experiments = resolved("batch_size");
    let history = |branch: &str| &leaf(&experiments, &format!("batch_size/{branch}#3")).history;
    assert_eq!(history("batch_96").common_step(history("batch_192")), Some(5_000));
    assert_eq!(differing(history("batch_96"), history("batch_192"), 14_999), ["batch"]);
}

/// A stage as the table has it.
fn row(stage: &Stage) -> Vec<f64> {
    let data = &stage.data;
    let length = data.length.clone().expect("every stage names its lengths");
    let weight = |loss| stage.loss.get(&loss).copied().unwrap_or(0.0);
    vec![
        stage.from as f64,
        f64::from(*length.start()),
        f64::from(*length.end()),
        data.clean_share,
        f64::from(data.noise_peaks),
        f64::from(data.grass_peaks),
        f64::from(data.spike_peaks),
        data.peak_dropout,
        data.signal_suppression,
        data.mass_error_ppm,
        data.intensity_variation,
        weight(Loss::CrossEntropy),
        weight(Loss::Spectrum),
        weight(Loss::Precursor),
    ]
}

/// The columns of the table, in the order of [`row`].
const COLUMNS: [&str; 14] = [
    "from",
    "shortest",
    "longest",
    "clean_share",
    "noise_peaks",
    "grass_peaks",
    "spike_peaks",
    "peak_dropout",
    "signal_suppression",
    "mass_error_ppm",
    "intensity_variation",
    "cross_entropy",
    "spectrum",
    "precursor",
];

#[test]
fn curricula_are_what_the_table_says() {
    let table = fs::read_to_string(root().join("tests/fixtures/curricula.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["columns"], serde_json::json!(COLUMNS));
    let table = table["curricula"].as_object().unwrap();
    let mut seen = BTreeSet::from(["cross_entropy_only".to_owned()]);
    for folder in ["curricula", "tests/fixtures/curricula"] {
        for stem in stems(folder) {
            let curriculum = curriculum(&format!("{folder}/{stem}.ron"));
            if stem == "cross_entropy_only" {
                continue;
            }
            let rows = table.get(&stem).unwrap_or_else(|| panic!("`{stem}` is not in the table"))["stages"].as_array().unwrap();
            assert_eq!(curriculum.stages.len(), rows.len(), "{stem}");
            for (stage, expected) in curriculum.stages.iter().zip(rows) {
                let mut expected: Vec<f64> = expected.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
                if expected[4..11].iter().all(|&noise| noise == 0.0) {
                    // Without noise the share of clean samples says nothing, and files leave it out.
                    expected[3] = 0.0;
                }
                let found = row(stage);
                for (column, (found, expected)) in COLUMNS.iter().zip(found.iter().zip(&expected)) {
                    assert_eq!(found, expected, "{stem} from {}: {column}", stage.from);
                }
                assert_eq!(stage.ramp, 0, "{stem}: the table has no ramps");
            }
            assert!(seen.insert(stem.clone()), "{stem} is there twice");
        }
    }
    assert_eq!(seen.len(), table.len() + 1, "the table names curricula without files");
}

#[test]
fn cross_entropy_only_is_the_first_stage_of_phased() {
    let (only, phased) = (curriculum("curricula/cross_entropy_only.ron"), curriculum("curricula/phased.ron"));
    assert_eq!(only.stages, phased.stages[..1]);
}

/// A curriculum that keeps its own rules, with the habits of the shipped files.
fn curriculum(path: &str) -> Curriculum {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let curriculum: Curriculum = parse(&text).unwrap_or_else(|problem| panic!("{path}: {problem:?}"));
    let mut findings = Findings::default();
    curriculum.check(&Place::root(), &mut findings);
    assert!(findings.list.is_empty(), "{path}: {:#?}", findings.list);
    assert!(text.starts_with("// "), "{path} does not say what it is for");
    let neutral = [": 0.0,", ": 0.0)", ": 0.0}", "peaks: 0", "clean_share: 1.0"];
    assert!(!neutral.iter().any(|field| text.contains(field)), "{path} writes a field that could be left out");
    let names: BTreeSet<&str> = curriculum.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
    assert_eq!(names.len(), curriculum.stages.len(), "{path}: every stage has a name of its own");
    assert!(names.iter().all(|name| name.len() <= 20), "{path}: short names fit into charts");
    curriculum
}

#[test]
fn files_fit_a_screen() {
    for folder in ["experiments", "curricula", "tests/fixtures/curricula"] {
        for stem in stems(folder) {
            let text = fs::read_to_string(root().join(folder).join(format!("{stem}.ron"))).unwrap();
            let long = text.lines().find(|line| line.chars().count() > 128 || line.contains('\t') || line.ends_with(' '));
            assert_eq!(long, None, "{folder}/{stem}.ron");
        }
    }
}
