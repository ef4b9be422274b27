//! A project far larger than anybody's still answers within seconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use runner::load::Project;
use runner::plan::{Existing, Plan};

/// Far above what is measured (about a second), and far below what a quadratic way would take.
const PATIENCE: Duration = Duration::from_secs(20);

const TRUNK: &str = "(
    parent: Scratch(
        seed: 1,
        model: Recursive(hidden: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, supervision_steps: 1,
            latent_steps: 1, peaks: 20, length: 20),
        data: Synthetic(length: 7..=18),
        training: (batch: 4, lr: Cosine(peak: 1e-3, horizon: 100_000)),
    ),
    curriculum: File(\"phased\"),
    max_step: 100_000,
    save_every: 10_000,
    validation: [(name: \"easy\", data: Synthetic(source: (length: 7..=10)))],
)";

fn project(experiments: impl IntoIterator<Item = (String, String)>) -> (tempfile::TempDir, Project) {
    let folder = tempfile::tempdir().unwrap();
    for part in ["experiments", "curricula"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    for curriculum in ["early", "phased"] {
        let file = format!("curricula/{curriculum}.ron");
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file), folder.path().join(&file)).unwrap();
    }
    for (stem, text) in experiments {
        fs::write(folder.path().join(format!("experiments/{stem}.ron")), text).unwrap();
    }
    let project = Project { root: folder.path().into() };
    (folder, project)
}

/// Loads, resolves and plans everything; the numbers of leaves and segments.
fn plan_everything(project: &Project) -> (usize, usize) {
    let started = Instant::now();
    let (mut loaded, targets) = project.load_all();
    let read = started.elapsed();
    let resolution = loaded.resolve(&targets);
    assert!(loaded.problems.is_empty(), "{:#?}", &loaded.problems[..1]);
    let resolved = started.elapsed();
    let (mut leaves, mut segments) = (0, 0);
    for target in &targets {
        let plan = Plan::new(&resolution.experiments, target, &Existing::default(), &BTreeMap::new());
        leaves += plan.members.iter().filter(|member| member.is_target).count();
        segments += plan.segments.len();
    }
    let all = started.elapsed();
    println!("{} experiments, {leaves} leaves, {segments} segments", targets.len());
    println!("read {read:.2?}, resolved {:.2?}, planned {:.2?}", resolved - read, all - resolved);
    assert!(all < PATIENCE, "{all:?}");
    (leaves, segments)
}

#[test]
fn a_thousand_experiments_with_ten_thousand_branches() {
    let experiment = |index: usize| {
        // Forks of the trunk, and lines of forks of forks, eight deep.
        let parent = match index % 8 {
            0 => "trunk@20_000".into(),
            depth => format!("e{:03}/b3@{}", index - 1, 20_000 + 1_000 * depth),
        };
        let mut text = format!("(parent: Checkpoint(\"{parent}\"), max_step: 40_000, branches: [\n");
        for branch in 0..10 {
            let curriculum = match branch % 3 {
                0 => "File(\"early\")".into(),
                1 => "Inherit".into(),
                _ => format!("Moved(of: \"phased\", loss: Precursor, to: {})", 28_000 + 100 * branch + index),
            };
            let lr = 1e-4 * (1 + branch) as f64 + 1e-8 * index as f64;
            writeln!(text, "(name: \"b{branch}\", curriculum: {curriculum}, change: (lr: Constant(rate: {lr}))),").unwrap();
        }
        (format!("e{index:03}"), text + "])")
    };
    let (_folder, project) = project((0..1_000).map(experiment).chain([("trunk".into(), TRUNK.into())]));
    let (leaves, _) = plan_everything(&project);
    assert_eq!(leaves, 10_001);
}

#[test]
fn one_experiment_with_ten_thousand_leaves() {
    let mut text = "(parent: Checkpoint(\"trunk@20_000\"), max_step: 40_000, branches: [\n".to_owned();
    for branch in 0..2_000 {
        // Half of them share their way for a while, none is the same as another.
        let to = 22_000 + 5 * branch;
        writeln!(text, "(name: \"b{branch}\", curriculum: Moved(of: \"phased\", loss: Precursor, to: {to})),").unwrap();
    }
    text += "], seeds: [1, 2, 3, 4, 5])";
    let (_folder, project) = project([("trunk".into(), TRUNK.into()), ("wide".into(), text)]);
    let (leaves, segments) = plan_everything(&project);
    assert_eq!(leaves, 10_001);
    assert!(segments >= 10_000, "{segments}");
}
