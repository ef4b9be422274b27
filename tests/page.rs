//! The report's page, made up with 30 leaves: what it holds, how large it is, and that it points nowhere.

use runner::report::page::{
    Branch, Detail, Figure, Heading, Leaf, Lineage, Node, Page, Points, Progress, Scale, Shape, Stage, State, figures, render,
};

const FORK: u64 = 15_000;
const END: u64 = 45_000;

/// A trunk with a leaf for each branch and seed.
fn lineage(branches: usize, seeds: u64) -> Lineage {
    let stage = |from: u64, to: u64, name: &str| Stage {
        from,
        to,
        name: name.into(),
        weights: vec![("CrossEntropy".into(), 1.0), ("Spectrum".into(), 0.08)],
    };
    let branch = |index: usize| Branch {
        name: format!("precursor_at_{}", 18_000 + 2_400 * index),
        reference: index + 1 == branches,
        stages: vec![stage(0, FORK, "foundation"), stage(FORK, 30_000, "spectrum"), stage(30_000, END, "precursor")],
    };
    let leaf = |index: usize| {
        let (branch, seed) = (index / seeds as usize, index as u64 % seeds + 1);
        Leaf { branch, seed: Some(seed), key: format!("branch_{branch}#{seed}"), end: END, reached: END }
    };
    let leaves: Vec<Leaf> = (0..branches * seeds as usize).map(leaf).collect();
    let node = |parent: Option<usize>, from: u64, to: u64, owner: &str, leaves: Vec<usize>| Node {
        parent,
        from,
        to,
        owner: owner.into(),
        leaves,
        progress: Progress::Trained,
        reached: to,
    };
    let mut nodes = vec![node(None, 0, FORK, "ce_baseline", (0..leaves.len()).collect())];
    nodes.extend(leaves.iter().enumerate().map(|(index, leaf)| node(Some(0), FORK, END, &leaf.key, vec![index])));
    Lineage { branches: (0..branches).map(branch).collect(), leaves, nodes }
}

/// Noise that is the same every time, 0 to 1.
fn noise(leaf: usize, step: u64) -> f64 {
    let mixed =
        (step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(leaf as u64 * 2 + 0x2545_f491_4f6c_dd1d);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

fn figure(lineage: &Lineage, key: &str, shape: Shape, every: usize, detail: Detail) -> Figure {
    let curve = |leaf: usize| {
        let steps = (0..=END).step_by(every);
        steps.map(|step| (step, Some(2.5 - step as f64 / 30_000.0 + noise(leaf, step) * 0.3))).collect()
    };
    let curves: Vec<Points> = (0..lineage.leaves.len()).map(curve).collect();
    let group = if shape == Shape::Points { "Validation" } else { "Training loss" };
    let heading = Heading {
        key: key.into(),
        group: group.into(),
        title: key.into(),
        unit: "nats a token".into(),
        scale: Scale::Number,
        log: false,
        shape,
        shown: true,
    };
    Figure::new(heading, lineage, &curves, detail, &|_| 4.303)
}

fn page(lineage: Lineage, figures: Vec<Figure>) -> Page {
    Page {
        title: "precursor_when".into(),
        question: Some("When should the precursor loss begin?".into()),
        state: State { complete: true, text: "complete".into(), updated: None },
        conclusion: vec!["Nothing is concluded from made-up numbers.".into()],
        rule: vec![],
        remarks: vec![],
        diffs: vec![],
        lineage,
        figures,
        outcomes: vec![],
        responses: vec![],
        lengths: vec![],
        grids: vec![],
        settings: vec![],
        provenance: vec![],
        footer: "made up".into(),
    }
}

/// Ten branches under three seeds, eight quantities of the updates and six of the evaluations.
fn thirty_leaves() -> Page {
    let lineage = lineage(10, 3);
    let detail = Detail::of(&lineage, 8);
    let updates = (0..8).map(|index| figure(&lineage, &format!("term {index}"), Shape::Line, 50, detail));
    let evaluations = (0..6).map(|index| figure(&lineage, &format!("set/metric {index}"), Shape::Points, 2_500, detail));
    let figures = updates.chain(evaluations).collect();
    page(lineage, figures)
}

#[test]
fn a_page_of_thirty_leaves_is_small_and_points_nowhere() {
    let text = render(&thirty_leaves());
    assert!(text.len() < 3_000_000, "{} bytes", text.len());
    let bare = text.replace("https://github.com/leeoniya/uPlot", "").replace("http://www.w3.org/2000/svg", "");
    for scheme in ["http://", "https://", "ws://", "wss://", "url(", "@import", "\"//"] {
        assert!(!bare.contains(scheme), "the page names `{scheme}`");
    }
    assert!(!text.contains("src="));
    for target in text.split("href=\"").skip(1) {
        assert!(target.starts_with('#') || target.starts_with("data:,\""), "the page points to `{}`", &target[..20]);
    }
    let policy = text.split("Content-Security-Policy\" content=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("style-src 'sha256-"), "{policy}");
}

#[test]
fn what_leaves_share_is_drawn_once() {
    let page = thirty_leaves();
    let strands = &page.figures[0].strands;
    assert_eq!(strands.len(), 11);
    assert_eq!((strands[0].series.len(), strands[0].series[0].leaves.len()), (1, 30));
    assert!(strands[1..].iter().all(|strand| strand.series.len() == 3 && strand.branches.len() == 1));
    let names: Vec<String> = figures(&page).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 15);
    assert!(names.contains(&"set_metric_5".to_owned()), "{names:?}");
}

#[test]
fn a_spike_among_millions_of_steps_is_on_the_page() {
    let mut lineage = lineage(2, 1);
    let last = 2_000_000;
    lineage.nodes[1..].iter_mut().for_each(|node| (node.to, node.reached) = (last, last));
    lineage.leaves.iter_mut().for_each(|leaf| (leaf.end, leaf.reached) = (last, last));
    let spike = |step: u64| if step == 1_234_567 { 31.25 } else { (step % 10) as f64 / 10.0 };
    let curve: Points = (0..last).map(|step| (step, Some(spike(step)))).collect();
    let heading = thirty_leaves().figures[0].heading.clone();
    let figure = Figure::new(heading, &lineage, &[curve], Detail::of(&lineage, 1), &|_| 12.7);
    assert_eq!(figure.thinned, Some(last));
    let kept: usize = figure.strands.iter().flat_map(|strand| &strand.series).map(|series| series.steps.len()).sum();
    assert!(kept <= 2_100, "{kept}");
    let text = render(&page(lineage, vec![figure]));
    assert!(text.contains("31.25") && text.contains("Of up to 2,000,000 logged steps"));
    assert!(text.len() < 500_000, "{} bytes", text.len());
}
